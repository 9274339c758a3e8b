package upstream_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/upstream"
)

// A row is one exchange in bytes: what a client sends, what the upstream must
// get, what it answers, and what the client must get. Messages are written with
// \n for \r\n; those that are compared are in the form of wire.message. The
// name is the rule.
type row struct {
	name    string
	opts    []rigOption
	send    string // by the client
	request string // at the upstream; "": the row is not about it; "none": not a byte; "broken": never its end
	answer  string // by the upstream, which then closes when hangup
	hangup  bool
	want    []string // messages at the client, the final one last
	closed  bool     // the proxy closes the client's connection afterwards
	aborted bool     // the final message breaks off

	lean        []string // messages at the client when the lean engine differs
	leanAborted bool     // the final one breaks off then
	why         string   // it may
}

// of returns the row as it is for one engine.
func (r row) of(impl implementation) row {
	if impl.name == "lean" && r.why != "" {
		r.want, r.aborted = r.lean, r.leanAborted
	}
	return r
}

const strict = "the lean engine refuses what a sender must not send, instead of repairing it"

const (
	ok      = "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Type: text/plain\n\nok"
	okLast  = "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 2\nContent-Type: text/plain\n\nok"
	get     = "GET / HTTP/1.1\nHost: a.example\n\n"
	viaPeer = "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: a.example\nX-Forwarded-Proto: http\n"
	badGate = "HTTP/1.1 502 Bad Gateway\nCache-Control: no-store\nContent-Length: 24\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n{\"error\":\"bad_gateway\"}\n"

	// badRequest is the proxy's; what the server refuses is answered by refusedWith.
	badRequest = "HTTP/1.1 400 Bad Request\nCache-Control: no-store\nConnection: close\nContent-Length: 24\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n{\"error\":\"bad_request\"}\n"
	outgoing   = "GET / HTTP/1.1\nHost: a.example\n" + viaPeer + "\n"
)

func TestConformance(t *testing.T) {
	rows := []struct {
		name string
		rows []row
	}{
		{"request", requestRows()},
		{"request header", requestHeaderRows()},
		{"refused request", refusedRequestRows()},
		{"refused body", refusedBodyRows()},
		{"forwarding", forwardingRows()},
		{"answer", answerRows()},
		{"informational", informationalRows()},
		{"refused answer", refusedRows()},
		{"broken answer", brokenRows()},
		{"lenient answer", lenientRows()},
	}
	forEach(t, func(t *testing.T, impl implementation) {
		for _, group := range rows {
			t.Run(group.name, func(t *testing.T) {
				for _, r := range group.rows {
					t.Run(r.name, func(t *testing.T) { r.of(impl).run(t, impl) })
				}
			})
		}
	})
}

func (r row) run(t *testing.T, impl implementation) {
	requests := make(chan string, 1)
	rg := newRig(t, impl, func(c *wire) {
		m, err := c.message(false)
		if err != nil {
			return // an idle connection, or a request that broke off
		}
		requests <- m
		c.send(r.answer)
		if !r.hangup {
			_, _ = c.br.ReadByte() // until the proxy closes
		}
	}, r.opts...)
	c := rg.client()
	c.send(r.send)
	method, _, _ := strings.Cut(r.send, " ")
	for i, want := range r.want {
		got, err := c.message(method == http.MethodHead)
		final := i == len(r.want)-1
		if final && r.aborted && strings.HasPrefix(want, got) {
			got = want // how much of it comes through is a matter of buffers
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the client's message %d, want (-) got (+):\n%s", i+1, diff)
		}
		if (err != nil) != (final && r.aborted) {
			t.Errorf("the client's message %d ended with %v, aborted is to be %v", i+1, err, r.aborted)
		}
	}
	if r.closed || r.aborted {
		c.expectClose()
	}
	switch r.request {
	case "":
	case "none":
		if _, seen := rg.upstream.connections(); seen != 0 {
			t.Error("the upstream was reached")
		}
	case "broken":
		eventually(t, "the upstream's connection is closed", func() bool { open, _ := rg.upstream.connections(); return open == 0 })
		if len(requests) > 0 {
			t.Errorf("the upstream got a whole request: %q", <-requests)
		}
	default:
		got := strings.Replace(wait(t, "the request", requests), rg.upstream.addr, "app.example", 1)
		if diff := cmp.Diff(r.request, got); diff != "" {
			t.Errorf("the upstream's request, want (-) got (+):\n%s", diff)
		}
	}
}

