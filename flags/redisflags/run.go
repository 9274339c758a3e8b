package redisflags

import (
	"context"
	_ "embed"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// script is a source and what Redis knows it by.
type script struct{ source, hash string }

type scripts struct{ read, write, append, audit script }

//go:embed read.lua
var readSource string

//go:embed write.lua
var writeSource string

//go:embed append.lua
var appendSource string

//go:embed audit.lua
var auditSource string

func newScripts() scripts {
	of := func(source string) script { return script{source, redis.NewScript(source).Hash()} }
	// What reads is a script as well, since a client may send plain reads to
	// replicas.
	return scripts{of(readSource), of(writeSource), of(appendSource), of(auditSource)}
}

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// run runs a step, and again while it fails in a way that may pass and there is
// time. Each may be sent twice: a write carries what tells its call from others.
// Earlier is the first failure before a reply: that try may have run.
func (s *Source) run(ctx context.Context, sc script, keys []string, args ...any) (reply any, earlier, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		reply, err = s.once(ctx, sc, keys, args)
		if err == nil || !mayPass(err) {
			return reply, earlier, err
		}
		if earlier == nil {
			earlier = err
		}
		if !wait(ctx, jittered(pause), nil) {
			return nil, earlier, earlier // which tells more than that time is over
		}
	}
}

// jittered is half to all of a pause, so that clients do not come in step.
func jittered(pause time.Duration) time.Duration {
	return pause/2 + rand.N(pause/2) //nolint:gosec // jitter
}

// wait waits for a time or for wake, and reports whether ctx goes on.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return true
}

// once sends a step. A server that has forgotten the script gets it anew: what it
// refused for that reason has not run.
func (s *Source) once(ctx context.Context, sc script, keys []string, args []any) (any, error) {
	command := []any{"evalsha", sc.hash, len(keys)}
	for _, k := range keys {
		command = append(command, k)
	}
	command = append(command, args...)
	reply, err := s.client.Do(ctx, command...).Result()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		command[0], command[1] = "eval", sc.source
		reply, err = s.client.Do(ctx, command...).Result()
	}
	return reply, err
}

// passing are the refusals of a server that starts, that hands its part over to
// another, or that is held up. It has not run what it refused.
var passing = [...]string{"LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS"}

// mayPass reports whether the same step may succeed in a moment. What is not said
// by the server is the network's, or the client's that waits for it.
func mayPass(err error) bool {
	if said := redis.Error(nil); errors.As(err, &said) {
		return slices.ContainsFunc(passing[:], func(prefix string) bool { return redis.HasErrorPrefix(err, prefix) })
	}
	return !errors.Is(err, redis.ErrClosed) && !errors.Is(err, context.Canceled)
}
