package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestThePageTellsEveryCodeOfAnExplanation(t *testing.T) {
	page, err := os.ReadFile("../../docs/webhook-debugging.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("../../webhook/explain*.go")
	if err != nil || len(sources) < 5 {
		t.Fatalf("%v, %v", sources, err)
	}
	code := regexp.MustCompile(`"(valid|unexplained|no_event_id|content_type|other_[a-z]+|(?:body|form|header|json|secret|signature|timestamp|url)_[a-z]+[a-z_]*)"`)
	found := 0
	for _, name := range append(sources, "../../internal/sidecar/webhooks_explain.go") {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(source), -1) {
			if found++; m[1] != "secret_index" && !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("%s: %s is not in the page", name, m[1])
			}
		}
	}
	if found < 60 {
		t.Errorf("%d codes in the sources", found)
	}
}

// A message may be large: one at a time is taken, others are told to wait.
func TestOneMessageIsExplainedAtATime(t *testing.T) {
	p := serve(t, strings.Replace(config(newApp(t).URL, "webhooks: [{name: hook, path: /hook, provider: github, secrets: [key], store: memory}]"),
		`listen: "127.0.0.1:0"}`, `listen: "127.0.0.1:0", token: 0123456789abcdef}`, 1))
	const body = `{"route": "hook", "headers": {}}`
	begin := func(body, more string) (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, err := net.Dial("tcp", p.admin)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, err = fmt.Fprintf(conn, "POST /api/v1/webhooks/explain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\nContent-Length: %d\r\n%s\r\n%s", len(`{"route": "hook", "headers": {}}`), more, body)
		if err != nil {
			t.Fatal(err)
		}
		return conn, bufio.NewReader(conn)
	}
	status := func(r *bufio.Reader) int {
		t.Helper()
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	first, answer := begin("", "Expect: 100-continue\r\n")
	if got := status(answer); got != http.StatusContinue { // its body is being read
		t.Fatalf("first: %d", got)
	}
	_, other := begin(body, "")
	if got := status(other); got != http.StatusServiceUnavailable {
		t.Errorf("beside it: %d", got)
	}
	if _, err := first.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if got := status(answer); got != http.StatusOK {
		t.Errorf("first: %d", got)
	}
	_, other = begin(body, "")
	if got := status(other); got != http.StatusOK {
		t.Errorf("after it: %d", got)
	}
}
