package redislimit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// A mood is how a pretended server behaves.
type mood int32

const (
	admits mood = iota
	refuses
	hangs
	complains
	dawdles // for delay, with each answer
)

const delay = 20 * time.Millisecond

// pretended is a server without a network, for tests on virtual time.
type pretended struct {
	mood  atomic.Int32
	dials atomic.Int32
	asked atomic.Int32
}

// limiter has a connection for each call, and the timeout of production.
func (p *pretended) limiter(t *testing.T) *redislimit.Limiter {
	t.Helper()
	o, err := redislimit.Options("redis://pretended")
	if err != nil {
		t.Fatal(err)
	}
	o.PoolSize = 1000
	o.Dialer = p.dial
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	l, err := redislimit.New(redislimit.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (p *pretended) dial(context.Context, string, string) (net.Conn, error) {
	p.dials.Add(1)
	if mood(p.mood.Load()) == refuses {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	go p.serve(far)
	return near, nil
}

// serve answers one command after the other.
func (p *pretended) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		name, err := command(in)
		if err != nil {
			return
		}
		answer := "+OK\r\n"
		switch {
		case name == "hello":
			answer = "-ERR unknown command\r\n"
		case name != "evalsha":
		case mood(p.mood.Load()) == hangs:
			p.asked.Add(1)
			_, _ = io.Copy(io.Discard, in)
			return
		case mood(p.mood.Load()) == complains:
			answer = "-WRONGTYPE of a kind\r\n"
		case mood(p.mood.Load()) == dawdles:
			time.Sleep(delay)
			fallthrough
		default:
			p.asked.Add(1)
			answer = "*2\r\n:1\r\n:1\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// command reads one, and returns its name.
func command(in *bufio.Reader) (name string, err error) {
	var words int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &words); err != nil {
		return "", err
	}
	for i := range words {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return "", err
		}
		word := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(in, word); err != nil {
			return "", err
		}
		if i == 0 {
			name = strings.ToLower(string(word[:size]))
		}
	}
	return name, nil
}

// timed is the error of a call and how long it took.
func timed(ctx context.Context, l *redislimit.Limiter) (time.Duration, error) {
	start := time.Now()
	_, err := l.Allow(ctx, "k", hourly(8))
	return time.Since(start), err
}

// fail calls until the breaker is open.
func fail(t *testing.T, l *redislimit.Limiter) {
	t.Helper()
	for range redislimit.FailuresToOpen {
		if _, err := timed(t.Context(), l); err == nil || errors.Is(err, redislimit.ErrOpen) {
			t.Fatalf("error %v, want that of the server", err)
		}
	}
}

func TestAServerThatFailsIsAskedOnceASecondByOne(t *testing.T) {
	for name, trouble := range map[string]mood{"refuses": refuses, "hangs": hangs} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &pretended{}
				server.mood.Store(int32(trouble))
				l := server.limiter(t)
				fail(t, l)
				for second := range 3 {
					dials := server.dials.Load()
					for range 20 {
						took, err := timed(t.Context(), l)
						if !errors.Is(err, redislimit.ErrOpen) || took != 0 {
							t.Fatalf("second %d: %v after %v, want ErrOpen at once", second, err, took)
						}
					}
					if server.dials.Load() != dials {
						t.Fatalf("second %d: asked while open", second)
					}
					time.Sleep(time.Second)
					var open atomic.Int32
					var wg sync.WaitGroup
					for range 20 {
						wg.Go(func() {
							if _, err := timed(t.Context(), l); errors.Is(err, redislimit.ErrOpen) {
								open.Add(1)
							}
						})
					}
					wg.Wait()
					if open.Load() != 19 || server.dials.Load() != dials+1 {
						t.Fatalf("second %d: %d of 20 not sent, %d dials, want 19 and 1", second, open.Load(), server.dials.Load()-dials)
					}
				}
				server.mood.Store(int32(admits))
				time.Sleep(time.Second)
				for range 3 {
					if _, err := timed(t.Context(), l); err != nil {
						t.Fatalf("the server is back: %v", err)
					}
				}
			})
		})
	}
}

func TestACallEndsInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pretended{}
		server.mood.Store(int32(hangs))
		l := server.limiter(t)
		if took, err := timed(t.Context(), l); err == nil || took != redislimit.DefaultTimeout {
			t.Errorf("%v after %v, want an error after %v", err, took, redislimit.DefaultTimeout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if took, err := timed(ctx, l); err == nil || took != 5*time.Millisecond {
			t.Errorf("%v after %v, want an error after 5ms", err, took)
		}
	})
}

