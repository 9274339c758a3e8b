package redisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
)

// BenchmarkRedis measures an operation from several goroutines: a first
// delivery is a claim and a completion, a duplicate is a claim of what is done.
func BenchmarkRedis(b *testing.B) {
	for _, server := range []struct {
		name string
		args []string
	}{
		{"appendfsync always", []string{"--appendonly", "yes", "--appendfsync", "always"}},
		{"appendfsync everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
		{"nothing kept", nil},
	} {
		client := connect(b, options(testenv.Redis(b, testenv.RedisArgs(server.args...)).Addr()))
		s := newStore(b, client)
		claim(b, s, "done", webhook.Claimed)
		must(b, s.Complete(b.Context(), "done", 1, nil))
		var next atomic.Int64
		for _, load := range []struct {
			name string
			op   func() error
		}{
			{"first delivery", func() error {
				key := fmt.Sprintf("stripe/evt_%024d", next.Add(1))
				c, err := s.Claim(b.Context(), key, request)
				if err != nil || c.Status != webhook.Claimed {
					return fmt.Errorf("%v, %w", c.Status, err)
				}
				return s.Complete(b.Context(), key, c.Fence, nil)
			}},
			{"duplicate", func() error {
				c, err := s.Claim(b.Context(), "done", request)
				if err != nil || c.Status != webhook.Done {
					return fmt.Errorf("%v, %w", c.Status, err)
				}
				return nil
			}},
		} {
			for _, goroutines := range []int{1, 16, 64, 256} {
				b.Run(fmt.Sprintf("%s/%s/%d", server.name, load.name, goroutines), func(b *testing.B) {
					b.ReportAllocs()
					if goroutines == 1 {
						for b.Loop() {
							must(b, load.op())
						}
						return
					}
					b.SetParallelism((goroutines + 1) / 2) // times GOMAXPROCS, which is 2 at least
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if err := load.op(); err != nil {
								b.Error(err)
							}
						}
					})
				})
			}
		}
	}
}
