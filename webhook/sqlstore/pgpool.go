package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// maxUnasked is how long a connection is used without asking first whether it
	// lives.
	maxUnasked = time.Second
	// connLifetime bounds how long a server that a name no longer leads to is
	// used.
	connLifetime = 30 * time.Minute
	// planLifetime is that of a connection with prepared statements: one that was
	// planned while the table was small reads all of it, and goes on to as the table
	// grows, until the table is analysed.
	planLifetime = time.Minute
	// closeTime bounds saying goodbye to the server, and how long a connection
	// that was given up holds its slot.
	closeTime = time.Second
	// maxPrepared is more than the statements of a store.
	maxPrepared = 64
)

var errClosed = errors.New("the store is closed")

// pool is up to cap(slots) connections, opened when they are needed. A slot is
// held by whoever uses a connection, and while a broken one is cleared away.
type pool struct {
	config  *pgx.ConnConfig
	slots   chan struct{}
	closed  chan struct{}
	closing sync.Once

	mu   sync.Mutex // never across the network
	idle []*pooled  // the last used is last
}

type pooled struct {
	*pgx.Conn
	born, asked time.Time
}

func newPool(cfg PostgresConfig) *pool {
	config := cfg.Conn.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement // a pgSession may say otherwise
	config.StatementCacheCapacity, config.DescriptionCacheCapacity = maxPrepared, 0
	config.RuntimeParams["client_encoding"] = "UTF8" // whatever the database's
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "handrail"
	}
	return &pool{config: config, slots: make(chan struct{}, cfg.MaxConns), closed: make(chan struct{})}
}

// do runs f on a connection, until ctx ends. simple says that it uses no prepared
// statements.
func (p *pool) do(ctx context.Context, simple bool, f func(ctx context.Context, conn *pgx.Conn) error) error {
	select {
	case <-p.closed:
		return errClosed
	default:
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.closed:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for a connection: %w", ctx.Err())
	}
	c, err := p.take(ctx, simple)
	if err != nil {
		<-p.slots
		return err
	}
	err = f(ctx, c.Conn)
	p.give(c, err)
	return err
}

// take returns an idle connection that lives, or a new one.
func (p *pool) take(ctx context.Context, simple bool) (*pooled, error) {
	for c := p.pop(); c != nil; c = p.pop() {
		now, lifetime := time.Now(), planLifetime
		if simple {
			lifetime = connLifetime
		}
		if now.Sub(c.born) >= lifetime {
			closeConn(c)
			continue
		}
		if now.Sub(c.asked) < maxUnasked {
			return c, nil
		}
		if c.Ping(ctx) == nil {
			c.asked = now
			return c, nil
		}
		closeConn(c)
		p.forget() // the others are no younger
	}
	conn, err := pgx.ConnectConfig(ctx, p.config.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", withoutConfig(err))
	}
	now := time.Now()
	return &pooled{Conn: conn, born: now, asked: now}, nil
}

// give takes a connection back, after err.
func (p *pool) give(c *pooled, err error) {
	if unfit(err) {
		closeConn(c)
	}
	if !c.IsClosed() {
		p.mu.Lock()
		p.idle = append(p.idle, c)
		p.mu.Unlock()
		<-p.slots
		return
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		p.forget() // the server went away, or is another now
	}
	go func() { // pgx asks the server to end the statement, and waits for that
		select {
		case <-c.PgConn().CleanupDone():
		case <-time.After(closeTime):
			_ = c.PgConn().Conn().Close()
		}
		<-p.slots
	}()
}

func (p *pool) pop() *pooled {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return c
}

func (p *pool) forget() {
	for c := p.pop(); c != nil; c = p.pop() {
		closeConn(c)
	}
}

// close waits for the steps under way.
func (p *pool) close() {
	p.closing.Do(func() {
		close(p.closed)
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
		p.forget()
	})
}

func closeConn(c *pooled) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = c.Close(ctx) // broken or not, it is gone
}

// unfit reports whether the server says that it is not the one to talk to any
// longer: it shuts down, or has become a standby.
func unfit(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == readOnlyTransaction || strings.HasPrefix(e.Code, "57P"))
}

// withoutConfig takes the configuration, which holds the password, out of a
// failure to connect.
func withoutConfig(err error) error {
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return e.Unwrap()
	}
	return err
}
