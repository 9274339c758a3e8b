package flags_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

// thousand is a set of 1,000 flags at 25 %, and one of each other kind.
func thousand(tb testing.TB) *flags.Client {
	tb.Helper()
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "flag-%04d: {rolloutPercentage: 25}\n", i)
	}
	b.WriteString("listed: {rolloutPercentage: 25, denyList: [eve], allowList: [alice")
	for i := range 10_000 {
		fmt.Fprintf(&b, ", id-%d", i)
	}
	b.WriteString("]}\nfull: {rolloutPercentage: 100}\nexpiring: {rolloutPercentage: 25, expires: 2900-01-01, onExpiry: off}\n")
	for _, h := range []string{"unleash", "launchdarkly", "growthbook2"} {
		b.WriteString(h + ": {rolloutPercentage: 25, salt: a.b, hash: " + h + "}\n")
	}
	return client(tb, b.String())
}

// client is a Client on fixed definitions.
func client(tb testing.TB, definitions string) *flags.Client {
	tb.Helper()
	c, err := flags.New(context.Background(), flags.Config{Source: flags.Static("flags.yaml", []byte(definitions))})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

const userID = "0198c2f4-7d1e-7c4a-9b52-3f1a6c0e8d77"

func BenchmarkEnabled(b *testing.B) {
	large := thousand(b)
	small := client(b, "new-checkout: {rolloutPercentage: 25}")
	for _, c := range []struct {
		name      string
		client    *flags.Client
		flag, key string
	}{
		{"split/one_flag", small, "new-checkout", userID},
		{"split/1000_flags", large, "flag-0500", userID},
		{"full", large, "full", userID},
		{"unknown", large, "no-such-flag", userID},
		{"allowed", large, "listed", "alice"},
		{"not_listed", large, "listed", userID},
		{"denied", large, "listed", "eve"},
		{"expiring", large, "expiring", userID},
		{"unleash", large, "unleash", userID},
		{"launchdarkly", large, "launchdarkly", userID},
		{"growthbook2", large, "growthbook2", userID},
		{"key_of_512_bytes", large, "flag-0500", strings.Repeat("x", 512)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.client.Enabled(c.flag, c.key)
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				large.Enabled("flag-0500", userID)
			}
		})
	})
}

func BenchmarkEvaluate(b *testing.B) {
	c := thousand(b)
	b.ReportAllocs()
	for b.Loop() {
		c.Evaluate("flag-0500", userID)
	}
}

func BenchmarkEvaluateAll(b *testing.B) {
	five := client(b, "a: {rolloutPercentage: 25}\nb: {rolloutPercentage: 50}\nc: {rolloutPercentage: 100}\nd: {rolloutPercentage: 0}\ne: {rolloutPercentage: 75}\n")
	for name, c := range map[string]*flags.Client{"5_flags": five, "1006_flags": thousand(b)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.EvaluateAll(userID)
			}
		})
		b.Run(name+"/header", func(b *testing.B) {
			buffer := make([]byte, 0, flags.MaxHeaderBytes)
			e := c.For(userID)
			b.ReportAllocs()
			for b.Loop() {
				e.AppendHeader(buffer)
			}
		})
	}
}

func BenchmarkMiddleware(b *testing.B) {
	c := client(b, "a: {rolloutPercentage: 25}\nb: {rolloutPercentage: 50}\nc: {rolloutPercentage: 100}\nd: {rolloutPercentage: 0}\ne: {rolloutPercentage: 75}\n")
	for _, bb := range []struct {
		name            string
		inject, inPlace bool
	}{{"inject=false", false, false}, {"inject=true", true, false}, {"inject=true/in_place", true, true}} {
		m, err := flags.NewMiddleware(flags.MiddlewareConfig{
			Client: c, TargetingKey: flags.CookieKey("uid"), Vary: "Cookie", Inject: bb.inject, InPlace: bb.inPlace,
			Gates: []flags.Gate{{Flag: "c", Paths: []string{"/v2/checkout/**"}}},
		})
		if err != nil {
			b.Fatal(err)
		}
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		original := httptest.NewRequest("GET", "/v2/checkout/cart", nil)
		for _, name := range []string{"Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Referer", "X-Request-Id", "If-None-Match", "Traceparent"} {
			original.Header.Set(name, "x")
		}
		original.Header.Set("Cookie", "theme=dark; uid="+userID)
		w := httptest.NewRecorder()
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			var r http.Request
			for b.Loop() {
				r = *original // in place, its context would grow
				h.ServeHTTP(w, &r)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	var y strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&y, "flag-%04d: {rolloutPercentage: 25}\n", i)
	}
	data := []byte(y.String())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := flags.Parse("flags.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}
