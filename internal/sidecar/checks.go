package sidecar

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/health"
)

// Paths of the probes beside health.path.
const (
	livezPath    = "/livez"
	readyzPath   = "/readyz"
	startupzPath = "/startupz"
)

// probes are the paths that the sidecar answers itself.
func (c *Config) probes() []string {
	return []string{strings.TrimSuffix(c.Health.Path, "/"), livezPath, readyzPath, startupzPath}
}

// Checks that the sidecar brings along.
const (
	checkUpstream = "upstream"
	checkDatabase = "database"
	checkRedis    = "redis"
	checkWebhooks = "webhooks"
	checkMemory   = "memory"
	checkDisk     = "disk"
)

func isBuiltinCheck(name string) bool {
	return slices.Contains([]string{checkUpstream, checkDatabase, checkRedis, checkWebhooks, checkMemory, checkDisk}, name)
}

// checks are those of the design, then those configured.
func (c *Config) checks(upstream func(context.Context) error, s *stores) ([]health.Check, error) {
	check := func(name string, critical bool, component string, fn func(context.Context) error) health.Check {
		return health.Check{
			Name: name, Critical: critical, ComponentType: component, Func: fn,
			Interval: c.Health.Interval, Timeout: c.Health.Timeout,
		}
	}
	up := check(checkUpstream, true, "component", upstream)
	up.Ready = true
	out := []health.Check{up}
	if c.Database != "" {
		cfg, err := parseDatabase(c.Database)
		if err != nil {
			return nil, err
		}
		out = append(out, check(checkDatabase, true, "datastore", (&databasePing{config: cfg}).run))
	}
	if s.redis != nil {
		out = append(out, check(checkRedis, c.redisCritical(), "datastore", redisPing(s.redis)))
	}
	if len(c.Webhooks) > 0 {
		out = append(out, check(checkWebhooks, true, "datastore", s.deliveries.check))
	}
	out = append(out,
		check(checkMemory, false, "system", health.Memory()),
		check(checkDisk, false, "system", health.Disk(existing(c.DataDir))))
	for _, extra := range c.Health.Checks {
		fn := health.TCP(extra.Address)
		if extra.Type == "http" {
			fn = health.HTTP(extra.URL)
		}
		hc := check(extra.Name, extra.Critical, "component", fn)
		hc.Ready = extra.Ready
		out = append(out, hc)
	}
	return out, nil
}

// existing is dir, or the nearest directory above it that exists: data_dir is
// made when it is needed.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// redisCritical reports whether requests are refused while Redis is down.
func (c *Config) redisCritical() bool {
	for i := range c.Webhooks {
		if c.deliveryStore(&c.Webhooks[i]) == storeRedis {
			return true
		}
	}
	return slices.ContainsFunc(c.RateLimits, func(r RateLimitConfig) bool { return r.OnStoreError == "deny" })
}

func redisPing(client redis.UniversalClient) func(context.Context) error {
	return func(ctx context.Context) error { return client.Ping(ctx).Err() }
}

// databasePing asks PostgreSQL on a connection of its own, so that a pool
// which the app has used up does not look like a dead server. It is called by
// one goroutine at a time.
type databasePing struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn
}

func (p *databasePing) run(ctx context.Context) error {
	if p.conn != nil && p.ask(ctx) == nil {
		return nil
	}
	// No connection yet, or one that a restart or a firewall has cut.
	conn, err := pgx.ConnectConfig(ctx, p.config.Copy())
	if err != nil {
		return err
	}
	p.conn = conn
	return p.ask(ctx)
}

func (p *databasePing) ask(ctx context.Context) error {
	_, err := p.conn.Exec(ctx, "SELECT 1")
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = p.conn.Close(closing)
		p.conn = nil
	}
	return err
}
