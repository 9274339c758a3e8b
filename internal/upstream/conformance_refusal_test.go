package upstream_test

import (
	"strconv"
	"strings"
)

// refusedWith is how the server answers what is not a request, as it does under both
// engines.
func refusedWith(status, code string) string {
	body := `{"error":"` + code + "\"}\n"
	return "HTTP/1.1 " + status + "\nCache-Control: no-store\nConnection: close\nContent-Length: " + strconv.Itoa(len(body)) +
		"\nContent-Type: application/json\n\n" + body
}

// refusedRequestRows are requests of which there is more than one reading, or
// none. The upstream hears nothing of them, nor of what stands behind them.
func refusedRequestRows() []row {
	refused := func(name, bytes string) row {
		return row{name: name, send: bytes + get, request: "none", want: []string{refusedWith("400 Bad Request", "bad_request")}, closed: true}
	}
	as := func(status, code string, r row) row {
		r.want = []string{refusedWith(status, code)}
		return r
	}
	coding := func(r row) row { return as("501 Not Implemented", "not_implemented", r) }
	long := func(r row) row { return as("431 Request Header Fields Too Large", "header_too_large", r) }
	const start, chunked = "POST / HTTP/1.1\nHost: a\n", "Transfer-Encoding: chunked\n"
	return []row{
		refused("a folded field", start+"X-A: 1\n 2\n\n"),
		refused("a folded field, by a tab", start+"X-A: 1\n\t2\n\n"),
		refused("a folded first field", "POST / HTTP/1.1\n X-A: 1\nHost: a\n\n"),
		refused("a folded length", start+"Content-Length:\n 2\n\nhi"),

		refused("lines that end with LF alone", "GET / HTTP/1.1\vHost: a\v\v"),
		refused("a request line that ends with LF alone", "GET / HTTP/1.1\vHost: a\n\n"),
		refused("a field that ends with LF alone", "GET / HTTP/1.1\nHost: a\vX-A: 1\n\n"),
		refused("an empty line that is LF alone", "GET / HTTP/1.1\nHost: a\n\v"),
		refused("a coding behind a bare LF", start+"Transfer-Encoding: \vchunked\n\n0\n\n"),

		refused("a bare CR in a value", start+"X-A: 1\r2\n\n"),
		refused("a bare CR that ends a field", start+"X-A: 1\rContent-Length: 2\n\nhi"),
		refused("a bare CR before CRLF", start+"X-A: 1\r\n\n"),
		refused("a bare CR in the request line", "GET /\rx HTTP/1.1\nHost: a\n\n"),
		refused("a bare CR in a name", start+"X\rA: 1\n\n"),
		refused("a NUL in a value", start+"X-A: 1\x002\n\n"),
		refused("DEL in a value", start+"X-A: 1\x7f2\n\n"),

		refused("Transfer-Encoding and Content-Length", start+"Content-Length: 9\n"+chunked+"\n2\nhi\n0\n\n"),
		refused("Transfer-Encoding and a Content-Length of 0", start+chunked+"Content-Length: 0\n\n0\n\n"),
		refused("Transfer-Encoding in HTTP/1.0", "POST / HTTP/1.0\nHost: a\n"+chunked+"\n0\n\n"),

		refused("two lengths", start+"Content-Length: 2\nContent-Length: 3\n\nhi!"),
		refused("the same length twice", start+"Content-Length: 2\nContent-Length: 2\n\nhi"),
		refused("lengths in a list", start+"Content-Length: 2, 3\n\nhi!"),
		refused("the same length twice in a list", start+"Content-Length: 2, 2\n\nhi"),
		refused("a length with a sign", start+"Content-Length: +2\n\nhi"),
		refused("an empty length", start+"Content-Length:\n\nhi"),
		refused("a length in hexadecimal", start+"Content-Length: 0x2\n\nhi"),
		refused("a length beyond 63 bits", start+"Content-Length: 9223372036854775808\n\nhi"),

		coding(refused("chunked not last", start+"Transfer-Encoding: chunked, identity\n\n0\n\n")),
		coding(refused("chunked behind another coding", start+"Transfer-Encoding: gzip, chunked\n\n0\n\n")),
		coding(refused("chunked twice", start+chunked+chunked+"\n0\n\n")),
		coding(refused("chunked with a tail", start+"Transfer-Encoding: chunked;x\n\n0\n\n")),
		coding(refused("chunked with a Kelvin sign", start+"Transfer-Encoding: chun\u212aed\n\n0\n\n")),
		coding(refused("no coding", start+"Transfer-Encoding:\n\n0\n\n")),

		refused("a space before the colon", start+"Content-Length : 2\n\nhi"),
		refused("a tab before the colon", start+"Transfer-Encoding\t: chunked\n\n0\n\n"),
		refused("a field without a colon", start+"nonsense\n\n"),
		refused("an empty name", start+": 1\n\n"),

		long(refused("more fields than anyone sends", start+strings.Repeat("X-A: 1\n", 1001)+"\n")),
		long(refused("a field above the limit", start+"X-A: "+strings.Repeat("a", 64<<10)+"\n\n")),
		long(refused("a field that does not end", start+"X-A: "+strings.Repeat("a", 70<<10))),
		long(refused("a header above the limit", start+strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\n", 66)+"\n")),
		as("414 Request URI Too Long", "uri_too_long", refused("a request line above the limit", "GET /"+strings.Repeat("a", 64<<10)+" HTTP/1.1\nHost: a\n\n")),

		refused("no Host", "GET / HTTP/1.1\n\n"),
		refused("two Hosts", "GET / HTTP/1.1\nHost: a\nHost: b\n\n"),
		refused("a Host with a space", "GET / HTTP/1.1\nHost: a b\n\n"),
		refused("a target with a space", "GET /a b HTTP/1.1\nHost: a\n\n"),
		refused("two spaces before the version", "GET /  HTTP/1.1\nHost: a\n\n"),
		refused("a version that is none", "GET / HTTP/1.1x\nHost: a\n\n"),
		refused("an empty line first", "\n"),
		as("505 HTTP Version Not Supported", "version_not_supported", refused("another version", "GET / HTTP/1.2\nHost: a\n\n")),
	}
}

// refusedBodyRows are requests that turn out malformed in their body, when some
// of it may be with the upstream already: it never gets the end.
func refusedBodyRows() []row {
	const start = "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n"
	refused := func(name, bytes string) row {
		return row{name: name, send: start + bytes + get, request: "broken", want: []string{badRequest}, closed: true}
	}
	return []row{
		refused("a chunk that is none", "\nzz\n"),
		refused("a chunk without a size", "\n2\nhi\n\n0\n\n"),
		refused("a size with a sign", "\n+2\nhi\n0\n\n"),
		refused("a size with 0x", "\n0x2\nhi\n0\n\n"),
		refused("a size with a space before it", "\n 2\nhi\n0\n\n"),
		refused("a size beyond 64 bits", "\n10000000000000002\nhi\n0\n\n"),
		refused("a chunk longer than its size", "\n2\nhi!\n0\n\n"),
		refused("a line before a chunk that ends with LF alone", "\n2\vhi\n0\n\n"),
		refused("a chunk that ends with LF alone", "\n2\nhi\v0\n\n"),
		refused("the last chunk ends with LF alone", "\n2\nhi\n0\v\n"),
		refused("an empty line behind chunks that is LF alone", "\n2\nhi\n0\n\v"),
		refused("a bare CR in a line before a chunk", "\n2;\ra\nhi\n0\n\n"),
		refused("an extension above the limit", "\n2;"+strings.Repeat("a", 8<<10)+"\nhi\n0\n\n"),
		refused("a trailer that is none", "\n2\nhi\n0\nnonsense\n\n"),
		refused("a trailer that ends with LF alone", "\n2\nhi\n0\nX-A: 1\v\n"),
		refused("a folded trailer", "\n2\nhi\n0\nX-A: 1\n 2\n\n"),
		refused("a bare CR in a trailer", "\n2\nhi\n0\nX-A: 1\r2\n\n"),
		refused("a trailer with a space before the colon", "\n2\nhi\n0\nX-A : 1\n\n"),
		refused("a trailer whose name has a space", "Trailer: Content-Length x\n\n2\nhi\n0\nContent-Length x: 7\n\n"),
		refused("a trailer above the limit", "\n2\nhi\n0\nX-A: "+strings.Repeat("a", 70<<10)+"\n\n"),
		refused("a trailer of more fields than anyone sends", "\n2\nhi\n0\n"+strings.Repeat("X-A: 1\n", 1001)+"\n"),
	}
}
