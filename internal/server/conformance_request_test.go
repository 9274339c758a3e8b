package server_test

import (
	"io"
	"net/http"
	"strings"
	"time"
)

const host = "Host: a.example\n"

func requestRows() []row {
	described := func(name, send string) row { return row{name: name, send: send, handler: describe} }
	return []row{
		described("a request without anything", "GET / HTTP/1.1\n"+host+"\n"),
		described("names of fields in canonical form, values without padding", "GET / HTTP/1.1\n"+host+"x-a: \t 1 \t\nX-B:2\nx-EMPTY:\n\n"),
		described("several values keep their order", "GET / HTTP/1.1\n"+host+"X-A: 1\nX-B: 2\nx-a: 3\nX-A:\n\n"),
		described("bytes above ASCII in a value", "GET / HTTP/1.1\n"+host+"X-A: \xff\xe9\xc3\xa9\n\n"),
		described("a tab within a value", "GET / HTTP/1.1\n"+host+"X-A: 1\t2\n\n"),
		described("every sign of a token in a name", "GET / HTTP/1.1\n"+host+"!#$%&'*+-.^_`|~09az: 1\n\n"),
		described("every sign of a token in a method", "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\n"+host+"\n"),
		described("a method in lower case is another method", "get / HTTP/1.1\n"+host+"\n"),
		described("a HTTP/1.0 request without Host", "GET / HTTP/1.0\n\n"),
		described("an empty Host", "GET / HTTP/1.1\nHost:\n\n"),
		described("a Host with a port", "GET / HTTP/1.1\nHost: a:8080\n\n"),
		described("a Host that is an IPv6 address", "GET / HTTP/1.1\nHost: [::1%25eth0]:80\n\n"),
		described("cookies stay apart", "GET / HTTP/1.1\n"+host+"Cookie: a=1\nCookie: b=2\n\n"),
		described("Connection and what it names stays", "GET / HTTP/1.1\n"+host+"Connection: x-a, keep-alive\nX-A: 1\nKeep-Alive: 5\n\n"),
		described("an upgrade is the handler's to see", "GET / HTTP/1.1\n"+host+"Connection: Upgrade\nUpgrade: websocket\n\n"),
		{
			name: "Pragma: no-cache stays alone", send: "GET / HTTP/1.1\n" + host + "Pragma: no-cache\n\n",
			handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
				n.add("%q", r.Header)
				sayPlain(w, "ok")
			},
			differs: []string{`"Cache-Control":["no-cache"] `, ""}, why: "net/http adds a Cache-Control that the client has not sent",
		},
		described("a Trailer without chunks is a field like others", "POST / HTTP/1.1\n"+host+"Trailer: X-T\nContent-Length: 2\n\nhi"),
		described("an empty Transfer-Encoding never stands for a length", "GET / HTTP/1.1\n"+host+"Content-Length: 0\n\n"),
		described("a length with zeros in front", "POST / HTTP/1.1\n"+host+"Content-Length: 0002\n\nhi"),
	}
}

