package server_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkServer sends requests on kept connections, "one" one at a time,
// "busy" on 32 connections at a time, to handlers that allocate nothing; the
// client is in this process. cpu-ns/op is what the process used, which holds on
// a busy machine too.
//
//	go test -run '^$' -bench Server -count 6 ./internal/server
func BenchmarkServer(b *testing.B) {
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		send    string
		size    int
	}{
		{"get", shortHandler, browserGet, 1024},
		{"long", longHandler, browserGet, -1},
		{"post", readingHandler, sizedPost, 1024},
		{"chunks", readingHandler, chunkedPost, 1024},
	} {
		for _, impl := range []implementation{netHTTP(), ours()} {
			b.Run("one/"+tc.name+"/"+impl.name, func(b *testing.B) {
				a := newAsker(b, serveImpl(b, impl, tc.handler), tc.send)
				b.ReportAllocs()
				began := cpuTime(b)
				for b.Loop() {
					a.ask(tc.size)
				}
				reportCPU(b, began)
			})
		}
		for _, impl := range []implementation{netHTTP(), ours()} {
			b.Run("busy/"+tc.name+"/"+impl.name, func(b *testing.B) { benchBusy(b, serveImpl(b, impl, tc.handler), tc.send, tc.size) })
		}
	}
}

func serveImpl(b *testing.B, impl implementation, h http.Handler) string {
	b.Helper()
	ln := listen(b)
	b.Cleanup(impl.start(h, ln))
	return ln.Addr().String()
}

func benchBusy(b *testing.B, addr, send string, size int) {
	b.Helper()
	all := make([]*asker, 32)
	for i := range all {
		all[i] = newAsker(b, addr, send)
		all[i].ask(size)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime(b)
	var wg sync.WaitGroup
	for _, a := range all {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				a.ask(size)
			}
		})
	}
	wg.Wait()
	reportCPU(b, began)
}

func reportCPU(b *testing.B, began time.Duration) {
	b.Helper()
	b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
