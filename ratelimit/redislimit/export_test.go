package redislimit

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// OnVirtualTime makes l read the time from the Redis hash "clock" (fields s and
// us) in place of the server's clock. The script itself has no such switch.
func OnVirtualTime(t *testing.T, l *Limiter) {
	const clock = "redis.call('TIME')"
	if strings.Count(allowSource, clock) != 1 {
		t.Fatalf("the script does not read %s exactly once", clock)
	}
	l.script = redis.NewScript(strings.Replace(allowSource, clock, "redis.call('HMGET', 'clock', 's', 'us')", 1))
}
