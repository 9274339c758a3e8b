package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
)

// faultSidecars is how many sidecars a run may have.
const faultSidecars = 2

// A faultLane is what runs use one after the other: servers, and ports that stay
// the same while what listens there is killed.
type faultLane struct {
	clock      *storeClock // nil where servers have that of the machine
	postgres   *testenv.PostgresServer
	redis      *testenv.RedisServer
	appPorts   [faultSidecars]int
	storePorts [faultSidecars]int
}

func newFaultLane(t *testing.T, path string) *faultLane {
	t.Helper()
	l := &faultLane{clock: newStoreClock(t, path), postgres: testenv.Postgres(t), redis: testenv.Redis(t, testenv.Persistent())}
	for i := range faultSidecars {
		l.appPorts[i], l.storePorts[i] = testenv.FreePort(t), testenv.FreePort(t)
	}
	return l
}

// A keptDelivery is what a store holds of a delivery.
type keptDelivery struct {
	state int // as webhook.State
	fence int64
	// stored: a message of it waits in the inbox, or is being delivered.
	stored bool
}

// faultStore is the store of a run as a test sees it, past every proxy.
type faultStore interface {
	// kept are the deliveries of the run's route.
	kept(ctx context.Context, route string) (map[string]keptDelivery, error)
	// age ends leases that have at most left to go, as if they had been taken
	// earlier, and those with more than most, which a clock that went back has
	// left. What waits for its time is due.
	age(ctx context.Context, route string, left, most time.Duration) error
	close()
}