func targetRows() []row {
	var rows []row
	for _, target := range []string{
		"*", "http:///x", "x:y", "x:/y", "a.example:80", "mailto:a@b", "ftp://b.example/", "http:/x", "http:x",
	} {
		rows = append(rows, row{
			name: "no target: " + target, send: "GET " + target + " HTTP/1.1\n" + host + "\n", handler: func(_ *notes, w http.ResponseWriter, _ *http.Request) { sayPlain(w, "ok") },
			differs: []string{"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Type: text/plain\n\nok\n--kept--", "HTTP/1.1 " + refused400[1] + "\n--closed--"},
			why:     "a GET has a path, or an absolute URL over http or https (RFC 9112 section 3.2)",
		})
	}
	for _, target := range []string{
		"/a/b", "/a%20b", "/%41", "/%2f", "/%zz", "//a//b", "/a/../b/./", "/?", "/?a=1&b", "/??", "/a?b#c", "/a#b", "/#", "/!'()*", "/[x]",
		"/;a=1:@&=+$,", "/\xc3\xa9", "/%c3%a9", "/a|b\"<>^`{}\\", "/:80", "http://b.example/x?y", "http://b.example", "HTTP://B.example:81/",
		"http://u:p@b.example/", "https://[::1]:80/x", "/a?b=%zz", "/~a-b_c.d", "/%7E", "/a%00b",
	} {
		rows = append(rows, row{name: target, send: "GET " + target + " HTTP/1.1\n" + host + "\n", handler: describe})
		if target == "/%zz" {
			rows[len(rows)-1].differs, rows[len(rows)-1].why = refused400, inJSON
		}
	}
	return append(rows,
		row{name: "OPTIONS *", send: "OPTIONS * HTTP/1.1\n" + host + "\n", handler: describe},
		row{name: "CONNECT with an authority", send: "CONNECT b.example:443 HTTP/1.1\nHost: b.example:443\n\n", handler: describe},
		row{name: "CONNECT with a path", send: "CONNECT /x HTTP/1.1\n" + host + "\n", handler: describe},
	)
}

const inJSON = "refusals are in the form of the sidecar's other answers"

var refused400 = []string{
	"400 Bad Request\nConnection: close\nContent-Type: text/plain; charset=utf-8\n\n400 Bad Request",
	"400 Bad Request\nCache-Control: no-store\nConnection: close\nContent-Length: 24\nContent-Type: application/json\n\n{\"error\":\"bad_request\"}\n",
}

func connectionRows() []row {
	old := func(name, fields string, h func(*notes, http.ResponseWriter, *http.Request)) row {
		return row{name: "HTTP/1.0 " + name, send: "GET / HTTP/1.0\n" + fields + "\n", handler: h}
	}
	with := func(name, value string) row {
		return row{name: name, send: "GET / HTTP/1.1\n" + host + "\n", handler: func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", value)
			sayPlain(w, "ok")
		}}
	}
	long := func(_ *notes, w http.ResponseWriter, _ *http.Request) { sayPlain(w, strings.Repeat("x", 10000)) }
	stream := func(_ *notes, w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			sayPlain(w, "tick")
			_ = http.NewResponseController(w).Flush()
		}
	}
	return []row{
		old("ends", "", say("ok")),
		old("with keep-alive is kept", "Connection: keep-alive\n", say("ok")),
		old("with Keep-Alive in any case is kept", "Connection: foo, Keep-ALIVE\n", say("ok")),
		differing(old("with keep-alive and close ends", "Connection: keep-alive, close\n", say("ok")),
			"close is stronger (RFC 9112 section 9.3); net/http overlooks it here", "Connection: keep-alive\n", "", "kept", "closed"),
		old("with keep-alive and a long answer ends with it", "Connection: keep-alive\n", long),
		old("with keep-alive and a stream ends with it", "Connection: keep-alive\n", stream),
		old("has no chunks", "", stream),
		{name: "HTTP/1.0 with keep-alive, HEAD", head: true, send: "HEAD / HTTP/1.0\nConnection: keep-alive\n\n", handler: say("hello")},
		old("with keep-alive, 204", "Connection: keep-alive\n", func(_ *notes, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }),
		old("with keep-alive, 304", "Connection: keep-alive\n", func(_ *notes, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }),
		differing(old("gets no informational answer", "", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			sayPlain(w, "ok")
		}), "HTTP/1.0 knows none (RFC 9110 section 15.2)", "HTTP/1.1 103 Early Hints\n\n\n--spoken on: ", "", "ok--", "ok\n--closed--"),
		{name: "close from the client", send: "GET / HTTP/1.1\n" + host + "Connection: close\n\n", handler: ignore},
		{name: "Close among others from the client", send: "GET / HTTP/1.1\n" + host + "Connection: x\nConnection: y , CLOSE\n\n", handler: ignore},
		{name: "what only looks like close", send: "GET / HTTP/1.1\n" + host + "Connection: closed, xclose\n\n", handler: ignore},
		{name: "close with a sign that folds to s", send: "GET / HTTP/1.1\n" + host + "Connection: clo\xc5\xbfe\n\n", handler: ignore},
		with("close from the handler", "close"),
		differing(with("Close in capitals from the handler", "Close"), whatItSays, "Connection: Close", "Connection: close", "kept", "closed"),
		differing(with("close among others from the handler", "x-foo, close"), whatItSays, "kept", "closed"),
		differing(with("keep-alive from the handler", "keep-alive"), "the server's to say, and said by HTTP/1.1 itself", "Connection: keep-alive\n", ""),
		differing(with("keep-alive among others from the handler", "keep-alive, x-foo"), "as above", "keep-alive, x-foo", "x-foo"),
		with("an option of the handler's own", "x-foo"),
		differing(answered("two fields Connection from the handler", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header()["Connection"] = []string{"x-foo", "close"}
			sayPlain(w, "ok")
		}), whatItSays, "x-foo\nConnection: close", "x-foo, close", "kept", "closed"),
	}
}

