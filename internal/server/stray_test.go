package server_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a handler leaves running may use everything it was given at the very
// moment in which the handler returns. The client gets a whole answer, or none;
// the server goes on.
func TestUseAtTheVeryEnd(t *testing.T) {
	for name, use := range map[string]func(http.ResponseWriter, *http.Request){
		"Hijack": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
		"Write":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") },
		"WriteHeader": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) },
		"Flush":       func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"Read":        func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) },
		"deadlines": func(w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.SetReadDeadline(time.Now().Add(-time.Hour))
			_ = rc.SetWriteDeadline(time.Now().Add(-time.Hour))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var strays sync.WaitGroup
			addr := serve(t, ours(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if isProbe(w, r) {
					return
				}
				strays.Go(func() { use(w, r) })
			}))
			for range 300 {
				c := dial(t, addr)
				c.send("POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello" + probe)
				for range 2 {
					m, err := c.message(false)
					if err != nil {
						break
					}
					m = strings.Replace(m, "Connection: close\n", "", 1) // it may have taken the body
					if m != probed && m != "HTTP/1.1 200 OK\nContent-Length: 0\n\n" && m != "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" &&
						m != "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Type: text/plain; charset=utf-8\n\nx" {
						t.Errorf("%q", m)
					}
				}
				_ = c.Close()
			}
			strays.Wait()
		})
	}
}
