package server_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

func sayHeader(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
}

const getRoot = "GET / HTTP/1.1\n" + host + "\n"

// answered is a row for a GET, headed one for a HEAD.
func answered(name string, h func(n *notes, w http.ResponseWriter, r *http.Request)) row {
	return row{name: name, send: getRoot, handler: h}
}

func headed(name string, h func(n *notes, w http.ResponseWriter, r *http.Request)) row {
	return row{name: "HEAD, " + name, send: strings.Replace(getRoot, "GET", "HEAD", 1), head: true, handler: h}
}

func framingRows() []row {
	write := func(pieces ...string) func(*notes, http.ResponseWriter, *http.Request) {
		return func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for _, p := range pieces {
				if got, err := io.WriteString(w, p); err != nil {
					n.add("%d %v", got, err)
				}
			}
		}
	}
	flushed := func(pieces ...string) func(*notes, http.ResponseWriter, *http.Request) {
		return func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for _, p := range pieces {
				_, err := io.WriteString(w, p)
				n.add("%v %v", err, http.NewResponseController(w).Flush())
			}
		}
	}
	length := func(l string, h func(*notes, http.ResponseWriter, *http.Request)) func(*notes, http.ResponseWriter, *http.Request) {
		return func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Length"] = strings.Split(l, "|")
			h(n, w, r)
		}
	}
	status := func(s int, h func(*notes, http.ResponseWriter, *http.Request)) func(*notes, http.ResponseWriter, *http.Request) {
		return func(n *notes, w http.ResponseWriter, r *http.Request) {
			sayHeader(w, s)
			h(n, w, r)
		}
	}
	coding := func(te string, h func(*notes, http.ResponseWriter, *http.Request)) func(*notes, http.ResponseWriter, *http.Request) {
		return func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Transfer-Encoding", te)
			h(n, w, r)
		}
	}
	long, longer := strings.Repeat("x", 3000), strings.Repeat("y", 70000)
	rows := []row{
		answered("a handler that writes nothing", func(*notes, http.ResponseWriter, *http.Request) {}),
		answered("a short answer has its length", write("hello")),
		answered("an empty write", write("")),
		answered("an answer of many short pieces", write(strings.Split(strings.Repeat("ab ", 500), " ")...)),
		answered("a long answer has chunks", write(long)),
		answered("a long answer in pieces has chunks", write(long, longer, "z", long)),
		answered("as much as is held back", write(strings.Repeat("x", 2048))),
		answered("a byte more than is held back", write(strings.Repeat("x", 2049))),
		answered("flushes make chunks", flushed("a", "b", "c")),
		answered("a flush of nothing sends the header", flushed("")),
		answered("a length that is declared", length("5", write("hello"))),
		answered("a length that is declared, a stream", length("5", flushed("he", "llo"))),
		answered("a long answer of declared length", length("73000", write(long, longer))),
		answered("a declared length that is not reached", length("10", write("hello"))),
		answered("a declared length of which nothing comes", length("10", write())),
		answered("a declared length that is exceeded", length("3", write("hello"))),
		differing(answered("a declared length that is exceeded by a second piece", length("5", write("hello", "!"))), refusedWrite, "closed", "kept"),
		answered("a declared length of 0", length("0", write())),
		differing(answered("a declared length of 0 that is exceeded", length("0", write("x"))), refusedWrite, "closed", "kept"),
		answered("a declared length with zeros", length("005", write("hello"))),
		differing(answered("a declared length that is none", length("five", write("hello"))), told, "Content-Type: text/plain\nTransfer-Encoding: chunked\n", "Content-Length: 5\nContent-Type: text/plain\n"),
		differing(answered("a declared length with a sign", length("+5", write("hello"))), told, "Content-Length: +5", "Content-Length: 5"),
		differing(answered("a declared length below 0", length("-5", write("hello"))), told, "Content-Type: text/plain\nTransfer-Encoding: chunked\n", "Content-Length: 5\nContent-Type: text/plain\n"),
		differing(answered("a declared length with a space", length(" 5", write("hello"))), told, "Content-Type: text/plain\nTransfer-Encoding: chunked\n", "Content-Length: 5\nContent-Type: text/plain\n"),
		differing(answered("an empty declared length", length("", write("hello"))), told, "Content-Type: text/plain\nTransfer-Encoding: chunked\n", "Content-Length: 5\nContent-Type: text/plain\n"),
		differing(answered("two declared lengths", length("5|5", write("hello"))), told, "Content-Length: 5\nContent-Length: 5\n", "Content-Length: 5\n"),
		differing(answered("a length behind chunked", length("5", coding("chunked", write("hello")))), framed, "Content-Type: text/plain\nTransfer-Encoding: chunked\n", "Content-Length: 5\nContent-Type: text/plain\n"),
		differing(answered("chunked by the handler is the server's to say", coding("chunked", write("hello"))), framed, "Content-Type: text/plain\nTransfer-Encoding: chunked\n", "Content-Length: 5\nContent-Type: text/plain\n"),
		differing(answered("identity by the handler", coding("identity", write("hello"))), framed, "Connection: close\n", "Content-Length: 5\n", "closed", "kept"),
		differing(answered("another coding by the handler", coding("gzip", write("hello"))), framed, "Content-Type: text/plain\nTransfer-Encoding: gzip\nTransfer-Encoding: chunked\n", "Content-Length: 5\nContent-Type: text/plain\n"),
		headed("nothing written", write()),
		headed("a short answer", write("hello")),
		headed("a long answer", write(long)),
		headed("a flush", flushed("hello", "x")),
		headed("a declared length, nothing written", length("10", write())),
		headed("a declared length, all written", length("5", write("hello"))),
		headed("a declared length that is exceeded", length("3", write("hello"))),
		headed("a declared length of 0", length("0", write())),
		answered("204", status(204, write())),
		answered("204 with a body", status(204, write("hello"))),
		answered("204 with a length", length("5", status(204, write()))),
		answered("204 with a flush", status(204, flushed(""))),
		differing(answered("304", status(304, write())), like200, "Modified\n", "Modified\nContent-Type: text/plain\n"),
		differing(answered("304 with a body", status(304, write("hello"))), like200, "Modified\n", "Modified\nContent-Type: text/plain\n"),
		differing(answered("304 with a length", length("5", status(304, write()))), like200, "Modified\n", "Modified\nContent-Length: 5\nContent-Type: text/plain\n"),
		differing(headed("304", status(304, write())), like200, "Modified\n", "Modified\nContent-Type: text/plain\n"),
		answered("205", status(205, write())),
		answered("205 with a body", status(205, write("hello"))),
		answered("404", status(404, write("gone"))),
		answered("500 without a word", status(500, write())),
		answered("a status without a name", status(599, write("x"))),
		answered("a status of three digits that is none", status(999, write("x"))),
		answered("101 by a handler that does not take the connection over", status(101, write())),
		{name: "CONNECT", send: "CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\n\n", handler: write("tunnel?")},
		{name: "OPTIONS *", send: "OPTIONS * HTTP/1.1\n" + host + "\n", handler: write("all")},
	}
	return append(rows, writerRows(long)...)
}

