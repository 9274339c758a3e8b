package redislimit

import (
	"context"
	"errors"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/ratelimit"
)

// gcraKey is where redis_rate keeps what it knows of key.
func gcraKey(key string) string { return "rate:" + key }

// allowGCRA leaves the decision to redis_rate. A decision's token is the time, by
// l.clock, at which all that had been admitted up to it is paid off.
func (l *Limiter) allowGCRA(ctx context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	// It may have to send its script after it was forgotten: both in one time.
	ctx, cancel := context.WithTimeout(ctx, l.servers.timeout)
	defer cancel()
	res, err := l.gcra.AllowN(ctx, key, redis_rate.Limit{Rate: limit.Count, Burst: limit.Capacity(), Period: limit.Window}, cost)
	if err != nil {
		return ratelimit.Decision{}, err
	}
	if res.Allowed == 0 {
		return ratelimit.Decision{RetryAfter: notEarly(res.RetryAfter)}, nil
	}
	return ratelimit.Decision{Allowed: true, Cost: cost, Token: int64(l.clock() + res.ResetAfter)}, nil
}

// notEarly makes up for what redis_rate loses by counting seconds in floating
// point numbers, less than half a tick of the server's clock, and by telling no
// more than 14 digits. It is late by one and a half ticks at most.
func notEarly(d time.Duration) time.Duration {
	return (d + d/1e13).Round(time.Microsecond) + time.Microsecond
}

// refundGCRA does nothing once the admission is paid off.
func (l *Limiter) refundGCRA(ctx context.Context, key string, limit ratelimit.Limit, cost int, paid time.Duration) error {
	if l.clock() >= paid {
		return nil
	}
	_, err := l.run(ctx, l.scripts.gcraRefund, gcraKey(key), limit.Count, limit.Window.Seconds(), cost)
	return err
}

// rateClient is what redis_rate sends its scripts through: they go with the
// other calls.
type rateClient struct {
	redis.UniversalClient // what redis_rate asks for besides, and does not use

	servers *servers
}

// EvalSha implements what redis_rate needs of a client.
func (r rateClient) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return r.run(ctx, keys[0], append([]any{"evalsha", sha1, 1, keys[0]}, args...))
}

// Eval implements what redis_rate needs of a client.
func (r rateClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return r.run(ctx, keys[0], append([]any{"eval", script, 1, keys[0]}, args...))
}

func (r rateClient) run(ctx context.Context, key string, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, args...)
	err := r.servers.do(ctx, &call{cmd: cmd, key: key})
	if err == nil && !rated(cmd.Val()) {
		err = errors.New("the script of redis_rate answered something else")
	}
	if err != nil {
		return redis.NewCmdResult(nil, err) // somebody may still write to cmd
	}
	return cmd
}

// rated reports whether answer has the form that redis_rate takes for granted.
func rated(answer any) bool {
	list, ok := answer.([]any)
	if !ok || len(list) != 4 {
		return false
	}
	_, allowed := list[0].(int64)
	_, remaining := list[1].(int64)
	_, retry := list[2].(string)
	_, reset := list[3].(string)
	return allowed && remaining && retry && reset
}
