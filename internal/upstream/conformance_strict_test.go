package upstream_test

import (
	"strings"
)

func refusedRows() []row {
	refused := func(name, bytes string) row {
		return row{name: name, send: get, answer: bytes, hangup: true, want: []string{badGate}}
	}
	return []row{
		refused("no answer at all", ""),
		refused("half a header", "HTTP/1.1 200 OK\nContent-Le"),
		refused("another protocol", "SSH-2.0-OpenSSH_9.6\n"),
		refused("another version", "HTTP/2.0 200 OK\nContent-Length: 2\n\nok"),
		refused("a status of two digits", "HTTP/1.1 20 OK\nContent-Length: 2\n\nok"),
		refused("a status below 100", "HTTP/1.1 099 Odd\nContent-Length: 2\n\nok"),
		refused("101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: x\n\n"),
		refused("101 that names no protocol", "HTTP/1.1 101 Switching Protocols\n\n"),
		refused("a field without a colon", "HTTP/1.1 200 OK\nnonsense\nContent-Length: 2\n\nok"),
		refused("a space before the colon", "HTTP/1.1 200 OK\nContent-Length : 2\n\nok"),
		refused("a name with invalid bytes", "HTTP/1.1 200 OK\nX\x01A: 1\nContent-Length: 2\n\nok"),
		refused("a value with a NUL", "HTTP/1.1 200 OK\nX-A: 1\x002\nContent-Length: 2\n\nok"),
		refused("a value with a bare CR", "HTTP/1.1 200 OK\nX-A: 1\r2\nContent-Length: 2\n\nok"),
		refused("a carriage return that ends a line alone", "HTTP/1.1 200 OK\nX-A: 1\rContent-Length: 2\n\nok"),
		refused("a folded first line", "HTTP/1.1 200 OK\n X-A: 1\nContent-Length: 2\n\nok"),
		refused("an empty name", "HTTP/1.1 200 OK\n: 1\nContent-Length: 2\n\nok"),
		refused("a name above ASCII", "HTTP/1.1 200 OK\nX\xe9: 1\nContent-Length: 2\n\nok"),
		refused("a value with DEL", "HTTP/1.1 200 OK\nX-A: 1\x7f2\nContent-Length: 2\n\nok"),
		refused("a status of four digits", "HTTP/1.1 2000 OK\nContent-Length: 2\n\nok"),
		refused("a status that is none", "HTTP/1.1 +20 OK\nContent-Length: 2\n\nok"),
		refused("a version of three digits", "HTTP/1.10 200 OK\nContent-Length: 2\n\nok"),
		refused("no status", "HTTP/1.1\nContent-Length: 2\n\nok"),
		refused("an empty line first", "\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
		refused("a length after 304 that is none", "HTTP/1.1 304 Not Modified\nContent-Length: x\n\n"),
		refused("two lengths in a line", "HTTP/1.1 200 OK\nContent-Length: 2, 2\n\nok"),
		refused("a length with a sign", "HTTP/1.1 200 OK\nContent-Length: +2\n\nok"),
		refused("an empty length", "HTTP/1.1 200 OK\nContent-Length:\n\nok"),
		refused("a length beyond 63 bits", "HTTP/1.1 200 OK\nContent-Length: 9223372036854775808\n\nok"),
		refused("chunked twice", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n"),
		refused("chunked not last", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked, gzip\n\n0\n\n"),
		refused("chunked with a Kelvin sign", "HTTP/1.1 200 OK\nTransfer-Encoding: chun\u212aed\n\n0\n\n"),
		refused("chunked with a tail", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked;x\n\n0\n\n"),
		refused("a trailer announced that frames", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Content-Length\n\n0\n\n"),
		refused("two lengths", "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok!"),
		refused("a negative length", "HTTP/1.1 200 OK\nContent-Length: -2\n\nok"),
		refused("an unknown transfer coding", "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n0\n\n"),
		refused("a header above the limit", "HTTP/1.1 200 OK\nX-A: "+strings.Repeat("a", 256<<10)+"\nContent-Length: 2\n\nok"),
	}
}

// lenientRows are answers that net/http takes and puts into proper form. The
// lean engine refuses most of them (RFC 9112 sections 2.2, 5.2, 6.1 and 6.3).
// Neither may let the client and the proxy disagree about where the answer ends.
func lenientRows() []row {
	both := func(name, bytes, want string) row {
		return row{name: name, send: get, answer: bytes, hangup: true, want: []string{want}}
	}
	lenient := func(name, bytes, want string) row {
		r := both(name, bytes, want)
		r.lean, r.why = []string{badGate}, strict
		return r
	}
	const head = "HTTP/1.1 200 OK\nContent-Type: a/b\n"
	const passed = "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Type: a/b\n"
	const chunked = head + "Transfer-Encoding: chunked\n\nabc"
	trailer := func(name, bytes, want string) row {
		return row{
			name: name, send: get, hangup: true, answer: head + "Transfer-Encoding: chunked\n\n3\nabc\n0\n" + bytes,
			want: []string{chunked + want}, lean: []string{chunked}, leanAborted: true, why: strict,
		}
	}
	return []row{
		// It has one reading; RFC 9112 section 6.3 leaves it to the recipient.
		lenient("the same length twice is said once", head+"Content-Length: 2\nContent-Length: 2\n\nok", passed+"\nok"),
		both("bytes beyond the length are not passed on", head+"Content-Length: 2\n\nokHTTP/1.1 200 OK\n\n", passed+"\nok"),
		both("a status line without a reason", strings.Replace(head, " OK", " ", 1)+"Content-Length: 2\n\nok", passed+"\nok"),
		both("a later minor version", strings.Replace(head, "1.1", "1.2", 1)+"Content-Length: 2\n\nok", passed+"\nok"),
		both("a body after 204 is not passed on", "HTTP/1.1 204 No Content\nContent-Length: 5\n\nhello", "HTTP/1.1 204 No Content\n\n"),
		both("names in any case, values without padding", "HTTP/1.1 200 OK\ncontent-TYPE: \t a/b \t\nconTENT-length:2\n\nok", passed+"\nok"),
		both("bytes above ASCII in a value", head+"X-A: \xff\xe9\nContent-Length: 2\n\nok", passed+"X-A: \xff\xe9\n\nok"),
		both("a size of chunk in capitals, with zeros and an extension", head+"Transfer-Encoding: chunked\n\n0003;x=\"y\" \nabc\n000\n\n", chunked),
		lenient("Transfer-Encoding and Content-Length: chunks it is, and only they are told",
			head+"Content-Length: 2\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", chunked),
		lenient("a folded line is unfolded", head+"X-A: 1\n  2\nContent-Length: 2\n\nok", passed+"X-A: 1 2\n\nok"),
		lenient("a bare CR in the reason, which is not told", strings.Replace(head, " OK", " O\rK", 1)+"Content-Length: 2\n\nok", passed+"\nok"),
		lenient("a reason as long as a header may be", strings.Replace(head, " OK", " "+strings.Repeat("a", 70<<10), 1)+"Content-Length: 2\n\nok", passed+"\nok"),
		lenient("a folded length", head+"Content-Length:\n 2\n\nok", passed+"\nok"),
		lenient("a status line that ends with LF alone", strings.Replace(head, "\n", "\v", 1)+"Content-Length: 2\n\nok", passed+"\nok"),
		lenient("a field that ends with LF alone", head+"Content-Length: 2\v\nok", passed+"\nok"),
		lenient("an empty line that is LF alone", head+"Content-Length: 2\n\vok", passed+"\nok"),
		lenient("lines that end with LF alone", "HTTP/1.1 200 OK\vContent-Type: a/b\vContent-Length: 2\v\vok", passed+"\nok"),
		lenient("Transfer-Encoding in HTTP/1.0 is overlooked", "HTTP/1.0 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabc", chunked),
		lenient("two spaces before the status", strings.Replace(head, " 200", "  200", 1)+"Content-Length: 2\n\nok", passed+"\nok"),
		lenient("more fields than anyone sends", head+strings.Repeat("X-A: 1\n", 1001)+"Content-Length: 2\n\nok", passed+strings.Repeat("X-A: 1\n", 1001)+"\nok"),
		lenient("a field as long as a header may be", head+"X-A: "+strings.Repeat("a", 70<<10)+"\nContent-Length: 2\n\nok", passed+"X-A: "+strings.Repeat("a", 70<<10)+"\n\nok"),
		{
			name: "Pragma: no-cache", send: get, answer: head + "Pragma: no-cache\nContent-Length: 2\n\nok",
			want: []string{"HTTP/1.1 200 OK\nCache-Control: no-cache\nContent-Length: 2\nContent-Type: a/b\nPragma: no-cache\n\nok"},
			lean: []string{passed + "Pragma: no-cache\n\nok"}, why: "net/http adds what the app has not said; a proxy need not",
		},
		{
			name: "hop-by-hop fields named beside close", send: get,
			answer: head + "Connection: close, x-mine\nX-Mine: 1\nContent-Length: 2\n\nok",
			want:   []string{passed + "X-Mine: 1\n\nok"},
			lean:   []string{passed + "\nok"}, why: "net/http takes Connection out of the header when it says close, with what else it says",
		},
		{
			name: "a trailer that names what frames or routes", send: get,
			answer: head + "Transfer-Encoding: chunked\n\n3\nabc\n0\nDigest: x\nContent-Length: 7\nConnection: close\n\n",
			want:   []string{chunked + "Digest: x\n"}, // they do not belong there (RFC 9110 section 6.5.1)
		},
		trailer("a trailer with a space before the colon", "Digest : x\n\n", ""), // the server does not write it
		trailer("a folded trailer", "Digest: x\n y\n\n", "Digest: x y\n"),
	}
}

func brokenRows() []row {
	chunks := func(name, body string) row {
		return row{
			name: name, send: get, hangup: true, aborted: true,
			answer: "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n" + body,
			want:   []string{"HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabc"},
		}
	}
	return []row{
		{
			name: "a body shorter than its length", send: get, hangup: true, aborted: true,
			answer: "HTTP/1.1 200 OK\nContent-Type: a/b\nContent-Length: 10\n\nabc",
			want:   []string{"HTTP/1.1 200 OK\nContent-Length: 10\nContent-Type: a/b\n\nabc"},
		},
		{
			name: "a chunked body without its end", send: get, hangup: true, aborted: true,
			answer: "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n3\nabc\n",
			want:   []string{"HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabc"},
		},
		{
			name: "a chunk that is cut", send: get, hangup: true, aborted: true,
			answer: "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n3\nabc\n9\nabc",
			want:   []string{"HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabcabc"},
		},
		{
			name: "a chunk that is none", send: get, aborted: true,
			answer: "HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\n3\nabc\nxyz\n",
			want:   []string{"HTTP/1.1 200 OK\nContent-Type: a/b\nTransfer-Encoding: chunked\n\nabc"},
		},
		chunks("a chunk without a size", "3\nabc\n\n0\n\n"),
		chunks("a size with a sign", "3\nabc\n+1\nx\n0\n\n"),
		chunks("a size with 0x", "3\nabc\n0x1\nx\n0\n\n"),
		chunks("a size beyond 64 bits", "3\nabc\n10000000000000001\nx\n0\n\n"),
		chunks("a chunk longer than its size", "3\nabcd\n0\n\n"),
		chunks("a line before a chunk that ends with LF alone", "3\nabc\n1\vx\n0\n\n"),
		chunks("a bare CR in a line before a chunk", "3\nabc\n1;\ra\nx\n0\n\n"),
		chunks("an extension without an end", "3\nabc\n1;"+strings.Repeat("a", 8<<10)),
		chunks("a trailer that is none", "3\nabc\n0\nnonsense\n\n"),
		chunks("a trailer that ends with LF alone", "3\nabc\n0\nX-A: 1\v\n"),
		chunks("the last chunk ends with LF alone", "3\nabc\n0\v\n"),
		chunks("an empty line behind chunks that is LF alone", "3\nabc\n0\n\v"),
		chunks("a bare CR in a trailer", "3\nabc\n0\nX-A: 1\r2\n\n"),
		chunks("a trailer above the limit", "3\nabc\n0\nX-A: "+strings.Repeat("a", 5<<10)+"\n\n"),
	}
}
