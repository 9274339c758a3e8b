package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// load keeps one client busy until nobody accepts its connections any more. A
// request that was sent and not answered in full is a failure.
func load(addr string, answered *atomic.Int64) error {
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return nil //nolint:nilerr // not accepted: the load is over
		}
		if err := useUp(conn, answered); err != nil {
			return err
		}
	}
}

// useUp sends requests on a connection until the server says it closes it.
func useUp(conn net.Conn, answered *atomic.Int64) error {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		if _, err := fmt.Fprint(conn, "GET /slow HTTP/1.1\r\nHost: app\r\n\r\n"); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return fmt.Errorf("after %d answers: %w", answered.Load(), err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || string(body) != "whole" {
			return fmt.Errorf("answer %d %q: %w", resp.StatusCode, body, err)
		}
		answered.Add(1)
		if resp.Close {
			return nil
		}
	}
}

func TestNoAcceptedRequestFailsWhenDrainedUnderLoad(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond) // so that requests are in flight at every moment
		fmt.Fprint(w, "whole")
	}))
	defer upstream.Close()
	p := serve(t, strings.Replace(config(upstream.URL, ""), "delay: 0s", "delay: 500ms", 1))
	var answered atomic.Int64
	failed := make(chan error, 32)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if err := load(p.public, &answered); err != nil {
				failed <- err
			}
		})
	}
	p.eventually("load", func() bool { return answered.Load() > 500 })
	before := answered.Load()
	p.signal(syscall.SIGTERM)
	p.eventually("not ready", func() bool { return p.status("/readyz") != 200 })
	wg.Wait()
	close(failed)
	for err := range failed {
		t.Errorf("a request failed: %v", err)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if answered.Load() == before {
		t.Error("nothing was answered during the delay")
	}
	t.Logf("%d requests answered, %d of them after SIGTERM", answered.Load(), answered.Load()-before)
}

func TestSlowRequestOutlivesTheDrainAndASecondSignalEndsIt(t *testing.T) {
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-leave
		fmt.Fprint(w, "whole")
	}))
	defer upstream.Close()
	defer close(leave)
	p := serve(t, config(upstream.URL, ""))
	got := make(chan answer, 1)
	go func() { got <- p.do("GET", "/slow", "") }()
	<-entered
	p.signal(syscall.SIGTERM)
	p.eventually("refusing connections", func() bool { return p.status("/readyz") == 0 })
	leave <- struct{}{}
	if a := <-got; a.status != 200 || a.body != "whole" {
		t.Errorf("the request in flight: %d %q", a.status, a.body)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	p = serve(t, config(upstream.URL, ""))
	go func() { _, _ = http.Get(p.url("/slow")) }()
	<-entered
	p.signal(syscall.SIGTERM)
	p.eventually("refusing connections", func() bool { return p.status("/readyz") == 0 })
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code after a second signal: %d", code)
	}
}

func TestWebSocketHasTheDrainTimeout(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw)
	}))
	defer upstream.Close()
	p := serve(t, config(upstream.URL, ""))
	conn, err := net.Dial("tcp", p.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	p.signal(syscall.SIGTERM)
	p.eventually("refusing connections", func() bool { return p.status("/readyz") == 0 })
	fmt.Fprint(conn, "ping\n")
	if line, err := r.ReadString('\n'); err != nil || line != "ping\n" {
		t.Errorf("after SIGTERM: %q, %v", line, err)
	}
	_ = conn.Close()
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestSIGTERMIsSeenInAStormOfReloads(t *testing.T) {
	p := serve(t, config(newApp(t).URL, ""))
	for range 50 {
		p.signal(syscall.SIGHUP)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
