package http1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"net/http"
	"strings"
)

// Limits of the fields of one header or trailer. How many bytes all of them may
// have is the reader's to say.
const (
	MaxFields    = 1000
	MaxLineBytes = 64 << 10 // one field, its end included
)

// What is wrong with a header.
var (
	ErrLineEnd  = errors.New("a line that does not end with CRLF")
	ErrLineLong = errors.New("a header field above the limit")
	ErrTooMany  = errors.New("more header fields than the limit")
	ErrFolded   = errors.New("a folded header field")
	ErrName     = errors.New("an invalid name of a header field")
	ErrValue    = errors.New("invalid bytes in a header field")
)

// A span is where a field stands in the bytes that were scanned.
type span struct{ name, colon, value, end int }

// A Fields takes fields apart (RFC 9112 section 5), strictly, where they
// stand. It can stop at any byte and go on when there are more.
type Fields struct {
	At int // of the line that is not scanned yet

	spans []span
	seen  int // of its end there is none before
}

// Begin makes s scan from at on, where a first field stands, or the empty line.
// The room of an earlier scan is used again.
func (s *Fields) Begin(at int) { *s = Fields{At: at, seen: at, spans: s.spans[:0]} }

// Len is how many fields were scanned.
func (s *Fields) Len() int { return len(s.spans) }

// Cap is the room for fields, in fields, that s holds on to.
func (s *Fields) Cap() int { return cap(s.spans) }

// Next scans what b, which begins with what it began with before, has more. It
// reports true behind the empty line that ends the fields; At is there then.
// Names are put into canonical form within b.
func (s *Fields) Next(b []byte) (bool, error) {
	for {
		lf := bytes.IndexByte(b[s.seen:], '\n')
		if lf < 0 {
			s.seen = len(b)
			if s.seen-s.At > MaxLineBytes {
				return false, ErrLineLong
			}
			return false, nil
		}
		lf += s.seen
		start := s.At
		s.At, s.seen = lf+1, lf+1
		switch {
		case lf == start || b[lf-1] != '\r':
			return false, ErrLineEnd
		case lf-1 == start:
			return true, nil
		case s.At-start > MaxLineBytes:
			return false, ErrLineLong
		case len(s.spans) == MaxFields:
			return false, ErrTooMany
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
		return span{}, ErrFolded
	}
	colon := bytes.IndexByte(b[start:end], ':') + start
	if colon <= start || !canonicalName(b[start:colon]) {
		return span{}, ErrName
	}
	value := colon + 1
	for value < end && (b[value] == ' ' || b[value] == '\t') {
		value++
	}
	for end > value && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	if !ValidValue(b[value:end]) {
		return span{}, ErrValue
	}
	return span{start, colon, value, end}, nil
}

// Collect puts the fields of the scanned bytes, as a string, into h, which must
// be empty. All values share one array.
func (s *Fields) Collect(text string, h http.Header) {
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

// tokenBytes has a bit for each byte of a token (RFC 9110 section 5.6.2).
const (
	tokenLow  = 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
	tokenHigh = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64) | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
)

// IsTokenByte reports whether c may stand in a token.
func IsTokenByte(c byte) bool {
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
		case !IsTokenByte(c):
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

// ValidValue reports whether v holds no control character but tabs: what the
// value of a field, and what stands in a line, may hold. It looks at eight bytes
// at a time.
func ValidValue(v []byte) bool {
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

// IsDigit reports whether c is a decimal digit.
func IsDigit(c byte) bool { return '0' <= c && c <= '9' }

// EqualFold reports whether a and b are equal but for the case of ASCII letters.
// strings.EqualFold alone would take some other signs for letters, which are
// longer.
func EqualFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }
