package upstream_test

import (
	"strings"
	"testing"
)

// poison is what an app sends late, or makes of what it takes for a request.
const poison = "HTTP/1.1 200 OK\nContent-Length: 6\n\npoison"

// Bytes that come after the next request was written cannot be told from its
// answer. A connection on which they are to be feared is not used again.
func TestConnectionThatMayStillSpeakIsNotUsedAgain(t *testing.T) {
	post := "POST / HTTP/1.1\nHost: a\nContent-Length: 8\n\n"
	for _, tc := range []struct{ name, send, answer, rest, answerRest string }{
		{name: "HEAD, which some apps answer with a body", send: "HEAD / HTTP/1.1\nHost: a\n\n", answer: "HTTP/1.1 200 OK\nContent-Length: 64\n\n"},
		{name: "204 with a length", send: get, answer: "HTTP/1.1 204 No Content\nContent-Length: 5\n\n"},
		{name: "204 in chunks", send: get, answer: "HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n"},
		{name: "304 with a length", send: get, answer: "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n"},
		{name: "an answer that begins before the request has ended", send: post + "part", answer: "HTTP/1.1 200 OK\nContent-Length: 4\nConnection: keep-alive\n\nok", rest: "rest", answerRest: "ok"},
		{name: "an answer before the request has ended", send: post + "part", answer: ok, rest: "rest"},
		{name: "an error after a long body, which may be unread", send: "POST / HTTP/1.1\nHost: a\nContent-Length: 50000\n\n" + strings.Repeat("x", 50000), answer: "HTTP/1.1 413 Content Too Large\nContent-Length: 2\n\nok"},
		{name: "an answer without a body before the request has ended", send: post + "part", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n", rest: "rest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				rg := newRig(t, impl, func(c *wire) {
					head, err := c.head()
					if err != nil {
						return
					}
					if strings.HasPrefix(head, "GET /next ") {
						c.send(ok)
						return
					}
					if tc.rest != "" {
						c.expect("part")
					}
					c.send(tc.answer)
					if tc.answerRest != "" {
						c.expect("rest")
						c.send(tc.answerRest)
					}
					if _, err := c.head(); err == nil {
						c.send(poison)
					}
				})
				c := rg.client()
				c.send(tc.send)
				if head, err := c.head(); err != nil || strings.HasPrefix(head, "HTTP/1.1 5") {
					t.Fatalf("%q (%v)", head, err)
				}
				if tc.answerRest != "" {
					c.send(tc.rest)
					c.expect("okok")
				}
				next := rg.client()
				next.send(strings.Replace(get, "/", "/next", 1))
				if got, err := next.message(false); got != ok {
					t.Errorf("the next client got %q (%v)", got, err)
				}
				_ = c.Close()
			})
		})
	}
}

// What is safe is used again: an answer without a body that announces none, and
// one that came after the whole request.
func TestConnectionThatHasSaidAllIsUsedAgain(t *testing.T) {
	for _, tc := range []struct{ name, send, answer string }{
		{"204", get, "HTTP/1.1 204 No Content\n\n"},
		{"304", get, "HTTP/1.1 304 Not Modified\nEtag: \"x\"\n\n"},
		{"a length of zero", get, "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
		{"POST", "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello", ok},
		{"POST in chunks", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", ok},
		{"a refused POST", "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello", "HTTP/1.1 422 No\nContent-Length: 0\n\n"},
		{"a long POST", "POST / HTTP/1.1\nHost: a\nContent-Length: 200000\n\n" + strings.Repeat("x", 200000), ok},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, impl implementation) {
				rg := newRig(t, impl, func(c *wire) {
					for {
						if _, err := c.message(false); err != nil {
							return
						}
						c.send(tc.answer)
					}
				})
				const requests = 20
				c := rg.client()
				for range requests {
					c.send(tc.send)
					if m, err := c.message(false); err != nil || strings.HasPrefix(m, "HTTP/1.1 5") {
						t.Fatalf("%q (%v)", m, err)
					}
				}
				if _, seen := rg.upstream.connections(); seen > requests/2 { // a busy machine may cost some
					t.Errorf("%d requests on %d connections", requests, seen)
				}
			})
		})
	}
}
