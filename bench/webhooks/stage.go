package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

// Paths of the requests; they are of one length.
const (
	webhookPath = "/webhooks/stripe"
	plainPath   = "/proxying/stripe"
)

// A stage is one subject that runs, alone but for the app and its own server.
type stage struct {
	subject  subject
	dir      string
	addr     string
	proc     *measure.Process
	redis    *measure.Process // nil without one
	postgres *postgres        // nil without one
}

// startError is a subject that does not come up.
type startError struct{ cause error }

func (e *startError) Error() string { return "it does not start: " + e.cause.Error() }
func (e *startError) Unwrap() error { return e.cause }

// startTries is how often a subject may lose its port to somebody else.
const startTries = 3

func (b *bench) stage(ctx context.Context, sub subject) (*stage, error) {
	var err error
	for range startTries {
		var s *stage
		if s, err = b.tryStage(ctx, sub); err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &startError{err}
}

func (b *bench) tryStage(ctx context.Context, sub subject) (_ *stage, err error) {
	s := &stage{subject: sub}
	if s.dir, err = os.MkdirTemp(b.dir, sub.Name+"-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if s.addr, err = measure.FreeAddress(ctx); err != nil {
		return nil, err
	}
	p := place{
		Dir: s.dir, Listen: s.addr, App: b.appAddr, Admin: filepath.Join(s.dir, "admin.sock"),
		Secret: secret, Store: sub.store, Mode: sub.mode,
	}
	if sub.redis != nil {
		addr, err := measure.FreeAddress(ctx)
		if err != nil {
			return nil, err
		}
		if s.redis, err = measure.StartRedis(ctx, s.dir, addr, sub.redis...); err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		p.Redis = "redis://" + addr
	}
	if sub.postgres {
		if s.postgres, err = startPostgres(ctx, b.data); err != nil {
			return nil, fmt.Errorf("postgres: %w", err)
		}
		p.Database = s.postgres.url()
	}
	if err := b.startSubject(s, p); err != nil {
		return nil, err
	}
	return s, s.proc.Await(ctx, func(ctx context.Context) error { return b.probe(ctx, s) })
}

func (b *bench) startSubject(s *stage, p place) (err error) {
	if s.subject.byHand {
		s.proc, err = measure.Start(s.subject.Name, s.dir, b.byHand, p.Listen, p.App, p.Database, p.Secret)
		return err
	}
	text, err := p.config()
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "handrail.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	s.proc, err = measure.Start(s.subject.Name, s.dir, b.handrail, "serve", "--config", file)
	return err
}

// probe sends one request past the webhook.
func (b *bench) probe(ctx context.Context, s *stage) error {
	events, err := b.mint.events(1)
	if err != nil {
		return err
	}
	c, err := dial(ctx, s.addr, b.mint.request(plainPath, 0))
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	kind, err := c.send(&events[0])
	if err == nil && kind != "200" {
		err = fmt.Errorf("answered %s", kind)
	}
	return err
}

// end stops everything and removes its files.
func (s *stage) end() error {
	for _, p := range []*measure.Process{s.proc, s.redis} {
		if p != nil {
			p.Stop()
		}
	}
	var err error
	if s.postgres != nil {
		err = s.postgres.end()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// A view is what had been used up to one moment.
type view struct {
	at     time.Time
	peer   measure.Usage
	store  measure.Usage // of a server of its own
	app    measure.Usage
	client time.Duration // CPU of this program
	busy   time.Duration // of the whole machine
}

func (b *bench) look(s *stage) (v view, err error) {
	if v.peer, err = measure.UsageOf(s.proc.PID()); err != nil {
		return v, fmt.Errorf("it is gone: %w: %s", err, measure.LastLines(s.proc.Log))
	}
	server := s.redis
	if s.postgres != nil {
		server = s.postgres.proc
	}
	if server != nil {
		if v.store, err = measure.UsageOf(server.PID()); err != nil {
			return v, err
		}
	}
	if v.app, err = measure.UsageOf(b.app.PID()); err != nil {
		return v, err
	}
	if v.client, err = ownCPU(); err != nil {
		return v, err
	}
	v.busy, err = measure.MachineBusy()
	v.at = time.Now()
	return v, err
}
