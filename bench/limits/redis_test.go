package limits_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/httprate"
	httprateredis "github.com/go-chi/httprate-redis"
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// What every limiter is asked for.
const (
	count  = 8
	window = 10 * time.Minute
)

// A peer is a limiter that is compared.
type peer struct {
	name string
	open func(t testing.TB) decide // anew for each measurement
}

// redisPeers work on one server.
func redisPeers(url string) []peer {
	ours := func(algorithm ratelimit.Algorithm, cached bool) func(testing.TB) decide {
		return func(t testing.TB) decide {
			t.Helper()
			return openRedislimit(t, url, algorithm, cached)
		}
	}
	return []peer{
		{"sliding_window", ours(ratelimit.SlidingWindow, false)},
		{"sliding_window, Cached", ours(ratelimit.SlidingWindow, true)},
		{"sliding_counter", ours(ratelimit.SlidingCounter, false)},
		{"gcra", ours(ratelimit.GCRA, false)},
		{"redis_rate", func(t testing.TB) decide {
			t.Helper()
			return openRedisRate(t, url)
		}},
		{"httprate-redis", func(t testing.TB) decide {
			t.Helper()
			return openHttprate(t, url)
		}},
	}
}

// openRedislimit has the options of production but for the times: nobody saves
// work by giving up.
func openRedislimit(t testing.TB, url string, algorithm ratelimit.Algorithm, cached bool) decide {
	t.Helper()
	const patience = 10 * time.Second
	o, err := redislimit.Options(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	var limiter ratelimit.Limiter
	limiter, err = redislimit.New(redislimit.Config{Client: client, Timeout: patience})
	if err == nil && cached {
		limiter, err = ratelimit.NewCached(ratelimit.CachedConfig{Limiter: limiter})
	}
	if err != nil {
		t.Fatal(err)
	}
	return limiterDecides(limiter, ratelimit.Limit{Count: count, Window: window, Algorithm: algorithm})
}

func limiterDecides(limiter ratelimit.Limiter, limit ratelimit.Limit) decide {
	return func(ctx context.Context, key string) (bool, error) {
		d, err := limiter.AllowN(ctx, key, limit, 1)
		return d.Allowed, err
	}
}

// plainClient is what go-redis makes of an address alone.
func plainClient(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func openRedisRate(t testing.TB, url string) decide {
	t.Helper()
	limiter := redis_rate.NewLimiter(plainClient(t, url))
	limit := redis_rate.Limit{Rate: count, Burst: count, Period: window}
	return func(ctx context.Context, key string) (bool, error) {
		result, err := limiter.Allow(ctx, key, limit)
		if err != nil {
			return false, err
		}
		return result.Allowed > 0, nil
	}
}

// openHttprate never decides in memory.
func openHttprate(t testing.TB, url string) decide {
	t.Helper()
	counter, err := httprateredis.NewRedisLimitCounter(&httprateredis.Config{
		Client: plainClient(t, url), WindowLength: window, FallbackDisabled: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	limiter := httprate.NewRateLimiter(count, window, httprate.WithLimitCounter(counter))
	return func(ctx context.Context, key string) (bool, error) { return onLimit(ctx, limiter, key) }
}

// onLimit asks httprate as its own handler does, with an answer that nobody
// reads. httprate tells of a failure by an answer of its own.
func onLimit(ctx context.Context, limiter *httprate.RateLimiter, key string) (bool, error) {
	w := &answer{header: make(http.Header, 8)}
	r := (&http.Request{}).WithContext(ctx)
	over := limiter.OnLimit(w, r, key)
	if w.status != 0 {
		return false, fmt.Errorf("httprate answered %d: %s", w.status, w.body)
	}
	return !over, nil
}

type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
func (a *answer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// A redisCase is a load on a server.
type redisCase struct {
	name       string
	goroutines int
	subjects   int // 0 means a new one with every call
}

func redisCases() []redisCase {
	return []redisCase{
		{"admitted, a new key with every call", 64, 0},
		{"admitted, a new key with every call", 256, 0},
		{"denied, 16 keys", 64, 16},
		{"denied, 16 keys", 256, 16},
	}
}

// measure empties the server, brings the subjects over their limit, and warms
// connections and scripts up before it measures.
func (c redisCase) measure(t testing.TB, server *redis.Client, p peer, duration time.Duration, calls int) stint {
	t.Helper()
	if err := server.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	d := p.open(t)
	var next atomic.Int64
	l := load{goroutines: c.goroutines, wants: admitted, keys: func(int) keyring {
		return func() string { return benchKey(int(next.Add(1))) }
	}}
	if c.subjects > 0 {
		for i := range c.subjects * (count + 1) {
			if _, err := d(t.Context(), benchKey(-1-i%c.subjects)); err != nil {
				t.Fatal(err)
			}
		}
		l.wants, l.keys = denied, func(goroutine int) keyring {
			i, keys := goroutine, subjectKeys(c.subjects)
			return func() string { i++; return keys[i%len(keys)] }
		}
	}
	l.drive(t, d, 100*time.Millisecond, 0)
	before := serverCPU(t, server)
	s := l.drive(t, d, duration, calls)
	s.serverCPU = serverCPU(t, server) - before
	return s
}

// benchKey is a key of the length and form that ratelimit gives them.
func benchKey(i int) string {
	digits := strconv.Itoa(i)
	return "handrail:{default:auth:" + strings.Repeat("0", 43-len(digits)) + digits + "}"
}

func subjectKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = benchKey(-1 - i)
	}
	return keys
}

// serverCPU is what the server has used of the CPU since its start.
func serverCPU(t testing.TB, client *redis.Client) time.Duration {
	t.Helper()
	info, err := client.Info(t.Context(), "cpu").Result()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_user" && name != "used_cpu_sys" {
			continue
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += seconds
	}
	return time.Duration(sum * float64(time.Second))
}

func BenchmarkRedis(b *testing.B) {
	url := testenv.Redis(b).URL()
	server := plainClient(b, url)
	for _, c := range redisCases() {
		for _, p := range redisPeers(url) {
			b.Run(fmt.Sprintf("%s/%d/%s", c.name, c.goroutines, p.name), func(b *testing.B) {
				b.ReportAllocs()
				s := c.measure(b, server, p, 0, b.N/c.goroutines+1)
				b.ReportMetric(s.nanoseconds(), "ns/op")
				b.ReportMetric(s.allocations(), "allocs/op")
				b.ReportMetric(1000*s.cpuMicros(), "client-ns/op")
				b.ReportMetric(1000*s.serverMicros(), "server-ns/op")
			})
		}
	}
}

func TestRedisPeersLimitAlike(t *testing.T) {
	url := testenv.Redis(t).URL()
	for _, p := range redisPeers(url) {
		t.Run(p.name, func(t *testing.T) {
			if err := plainClient(t, url).FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			limitsAlike(t, p.open(t))
		})
	}
}

// limitsAlike: eight in a row are admitted and no ninth, and another key has its
// own.
func limitsAlike(t *testing.T, d decide) {
	t.Helper()
	for i := range 3 * count {
		for _, key := range []string{benchKey(1), benchKey(2)} {
			ok, err := d(t.Context(), key)
			if err != nil || ok != (i < count) {
				t.Fatalf("call %d: admitted %v, %v", i+1, ok, err)
			}
		}
	}
}
