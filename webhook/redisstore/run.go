package redisstore

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

type scripts struct{ claim, settle, lookup, revive, discard, check script }

//go:embed delivery.lua
var deliverySource string

//go:embed claim.lua
var claimSource string

//go:embed settle.lua
var settleSource string

//go:embed lookup.lua
var lookupSource string

//go:embed revive.lua
var reviveSource string

//go:embed discard.lua
var discardSource string

//go:embed check.lua
var checkSource string

func newScripts(edit func(source string) string) scripts {
	of := func(source string) script {
		source = edit(source)
		return script{source, redis.NewScript(source).Hash()}
	}
	return scripts{
		claim:  of(deliverySource + claimSource),
		settle: of(deliverySource + settleSource),
		// A script as well, since a client may send plain reads to replicas.
		lookup:  of(deliverySource + lookupSource),
		revive:  of(deliverySource + reviveSource),
		discard: of(deliverySource + discardSource),
		check:   of(checkSource),
	}
}

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// run runs a step on key, and again while it fails in a way that may pass and
// there is time. Each step may be sent twice: a claim carries what tells its
// call from others, a settled claim stays settled for the same step with the
// same fence, what was revived or discarded is so, and a lookup changes nothing.
// earlier is the first failure before a
// reply: that try may have run.
func (s *Store) run(ctx context.Context, sc script, key string, args ...any) (reply any, earlier, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		reply, err = s.once(ctx, sc, key, args)
		if err == nil || !mayPass(err) {
			return reply, earlier, err
		}
		if earlier == nil {
			earlier = err
		}
		// Half of each pause is random, so that steps do not come in step.
		again := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // jitter
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, earlier, earlier // which tells more than that time is over
		}
	}
}

// once sends a step. A server that has forgotten the script gets it anew: what it
// refused for that reason has not run.
func (s *Store) once(ctx context.Context, sc script, key string, args []any) (any, error) {
	command := append([]any{"evalsha", sc.hash, 1, key}, args...)
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
