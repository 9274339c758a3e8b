package httpx

import (
	"errors"
	"io"
	"math"
	"net/http"
)

// Errors of ReadBody.
var (
	// ErrBodyTooLarge: the body is over the limit.
	ErrBodyTooLarge = errors.New("httpx: request body too large")
	// ErrNoRoom: the memory for the body was not granted.
	ErrNoRoom = errors.New("httpx: no room for the request body")
)

// firstBuffer is what a body may take before any of it has come.
const firstBuffer = 4 << 10

// ReadBody reads the whole body of r, as received, up to maxBytes inclusive.
// A longer one is ErrBodyTooLarge, found by its announced length or by one byte
// over the limit, whether the limit is this one or an http.MaxBytesReader's
// below; errors of the connection are returned as they are. The body is not
// closed.
//
// Memory is at most 4 KiB or twice what arrived, and never more than was
// announced and one byte. Before each growth, grow is asked for the bytes that
// come in addition, maxBytes in all at most; false ends the reading with
// ErrNoRoom. A nil grow grants everything.
func ReadBody(r *http.Request, maxBytes int64, grow func(n int64) bool) ([]byte, error) {
	if r.ContentLength > maxBytes {
		return nil, ErrBodyTooLarge
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	maxBytes = min(maxBytes, math.MaxInt64-1)
	b := bodyBuffer{maxBytes: maxBytes, most: maxBytes + 1, grow: grow}
	if r.ContentLength >= 0 {
		b.most = min(r.ContentLength, maxBytes) + 1
	}
	err := b.readAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case int64(len(b.data)) > maxBytes || errors.As(err, &tooLarge):
		return nil, ErrBodyTooLarge
	case err != nil:
		return nil, err
	}
	return b.data, nil
}

// bodyBuffer grows up to most bytes, of which the last is only there to see
// that the body is over.
type bodyBuffer struct {
	data     []byte
	maxBytes int64
	most     int64
	grow     func(n int64) bool
}

func (b *bodyBuffer) readAll(body io.Reader) error {
	for {
		if len(b.data) == cap(b.data) && !b.enlarge() {
			return ErrNoRoom
		}
		n, err := body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case int64(len(b.data)) > b.maxBytes:
			return ErrBodyTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (b *bodyBuffer) enlarge() bool {
	had := int64(cap(b.data))
	if had == b.most { // more came than was announced
		b.most = b.maxBytes + 1
	}
	size := min(max(2*had, firstBuffer), b.most)
	if b.grow != nil && !b.grow(min(size, b.maxBytes)-min(had, b.maxBytes)) {
		return false
	}
	b.data = append(make([]byte, 0, size), b.data...)
	return true
}