// Reasons of differences.
const (
	refusedWrite = "a write that was refused counts for nothing"
	told         = "what is no length is dropped, and a short answer told its own"
	framed       = "how an answer ends is the server's alone to say"
	like200      = "a 304 may have the fields that 200 would have (RFC 9110 section 15.4.5): caches update theirs"
	tooEarly     = "a trailer is sent once, behind the body; names are announced in one form, and none that frame"
)

// onlyReader keeps io.Copy from being clever.
type onlyReader struct{ io.Reader }

func writerRows(long string) []row {
	return []row{
		answered("io.Copy from a reader", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			copied, err := io.Copy(w, onlyReader{strings.NewReader(strings.Repeat(long, 30))})
			n.add("%d %v", copied, err)
		}),
		answered("io.Copy from a short reader", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			copied, err := io.Copy(w, onlyReader{bytes.NewReader([]byte("hello"))})
			n.add("%d %v", copied, err)
		}),
		answered("a second status is ignored", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayHeader(w, 201)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "ok")
			w.WriteHeader(500)
		}),
		answered("a status after the body is ignored", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayPlain(w, "ok")
			w.WriteHeader(500)
		}),
		answered("a header that is set too late is ignored", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayHeader(w, 200)
			w.Header().Set("X-Late", "1")
			_, _ = io.WriteString(w, "ok")
		}),
		answered("a header that is set behind the first piece is ignored", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayPlain(w, "ok")
			w.Header().Set("X-Late", "1")
		}),
		answered("a length that is set too late is ignored", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayHeader(w, 200)
			w.Header().Set("Content-Length", "50")
			_, _ = io.WriteString(w, "ok")
		}),
		answered("an invalid status panics", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			defer func() { n.add("%v", recover() != nil); sayPlain(w, "ok") }()
			w.WriteHeader(99)
		}),
		answered("an invalid status of four digits panics", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			defer func() { n.add("%v", recover() != nil); sayPlain(w, "ok") }()
			w.WriteHeader(1000)
		}),
		answered("an invalid status after a valid one", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			defer func() { n.add("%v", recover() != nil) }()
			sayPlain(w, "ok")
			w.WriteHeader(0)
		}),
		differing(answered("which errors a write has", func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			sayHeader(w, 200)
			_, err := io.WriteString(w, "too much")
			n.add("%v", errors.Is(err, http.ErrContentLength))
			_, _ = io.WriteString(w, "ok")
		}), refusedWrite, "<cut>\n--closed", "ok\n--kept"),
	}
}