func requestRows() []row {
	line := func(target string) row {
		return row{
			send:    "GET " + target + " HTTP/1.1\nHost: a.example\n\n",
			request: strings.Replace(outgoing, "/", target, 1),
			answer:  ok, want: []string{ok},
		}
	}
	named := func(name string, r row) row { r.name = name; return r }
	// The upstream's own name is no client's, and not forwarded as one.
	const unnamed = "GET / HTTP/1.1\nHost: app.example\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: http\n\n"
	return []row{
		named("escapes stay as they are", line("/a%20b/%7Euser/%e4;p=1")),
		named("an escaped slash stays escaped", line("/a%2Fb%2fc")),
		named("slashes are not merged here", line("//a//b/")),
		named("dot segments are not resolved here", line("/a/../b/./c")),
		named("a query string goes byte for byte", line("/?x=1;y=%zz&a&=&b=+%41&q=\"<>\\^`{|}")),
		named("an empty query stays", line("/a?")),
		named("a fragment sign in the query stays", line("/a?b#c")),
		{
			name: "OPTIONS * stays", send: "OPTIONS * HTTP/1.1\nHost: a.example\n\n",
			request: strings.Replace(outgoing, "GET /", "OPTIONS *", 1), answer: ok, want: []string{ok},
		},
		{
			name:    "the absolute form becomes the origin form and gives the Host",
			send:    "GET http://b.example/x HTTP/1.1\nHost: a.example\n\n",
			request: "GET /x HTTP/1.1\nHost: b.example\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: b.example\nX-Forwarded-Proto: http\n\n",
			answer:  ok, want: []string{ok},
		},
		{
			name: "an unknown method passes", send: "BREW /pot HTTP/1.1\nHost: a.example\n\n",
			request: "BREW /pot HTTP/1.1\nHost: a.example\n" + viaPeer + "\n", answer: ok, want: []string{ok},
		},
		{
			name: "CONNECT opens no tunnel", send: "CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\n\n",
			request: "none",
			want:    []string{"HTTP/1.1 405 Method Not Allowed\nCache-Control: no-store\nContent-Length: 31\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n{\"error\":\"method_not_allowed\"}\n"},
		},
		{
			name: "a body with a length keeps it", send: "POST / HTTP/1.1\nHost: a.example\nContent-Length: 5\n\nhello",
			request: "POST / HTTP/1.1\nContent-Length: 5\nHost: a.example\n" + viaPeer + "\nhello", answer: ok, want: []string{ok},
		},
		{
			name: "a GET with a body keeps it", send: "GET / HTTP/1.1\nHost: a.example\nContent-Length: 5\n\nhello",
			request: "GET / HTTP/1.1\nContent-Length: 5\nHost: a.example\n" + viaPeer + "\nhello", answer: ok, want: []string{ok},
		},
		{
			name: "a chunked body stays chunked", send: "POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n\n5\nhello\n3;ext=1\n!!!\n0\n\n",
			request: "POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n" + viaPeer + "\nhello!!!", answer: ok, want: []string{ok},
		},
		{
			name: "a chunked GET without a byte", send: "GET / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n\n0\n\n",
			request: "GET / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n" + viaPeer + "\n", answer: ok, want: []string{ok},
		},
		{
			name: "a POST without a body says so", send: "POST / HTTP/1.1\nHost: a.example\n\n",
			request: "POST / HTTP/1.1\nContent-Length: 0\nHost: a.example\n" + viaPeer + "\n", answer: ok, want: []string{ok},
		},
		{
			name:    "announced trailers pass, except those that apps believe",
			send:    "POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\nTrailer: Digest, Handrail-Flags, X_Y, Authorization\n\n2\nhi\n0\nDigest: abc\nHandrail-Flags: \"admin\"\nX_Y: 1\nAuthorization: Basic x\nX-Forwarded-For: 6.6.6.6\n\n",
			request: "POST / HTTP/1.1\nHost: a.example\nTrailer: Digest\nTransfer-Encoding: chunked\n" + viaPeer + "\nhiDigest: abc\n", answer: ok, want: []string{ok},
		},
		{
			name:    "a trailer that is announced by what is no name is not announced",
			send:    "POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\nTrailer: Content-Length x\n\n2\nhi\n0\n\n",
			request: "POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n" + viaPeer + "\nhi", answer: ok, want: []string{ok},
		},
		{
			name: "Connection: close is the client's own", send: "GET / HTTP/1.1\nHost: a.example\nConnection: close\n\n", request: outgoing, answer: ok,
			want: []string{okLast}, closed: true,
		},
		{
			name: "an HTTP/1.0 client gets one answer", send: "GET / HTTP/1.0\nHost: a.example\n\n", request: outgoing, answer: ok,
			want: []string{okLast}, closed: true,
		},
		{
			name: "an HTTP/1.0 client may keep the connection", send: "GET / HTTP/1.0\nHost: a.example\nConnection: keep-alive\n\n", request: outgoing, answer: ok,
			want: []string{strings.Replace(ok, "\n", "\nConnection: keep-alive\n", 1)},
		},
		{
			name: "an HTTP/1.0 client gets no chunks", send: "GET / HTTP/1.0\nHost: a.example\nConnection: keep-alive\n\n", request: outgoing,
			answer: "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n2\nok\n0\nDigest: x\n\n", // nor a trailer
			want:   []string{"HTTP/1.1 200 OK\nConnection: close\nContent-Type: a/b\n\nok"}, closed: true,
		},
		{
			name: "an HTTP/1.0 client that names no Host", send: "GET / HTTP/1.0\n\n", answer: ok,
			request: unnamed, want: []string{okLast}, closed: true,
		},
		{name: "an empty Host", send: "GET / HTTP/1.1\nHost:\n\n", request: unnamed, answer: ok, want: []string{ok}},
	}
}