const whatItSays = "an answer that says close is the last one; net/http goes on"

// differing is r with a difference from net/http.
func differing(r row, why string, pairs ...string) row {
	r.differs, r.why = pairs, why
	return r
}

func pipelineRows() []row {
	count := func(n *notes, w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		n.add("%s %q %v", r.URL.Path, b, err)
		sayPlain(w, r.URL.Path)
	}
	skip := func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("%s", r.URL.Path)
		sayPlain(w, r.URL.Path)
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\n" + host + "\n" }
	sized := func(path, body string) string {
		return "POST " + path + " HTTP/1.1\n" + host + "Content-Length: " + itoa(len(body)) + "\n\n" + body
	}
	chunked := func(path, chunks string) string {
		return "POST " + path + " HTTP/1.1\n" + host + "Transfer-Encoding: chunked\n\n" + chunks
	}
	all := get("/1") + sized("/2", "hello") + chunked("/3", "5\nhello\n1;x=y\n!\n0\nX-T: 1\n\n") + get("/4") + sized("/5", strings.Repeat("y", 9000)) + get("/6")
	return []row{
		{name: "requests one behind the other", send: all, answers: 6, handler: count},
		{name: "bodies that nobody reads", send: all, answers: 6, handler: skip},
		{name: "a hundred", send: strings.Repeat(get("/x"), 100), answers: 100, handler: skip},
		{name: "nothing behind close", send: get("/1") + "GET /2 HTTP/1.1\n" + host + "Connection: close\n\n" + get("/3"), answers: 2, handler: count},
		{
			name: "nothing behind a body that is malformed", send: chunked("/1", "zz\n") + get("/2"), answers: 1, handler: count,
			differs: []string{"invalid byte in chunk length", "a malformed chunk"}, why: "the words are ours",
		},
		{
			name: "nothing behind a malformed body that nobody reads", send: chunked("/1", "5\nhelloXX") + get("/2"), answers: 1, handler: skip,
			differs: []string{"Connection: close\n", ""}, why: "the answer is sent before the rest of a body is looked at",
		},
		{name: "an empty line behind a body, of old clients", send: sized("/1", "hello") + "\n" + get("/2"), answers: 2, handler: count},
		{
			name: "an empty line behind a GET", send: get("/1") + "\n" + get("/2"), answers: 2, handler: skip,
			differs: []string{
				"HTTP/1.1 400 Bad Request\nConnection: close\nContent-Type: text/plain; charset=utf-8\n\n400 Bad Request\n--closed--/1",
				"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Type: text/plain\n\n/2\n--kept--/1; /2",
			}, why: "one is overlooked behind any request (RFC 9112 section 2.2); net/http does so behind POST",
		},
		{
			name: "three empty lines", send: sized("/1", "hello") + "\n\n\n" + get("/2"), answers: 2, handler: skip,
			differs: refused400, why: inJSON,
		},
		{name: "bytes behind the body are the next request's", send: sized("/1", "hi") + "XX" + get("/2"), answers: 2, handler: count},
	}
}

