package upstream_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/upstream"
)

// describe answers with what the app saw.
func describe(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("Trailer", "Digest")
	fmt.Fprintf(w, "%s %s host=%s fwd=%s body=%s trailer=%s upgrade=%s err=%v", r.Proto, r.URL, r.Host,
		r.Header.Get("X-Forwarded-For"), body, r.Trailer.Get("Digest"), r.Header.Get("Upgrade"), err)
	w.Header().Set("Digest", "theirs")
}

func TestSchemes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "app.sock")
	for _, tc := range []struct {
		name, proto string
		start       func(*httptest.Server) (url string)
	}{
		{"http", "HTTP/1.1", func(s *httptest.Server) string { s.Start(); return s.URL }},
		{"https", "HTTP/1.1", func(s *httptest.Server) string { s.EnableHTTP2 = true; s.StartTLS(); return s.URL }},
		{"h2c", "HTTP/2.0", func(s *httptest.Server) string {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			return strings.Replace(s.URL, "http:", "h2c:", 1)
		}},
		{"unix", "HTTP/1.1", func(s *httptest.Server) string {
			ln, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Listener.Close()
			s.Listener = ln
			s.Start()
			return "unix://" + socket
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				app := httptest.NewUnstartedServer(http.HandlerFunc(describe))
				url := tc.start(app)
				defer app.Close()
				rg := newRig(t, impl, func(*wire) {}, fresh(), withConfig(func(c *upstream.Config) {
					c.URL = url
					if tc.name == "https" {
						c.RootCAs = x509.NewCertPool()
						c.RootCAs.AddCert(app.Certificate())
					}
				}))
				for _, fields := range []string{"", "X-Fresh: 1\n", "Connection: Upgrade\nUpgrade: h2c\n"} {
					c := rg.client()
					c.send("POST /a%2Fb?x=%zz HTTP/1.1\nHost: a.example\nTE: trailers\n" + fields + "Transfer-Encoding: chunked\nTrailer: Digest\n\n5\nhello\n0\nDigest: ours\n\n")
					got, err := c.message(false)
					want := tc.proto + " /a%2Fb?x=%zz host=a.example fwd=127.0.0.1 body=hello trailer=ours upgrade= err=<nil>Digest: theirs\n"
					if !strings.HasSuffix(got, "\n\n"+want) {
						t.Errorf("with %q: got %q (%v), want %q", fields, got, err, want)
					}
				}
				if err := rg.proxy.Check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An h2c upstream cannot be upgraded; the app is asked without.
func TestHTTP2UpstreamIsNotAskedForUpgrades(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		app := httptest.NewUnstartedServer(http.HandlerFunc(describe))
		app.Config.Protocols = new(http.Protocols)
		app.Config.Protocols.SetUnencryptedHTTP2(true)
		app.Start()
		defer app.Close()
		rg := newRig(t, impl, func(*wire) {}, withConfig(func(c *upstream.Config) { c.URL = strings.Replace(app.URL, "http:", "h2c:", 1) }))
		c := rg.client()
		c.send("GET /chat HTTP/1.1\nHost: a.example\nConnection: Upgrade\nUpgrade: websocket\n\n")
		if got, err := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "upgrade= ") {
			t.Errorf("got %q (%v)", got, err)
		}
	})
}

func TestHTTP2UpstreamWhoseDialIsRefused(t *testing.T) {
	forEach(t, func(t *testing.T, impl implementation) {
		rg := newRig(t, impl, func(*wire) {}, withConfig(func(c *upstream.Config) { c.URL = "h2c://" + closedAddr(t) }))
		c := rg.client()
		c.send(get)
		if got, err := c.message(false); got != badGate {
			t.Errorf("got %q (%v)", got, err)
		}
		if err := wait(t, "the report", rg.errors); err.Kind != upstream.NotWritten || err.Written {
			t.Error(err)
		}
	})
}