func requestHeaderRows() []row {
	header := func(name, lines, passed string) row {
		return row{
			name: name, send: "GET / HTTP/1.1\nHost: a.example\n" + lines + "\n",
			request: "GET / HTTP/1.1\n" + passed + "\n", answer: ok, want: []string{ok},
		}
	}
	rows := []row{
		header("the header passes, no User-Agent or Accept-Encoding is added",
			"Accept: text/html\nCookie: a=1\nX-A: 1\nX-A: 2\n",
			"Accept: text/html\nCookie: a=1\nHost: a.example\nX-A: 1\nX-A: 2\n"+viaPeer),
		header("User-Agent and Accept-Encoding pass as they are",
			"User-Agent: u\nAccept-Encoding: br;q=1, *;q=0\n",
			"Accept-Encoding: br;q=1, *;q=0\nHost: a.example\nUser-Agent: u\n"+viaPeer),
		header("hop-by-hop fields end here, also those named in Connection",
			"Connection: x-mine, keep-alive\nX-Mine: 1\nKeep-Alive: timeout=5\nProxy-Connection: keep-alive\nProxy-Authorization: Basic x\nTE: gzip\nHTTP2-Settings: AA\nX-Stays: 1\n",
			"Host: a.example\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: a.example\nX-Forwarded-Proto: http\nX-Stays: 1\n"),
		header("Connection cannot remove what the sidecar has set",
			"Connection: handrail-flags, X-Request-Id, idempotency-key, X-Forwarded-For, x-forwarded-host, X-Forwarded-Proto, Host, Traceparent\n"+
				"Handrail-Flags: \"a\"\nX-Request-Id: r1\nIdempotency-Key: k\nTraceparent: 00-1\n",
			"Handrail-Flags: \"a\"\nHost: a.example\nIdempotency-Key: k\nTraceparent: 00-1\n"+viaPeer+"X-Request-Id: r1\n"),
		header("TE: trailers stays", "TE: gzip;q=1, trailers\nConnection: TE\n", "Host: a.example\nTe: trailers\n"+viaPeer),
	}
	for _, upgrade := range []string{"h2c", "H2C", "HTTP/2.0", "TLS/1.2", "websocket, h2c", "h2", "w\xc3\xa9b"} {
		rows = append(rows, header("an upgrade to "+upgrade+" is not passed on",
			"Connection: Upgrade, HTTP2-Settings\nUpgrade: "+upgrade+"\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\n", "Host: a.example\n"+viaPeer))
	}
	rows = append(rows,
		header("an upgrade that Connection does not name is not passed on", "Upgrade: websocket\n", "Host: a.example\n"+viaPeer),
		row{
			name: "HTTP/1.0 has no upgrades", send: "GET / HTTP/1.0\nHost: a.example\nConnection: Upgrade\nUpgrade: websocket\n\n",
			request: outgoing, answer: ok,
			want: []string{okLast}, closed: true,
		})
	return rows
}