func bodyRows() []row {
	post := func(fields, body string) string { return "POST / HTTP/1.1\n" + host + fields + "\n" + body }
	const chunked = "Transfer-Encoding: chunked\n"
	rows := []row{}
	for _, tt := range []struct{ name, send string }{
		{"a body of a length", post("Content-Length: 5\n", "hello")},
		{"a body of length 0", post("Content-Length: 0\n", "")},
		{"no body", post("", "")},
		{"a GET with a body", strings.Replace(post("Content-Length: 5\n", "hello"), "POST", "GET", 1)},
		{"chunks", post(chunked, "5\nhello\n000A\n0123456789\n0\n\n")},
		{"chunks, coding in capitals", post("Transfer-Encoding: CHUNKED\n", "5\nhello\n0\n\n")},
		{"chunks without a byte", post(chunked, "0\n\n")},
		{"extensions of chunks", post(chunked, "5;a=b;c=\"d\"\nhello\n0;e\n\n")},
		{"padding behind a size", post(chunked, "5 \t\nhello\n0\n\n")},
		{"a trailer that was announced", post(chunked+"Trailer: X-A, x-b\n", "2\nhi\n0\nX-A: 1\nX-B: 2\nx-b: 3\n\n")},
		{"a trailer that was announced and does not come", post(chunked+"Trailer: X-A\n", "2\nhi\n0\n\n")},
		{"names of trailers that are none", post(chunked+"Trailer: , ,\n", "2\nhi\n0\n\n")},
		{"a length as a trailer", post(chunked+"Trailer: Content-Length\n", "2\nhi\n0\n\n")},
		{"a long body", post("Content-Length: 100000\n", strings.Repeat("x", 100000))},
		{"a long chunk", post(chunked, "186a0\n"+strings.Repeat("x", 100000)+"\n0\n\n")},
	} {
		r := row{name: tt.name, send: tt.send, handler: describe}
		if tt.name == "a length as a trailer" {
			r.differs, r.why = refused400, inJSON
		}
		rows = append(rows, r)
	}
	rows = append(rows, row{
		name: "a trailer that was not announced", send: post(chunked, "2\nhi\n0\nX-A: 1\n\n"), handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			n.add("%v %q", err, r.Trailer)
			sayPlain(w, "ok")
		},
		differs: []string{`map["X-A":["1"]]`, "map[]"}, why: "only what was announced can be told apart from what is meant for the header",
	})
	return append(rows, bodyUseRows()...)
}

// bodyUseRows are about what handlers do with a body.
func bodyUseRows() []row {
	const five = "POST / HTTP/1.1\n" + host + "Content-Length: 5\n\nhello"
	const chunks = "POST / HTTP/1.1\n" + host + "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n"
	long := "POST / HTTP/1.1\n" + host + "Content-Length: 200000\n\n" + strings.Repeat("x", 200000)
	longer := "POST / HTTP/1.1\n" + host + "Content-Length: 300000\n\n" + strings.Repeat("x", 300000)
	partly := func(n *notes, w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadFull(r.Body, make([]byte, 2))
		n.add("%d %v", got, err)
		sayPlain(w, "ok")
	}
	afterEnd := func(n *notes, w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		n.add("%q %v", b, err)
		got, err := r.Body.Read(make([]byte, 1))
		n.add("%d %v", got, err)
		got, err = r.Body.Read(nil)
		n.add("%d %v", got, err)
		sayPlain(w, "ok")
	}
	closeIt := func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("%v", r.Body.Close())
		sayPlain(w, "ok")
	}
	return []row{
		{name: "an answer without reading the body", send: five, handler: ignore},
		{name: "an answer without reading the chunks", send: chunks, handler: ignore},
		{name: "an answer without reading a long body", send: long, handler: ignore},
		{name: "an answer without reading more than is worth it", send: longer, handler: ignore},
		{name: "a part of the body is read", send: five, handler: partly},
		{name: "a part of the chunks is read", send: chunks, handler: partly},
		{name: "a part of a long body is read", send: long, handler: partly},
		{name: "reading on behind the end", send: five, handler: afterEnd},
		{name: "reading on behind the last chunk", send: chunks, handler: afterEnd},
		{name: "reading where there is no body", send: "GET / HTTP/1.1\n" + host + "\n", handler: afterEnd},
		{name: "a body that is closed", send: five, handler: closeIt},
		{name: "chunks that are closed", send: chunks, handler: closeIt},
		{name: "no body, closed", send: "GET / HTTP/1.1\n" + host + "\n", handler: closeIt},
		{name: "echoing while reading, in small pieces", send: long, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Content-Type", "text/plain")
			copied, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r.Body}, make([]byte, 777))
			n.add("%d %v", copied, err)
		}},
	}
}

