package redislimit

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// Clock is the key of a hash with the virtual time.
const Clock = "{virtual}clock"

// OnVirtualTime makes l read the time from Clock (fields s and us) in place of
// the server's clock, and from now in place of its own. The scripts have no such
// switch.
func OnVirtualTime(t *testing.T, l *Limiter, now func() time.Time) {
	t.Helper()
	l.scripts = newScripts(func(source string) string { return virtual(t, source) })
	l.gcra = redis_rate.NewLimiter(virtualRate{rateClient{l.servers.client, l.servers}, t})
	start := now()
	l.clock = func() time.Duration { return now().Sub(start) }
}

func virtual(t *testing.T, source string) string {
	t.Helper()
	reads := 0
	for _, clock := range []string{"redis.call('TIME')", `redis.call("TIME")`} {
		reads += strings.Count(source, clock)
		source = strings.ReplaceAll(source, clock, "redis.call('HMGET', '"+Clock+"', 's', 'us')")
	}
	if reads > 1 || reads == 0 && strings.Contains(source, "TIME") {
		t.Fatalf("a script reads the clock %d times:\n%s", reads, source)
	}
	// redis_rate tells the server how long to keep a key: a day longer, so that
	// none ends by the server's own clock meanwhile.
	return strings.ReplaceAll(source, `"EX", math.ceil(`, `"EX", 86400 + math.ceil(`)
}

// virtualRate makes redis_rate send its script in full, and changes it.
type virtualRate struct {
	rateClient
	t *testing.T
}

func (v virtualRate) EvalSha(context.Context, string, []string, ...any) *redis.Cmd {
	return redis.NewCmdResult(nil, noScript{})
}

func (v virtualRate) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return v.rateClient.Eval(ctx, virtual(v.t, script), keys, args...)
}

type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT" }
func (noScript) RedisError()   {}

// MaxBatches is how many batches are under way at once.
const MaxBatches = maxBatches

// Queued is how many calls are under way, and how many wait, on the only server.
func Queued(l *Limiter) (running, waiting int) {
	b := l.servers.lone
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.waiting {
		if c.stage == queued {
			waiting++
		}
	}
	return b.running, waiting
}

// FailuresToOpen is how many in a row open the breaker.
const FailuresToOpen = failuresToOpen
