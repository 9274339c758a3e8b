package upstream_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/upstream"
)

func TestTotalTimeoutEndsTheWholeRequest(t *testing.T) {
	const total = 3 * time.Minute
	stream := func(c *wire) {
		_, _ = c.message(false)
		_, _ = io.WriteString(c.Conn, crlf("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"))
		for {
			if _, err := io.WriteString(c.Conn, "1\r\nx\r\n"); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	inAll := func(d time.Duration) rigOption {
		return withConfig(func(c *upstream.Config) { c.TotalTimeout = d })
	}
	forEach(t, func(t *testing.T, impl implementation) {
		t.Run("before the header it is answered", func(t *testing.T) {
			timed(t, impl, func(c *wire) { _, _ = c.message(false); silence(c) }, func(rg *timedRig) {
				c, began := rg.client(), time.Now()
				c.send("GET / HTTP/1.1\nHost: a.example\n\n")
				if got, _ := c.message(false); !strings.HasPrefix(got, gatewayTimeout) {
					t.Errorf("answer %q", got)
				}
				if took := time.Since(began); took != time.Second {
					t.Errorf("answered after %v", took)
				}
				if err := <-rg.errors; err.Kind != upstream.Timeout {
					t.Errorf("%v", err)
				}
			}, inAll(time.Second))
		})
		t.Run("an answer that has begun is cut", func(t *testing.T) {
			timed(t, impl, stream, func(rg *timedRig) {
				c, began := rg.client(), time.Now()
				c.send("GET / HTTP/1.1\nHost: a.example\n\n")
				if _, err := c.message(false); err == nil {
					t.Error("a complete answer")
				}
				if took := time.Since(began); took != total {
					t.Errorf("cut after %v", took)
				}
				if err := <-rg.aborts; err.Kind != upstream.Timeout {
					t.Errorf("%v", err)
				}
			}, inAll(total))
		})
		t.Run("an upgraded connection lives on", func(t *testing.T) {
			serve := func(c *wire) {
				_, _ = c.message(false)
				_, _ = io.WriteString(c.Conn, crlf("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: echo\n\n"))
				_, _ = io.Copy(c.Conn, c.br)
			}
			timed(t, impl, serve, func(rg *timedRig) {
				c := rg.client()
				c.send("GET / HTTP/1.1\nHost: a.example\nConnection: Upgrade\nUpgrade: echo\n\n")
				if got, _ := c.message(false); !strings.HasPrefix(got, "HTTP/1.1 101") {
					t.Fatalf("answer %q", got)
				}
				time.Sleep(time.Minute)
				c.send("x")
				if b, err := c.br.ReadByte(); b != 'x' {
					t.Errorf("%q %v", b, err)
				}
			}, inAll(time.Second))
		})
	})
}