// The first of the batches that are under way opens the breaker when it fails.
func TestCallsThatWaitEndWhenTheBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pretended{}
		server.mood.Store(int32(hangs))
		l := server.limiter(t)
		for range redislimit.FailuresToOpen - 1 {
			if _, err := timed(t.Context(), l); err == nil {
				t.Fatal("no error")
			}
		}
		var wg sync.WaitGroup
		for range redislimit.MaxBatches {
			wg.Go(func() {
				if took, err := timed(t.Context(), l); err == nil || took != redislimit.DefaultTimeout {
					t.Errorf("%v after %v, want an error after %v", err, took, redislimit.DefaultTimeout)
				}
			})
		}
		time.Sleep(redislimit.DefaultTimeout / 2)
		for range 20 {
			wg.Go(func() {
				took, err := timed(t.Context(), l)
				if took != redislimit.DefaultTimeout/2 || !errors.Is(err, redislimit.ErrOpen) {
					t.Errorf("%v after %v, want ErrOpen after %v", err, took, redislimit.DefaultTimeout/2)
				}
			})
		}
		wg.Wait()
		if running, waiting := redislimit.Queued(l); running != 0 || waiting != 0 {
			t.Errorf("%d under way, %d waiting, want none", running, waiting)
		}
	})
}

func TestWhatSaysNothingOfTheServerDoesNotOpenTheBreaker(t *testing.T) {
	for name, c := range map[string]struct {
		mood mood
		call func(t *testing.T, l *redislimit.Limiter) error
	}{
		"a caller with little time": {hangs, func(t *testing.T, l *redislimit.Limiter) error {
			ctx, cancel := context.WithTimeout(t.Context(), redislimit.DefaultTimeout/4)
			defer cancel()
			_, err := timed(ctx, l)
			return err
		}},
		"a context that ended": {hangs, func(t *testing.T, l *redislimit.Limiter) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := timed(ctx, l)
			return err
		}},
		"an error of the server": {complains, func(t *testing.T, l *redislimit.Limiter) error {
			_, err := timed(t.Context(), l)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &pretended{}
				server.mood.Store(int32(c.mood))
				l := server.limiter(t)
				for range 2 * redislimit.FailuresToOpen {
					if err := c.call(t, l); err == nil || errors.Is(err, redislimit.ErrOpen) {
						t.Fatalf("error %v, want that of the call", err)
					}
				}
				server.mood.Store(int32(admits))
				if _, err := timed(t.Context(), l); err != nil {
					t.Errorf("the server answers: %v", err)
				}
			})
		})
	}
}

// The probe of a caller who had no time must not keep others from probing.
func TestAProbeThatSaysNothingLetsTheNextOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pretended{}
		server.mood.Store(int32(hangs))
		l := server.limiter(t)
		fail(t, l)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := timed(ctx, l); err == nil || errors.Is(err, redislimit.ErrOpen) {
			t.Fatalf("error %v, want that of the probe", err)
		}
		server.mood.Store(int32(admits))
		if _, err := timed(t.Context(), l); err != nil {
			t.Errorf("the server answers: %v", err)
		}
	})
}

// A deadline that several calls share does not keep them from going together,
// and each ends by its own.
func TestCallsWithADeadlineGoTogether(t *testing.T) {
	j := newJam(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience/2)
	defer cancel()
	for i := range 50 {
		j.call(ctx, fmt.Sprint("k", i))
	}
	j.wait(redislimit.MaxBatches, 50)
	j.resume()
	together := 0
	for _, n := range j.sent.sizes {
		together += n
	}
	if together <= 50-redislimit.MaxBatches {
		t.Errorf("pipelines of %v, want next to all of 50", j.sent.sizes)
	}
}

// Who waits behind batches that hang leaves at his own deadline, and does not
// lead those who have more time.
func TestADeadlineIsOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pretended{}
		server.mood.Store(int32(hangs))
		l := server.limiter(t)
		var wg sync.WaitGroup
		for i := range redislimit.MaxBatches {
			wg.Go(func() { // they end at 10, 20, 30 and 40 ms
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*10*time.Millisecond)
				defer cancel()
				_, _ = timed(ctx, l)
			})
		}
		synctest.Wait()
		for _, ms := range []int{5, 15, 25, 35, 60, 80} {
			limit := time.Duration(ms) * time.Millisecond
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				took, err := timed(ctx, l)
				if took != limit || err == nil {
					t.Errorf("%v after %v, want an error after %v", err, took, limit)
				}
			})
		}
		wg.Wait()
	})
}

// Of two who wait the one with more time goes first, and takes the other along.
func TestWhoHasMostTimeLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pretended{}
		server.mood.Store(int32(hangs))
		l := server.limiter(t)
		var wg sync.WaitGroup
		call := func(limit, wantTook time.Duration, wantErr bool) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				if took, err := timed(ctx, l); took != wantTook || (err != nil) != wantErr {
					t.Errorf("with %v: %v after %v, want an error %v after %v", limit, err, took, wantErr, wantTook)
				}
			})
			synctest.Wait()
		}
		for range redislimit.MaxBatches - 1 {
			call(time.Hour, redislimit.DefaultTimeout, true)
		}
		call(20*time.Millisecond, 20*time.Millisecond, true)
		call(30*time.Millisecond, 30*time.Millisecond, true)
		call(time.Hour, 20*time.Millisecond+2*delay, false) // one answer after the other
		server.mood.Store(int32(dawdles))
		wg.Wait()
	})
}
