package redislimit

import (
	"strings"
	"testing"
)

// OnVirtualTime makes l read the time from the Redis hash "clock" (fields s and
// us) in place of the server's clock. The script itself has no such switch.
func OnVirtualTime(t *testing.T, l *Limiter) {
	const clock = "redis.call('TIME')"
	if strings.Count(allowSource, clock) != 1 {
		t.Fatalf("the script does not read %s exactly once", clock)
	}
	l.servers = newServers(l.client, newScript(strings.Replace(allowSource, clock, "redis.call('HMGET', 'clock', 's', 'us')", 1)))
}

// MaxBatches is how many batches are under way at once.
const MaxBatches = maxBatches

// Queued is how many calls are under way, and how many wait, on the only server.
func Queued(l *Limiter) (running, waiting int) {
	b := l.servers.lone
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running, len(b.waiting)
}
