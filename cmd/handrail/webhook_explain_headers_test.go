package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHeadersAreReadAsPeopleHaveThem(t *testing.T) {
	want := http.Header{"X-Sig": {"a: b"}, "X-Time": {"1", "2"}}
	for name, text := range map[string]string{
		"lines":                      "X-Sig: a: b\nX-Time: 1\nX-Time: 2\n",
		"lower case, no space":       "x-sig:a: b\nx-time:1\nx-time:2",
		"of Windows, behind a mark":  "\uFEFFX-Sig: a: b\r\nX-Time: 1\r\nX-Time: 2\r\n\r\n",
		"of a request":               "POST /hook HTTP/1.1\nX-Sig: a: b\nX-Time: 1\nX-Time: 2\n\n{\"body\": 1}",
		"of curl":                    "* Connected to x\n> POST /hook HTTP/2\n> X-Sig: a: b\n> X-Time: 1\n> X-Time: 2\n> \n} [5 bytes data]\n< HTTP/2 400\n< X-Other: 1\n",
		"of curl, what was received": "< HTTP/1.1 200 OK\n< X-Sig: a: b\n< X-Time: 1\n< X-Time: 2\n< \n",
		"of a browser":               ":method: POST\n:path: /hook\nX-Sig: a: b\nX-Time: 1\nX-Time: 2",
		"JSON":                       ` {"X-Sig": "a: b", "X-Time": ["1", "2"]}`,
	} {
		got, query, err := parseHeaders([]byte(text))
		if err != nil || query != "" {
			t.Errorf("%s: query %q, %v", name, query, err)
		}
		canonical := http.Header{}
		for name, values := range got {
			canonical[http.CanonicalHeaderKey(name)] = values
		}
		if !maps.EqualFunc(canonical, want, slices.Equal) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, text := range []string{"POST /hook?a=b HTTP/1.1\nA: b", "> POST https://x.example/hook?a=b HTTP/2\n> A: b", ":path: /hook?a=b\nA: b", "POST /hook?a=b\nA: b"} {
		if _, query, err := parseHeaders([]byte(text)); query != "a=b" || err != nil {
			t.Errorf("%q: query %q, %v", text, query, err)
		}
	}
	for _, text := range []string{"no header", "A: b\nsecret", "X Sig: a", `{"A": 1}`, `{"A": {}}`, `{"A": "b"} x`, "{"} {
		if got, _, err := parseHeaders([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestASignedWordIsOneWordForAShell(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)`\\": "'$(x)`\\'"} {
		if got := quoted(in); got != want {
			t.Errorf("quoted(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzParseHeaders(f *testing.F) {
	for _, text := range []string{"A: b\n", "> POST /?q HTTP/1.1\r\n> A: b\r\n", `{"A":["b"]}`, ":path: /", "\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		header, _, err := parseHeaders(data)
		if err != nil && len(err.Error()) > 100 {
			t.Errorf("%v tells too much", err)
		}
		if n := strings.Count(string(data), "\n") + strings.Count(string(data), ":"); len(header) > n+1 {
			t.Errorf("%d headers of %d lines", len(header), n)
		}
	})
}
