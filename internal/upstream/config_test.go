package upstream_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/upstream"
)

func TestNewAcceptsWhatTheURLMayBe(t *testing.T) {
	for _, u := range []string{
		"http://127.0.0.1:3000", "http://127.0.0.1:3000/", "http://app", "http://[::1]:3000",
		"https://app.example", "h2c://127.0.0.1:50051", "unix:///run/app.sock", "unix:/run/app.sock",
	} {
		if _, err := upstream.New(upstream.Config{URL: u}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct{ url, reason string }{
		{"", "is required"},
		{"127.0.0.1:3000", "not a URL"},
		{"localhost:3000", "must begin with http://"},
		{"ftp://a", "must begin with http://"},
		{"http://", "needs a host"},
		{"http:app", "needs a host"},
		{"http://:3000", "needs a host"},
		{"http://a:", "no port"},
		{"http://a:0", "1 to 65535"},
		{"http://a:65536", "1 to 65535"},
		{"http://a/base", "under /base"},
		{"http://a/?x=1", "must not have a query"},
		{"http://a/#x", "must not have a query"},
		{"unix://run/app.sock", "three slashes"},
		{"unix:run/app.sock", "absolute path"},
		{"unix:///", "absolute path"},
		{"unix:///" + strings.Repeat("a", 107), "107 bytes"},
		{"http://a:secret@b", "must not hold credentials"},
		{"http://a:secret@b\x7f", "not a URL"},
	} {
		_, err := upstream.New(upstream.Config{URL: tc.url})
		var ce *upstream.ConfigError
		if !errors.As(err, &ce) || ce.Field != "URL" || !strings.Contains(ce.Reason, tc.reason) {
			t.Errorf("%q: %v, want %q", tc.url, err, tc.reason)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error gives the password away: %v", err)
		}
	}
}

func TestNewReportsEveryProblemAtOnce(t *testing.T) {
	_, err := upstream.New(upstream.Config{URL: "ftp://a", Timeout: -1, IdleTimeout: -1, DialTimeout: -1, ForwardedHeader: "Via", Transport: "quic"})
	for _, field := range []string{"URL", "Timeout", "IdleTimeout", "DialTimeout", "ForwardedHeader", "Transport"} {
		if err == nil || !strings.Contains(err.Error(), "upstream: "+field+" ") {
			t.Errorf("no %s in %v", field, err)
		}
	}
}

func TestCheck(t *testing.T) {
	up := newRawUpstream(t, func(*wire) {})
	p, err := upstream.New(upstream.Config{URL: "http://" + up.addr})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if p, err = upstream.New(upstream.Config{URL: "http://" + closedAddr(t)}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = p.Check(t.Context())
	var op *net.OpError
	if !errors.As(err, &op) || time.Since(began) > time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v: it did not end with its context", err)
	}
}
