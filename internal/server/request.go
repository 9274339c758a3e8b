package server

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/internal/http1"
)

// A refusal is what is wrong with a request, and the status that says so.
type refusal struct {
	status int
	reason string
}

func (e *refusal) Error() string { return e.reason }

var (
	errRequestLine = &refusal{http.StatusBadRequest, "a malformed request line"}
	errLongLine    = &refusal{http.StatusRequestURITooLong, "a request line above the limit"}
	errLongHeader  = &refusal{http.StatusRequestHeaderFieldsTooLarge, "a header above the limit"}
	errVersion     = &refusal{http.StatusHTTPVersionNotSupported, "a version other than HTTP/1.1 and 1.0"}
	errTarget      = &refusal{http.StatusBadRequest, "a malformed target"}
	errHost        = &refusal{http.StatusBadRequest, "no Host, a malformed one, or several"}
	errLength      = &refusal{http.StatusBadRequest, "a malformed Content-Length, or several"}
	errFraming     = &refusal{http.StatusBadRequest, "a Transfer-Encoding beside a Content-Length, or in HTTP/1.0"}
	errCoding      = &refusal{http.StatusNotImplemented, "a transfer coding other than chunked"}
	errExpect      = &refusal{http.StatusExpectationFailed, "an expectation other than 100-continue"}
)

// refusalOf gives what is wrong with a header field its status.
func refusalOf(err error) *refusal {
	switch {
	case errors.Is(err, http1.ErrLineLong), errors.Is(err, http1.ErrTooMany):
		return errLongHeader
	}
	return &refusal{http.StatusBadRequest, err.Error()}
}

// A headScan takes the header of a request apart where it stands. It accepts
// nothing that http.ReadRequest refuses, and less than that.
type headScan struct {
	fields http1.Fields
	max    int // of its bytes

	seen   int // of the request line, without its end
	method int // where it ends
	target int // where it ends
	minor  byte
	line   int // length of the request line with its end; 0: not scanned yet
}

// reset forgets what was scanned.
func (s *headScan) reset() { s.seen, s.line = 0, 0 }

// next scans what b has more than before, and reports whether the header is
// complete: it ends at fields.At then.
func (s *headScan) next(b []byte) (bool, error) {
	if s.line == 0 {
		if done, err := s.requestLine(b); !done || err != nil {
			return false, err
		}
	}
	done, err := s.fields.Next(b)
	switch {
	case err != nil:
		return false, refusalOf(err)
	case done && s.fields.At > s.max, !done && len(b) > s.max:
		return false, errLongHeader
	}
	return done, nil
}

// version is what stands between the target and the number that is read.
const version = " HTTP/1."

func (s *headScan) requestLine(b []byte) (bool, error) {
	end := s.seen
	for end < len(b) && b[end] != '\n' {
		end++
	}
	s.seen = end
	if end >= min(http1.MaxLineBytes, s.max) {
		return false, errLongLine
	}
	if end == len(b) {
		return false, nil
	}
	if end < len("G / HTTP/1.1\r") || b[end-1] != '\r' {
		return false, errRequestLine
	}
	line := b[:end-1]
	s.method = 0
	for http1.IsTokenByte(line[s.method]) {
		s.method++ // the line ends with none: see below
		if s.method == len(line) {
			return false, errRequestLine
		}
	}
	s.target = len(line) - len(version) - 1
	if s.method == 0 || line[s.method] != ' ' || s.target <= s.method+1 {
		return false, errRequestLine
	}
	for _, c := range line[s.method+1 : s.target] {
		if c <= ' ' || c == 0x7f {
			return false, errRequestLine
		}
	}
	rest := line[s.target:]
	s.minor = rest[len(version)] - '0'
	if string(rest[:len(version)]) != version || s.minor > 1 {
		if string(rest[:len(" HTTP/")]) == " HTTP/" {
			return false, errVersion
		}
		return false, errRequestLine
	}
	s.line = end + 1
	s.fields.Begin(s.line)
	return true, nil
}

// request interprets the complete header at the start of b: it sets all of r
// but its body, and tells how that ends. u is for its URL.
func (s *headScan) request(b []byte, r *http.Request, u *url.URL) (http1.Body, error) {
	text := string(b[:s.fields.At])
	h := make(http.Header, s.fields.Len()+roomForOurs)
	s.fields.Collect(text, h)
	target := text[s.method+1 : s.target]
	*r = http.Request{
		Method: method(text[:s.method]), RequestURI: target, Header: h,
		ProtoMajor: 1, ProtoMinor: int(s.minor), Proto: "HTTP/1.1",
	}
	if s.minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	var err error
	if r.URL, err = parseTarget(r.Method, target, u); err != nil {
		return http1.Body{}, errTarget
	}
	if err := setHost(r); err != nil {
		return http1.Body{}, err
	}
	body, err := frame(r)
	if err != nil {
		return http1.Body{}, err
	}
	r.Close = closes(r)
	if e := h["Expect"]; len(e) > 0 && (len(e) > 1 || !http1.EqualFold(e[0], "100-continue")) {
		return http1.Body{}, errExpect
	}
	return body, nil
}

