package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// answerTime bounds the wait for one answer.
const answerTime = 30 * time.Second

// A client is one connection, which waits for each answer.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	req  *request
}

func dial(ctx context.Context, addr string, req *request) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 8<<10), req: req}, nil
}

// send sends the event and returns what kind of answer it got, such as "200
// processed": the status, and what Handrail-Webhook says.
func (c *client) send(e *event) (string, error) {
	c.req.put(e)
	if _, err := c.conn.Write(c.req.bytes); err != nil {
		return "", err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	_, status, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(status) < 3 {
		return "", fmt.Errorf("an answer that begins with %q", line)
	}
	kind := string(status[:3])
	h, err := readHeader(c.in)
	if err != nil {
		return "", err
	}
	if h.length < 0 || h.closes {
		return "", fmt.Errorf("an answer %s without a length, or the last of its connection", kind)
	}
	if h.mark != "" {
		kind += " " + h.mark
	}
	_, err = c.in.Discard(h.length)
	return kind, err
}

// A source is where the clients of a load get their events.
type source struct {
	events []event
	again  bool // from the beginning when all have been sent
	next   atomic.Int64
}

// take returns nil when no event is left.
func (s *source) take() *event {
	n := s.next.Add(1) - 1
	if s.again {
		n %= int64(len(s.events))
	}
	if n >= int64(len(s.events)) {
		return nil
	}
	return &s.events[n]
}

// A load is what clients saw.
type load struct {
	began   time.Time
	took    time.Duration    // until the last answer
	times   []time.Duration  // of each request, sorted
	answers map[string]int64 // by kind
}

func (l *load) quantile(q float64) float64 {
	return float64(l.times[int(q*float64(len(l.times)-1))]) / float64(time.Millisecond)
}

func (l *load) perSecond() float64 { return float64(len(l.times)) / l.took.Seconds() }

// drive lets so many clients send events of s, each the next one when the answer
// to the last is there, for a while or until no event is left.
func (b *bench) drive(ctx context.Context, addr, path string, conns int, s *source, d time.Duration) (*load, error) {
	clients, err := b.clients(ctx, addr, path, conns, 0)
	if err != nil {
		return nil, err
	}
	return together(ctx, clients, d+answerTime, func(c *client, l *load) error {
		for {
			e := s.take()
			if e == nil {
				return nil
			}
			if err := c.note(l, e, time.Now()); err != nil || time.Since(l.began) >= d {
				return err
			}
		}
	})
}

// note sends the event and notes the answer, and how long it took since begin.
func (c *client) note(l *load, e *event, begin time.Time) error {
	kind, err := c.send(e)
	if err != nil {
		return err
	}
	l.times = append(l.times, time.Since(begin))
	l.answers[kind]++
	return nil
}

func (b *bench) clients(ctx context.Context, addr, path string, conns int, wait time.Duration) ([]*client, error) {
	var clients []*client
	for range conns {
		c, err := dial(ctx, addr, b.mint.request(path, wait))
		if err != nil {
			hangUp(clients)
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func hangUp(clients []*client) {
	for _, c := range clients {
		_ = c.conn.Close()
	}
}

// together lets each client do its part, all at once, and closes them.
func together(ctx context.Context, clients []*client, limit time.Duration, part func(*client, *load) error) (*load, error) {
	defer hangUp(clients)
	defer context.AfterFunc(ctx, func() { hangUp(clients) })()
	begin := time.Now()
	parts, errs := make([]*load, len(clients)), make([]error, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		if err := c.conn.SetDeadline(begin.Add(limit)); err != nil {
			return nil, err
		}
		parts[i] = &load{began: begin, answers: map[string]int64{}}
		wg.Go(func() { errs[i] = part(c, parts[i]) })
	}
	wg.Wait()
	all := &load{began: begin, took: time.Since(begin), answers: map[string]int64{}}
	for _, p := range parts {
		all.times = append(all.times, p.times...)
		for kind, n := range p.answers {
			all.answers[kind] += n
		}
	}
	slices.Sort(all.times)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%d answers, then: %w", len(all.times), err)
	}
	if len(all.times) == 0 {
		return nil, errors.New("no event was left to send")
	}
	return all, nil
}

// kinds tells answers by kind, the most frequent first.
func kinds(answers map[string]int64) string {
	list := slices.SortedFunc(maps.Keys(answers), func(a, b string) int {
		return cmp.Or(cmp.Compare(answers[b], answers[a]), cmp.Compare(a, b))
	})
	for i, kind := range list {
		list[i] = fmt.Sprintf("%d times %s", answers[kind], kind)
	}
	return strings.Join(list, ", ")
}
