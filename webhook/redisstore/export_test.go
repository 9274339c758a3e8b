package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// Key is where the store keeps a delivery.
func (s *Store) Key(key string) string { return s.key(key) }

// ReadDelivery reads what a script answers of one.
func ReadDelivery(text string) (webhook.Record, error) {
	d, err := readDelivery(text)
	return d.Record, err
}

// WriteAnswer is an answer as it is kept.
var WriteAnswer = writeAnswer

// SetClock makes s read now in place of the server's clock. The scripts have no
// such switch.
func SetClock(t *testing.T, s *Store, now time.Time) {
	t.Helper()
	s.scripts = newScripts(func(source string) string {
		const clock = "redis.call('TIME')"
		if n := strings.Count(source, clock); n > 1 {
			t.Fatalf("a script reads the clock %d times:\n%s", n, source)
		}
		return strings.Replace(source, clock, fmt.Sprintf("{'%d', '%d'}", now.Unix(), now.Nanosecond()/1000), 1)
	})
}
