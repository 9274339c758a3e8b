package upstream

import (
	"bytes"
	"errors"
	"net/http"
)

// maxTrailerBytes of one answer, and maxChunkLine for the line before a chunk:
// as much as net/http takes.
const (
	maxTrailerBytes = 4 << 10
	maxChunkLine    = 4 << 10
)

var (
	errChunk    = errors.New("a malformed chunk")
	errOverhead = errors.New("more overhead than data in chunks")
	errLate     = errors.New("a trailer above the limit")
)

type bodyKind uint8

const (
	bodyNone bodyKind = iota
	bodyLength
	bodyChunked
	bodyUntilClose
)

// A framing finds the pieces of a body in the bytes of a connection (RFC 9112
// section 7.1). It holds none of them and reads nothing.
type framing struct {
	kind     bodyKind
	state    chunkState
	left     uint64 // of the body, or of the chunk
	overhead uint64 // of the chunks so far, beyond what is fair
	trailer  http.Header
}

type chunkState uint8

const (
	chunkLine chunkState = iota
	chunkData
	chunkEnd
	chunkTrailer
	chunkOver
)

// over reports whether the body has ended. One that ends with its connection
// has not as long as that is open.
func (f *framing) over() bool {
	switch f.kind {
	case bodyLength:
		return f.left == 0
	case bodyChunked:
		return f.state == chunkOver
	case bodyNone:
		return true
	}
	return false
}

// take finds the next piece of the body in b, and how many bytes of b are used
// up to its end. Without a piece, and unless the body is over, it takes more
// bytes than b holds beyond the used ones.
func (f *framing) take(b []byte) (piece []byte, used int, err error) {
	switch f.kind {
	case bodyUntilClose:
		return b, len(b), nil
	case bodyLength:
		n := int(min(uint64(len(b)), f.left))
		f.left -= uint64(n)
		return b[:n], n, nil
	case bodyChunked:
		return f.takeChunk(b)
	}
	return nil, 0, nil
}

func (f *framing) takeChunk(b []byte) (piece []byte, used int, err error) {
	for {
		rest := b[used:]
		switch f.state {
		case chunkLine:
			n, err := f.line(rest)
			if n == 0 || err != nil {
				return nil, used, err
			}
			used += n
		case chunkData:
			n := int(min(uint64(len(rest)), f.left))
			if f.left -= uint64(n); f.left == 0 {
				f.state = chunkEnd
			}
			return rest[:n], used + n, nil
		case chunkEnd:
			if n := min(len(rest), 2); string(rest[:n]) != "\r\n"[:n] {
				return nil, used, errChunk
			}
			if len(rest) < 2 {
				return nil, used, nil
			}
			used += 2
			f.state = chunkLine
		case chunkTrailer:
			n, err := f.trailers(rest)
			if n == 0 || err != nil {
				return nil, used, err
			}
			return nil, used + n, nil
		default:
			return nil, used, nil
		}
	}
}

// line reads the size of a chunk; extensions are dropped. It returns 0 when the
// line is not complete.
func (f *framing) line(b []byte) (int, error) {
	lf := bytes.IndexByte(b, '\n')
	if lf < 0 && len(b) >= maxChunkLine || lf >= maxChunkLine {
		return 0, errChunk
	}
	digits := 0
	var size uint64
	for digits < len(b) {
		v, ok := hex(b[digits])
		if !ok {
			break
		}
		if digits++; digits > 15 {
			return 0, errChunk
		}
		size = size<<4 | uint64(v)
	}
	if digits == 0 && len(b) > 0 {
		return 0, errChunk
	}
	if lf < 0 {
		return 0, nil
	}
	rest := b[digits:lf]
	if len(rest) == 0 || rest[len(rest)-1] != '\r' {
		return 0, errChunk
	}
	rest = bytes.TrimRight(rest[:len(rest)-1], " \t") // some pad
	if len(rest) > 0 && rest[0] != ';' || !validBytes(rest) {
		return 0, errChunk
	}
	// 16 bytes for each chunk and twice its data are fair, as in net/http.
	f.overhead += uint64(lf) + 1
	f.overhead -= min(f.overhead, 16+2*size)
	if f.overhead > 16<<10 {
		return 0, errOverhead
	}
	f.left, f.state = size, chunkData
	if size == 0 {
		f.state = chunkTrailer
	}
	return lf + 1, nil
}

func hex(c byte) (byte, bool) {
	switch {
	case digit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// trailers reads the fields after the last chunk. It returns 0 when they are
// not complete.
func (f *framing) trailers(b []byte) (int, error) {
	var s fieldScan
	done, err := s.next(b)
	switch {
	case err != nil:
		return 0, err
	case done && s.at > maxTrailerBytes || !done && len(b) >= maxTrailerBytes:
		return 0, errLate
	case !done:
		return 0, nil
	}
	f.state = chunkOver
	if len(s.spans) > 0 {
		f.trailer = make(http.Header, len(s.spans))
		s.collect(string(b[:s.at]), f.trailer)
	}
	return s.at, nil
}