func continueRows() []row {
	const asks = "POST / HTTP/1.1\n" + host + "Content-Length: 2\nExpect: 100-continue\n\n"
	early := func(_ *notes, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}
	twice := func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(100)
		b, err := io.ReadAll(r.Body)
		n.add("%q %v", b, err)
		sayPlain(w, "ok")
	}
	return []row{
		{name: "asked for when it is read", send: asks + "hi", answers: 2, handler: describe},
		{name: "in any case", send: strings.Replace(asks, "100-c", "100-C", 1) + "hi", answers: 2, handler: describe},
		{name: "not asked for: the connection ends", send: asks, handler: early},
		{name: "not asked for, but sent: the connection ends", send: asks + "hi", handler: early},
		{name: "by the handler, then none by reading", send: asks + "hi", answers: 2, handler: twice},
		{name: "chunks", send: "POST / HTTP/1.1\n" + host + "Transfer-Encoding: chunked\nExpect: 100-continue\n\n2\nhi\n0\n\n", answers: 2, handler: describe},
		{name: "without a body it is not answered", send: "POST / HTTP/1.1\n" + host + "Content-Length: 0\nExpect: 100-continue\n\n", handler: describe},
		{name: "HTTP/1.0 is not asked", send: "POST / HTTP/1.0\n" + host + "Content-Length: 2\nExpect: 100-continue\n\nhi", handler: describe},
		{name: "another expectation", send: "POST / HTTP/1.1\n" + host + "Content-Length: 2\nExpect: 200-ok\n\nhi", handler: describe,
			differs: []string{
				"Connection: close\nContent-Length: 0\n\n",
				"Cache-Control: no-store\nConnection: close\nContent-Length: 31\nContent-Type: application/json\n\n{\"error\":\"expectation_failed\"}\n",
			}, why: inJSON},
		{
			name: "an empty expectation", send: "POST / HTTP/1.1\n" + host + "Content-Length: 2\nExpect:\n\nhi", handler: ignore,
			differs: []string{
				"200 OK\nContent-Length: 2\nContent-Type: text/plain\n\nok\n--kept",
				"417 Expectation Failed\nCache-Control: no-store\nConnection: close\nContent-Length: 31\nContent-Type: application/json\n\n{\"error\":\"expectation_failed\"}\n\n--closed",
			}, why: "what is no expectation that is known is refused",
		},
		{name: "103 comes before 100", send: asks + "hi", answers: 3, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(103)
			b, err := io.ReadAll(r.Body)
			n.add("%q %v", b, err)
			sayPlain(w, "ok")
		}},
		{name: "the status is written before the body is read: it is not asked for", send: asks + "hi", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "2")
			sayHeader(w, 200)
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience))
			b, err := io.ReadAll(r.Body)
			n.add("%q %v", b, err)
			_, _ = io.WriteString(w, "ok")
		}},
	}
}
