package sidecar

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// validateStores checks the addresses of Redis and the database. One that was
// only inherited from the environment and is of another kind is ignored with a
// warning: it is meant for the app.
func (l *loader) validateStores() {
	if l.DataDir == "" {
		l.problem("data_dir", "must name a directory")
	}
	if l.Redis != "" && !l.seen("redis") && !strings.HasPrefix(schemeOf(l.Redis), "redis") {
		l.warn("REDIS_URL is ignored: it is not a redis:// or rediss:// URL")
		l.Redis = ""
	}
	if l.Redis != "" {
		l.inherited("redis", "REDIS_URL")
		if _, err := redislimit.Options(l.Redis); err != nil {
			_, reason := fieldOf(err)
			l.problem("redis", "%s", reason)
		}
		if l.Namespace == "" && l.Observe.Service == "" {
			l.warn("neither namespace nor observe.service is set: keys in Redis are under %q, shared with every app that sets neither", l.namespace())
		}
	}
	if scheme := schemeOf(l.Database); l.Database != "" && !l.seen("database") && scheme != "postgres" && scheme != "postgresql" {
		l.warn("DATABASE_URL is ignored: it is not a postgres:// or postgresql:// URL")
		l.Database = ""
	}
	if l.Database != "" {
		l.inherited("database", "DATABASE_URL")
		if _, err := parseDatabase(l.Database); err != nil {
			l.problem("database", "%s", err)
		}
	}
}

func (l *loader) inherited(path, variable string) {
	if !l.seen(path) {
		l.origins[path] = variable
	}
}

// schemeOf is what stands before the first colon, in lower case.
func schemeOf(rawURL string) string {
	scheme, _, _ := strings.Cut(rawURL, ":")
	return strings.ToLower(scheme)
}

// databaseParameters are the parameters of a PostgreSQL URL that are for the
// driver. All others are dropped: Prisma and others write their own there
// (schema, connection_limit …), which a server would refuse.
var databaseParameters = []string{
	"application_name", "connect_timeout", "host", "port", "sslcert", "sslkey", "sslmode", "sslrootcert", "target_session_attrs",
}

// parseDatabase reads a PostgreSQL URL. Where it says pgbouncer=true, as Prisma
// writes it, the simple protocol is used, which works through every pooler.
// Errors hold nothing of the URL.
func parseDatabase(rawURL string) (*pgx.ConnConfig, error) {
	if s := schemeOf(rawURL); s != "postgres" && s != "postgresql" {
		return nil, errors.New("must be a postgres:// or postgresql:// URL")
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("is not a valid URL; percent-encode special characters of user and password")
	}
	query := u.Query()
	pooler := query.Get("pgbouncer") == "true"
	for name := range query {
		if !slices.Contains(databaseParameters, name) {
			query.Del(name)
		}
	}
	u.RawQuery = query.Encode()
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("is not a PostgreSQL URL that the driver accepts")
	}
	if pooler {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	return cfg, nil
}

// stores are what outlives a reload: counts, deliveries and connections.
type stores struct {
	redis    redis.UniversalClient // nil without Redis
	cached   *ratelimit.Cached     // in front of Redis; nil without
	fallback *ratelimit.Memory     // counts without Redis, and while it fails

	deliveries deliveries
}

// openStores connects to nothing yet; Redis is dialled when it is needed.
func openStores(c *Config) (*stores, error) {
	memory, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
	if err != nil {
		return nil, err
	}
	s := &stores{fallback: memory}
	if err := s.deliveries.init(c); err != nil {
		return nil, err
	}
	if c.Redis == "" {
		return s, nil
	}
	options, err := redislimit.Options(c.Redis)
	if err != nil {
		return nil, err
	}
	s.redis = redis.NewUniversalClient(options)
	s.deliveries.client = s.redis
	limiter, err := redislimit.New(redislimit.Config{Client: s.redis})
	if err == nil {
		s.cached, err = ratelimit.NewCached(ratelimit.CachedConfig{Limiter: limiter})
	}
	if err != nil {
		return nil, errors.Join(err, s.redis.Close())
	}
	return s, nil
}

func (s *stores) limiter() ratelimit.Limiter {
	if s.cached == nil {
		return s.fallback
	}
	return s.cached
}

// degraded tells of a Redis that fails.
func (s *stores) degraded() (since time.Time, cause error) {
	if s.cached == nil {
		return time.Time{}, nil
	}
	return s.cached.Degraded()
}

func (s *stores) close() error {
	err := s.deliveries.close()
	if s.redis != nil {
		err = errors.Join(err, s.redis.Close())
	}
	return err
}