func (r *faultRun) openStore() faultStore {
	r.t.Helper()
	switch r.setup.store {
	case "redis":
		options, err := redis.ParseURL(r.lane.redis.URL())
		if err != nil {
			r.t.Fatal(err)
		}
		options.DialerRetries = 1
		return &redisFaults{redis.NewClient(options)}
	case "postgres":
		return &sqlFaults{
			open:  func(ctx context.Context) (sqlFaultsConn, error) { return pgFaults(ctx, r.lane.postgres.DSN()) },
			table: "handrail.webhook_deliveries", now: "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
		}
	}
	file := "file:" + filepath.Join(r.dir, "handrail-data", "webhooks.db") + "?_pragma=busy_timeout(200)&_txlock=immediate"
	db, err := sql.Open("sqlite", file)
	if err != nil {
		r.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return &sqlFaults{
		open:  func(context.Context) (sqlFaultsConn, error) { return sqliteFaults{db}, nil },
		table: "handrail_deliveries", now: "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)",
		end: func() { _ = db.Close() },
	}
}

// sqlFaultsConn is what both databases need.
type sqlFaultsConn interface {
	query(ctx context.Context, query string, each func(scan func(...any) error) error) error
	exec(ctx context.Context, query string) error
	close()
}

func forEach(rows interface {
	Next() bool
	Scan(to ...any) error
}, each func(scan func(...any) error) error) error {
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return nil
}

type sqlFaults struct {
	open       func(ctx context.Context) (sqlFaultsConn, error)
	table, now string
	end        func()
}

func (s *sqlFaults) close() {
	if s.end != nil {
		s.end()
	}
}

func (s *sqlFaults) with(ctx context.Context, f func(ctx context.Context, c sqlFaultsConn) error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	return f(ctx, c)
}

func (s *sqlFaults) fill(query, route string) string {
	return strings.NewReplacer("{table}", s.table, "{now}", s.now, "{mine}", fmt.Sprintf("substr(event_key, 1, %d) = '%s/'", len(route)+1, route)).Replace(query)
}

func (s *sqlFaults) kept(ctx context.Context, route string) (map[string]keptDelivery, error) {
	out := map[string]keptDelivery{}
	return out, s.with(ctx, func(ctx context.Context, c sqlFaultsConn) error {
		return c.query(ctx, s.fill("SELECT event_key, state, fence, stored = 1 FROM {table} WHERE {mine}", route),
			func(scan func(...any) error) error {
				var key string
				var d keptDelivery
				err := scan(&key, &d.state, &d.fence, &d.stored)
				out[key] = d
				return err
			})
	})
}

func (s *sqlFaults) age(ctx context.Context, route string, left, most time.Duration) error {
	return s.with(ctx, func(ctx context.Context, c sqlFaultsConn) error {
		err := c.exec(ctx, fmt.Sprintf(s.fill(`
UPDATE {table} SET lease_until = {now} - 1, due_at = CASE WHEN stored = 1 THEN {now} - 1 ELSE due_at END
WHERE {mine} AND state = 1 AND lease_until > {now} AND (lease_until - {now} <= %d OR lease_until - {now} > %d)`, route),
			left.Milliseconds(), most.Milliseconds()))
		return errors.Join(err, c.exec(ctx, s.fill(`
UPDATE {table} SET due_at = {now} - 1
WHERE {mine} AND stored = 1 AND due_at > {now} AND (state = 2 OR state = 1 AND lease_until <= {now})`, route)))
	})
}

// shift moves the times of all deliveries, as a jump of the store's clock by -d
// would.
func (s *sqlFaults) shift(ctx context.Context, route string, d time.Duration) error {
	return s.with(ctx, func(ctx context.Context, c sqlFaultsConn) error {
		return c.exec(ctx, fmt.Sprintf(s.fill(`
UPDATE {table} SET lease_until = lease_until + %[1]d, updated_at = updated_at + %[1]d,
  expires_at = CASE WHEN stored = 1 THEN expires_at ELSE expires_at + %[1]d END,
  received_at = received_at + %[1]d, begun_at = begun_at + %[1]d, due_at = due_at + %[1]d
WHERE {mine}`, route), d.Milliseconds()))
	})
}

type pgFaultsConn struct{ conn *pgx.Conn }

func pgFaults(ctx context.Context, dsn string) (sqlFaultsConn, error) {
	conn, err := pgx.Connect(ctx, dsn)
	return pgFaultsConn{conn}, err
}

func (c pgFaultsConn) close() { _ = c.conn.Close(context.Background()) }

func (c pgFaultsConn) exec(ctx context.Context, query string) error {
	_, err := c.conn.Exec(ctx, query)
	return err
}

func (c pgFaultsConn) query(ctx context.Context, query string, each func(scan func(...any) error) error) error {
	rows, err := c.conn.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	return errors.Join(forEach(rows, each), rows.Err())
}

type sqliteFaults struct{ db *sql.DB }

func (c sqliteFaults) close() {}

func (c sqliteFaults) exec(ctx context.Context, query string) error {
	_, err := c.db.ExecContext(ctx, query)
	return err
}

func (c sqliteFaults) query(ctx context.Context, query string, each func(scan func(...any) error) error) error {
	rows, err := c.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	return errors.Join(forEach(rows, each), rows.Err())
}

type redisFaults struct{ client *redis.Client }

func (s *redisFaults) close() { _ = s.client.Close() }

// redisKept reads and changes deliveries of a route: KEYS[1] the route, ARGV[1]
// what is done, ARGV[2] and [3] milliseconds. It answers keys and what is kept of them.
const redisKept = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local prefix = 'handrail:webhook:{e2e:'
local out = {}
for _, key in ipairs(redis.call('KEYS', prefix .. KEYS[1] .. '/*')) do
  local value = redis.call('GET', key)
  local head, state, fence, maybe, lease, rest = string.match(value, '^(delivery ([1-4]) (%d+) ([01]) )(%d+)(.*)$')
  local left = lease - now
  if ARGV[1] == 'age' and state == '1' and left > 0 and (left <= tonumber(ARGV[2]) or left > tonumber(ARGV[3])) then
    redis.call('SET', key, head .. string.format('%.0f', now - 1) .. rest, 'KEEPTTL')
  end
  table.insert(out, {string.sub(key, #prefix + 1, -2), tonumber(state), tonumber(fence)})
end
return out`

func (s *redisFaults) run(ctx context.Context, route, what string, left, most time.Duration) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return s.client.Eval(ctx, redisKept, []string{route}, what, left.Milliseconds(), most.Milliseconds()).Slice()
}

func (s *redisFaults) kept(ctx context.Context, route string) (map[string]keptDelivery, error) {
	rows, err := s.run(ctx, route, "", 0, 0)
	if err != nil {
		return nil, err
	}
	out := map[string]keptDelivery{}
	for _, row := range rows {
		r, ok := row.([]any)
		if !ok || len(r) != 3 {
			return nil, fmt.Errorf("redis said %v", row)
		}
		state, _ := r[1].(int64)
		fence, _ := r[2].(int64)
		out[fmt.Sprint(r[0])] = keptDelivery{state: int(state), fence: fence}
	}
	return out, nil
}

func (s *redisFaults) age(ctx context.Context, route string, left, most time.Duration) error {
	_, err := s.run(ctx, route, "age", left, most)
	return err
}
