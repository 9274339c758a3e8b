package redislimit_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
)

// BenchmarkRedis compares with redis_rate on one server and one client. Run it
// several times rather than with -count, so that the peers take turns.
func BenchmarkRedis(b *testing.B) {
	client := patientClient(b, testenv.Redis(b).URL())
	ours := newLimiter(b, client)
	theirs := redis_rate.NewLimiter(client)
	type peer struct {
		name  string
		allow func(ctx context.Context, key string) error
	}
	peers := []peer{
		{"redis_rate", func(ctx context.Context, key string) error {
			_, err := theirs.Allow(ctx, key, redis_rate.Limit{Rate: 8, Burst: 8, Period: 10 * time.Minute})
			return err
		}},
	}
	for _, algorithm := range []ratelimit.Algorithm{ratelimit.SlidingWindow, ratelimit.SlidingCounter, ratelimit.GCRA} {
		limit := ratelimit.Limit{Count: 8, Window: 10 * time.Minute, Algorithm: algorithm}
		peers = append(peers, peer{string(algorithm), func(ctx context.Context, key string) error {
			_, err := ours.Allow(ctx, key, limit)
			return err
		}})
	}
	for _, load := range []struct {
		name string
		keys int // 0 means a new one with every call
	}{{"admitted", 0}, {"denied", 16}} {
		for _, goroutines := range []int{1, 64, 256} {
			for _, peer := range peers {
				b.Run(fmt.Sprintf("%s/%d/%s", load.name, goroutines, peer.name), func(b *testing.B) {
					if err := client.FlushAll(b.Context()).Err(); err != nil {
						b.Fatal(err)
					}
					for i := range 9 * load.keys {
						_ = peer.allow(b.Context(), benchKey(i%load.keys))
					}
					measure(b, client, goroutines, func(i int) error {
						if load.keys > 0 {
							i %= load.keys
						}
						return peer.allow(b.Context(), benchKey(i))
					})
				})
			}
		}
	}
}

func benchKey(i int) string { return fmt.Sprintf("handrail:{default:auth:%043d}", i) }

// measure runs f b.N times from some goroutines and adds the CPU time of both
// sides.
func measure(b *testing.B, client redis.UniversalClient, goroutines int, f func(i int) error) {
	b.Helper()
	before, own := serverCPU(b, client), ownCPU(b)
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism((goroutines + 1) / 2) // times GOMAXPROCS
	b.ResetTimer()
	if goroutines == 1 {
		for i := range b.N {
			if err := f(i); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := f(int(next.Add(1))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.StopTimer()
	ownSpent := ownCPU(b) - own
	spent := serverCPU(b, client) - before
	b.ReportMetric(float64(ownSpent.Nanoseconds())/float64(b.N), "client-ns/op")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "server-ns/op")
}

// ownCPU is what this process has used of the CPU since its start.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serverCPU is what the server has used of the CPU since its start.
func serverCPU(b *testing.B, client redis.UniversalClient) time.Duration {
	b.Helper()
	info, err := client.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_user" && name != "used_cpu_sys" {
			continue
		}
		s, err := strconv.ParseFloat(value, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += s
	}
	return time.Duration(sum * float64(time.Second))
}
