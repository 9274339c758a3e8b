package sidecar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

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

// warningPatience bounds what the start waits for stores to tell their settings.
const warningPatience = time.Second

// deliveryStore is the kind of store that a route has.
func (c *Config) deliveryStore(w *WebhookConfig) string {
	switch {
	case w.Store != storeAuto:
		return w.Store
	case c.Database != "":
		return storePostgres
	case c.Redis != "" && w.Mode != modeInbox: // Redis keeps no messages
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
	used     map[string]bool // kinds of the routes in force
	redis    *redisstore.Store
	sqlite   *sqlstore.Store
	postgres *sqlstore.Store
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
		if d.database == "" {
			return nil, errors.New("a webhook route's store needs database, which takes effect after a restart")
		}
		if d.postgres == nil {
			cfg, err := parseDatabase(d.database)
			if err != nil {
				return nil, err
			}
			// While the server is down, deliveries are answered 503 and the app is
			// served.
			opened, err := sqlstore.OpenPostgres(ctx, sqlstore.PostgresConfig{Conn: cfg, AllowDown: true})
			if err != nil {
				return nil, fmt.Errorf("database: %w", err)
			}
			d.postgres = opened
		}
		return d.postgres, nil
	case storeRedis:
		if d.client == nil {
			return nil, errors.New("a webhook route's store needs redis, which takes effect after a restart")
		}
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
		opened, err := sqlstore.OpenSQLite(ctx, d.sqliteFile())
		if err != nil {
			return nil, fmt.Errorf("data_dir: %w", err)
		}
		d.sqlite = opened
	}
	return d.sqlite, nil
}

// use says which kinds of stores the routes in force have. SQLite's file is
// opened as well when it is there, for what may wait in it.
func (d *deliveries) use(ctx context.Context, c *Config) error {
	used := map[string]bool{}
	for i := range c.Webhooks {
		used[c.deliveryStore(&c.Webhooks[i])] = true
	}
	d.mu.Lock()
	d.used = used
	d.mu.Unlock()
	if _, err := os.Stat(d.sqliteFile()); err != nil || len(used) == 0 {
		return nil //nolint:nilerr // it is not there
	}
	_, err := d.store(ctx, storeSQLite)
	return err
}

// inSQL are the open stores that have a Check, a Purge and a Backlog, by kind.
func (d *deliveries) inSQL() map[string]*sqlstore.Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	stores := map[string]*sqlstore.Store{storeSQLite: d.sqlite, storePostgres: d.postgres}
	maps.DeleteFunc(stores, func(_ string, s *sqlstore.Store) bool { return s == nil })
	return stores
}

// check reports whether the deliveries of the routes in force can be recorded.
func (d *deliveries) check(ctx context.Context) error {
	d.mu.Lock()
	stores := map[string]interface{ Check(context.Context) error }{}
	if d.sqlite != nil && d.used[storeSQLite] {
		stores[storeSQLite] = d.sqlite
	}
	if d.postgres != nil && d.used[storePostgres] {
		stores[storePostgres] = d.postgres
	}
	if d.redis != nil && d.used[storeRedis] {
		stores[storeRedis] = d.redis
	}
	d.mu.Unlock()
	var err error
	for _, s := range stores {
		err = errors.Join(err, s.Check(ctx))
	}
	return err
}

func (d *deliveries) inRedis() *redisstore.Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.redis
}

// warnings are what the stores, and what was left in one, may lead to. A server
// that is down tells none.
func (d *deliveries) warnings(ctx context.Context) (list []string) {
	d.mu.Lock()
	routes, left := len(d.used) > 0, !d.used[storeSQLite]
	d.mu.Unlock()
	if _, err := os.Stat(d.sqliteFile()); err == nil && routes && left {
		list = append(list, fmt.Sprintf("%s is of no route any more: events that were handled according to it are new when they come again; "+
			"delete it once their providers have stopped to send them, and nothing waits in it", d.sqliteFile()))
	}
	ctx, cancel := context.WithTimeout(ctx, warningPatience)
	defer cancel()
	if s := d.inRedis(); s != nil {
		more, _ := s.Warnings(ctx)
		list = append(list, more...)
	}
	for _, s := range d.inSQL() {
		more, _ := s.Warnings(ctx)
		list = append(list, more...)
	}
	return list
}

func (d *deliveries) sqliteFile() string { return filepath.Join(d.dataDir, "webhooks.db") }

// purge forgets deliveries whose retention is over.
func (d *deliveries) purge(ctx context.Context) error {
	var err error
	for _, s := range d.inSQL() {
		_, purged := s.Purge(ctx)
		err = errors.Join(err, purged)
	}
	return err
}

func (d *deliveries) close() error {
	var err error
	for _, s := range d.inSQL() {
		err = errors.Join(err, s.Close())
	}
	return err
}