func forwardingRows() []row {
	forwarded := withConfig(func(c *upstream.Config) { c.ForwardedHeader = "Forwarded" })
	const forged = "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 7.7.7.7, 8.8.8.8\nX-Forwarded-Host: evil.example\nX-Forwarded-Proto: https\nForwarded: for=6.6.6.6;proto=https\n"
	forwarding := func(name, lines, passed string, opts ...rigOption) row {
		return row{
			name: name, opts: opts, send: "GET / HTTP/1.1\nHost: a.example:80\n" + lines + "\n",
			request: "GET / HTTP/1.1\n" + passed + "\n", answer: ok, want: []string{ok},
		}
	}
	return []row{
		forwarding("an untrusted peer's fields are replaced", forged,
			"Host: a.example:80\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: a.example:80\nX-Forwarded-Proto: http\n"),
		forwarding("a trusted peer's fields are continued, Forwarded is not configured", forged,
			"Host: a.example:80\nX-Forwarded-For: 6.6.6.6, 7.7.7.7, 8.8.8.8, 127.0.0.1\nX-Forwarded-Host: evil.example\nX-Forwarded-Proto: https\n", withTrusted()),
		forwarding("a trusted peer that sends nothing", "",
			"Host: a.example:80\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: a.example:80\nX-Forwarded-Proto: http\n", withTrusted()),
		forwarding("Connection does not break a trusted chain", "Connection: X-Forwarded-For, X-Forwarded-Proto\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-Proto: https\n",
			"Host: a.example:80\nX-Forwarded-For: 6.6.6.6, 127.0.0.1\nX-Forwarded-Host: a.example:80\nX-Forwarded-Proto: https\n", withTrusted()),
		forwarding("Forwarded configured, untrusted peer", "Forwarded: for=6.6.6.6;proto=https\n",
			"Forwarded: for=127.0.0.1;host=\"a.example:80\";proto=http\nHost: a.example:80\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: a.example:80\nX-Forwarded-Proto: http\n", forwarded),
		forwarding("Forwarded configured, trusted peer: continued, and told in the X- fields too",
			"Forwarded: for=1.1.1.1;host=x\nForwarded: for=\"[2001:db8::7]:99\";proto=https;host=\"shop.example:8443\"\n",
			"Forwarded: for=1.1.1.1;host=x, for=\"[2001:db8::7]:99\";proto=https;host=\"shop.example:8443\", for=127.0.0.1;host=\"a.example:80\";proto=http\nHost: a.example:80\n"+
				"X-Forwarded-For: 2001:db8::7, 127.0.0.1\nX-Forwarded-Host: shop.example:8443\nX-Forwarded-Proto: https\n", forwarded, withTrusted()),
		forwarding("Forwarded configured, a client in front of the trusted peer leaves a quote open",
			"Forwarded: for=\"6.6.6.6;proto=http, for=9.9.9.9;proto=https\n",
			"Forwarded: for=9.9.9.9;proto=https, for=127.0.0.1;host=\"a.example:80\";proto=http\nHost: a.example:80\n"+
				"X-Forwarded-For: 9.9.9.9, 127.0.0.1\nX-Forwarded-Host: a.example:80\nX-Forwarded-Proto: https\n", forwarded, withTrusted()),
	}
}