func headerRows() []row {
	set := func(name string, values ...string) func(*notes, http.ResponseWriter, *http.Request) {
		return func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header()[name] = values
			sayPlain(w, "ok")
		}
	}
	return []row{
		answered("several values are several fields", set("X-A", "1", "2", "")),
		answered("no value is no field", set("X-A")),
		answered("a name as the handler writes it", set("x-a", "1")),
		answered("an invalid name is left out", set("X A", "1")),
		answered("an empty name is left out", set("", "1")),
		answered("a name with a line break is left out", set("X-A: 1\r\nX-B", "2")),
		answered("line breaks in a value become spaces", set("X-A", "1\r\nX-B: 2")),
		answered("white space around a value goes", set("X-A", " \t1 \t")),
		answered("bytes above ASCII stay", set("X-A", "\xff\xc3\xa9")),
		differing(answered("a NUL in a value", set("X-A", "1\x002")), "no control character but a tab is sent", "1\x002", "1 2"),
		answered("a tab in a value", set("X-A", "1\t2")),
		answered("Date can be set", set("Date", "")),
		answered("Date can be left out", set("Date")),
		answered("Content-Type can be left out", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "ok")
		}),
		differing(answered("an empty Trailer", set("Trailer", "")), "it announces nothing",
			"Content-Type: text/plain\nTrailer: \nTransfer-Encoding: chunked\n", "Content-Length: 2\nContent-Type: text/plain\n"),
		differing(answered("a length in small letters", set("content-length", "5")), framed, "content-length: 5\n", ""),
		differing(answered("a coding in capitals", set("TRANSFER-ENCODING", "chunked")), framed, "TRANSFER-ENCODING: chunked\n", ""),
		differing(answered("a length in mixed letters", set("Content-length", "5")), framed, "Content-length: 5\n", ""),
		differing(answered("options in small letters", set("connection", "close")), framed, "connection: close\n", ""),
	}
}

func sniffingRows() []row {
	raw := func(fields map[string]string, pieces ...string) func(*notes, http.ResponseWriter, *http.Request) {
		return func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			for name, v := range fields {
				w.Header().Set(name, v)
			}
			for _, p := range pieces {
				_, _ = io.WriteString(w, p)
			}
		}
	}
	return []row{
		answered("HTML", raw(nil, "<!DOCTYPE html><p>hi")),
		answered("JSON is text", raw(nil, `{"a":1}`)),
		answered("binary", raw(nil, "\x00\x01\x02")),
		answered("in two pieces", raw(nil, "<!DOC", "TYPE html><p>hi")),
		answered("in two pieces with a declared length", raw(map[string]string{"Content-Length": "20"}, "<!DOC", "TYPE html><p>hi")),
		answered("in a short and a long piece", raw(nil, "<!DOC", "TYPE html><p>"+strings.Repeat("x", 5000))),
		answered("with an empty coding", raw(map[string]string{"Content-Encoding": ""}, "<html>")),
		answered("nothing", raw(nil)),
		answered("an empty type counts", raw(map[string]string{"Content-Type": ""}, "<html>")),
		answered("not with a coding", raw(map[string]string{"Content-Encoding": "gzip"}, "\x1f\x8b\x08")),
		answered("an error", func(_ *notes, w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }),
		answered("a redirect", func(_ *notes, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", 302) }),
		headed("HTML", raw(nil, "<html>")),
		answered("behind a flush", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "<html>")
		}),
	}
}

