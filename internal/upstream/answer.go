package upstream

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/handrail-go/handrail/internal/http1"
)

var (
	errStatusLine = errors.New("a malformed status line")
	errVersion    = errors.New("the answer's version is not HTTP/1")
	errStatus     = errors.New("the answer's status is not one of HTTP")
	errHeaderLong = errors.New("a header above the limit")
	errLength     = errors.New("a malformed or ambiguous length of the answer")
	errCoding     = errors.New("a transfer coding other than chunked")
)

// An answer is the header of one response, and how its body ends.
type answer struct {
	status    int
	minor     byte        // of the version: HTTP/1.minor
	header    http.Header // without Transfer-Encoding; Trailer only as announced
	announced []string    // names of trailers to come
	body      http1.Body
	keepAlive bool // as far as the upstream says
	mayFollow bool // it announces a body that it must not have
}

// informational reports whether another answer to the same request follows.
func (a *answer) informational() bool {
	return a.status < 200 && a.status != http.StatusSwitchingProtocols
}

// A headScan takes the header of an answer apart where it stands: the status
// line, then fields. It accepts nothing that http.ReadResponse refuses, and less
// than that (see the conformance table).
type headScan struct {
	fields http1.Fields
	seen   int // of the status line, without its end
	line   int // length of the status line with its end; 0: not scanned yet
}

// next scans what b has more than before, and reports whether the header is
// complete: it ends at fields.at then.
func (s *headScan) next(b []byte) (bool, error) {
	if s.line == 0 {
		if done, err := s.statusLine(b); !done || err != nil {
			return false, err
		}
	}
	done, err := s.fields.Next(b)
	if err == nil && (s.fields.At > maxHeaderBytes || !done && len(b) > maxHeaderBytes) {
		return false, errHeaderLong
	}
	return done, err
}

const statusBytes = len("HTTP/1.1 200")

func (s *headScan) statusLine(b []byte) (bool, error) {
	const proto = "HTTP/1."
	if n := min(len(b), len(proto)); string(b[:n]) != proto[:n] {
		if n == len(proto) && string(b[:5]) == proto[:5] {
			return false, errVersion
		}
		return false, errStatusLine
	}
	end := -1
	for i := s.seen; i < len(b); i++ {
		if b[i] == '\n' {
			end = i
			break
		}
	}
	s.seen = len(b)
	switch {
	case end < 0 && len(b) > http1.MaxLineBytes || end > http1.MaxLineBytes:
		return false, errHeaderLong
	case end < 0:
		return false, nil
	case b[end-1] != '\r':
		return false, http1.ErrLineEnd
	case end-1 < statusBytes || !http1.IsDigit(b[7]) || b[8] != ' ' || !http1.IsDigit(b[9]) || !http1.IsDigit(b[10]) || !http1.IsDigit(b[11]):
		return false, errStatusLine
	case end-1 > statusBytes && b[statusBytes] != ' ' || !http1.ValidValue(b[statusBytes:end-1]):
		return false, errStatusLine
	}
	s.line = end + 1
	s.fields.Begin(s.line)
	return true, nil
}

func (s *headScan) reset() {
	s.line, s.seen = 0, 0
}

// answer interprets the complete header at the start of b, for a request with
// the given method. h must be empty.
func (s *headScan) answer(b []byte, method string, h http.Header) (answer, error) {
	text := string(b[:s.fields.At])
	s.fields.Collect(text, h)
	a := answer{
		status: int(text[9]-'0')*100 + int(text[10]-'0')*10 + int(text[11]-'0'),
		minor:  text[7] - '0',
		header: h,
	}
	if a.status < 100 {
		return a, errStatus
	}
	a.keepAlive = a.minor > 0
	for name := range connectionOptions(h) {
		if http1.EqualFold(name, "close") {
			a.keepAlive = false
			break
		}
		a.keepAlive = a.keepAlive || http1.EqualFold(name, "keep-alive")
	}
	err := a.frame(method)
	return a, err
}

// frame tells how the body ends (RFC 9112 section 6.3).
func (a *answer) frame(method string) error {
	length, err := lengthOf(a.header)
	if err != nil {
		return err
	}
	codings, coded := a.header["Transfer-Encoding"]
	if coded {
		if len(codings) != 1 || !http1.EqualFold(codings[0], "chunked") || a.minor == 0 {
			return errCoding
		}
		if length >= 0 {
			return errLength
		}
		delete(a.header, "Transfer-Encoding")
	}
	switch {
	case method == http.MethodHead || a.status < 200:
		a.body.Kind = http1.None
	case a.status == http.StatusNoContent || a.status == http.StatusNotModified:
		a.body.Kind = http1.None
		a.mayFollow = coded || length > 0
	case coded:
		a.body.Kind = http1.Chunked
	case length >= 0:
		a.body.Kind, a.body.Left = http1.Length, uint64(length)
	default:
		a.body.Kind, a.keepAlive = http1.UntilClose, false
	}
	if coded {
		return a.announce()
	}
	return nil
}

// announce takes the names of Trailer out of the header.
func (a *answer) announce() (err error) {
	a.announced, err = http1.TrailerNames(a.header["Trailer"])
	delete(a.header, "Trailer")
	return err
}

// lengthOf returns Content-Length, or -1 without one.
func lengthOf(h http.Header) (int64, error) {
	lines := h["Content-Length"]
	switch len(lines) {
	case 0:
		return -1, nil
	case 1:
		n, err := strconv.ParseUint(lines[0], 10, 63)
		if err != nil {
			return 0, errLength
		}
		return int64(n), nil
	}
	return 0, errLength
}
