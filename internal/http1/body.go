package http1

import (
	"bytes"
	"errors"
	"net/http"
)

// maxTrailerBytes of one message, and maxChunkLine for the line before a chunk:
// as much as net/http takes.
const (
	maxTrailerBytes = 4 << 10
	maxChunkLine    = 4 << 10
)

// What is wrong with a chunked body.
var (
	ErrChunk    = errors.New("a malformed chunk")
	ErrOverhead = errors.New("more overhead than data in chunks")
	ErrTrailer  = errors.New("a trailer above the limit")
)

// A Kind is the way a body ends.
type Kind uint8

// A body is absent, has a length, comes in chunks, or ends with its connection.
const (
	None Kind = iota
	Length
	Chunked
	UntilClose
)

// A Body finds the pieces of a body in the bytes of a connection (RFC 9112
// section 7.1). It holds none of them and reads nothing.
type Body struct {
	Kind    Kind
	Left    uint64      // of the body, or of the chunk
	Trailer http.Header // once a chunked body is over; nil without one

	state    chunkState
	overhead uint64 // of the chunks so far, beyond what is fair
}

type chunkState uint8

const (
	chunkLine chunkState = iota
	chunkData
	chunkEnd
	chunkTrailer
	chunkOver
)

// Over reports whether the body has ended. One that ends with its connection
// has not as long as that is open.
func (f *Body) Over() bool {
	switch f.Kind {
	case Length:
		return f.Left == 0
	case Chunked:
		return f.state == chunkOver
	case None:
		return true
	}
	return false
}

// Take finds the next piece of the body in b, and how many bytes of b are used
// up to its end. Without a piece, and unless the body is over, it takes more
// bytes than b holds beyond the used ones.
func (f *Body) Take(b []byte) (piece []byte, used int, err error) {
	switch f.Kind {
	case UntilClose:
		return b, len(b), nil
	case Length:
		n := int(min(uint64(len(b)), f.Left))
		f.Skip(uint64(n))
		return b[:n], n, nil
	case Chunked:
		return f.takeChunk(b)
	}
	return nil, 0, nil
}

// Plain is how many bytes of the body come next with nothing between them: they
// can be read past Take, which Skip is to be told.
func (f *Body) Plain() uint64 {
	if f.Kind == Length || f.Kind == Chunked && f.state == chunkData {
		return f.Left
	}
	return 0
}

// Skip counts n bytes as taken, at most Plain.
func (f *Body) Skip(n uint64) {
	if f.Left -= n; f.Left == 0 && f.Kind == Chunked {
		f.state = chunkEnd
	}
}

func (f *Body) takeChunk(b []byte) (piece []byte, used int, err error) {
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
			n := int(min(uint64(len(rest)), f.Left))
			f.Skip(uint64(n))
			return rest[:n], used + n, nil
		case chunkEnd:
			if n := min(len(rest), 2); string(rest[:n]) != "\r\n"[:n] {
				return nil, used, ErrChunk
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
func (f *Body) line(b []byte) (int, error) {
	lf := bytes.IndexByte(b, '\n')
	if lf < 0 && len(b) >= maxChunkLine || lf >= maxChunkLine {
		return 0, ErrChunk
	}
	digits := 0
	var size uint64
	for digits < len(b) {
		v, ok := hex(b[digits])
		if !ok {
			break
		}
		if digits++; digits > 15 {
			return 0, ErrChunk
		}
		size = size<<4 | uint64(v)
	}
	if digits == 0 && len(b) > 0 {
		return 0, ErrChunk
	}
	if lf < 0 {
		return 0, nil
	}
	rest := b[digits:lf]
	if len(rest) == 0 || rest[len(rest)-1] != '\r' {
		return 0, ErrChunk
	}
	rest = bytes.TrimRight(rest[:len(rest)-1], " \t") // some pad
	if len(rest) > 0 && rest[0] != ';' || !ValidValue(rest) {
		return 0, ErrChunk
	}
	// 16 bytes for each chunk and twice its data are fair, as in net/http.
	f.overhead += uint64(lf) + 1
	f.overhead -= min(f.overhead, 16+2*size)
	if f.overhead > 16<<10 {
		return 0, ErrOverhead
	}
	f.Left, f.state = size, chunkData
	if size == 0 {
		f.state = chunkTrailer
	}
	return lf + 1, nil
}

func hex(c byte) (byte, bool) {
	switch {
	case IsDigit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// trailers reads the fields after the last chunk. It returns 0 when they are
// not complete.
func (f *Body) trailers(b []byte) (int, error) {
	var s Fields
	done, err := s.Next(b)
	switch {
	case err != nil:
		return 0, err
	case done && s.At > maxTrailerBytes || !done && len(b) >= maxTrailerBytes:
		return 0, ErrTrailer
	case !done:
		return 0, nil
	}
	f.state = chunkOver
	if s.Len() > 0 {
		f.Trailer = make(http.Header, len(s.spans))
		s.Collect(string(b[:s.At]), f.Trailer)
	}
	return s.At, nil
}