func trailerRows() []row {
	const old = "GET / HTTP/1.0\n\n"
	announced := func(names string, body string) func(*notes, http.ResponseWriter, *http.Request) {
		return func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", names)
			w.Header().Set("X-T", "too early")
			sayPlain(w, body)
			w.Header().Set("X-T", "1")
			w.Header().Set("X-U", "2")
		}
	}
	prefixed := func(before bool, body string) func(*notes, http.ResponseWriter, *http.Request) {
		return func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			if before {
				w.Header().Set(http.TrailerPrefix+"X-T", "0")
			}
			sayPlain(w, body)
			w.Header().Set(http.TrailerPrefix+"X-T", "1")
		}
	}
	early := func(r row, pairs ...string) row {
		return differing(r, tooEarly, append(pairs, "X-T: too early\n", "")...)
	}
	return []row{
		early(answered("announced", announced("X-T", "hello"))),
		early(answered("announced in any case", announced("x-t, x-u", "hello")), "x-t, x-u", "X-T, X-U"),
		early(answered("announced, without a body", announced("X-T", ""))),
		early(answered("announced, a long body", announced("X-T, X-U", strings.Repeat("x", 5000)))),
		answered("announced and never set", announced("X-V", "hello")),
		early(answered("announced names that frame", announced("Content-Length, Transfer-Encoding, X-T", "hello")), "Content-Length, Transfer-Encoding, ", ""),
		early(answered("announced with a name that is none", announced("X T, X-T", "hello")), "X T, ", ""),
		early(headed("announced", announced("X-T", "hello"))),
		early(row{name: "announced to HTTP/1.0", send: old, handler: announced("X-T", "hello")}),
		answered("prefixed", prefixed(true, "hello")),
		answered("prefixed behind a short body", prefixed(false, "hello")),
		answered("prefixed behind a long body", prefixed(false, strings.Repeat("x", 5000))),
		differing(answered("prefixed names that frame", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayPlain(w, strings.Repeat("x", 5000))
			w.Header().Set(http.TrailerPrefix+"Content-Length", "1")
			w.Header().Set(http.TrailerPrefix+"X-T", "1\r\n2")
		}), "no trailer may frame (RFC 9110 section 6.5.1)", "Content-Length: 1\n", ""),
		answered("announced with a declared length", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-T")
			w.Header().Set("Content-Length", "2")
			sayPlain(w, "ok")
			w.Header().Set("X-T", "1")
		}),
		answered("of 204", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-T")
			w.WriteHeader(204)
			w.Header().Set("X-T", "1")
		}),
	}
}

func informationalRows() []row {
	hints := func(_ *notes, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(103)
		w.Header().Add("Link", "</b.css>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		sayPlain(w, "ok")
	}
	rows := []row{
		answered("103 twice", hints),
		answered("102 with fields that frame", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.Header().Set("Transfer-Encoding", "chunked")
			w.WriteHeader(102)
			w.Header().Del("Transfer-Encoding")
			sayPlain(w, "ok")
		}),
		answered("100 that nobody asked for", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(100)
			sayPlain(w, "ok")
		}),
		answered("103 behind the status is ignored", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayHeader(w, 200)
			w.WriteHeader(103)
			_, _ = io.WriteString(w, "ok")
		}),
		answered("103 and nothing more", func(_ *notes, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }),
		differing(answered("103 with Connection", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.Header().Set("X-A", "1")
			w.WriteHeader(103)
			sayPlain(w, "ok")
		}), "the connection ends with the final answer, which says so", "Hints\nConnection: close\n", "Hints\n"),
	}
	rows[0].answers = 3
	for i := 1; i < len(rows); i++ {
		rows[i].answers = 2
	}
	rows[3].answers = 1
	return rows
}

func panicRows() []row {
	return []row{
		answered("before anything", func(*notes, http.ResponseWriter, *http.Request) { panic("boo") }),
		answered("behind a header that was set", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "1")
			panic(http.ErrAbortHandler)
		}),
		answered("behind the status", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayHeader(w, 200)
			panic(http.ErrAbortHandler)
		}),
		answered("behind a short answer", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayPlain(w, "ok")
			panic(http.ErrAbortHandler)
		}),
		answered("behind the whole of a declared length", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			sayPlain(w, "ok")
			panic(http.ErrAbortHandler)
		}),
		answered("behind 204", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			panic(http.ErrAbortHandler)
		}),
		answered("behind a flush", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayPlain(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}),
		answered("behind a flush, with a declared length", func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			sayPlain(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic("boo")
		}),
		differing(row{name: "behind a flush to HTTP/1.0", send: "GET / HTTP/1.0\n\n", handler: func(_ *notes, w http.ResponseWriter, _ *http.Request) {
			sayPlain(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}}, "the end of the connection would make it look whole", "part\n", "part<reset>\n"),
		{name: "with a body that was not read", send: "POST / HTTP/1.1\n" + host + "Content-Length: 5\n\nhello", handler: func(*notes, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		answered("nil", func(*notes, http.ResponseWriter, *http.Request) { panic(nil) }), //nolint:govet // that is the case
	}
}