func answerRows() []row {
	answer := func(name, bytes, want string) row {
		return row{name: name, send: get, request: outgoing, answer: bytes, want: []string{want}}
	}
	head := func(name, bytes, want string) row {
		r := answer(name, bytes, want)
		r.send, r.request = strings.Replace(get, "GET", "HEAD", 1), "HEAD / HTTP/1.1\nConnection: close\nHost: a.example\n"+viaPeer+"\n" // it is never used again
		return r
	}
	untilClose := answer("a body that ends with the connection becomes chunked",
		"HTTP/1.1 200 OK\nContent-Type: text/plain\n\nhello", "HTTP/1.1 200 OK\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\nhello")
	untilClose.hangup = true
	old := answer("an HTTP/1.0 upstream", "HTTP/1.0 200 OK\nContent-Type: text/plain\n\nhello", untilClose.want[0])
	old.hangup = true
	outer := answer("one X-Request-Id, ours; other fields of outer handlers stay",
		"HTTP/1.1 200 OK\nContent-Type: text/plain\nX-Request-Id: theirs\nSet-Cookie: b=2\nContent-Length: 0\n\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\nContent-Type: text/plain\nSet-Cookie: a=1\nSet-Cookie: b=2\nX-Request-Id: ours\n\n")
	outer.opts = []rigOption{withOuter(http.Header{"X-Request-Id": {"ours"}, "Set-Cookie": {"a=1"}})}
	hook := answer("OnResponse changes the header", "HTTP/1.1 200 OK\nHandrail-Outcome: success\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\nContent-Length: 0\nX-Seen: GET 200 success\n\n")
	hook.opts = []rigOption{withConfig(func(c *upstream.Config) {
		c.OnResponse = func(r *http.Request, status int, h http.Header) {
			h.Set("X-Seen", strings.Join([]string{r.Method, "200", h.Get("Handrail-Outcome")}, " "))
			h.Del("Handrail-Outcome")
		}
	})}
	reserved := answer("reserved fields reach the client from no part of an answer",
		"HTTP/1.1 103 Early Hints\nHandrail-Webhook: processed\n\n"+
			"HTTP/1.1 200 OK\nContent-Type: a/b\nHandrail-Webhook: processed\nTransfer-Encoding: chunked\nTrailer: Handrail-Webhook\n\n3\nabc\n0\nHandrail-Webhook: processed\nHandrail-Other: 1\nDigest: x\n\n", "")
	reserved.want = []string{"HTTP/1.1 103 Early Hints\n\n", "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabcDigest: x\n"}
	reserved.opts = []rigOption{withConfig(func(c *upstream.Config) {
		c.Reserved = func(name string) bool { return strings.HasPrefix(name, "Handrail-") }
	})}
	return []row{
		answer("a body with a length keeps it", ok, ok),
		answer("a chunked body stays chunked", "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n3\nabc\n2\nde\n0\n\n",
			"HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabcde"),
		answer("announced trailers pass", "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\nTrailer: Digest\n\n3\nabc\n0\nDigest: x\n\n",
			"HTTP/1.1 200 OK\nContent-Type: a/b\nTrailer: Digest\nTransfer-Encoding: chunked\n\nabcDigest: x\n"),
		answer("trailers pass that were not announced", "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n3\nabc\n0\nDigest: x\n\n",
			"HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabcDigest: x\n"),
		answer("trailers of an empty body", "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\nTrailer: Digest\n\n0\nDigest: x\nX-B: y\n\n",
			"HTTP/1.1 200 OK\nContent-Type: a/b\nTrailer: Digest\nTransfer-Encoding: chunked\n\nDigest: x\nX-B: y\n"),
		untilClose, old, outer, hook, reserved,
		answer("hop-by-hop fields end here, also those named in Connection",
			"HTTP/1.1 200 OK\nConnection: x-mine\nX-Mine: 1\nKeep-Alive: timeout=5\nProxy-Authenticate: Basic\nX-Stays: 1\nContent-Length: 0\n\n",
			"HTTP/1.1 200 OK\nContent-Length: 0\nX-Stays: 1\n\n"),
		answer("no Content-Type is guessed", "HTTP/1.1 200 OK\nContent-Length: 6\n\n<html>", "HTTP/1.1 200 OK\nContent-Length: 6\n\n<html>"),
		answer("a field's lines stay apart and in order", "HTTP/1.1 200 OK\nSet-Cookie: b=2\nSet-Cookie: a=1\nContent-Length: 0\n\n",
			"HTTP/1.1 200 OK\nContent-Length: 0\nSet-Cookie: b=2\nSet-Cookie: a=1\n\n"),
		answer("compressed bytes stay compressed", "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Type: a/b\nContent-Length: 3\n\nabc",
			"HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 3\nContent-Type: a/b\n\nabc"),
		answer("204 has no body", "HTTP/1.1 204 No Content\nX-A: 1\n\n", "HTTP/1.1 204 No Content\nX-A: 1\n\n"),
		answer("304 has no body, but may tell its length", "HTTP/1.1 304 Not Modified\nEtag: \"x\"\nContent-Length: 99\n\n", "HTTP/1.1 304 Not Modified\nContent-Length: 99\nEtag: \"x\"\n\n"),
		answer("an error of the app is its own", "HTTP/1.1 500 Internal Server Error\nContent-Length: 4\nContent-Type: a/b\n\noops", "HTTP/1.1 500 Internal Server Error\nContent-Length: 4\nContent-Type: a/b\n\noops"),
		answer("a redirect is not followed", "HTTP/1.1 302 Found\nLocation: /x\nContent-Length: 0\n\n", "HTTP/1.1 302 Found\nContent-Length: 0\nLocation: /x\n\n"),
		answer("an unknown status passes", "HTTP/1.1 799 Odd\nContent-Length: 0\n\n", "HTTP/1.1 799 status code 799\nContent-Length: 0\n\n"),
		head("HEAD keeps the length", "HTTP/1.1 200 OK\nContent-Length: 1234\nContent-Type: a/b\n\n", "HTTP/1.1 200 OK\nContent-Length: 1234\nContent-Type: a/b\n\n"),
		head("HEAD without a length", "HTTP/1.1 200 OK\nContent-Type: a/b\nEtag: \"x\"\n\n", "HTTP/1.1 200 OK\nContent-Type: a/b\nEtag: \"x\"\n\n"),
		head("HEAD of a chunked answer", "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n", "HTTP/1.1 200 OK\nContent-Type: a/b\n\n"),
	}
}