// roomForOurs is for the fields that handlers add to a request's header.
const roomForOurs = 2

// method spares a common one from holding on to the whole header.
func method(m string) string {
	switch m {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	}
	return m
}

// parseTarget is what http.ReadRequest makes of a target in one of the forms of
// RFC 9112 section 3.2. The one that it returns is u when it is a plain path.
func parseTarget(method, target string, u *url.URL) (*url.URL, error) {
	if target[0] == '/' {
		path, query, asked := strings.Cut(target, "?")
		if plain(path) {
			*u = url.URL{Path: path, RawQuery: query, ForceQuery: asked && query == ""}
			return u, nil
		}
	}
	if method == http.MethodConnect && target[0] != '/' {
		u, err := url.ParseRequestURI("http://" + target)
		if err == nil {
			u.Scheme = ""
		}
		return u, err
	}
	if target == "*" && method != http.MethodOptions {
		return nil, errTarget
	}
	parsed, err := url.ParseRequestURI(target)
	if err == nil && parsed.Scheme != "" && (parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "") {
		return nil, errTarget // what rules see has to be what the app sees
	}
	return parsed, err
}

// plain reports whether decoding and encoding leave the path as it is.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '/', c == '-', c == '_', c == '.', c == '~', c == '$', c == '&', c == '+', c == ',', c == ':', c == ';', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}

// setHost takes Host out of the header. That of an absolute target counts more
// (RFC 9112 section 3.2.2), and both must be well-formed.
func setHost(r *http.Request) error {
	hosts := r.Header["Host"]
	delete(r.Header, "Host")
	switch {
	case len(hosts) > 1 || len(hosts) == 0 && r.ProtoMinor > 0:
		return errHost
	case len(hosts) == 1 && !validHost(hosts[0]) || !validHost(r.URL.Host):
		return errHost
	}
	if r.Host = r.URL.Host; r.Host == "" && len(hosts) == 1 {
		r.Host = hosts[0]
	}
	return nil
}

// validHost reports whether host has only the signs that one may have; which of
// them where is not looked at, as in net/http.
func validHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~!$&'()*+,;=%:[]", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// frame tells how the body ends (RFC 9112 section 6.3), and sets what of r
// depends on that.
func frame(r *http.Request) (http1.Body, error) {
	lengths, codings := r.Header["Content-Length"], r.Header["Transfer-Encoding"]
	switch {
	case len(codings) > 0 && (len(lengths) > 0 || r.ProtoMinor == 0):
		return http1.Body{}, errFraming
	case len(codings) > 1 || len(codings) == 1 && !http1.EqualFold(codings[0], "chunked"):
		return http1.Body{}, errCoding
	case len(codings) == 1:
		delete(r.Header, "Transfer-Encoding")
		r.TransferEncoding, r.ContentLength = []string{"chunked"}, -1
		return http1.Body{Kind: http1.Chunked}, announce(r)
	case len(lengths) == 0:
		return http1.Body{}, nil
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil || len(lengths) > 1 || !http1.IsDigit(lengths[0][0]) {
		return http1.Body{}, errLength
	}
	if r.ContentLength = int64(n); n == 0 {
		return http1.Body{}, nil
	}
	return http1.Body{Kind: http1.Length, Left: n}, nil
}

// announce moves the names of Trailer from the header into r.Trailer.
func announce(r *http.Request) error {
	lines, ok := r.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(r.Header, "Trailer")
	names, err := http1.TrailerNames(lines)
	if err != nil {
		return refusalOf(err)
	}
	r.Trailer = make(http.Header, len(names))
	for _, name := range names {
		r.Trailer[name] = nil
	}
	return nil
}

// closes reports whether the client wants no more than this one answer.
func closes(r *http.Request) bool {
	lines := r.Header["Connection"]
	return names(lines, "close") || r.ProtoMinor == 0 && !names(lines, "keep-alive")
}

// names reports whether option is among those of Connection.
func names(lines []string, option string) bool {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if http1.EqualFold(strings.Trim(name, " \t"), option) {
				return true
			}
		}
	}
	return false
}
