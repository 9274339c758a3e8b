package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/webhook"
)

const (
	// listSteps is how many steps of SCAN a call of List takes at most.
	listSteps = 100
	// listCount is how many keys such a step looks at, about, at most.
	listCount = 1000
	// listValues is how many deliveries are read at once.
	listValues = 100
)

var errForeignAfter = errors.New("redisstore: list: the After is not one that a page ended with")

// List implements [webhook.Ledger], in no order. It looks at every key of the
// servers, those of others included: in a call at 100,000, about, and for half of
// Config.Timeout, so that pages may be empty that are not the last. It begins anew
// when a server has restarted or another has taken its part over; what a Cluster
// moves between servers meanwhile may be left out. Keys that hold no delivery are
// left out. Errors: [*webhook.ConfigError], those of the client and of ctx.
func (s *Store) List(ctx context.Context, q webhook.Query) ([]webhook.Entry, string, error) {
	if err := q.Check(); err != nil {
		return nil, "", err
	}
	at, ok := readPlace(q.After)
	if !ok {
		return nil, "", errForeignAfter
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	page, at, err := s.list(ctx, q, at)
	if err != nil {
		return nil, "", fmt.Errorf("redisstore: list: %w", err)
	}
	return page, at.String(), nil
}

func (s *Store) list(ctx context.Context, q webhook.Query, at place) ([]webhook.Entry, place, error) {
	stop := time.Now().Add(s.timeout / 2)
	servers, err := s.servers(ctx)
	if err != nil {
		return nil, at, err
	}
	var ids []string
	for _, server := range servers {
		ids = append(ids, server.id)
	}
	if these := hashOf(ids...); at.servers != these || at.server >= len(servers) {
		at = place{servers: these}
	}
	l := listing{store: s, q: q, count: int64(q.Limit), seen: make(map[string]bool)}
	for n := 0; n == 0 || n < listSteps && len(l.page) < q.Limit && time.Now().Before(stop); n++ {
		if err := l.step(ctx, servers[at.server].client, &at); err != nil {
			return nil, at, err
		}
		if at.server == len(servers) {
			return l.page, place{}, nil
		}
	}
	return l.page, at, nil
}

// server is one that has a part of the keys. Its id is another after a restart,
// where the server tells.
type server struct {
	id     string
	client redis.UniversalClient
}

// servers are all of them, in an order that stays.
func (s *Store) servers(ctx context.Context) ([]server, error) {
	var mu sync.Mutex
	var all []server
	err := s.eachMaster(ctx, func(ctx context.Context, client redis.UniversalClient) error {
		id := ""
		if node, ok := client.(*redis.Client); ok {
			id = node.Options().Addr
		}
		info, err := client.Info(ctx, "server").Result()
		if err != nil && !refused(err) {
			return err
		}
		for line := range strings.Lines(info) {
			if run, ok := strings.CutPrefix(line, "run_id:"); ok {
				id = strings.TrimSpace(run)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, server{id, client})
		return nil
	})
	slices.SortFunc(all, func(a, b server) int { return strings.Compare(a.id, b.id) })
	if err == nil && len(all) == 0 {
		err = errors.New("there is no master")
	}
	return all, err
}

// listing is a page that is being made.
type listing struct {
	store *Store
	q     webhook.Query
	page  []webhook.Entry
	seen  map[string]bool
	count int64
}

// step takes one step of SCAN from a place, and moves on to the next place when
// all that it finds has room on the page. Else it asks for less the next time; of
// what cannot be parted, the page takes a part, and the place says which.
func (l *listing) step(ctx context.Context, client redis.UniversalClient, at *place) error {
	keys, next, err := client.Scan(ctx, at.cursor, l.store.pattern(l.q.Route), l.count).Result()
	if err != nil {
		return err
	}
	found, err := l.read(ctx, client, keys)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(e webhook.Entry) bool { return l.seen[e.Key] || at.holds(e.Key) })
	room := l.q.Limit - len(l.page)
	switch {
	case len(found) <= room:
		l.take(found)
		at.advance(next)
		if len(found) == 0 {
			l.count = min(2*l.count, listCount)
		}
	case l.count > 1:
		l.count = max(1, min(l.count/4, int64(room)))
	default:
		l.take(found[:room])
		for _, e := range found[:room] {
			at.hold(e.Key)
		}
	}
	return nil
}

func (l *listing) take(found []webhook.Entry) {
	for _, e := range found {
		if !l.seen[e.Key] { // a step may name a key twice
			l.seen[e.Key] = true
			l.page = append(l.page, e)
		}
	}
}

// read returns those deliveries at keys that the query selects.
func (l *listing) read(ctx context.Context, client redis.UniversalClient, keys []string) ([]webhook.Entry, error) {
	var found []webhook.Entry
	for some := range slices.Chunk(keys, listValues) {
		values := make([]*redis.StringCmd, len(some))
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, key := range some {
				values[i] = p.Get(ctx, key)
			}
			return nil
		})
		if said := redis.Error(nil); err != nil && !errors.As(err, &said) {
			return nil, err
		}
		for i, value := range values {
			text, err := value.Result()
			switch {
			case errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "WRONGTYPE"):
				continue
			case err != nil:
				return nil, err
			}
			key := strings.TrimSuffix(strings.TrimPrefix(some[i], l.store.prefix), "}")
			d, err := readDelivery(text)
			if err != nil || d.State == webhook.StateAbsent {
				continue // another's
			}
			if l.q.Selects(key, d.State) {
				found = append(found, d.entry(key))
			}
		}
	}
	return found, nil
}

// pattern matches the keys of a route, or of all when it is empty.
func (s *Store) pattern(route string) string {
	if route != "" {
		route = special.Replace(route) + "/"
	}
	return s.prefix + route + "*}"
}

var special = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `\`, `\\`)
