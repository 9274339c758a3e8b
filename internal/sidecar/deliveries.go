package sidecar

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// Kinds of stores for webhook deliveries.
const (
	storeAuto     = "auto"
	storePostgres = "postgres"
	storeRedis    = "redis"
	storeSQLite   = "sqlite"
	storeMemory   = "memory"
)

// deliveryStore is the kind of store that a route has.
func (c *Config) deliveryStore(w *WebhookConfig) string {
	switch {
	case w.Store != storeAuto:
		return w.Store
	case c.Database != "":
		return storePostgres
	case c.Redis != "":
		return storeRedis
	}
	return storeSQLite
}

// deliveries are the stores of webhook routes. They outlive a reload; each is
// opened when a route needs it.
type deliveries struct {
	dataDir   string
	database  string
	client    redis.UniversalClient // nil without Redis
	namespace string
	memory    *webhook.Memory

	mu       sync.Mutex
	redis    *redisstore.Store
	sqlite   *sqlstore.Store
	postgres *lateStore
}

func (d *deliveries) init(c *Config) (err error) {
	d.dataDir, d.database, d.namespace = c.DataDir, c.Database, c.namespace()
	d.memory, err = webhook.NewMemory(webhook.MemoryConfig{})
	return err
}

// store is that of a kind.
func (d *deliveries) store(ctx context.Context, kind string) (webhook.Store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch kind {
	case storeMemory:
		return d.memory, nil
	case storePostgres:
		if d.postgres == nil {
			cfg, err := parseDatabase(d.database)
			if err != nil {
				return nil, err
			}
			late := &lateStore{config: cfg}
			if err := late.start(ctx); err != nil {
				return nil, fmt.Errorf("database: %w", err)
			}
			d.postgres = late
		}
		return d.postgres, nil
	case storeRedis:
		if d.redis == nil {
			store, err := redisstore.New(redisstore.Config{Client: d.client, Namespace: d.namespace})
			if err != nil {
				return nil, fmt.Errorf("redis: %w", err)
			}
			d.redis = store
		}
		return d.redis, nil
	}
	if d.sqlite == nil {
		opened, err := sqlstore.OpenSQLite(ctx, filepath.Join(d.dataDir, "webhooks.db"))
		if err != nil {
			return nil, fmt.Errorf("data_dir: %w", err)
		}
		d.sqlite = opened
	}
	return d.sqlite, nil
}

// open are the SQL stores that can be asked now, and what keeps others from it.
func (d *deliveries) open() (stores []*sqlstore.Store, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sqlite != nil {
		stores = append(stores, d.sqlite)
	}
	if d.postgres != nil {
		var s *sqlstore.Store
		if s, err = d.postgres.get(); err == nil {
			stores = append(stores, s)
		}
	}
	return stores, err
}

// check reports whether deliveries can be recorded.
func (d *deliveries) check(ctx context.Context) error {
	stores, err := d.open()
	for _, s := range stores {
		err = errors.Join(err, s.Check(ctx))
	}
	if s := d.inRedis(); s != nil {
		err = errors.Join(err, s.Check(ctx))
	}
	return err
}

func (d *deliveries) inRedis() *redisstore.Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.redis
}

// warnings are what the settings of Redis may lead to. None while it is down.
func (d *deliveries) warnings(ctx context.Context) []string {
	s := d.inRedis()
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	list, _ := s.Warnings(ctx)
	return list
}

// purge forgets deliveries whose retention is over.
func (d *deliveries) purge(ctx context.Context) error {
	stores, err := d.open()
	for _, s := range stores {
		_, purged := s.Purge(ctx)
		err = errors.Join(err, purged)
	}
	return err
}

func (d *deliveries) close() error {
	var err error
	if d.sqlite != nil {
		err = d.sqlite.Close()
	}
	if d.postgres != nil {
		err = errors.Join(err, d.postgres.close())
	}
	return err
}

// A lateStore is one whose server may be down when the sidecar starts. Deliveries
// are answered 503 until it is there, and the app is served meanwhile.
type lateStore struct {
	config *pgx.ConnConfig

	mu     sync.Mutex
	opened *sqlstore.Store
	err    error // why it is not open
	cancel context.CancelFunc
	done   chan struct{} // closed when nobody tries any longer
}

const (
	openPatience = 3 * time.Second // of the start for a server
	openInterval = time.Second     // between attempts
)

// start opens the store, or goes on trying in the background. The error is one
// that another attempt would not mend.
func (s *lateStore) start(ctx context.Context) error {
	s.done = make(chan struct{})
	first, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	if final := s.try(first); final || s.err == nil {
		close(s.done)
		return s.err
	}
	trying, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = stop
	go func() {
		defer close(s.done)
		for {
			select {
			case <-trying.Done():
				return
			case <-time.After(openInterval):
			}
			if s.try(trying); s.isOpen() {
				return
			}
		}
	}()
	return nil
}

// try reports whether its outcome is final.
func (s *lateStore) try(ctx context.Context) (final bool) {
	opened, err := sqlstore.OpenPostgres(ctx, sqlstore.PostgresConfig{Conn: s.config})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened, s.err = opened, err
	return err == nil || errors.Is(err, sqlstore.ErrNoRights) || errors.Is(err, sqlstore.ErrSchemaNewer)
}

func (s *lateStore) isOpen() bool {
	_, err := s.get()
	return err == nil
}

func (s *lateStore) get() (*sqlstore.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.err
}

func (s *lateStore) close() error {
	if s.cancel != nil {
		s.cancel()
	}
	<-s.done
	if opened, err := s.get(); err == nil {
		return opened.Close()
	}
	return nil
}

// Claim implements webhook.Store, like the methods that follow.
func (s *lateStore) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	store, err := s.get()
	if err != nil {
		return webhook.Claim{}, err
	}
	return store.Claim(ctx, key, req)
}

// Complete implements webhook.Store.
func (s *lateStore) Complete(ctx context.Context, key string, fence int64, answer *webhook.Answer) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Complete(ctx, key, fence, answer)
}

// Release implements webhook.Store.
func (s *lateStore) Release(ctx context.Context, key string, fence int64, maybeProcessed bool) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Release(ctx, key, fence, maybeProcessed)
}

// Kill implements webhook.Store.
func (s *lateStore) Kill(ctx context.Context, key string, fence int64) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Kill(ctx, key, fence)
}

// Lookup implements webhook.Store.
func (s *lateStore) Lookup(ctx context.Context, key string) (webhook.Record, error) {
	store, err := s.get()
	if err != nil {
		return webhook.Record{}, err
	}
	return store.Lookup(ctx, key)
}
