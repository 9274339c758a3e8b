package upstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"net/http"
)

// Limits of one header, or trailer, of an answer; maxHeaderBytes and
// maxTrailerBytes come on top.
const (
	maxFields    = 1000
	maxLineBytes = 64 << 10 // one field, its end included
)

var (
	errLineEnd   = errors.New("a line that does not end with CRLF")
	errLineLong  = errors.New("a header field above the limit")
	errFields    = errors.New("more header fields than the limit")
	errFolded    = errors.New("a folded header field")
	errFieldName = errors.New("an invalid name of a header field")
	errFieldByte = errors.New("invalid bytes in a header field")
)

// A span is where a field stands in the bytes that were scanned.
type span struct{ name, colon, value, end int }

// A fieldScan takes fields apart (RFC 9112 section 5), strictly, where they
// stand. It can stop at any byte and go on when there are more.
type fieldScan struct {
	spans []span
	at    int // of the line that is not scanned yet
	seen  int // of its end there is none before
}

// next scans what b, which begins with what it began with before, has more. It
// reports true behind the empty line that ends the fields; s.at is there then.
// Names are put into canonical form within b.
func (s *fieldScan) next(b []byte) (bool, error) {
	for {
		lf := bytes.IndexByte(b[s.seen:], '\n')
		if lf < 0 {
			s.seen = len(b)
			if s.seen-s.at > maxLineBytes {
				return false, errLineLong
			}
			return false, nil
		}
		lf += s.seen
		start := s.at
		s.at, s.seen = lf+1, lf+1
		switch {
		case lf == start || b[lf-1] != '\r':
			return false, errLineEnd
		case lf-1 == start:
			return true, nil
		case s.at-start > maxLineBytes:
			return false, errLineLong
		case len(s.spans) == maxFields:
			return false, errFields
		}
		sp, err := scanField(b, start, lf-1)
		if err != nil {
			return false, err
		}
		s.spans = append(s.spans, sp)
	}
}

func scanField(b []byte, start, end int) (span, error) {
	if b[start] == ' ' || b[start] == '\t' {
		return span{}, errFolded
	}
	colon := bytes.IndexByte(b[start:end], ':') + start
	if colon <= start || !canonicalName(b[start:colon]) {
		return span{}, errFieldName
	}
	value := colon + 1
	for value < end && (b[value] == ' ' || b[value] == '\t') {
		value++
	}
	for end > value && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	if !validBytes(b[value:end]) {
		return span{}, errFieldByte
	}
	return span{start, colon, value, end}, nil
}

// collect puts the fields of the scanned bytes, as a string, into h, which must
// be empty. All values share one array.
func (s *fieldScan) collect(text string, h http.Header) {
	values := make([]string, len(s.spans))
	for i, sp := range s.spans {
		name := text[sp.name:sp.colon]
		values[i] = text[sp.value:sp.end]
		if prior, ok := h[name]; ok {
			h[name] = append(prior, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
}

// reset forgets what was scanned and keeps the room.
func (s *fieldScan) reset() { *s = fieldScan{spans: s.spans[:0]} }

// tokenBytes has a bit for each byte of a token (RFC 9110 section 5.6.2).
const (
	tokenLow  = 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
	tokenHigh = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64) | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
)

func isToken(c byte) bool {
	if c < 64 {
		return uint64(tokenLow)>>c&1 != 0
	}
	return c < 128 && uint64(tokenHigh)>>(c-64)&1 != 0
}

// canonicalName puts name into the form of http.CanonicalHeaderKey, in place,
// and reports whether it is a token.
func canonicalName(name []byte) bool {
	upper := true
	for i, c := range name {
		switch {
		case !isToken(c):
			return false
		case upper && 'a' <= c && c <= 'z':
			name[i] = c - 'a' + 'A'
		case !upper && 'A' <= c && c <= 'Z':
			name[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
	return true
}

// validBytes is validValue for bytes: eight at a time.
func validBytes(v []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(v) >= 8 {
		x := binary.LittleEndian.Uint64(v)
		low := (x - ones*' ') &^ x // below ' ', or beside such a byte
		del := x ^ ones*0x7f
		del = (del - ones) &^ del
		if hit := (low | del) & highs; hit != 0 {
			// A borrow may mark the byte above the one that is meant.
			i := bits.TrailingZeros64(hit) / 8
			if c := v[i]; c != '\t' {
				return false
			}
			v = v[i+1:]
			continue
		}
		v = v[8:]
	}
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