func informationalRows() []row {
	const hints = "HTTP/1.1 103 Early Hints\nLink: </a.css>; rel=preload\n\n"
	final := "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Type: text/plain\nX-Request-Id: ours\n\nok"
	outer := []rigOption{withOuter(http.Header{"X-Request-Id": {"ours"}})}
	return []row{
		{
			name: "103 passes alone, the header of outer handlers waits for the final one", opts: outer,
			send: get, answer: hints + hints + ok, want: []string{hints, hints, final},
		},
		{
			name: "hop-by-hop fields of a 103 end here", opts: outer, send: get,
			answer: "HTTP/1.1 103 Early Hints\nConnection: x-mine\nKeep-Alive: 1\nX-Mine: 1\n\n" + ok, want: []string{"HTTP/1.1 103 Early Hints\n\n", final},
		},
		{
			name: "HTTP/1.0 clients get no 1xx", send: "GET / HTTP/1.0\nHost: a.example\n\n", answer: hints + ok,
			want: []string{okLast}, closed: true,
		},
		{
			name: "an upstream in a loop of 1xx is given up", send: get, answer: strings.Repeat("HTTP/1.1 102 Processing\n\n", 101) + ok,
			want: append(repeat("HTTP/1.1 102 Processing\n\n", 100), badGate),
		},
	}
}

func repeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}
