package httpx

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
)

// ErrBodyTooLarge is returned by ReadBody for a body over the limit.
var ErrBodyTooLarge = errors.New("httpx: request body too large")

// ReadBody reads the whole body of r, as received, up to maxBytes inclusive.
// A longer one is ErrBodyTooLarge, found by its announced length or by one byte
// over the limit, whether the limit is this one or an http.MaxBytesReader's
// below; errors of the connection are returned as they are. Memory follows what
// arrives, not what was announced. The body is not closed.
func ReadBody(r *http.Request, maxBytes int64) ([]byte, error) {
	if r.ContentLength > maxBytes {
		return nil, ErrBodyTooLarge
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(min(r.ContentLength, 64<<10)) + bytes.MinRead)
	}
	limited := io.LimitedReader{R: r.Body, N: min(maxBytes, math.MaxInt64-1) + 1}
	n, err := buf.ReadFrom(&limited)
	var tooLarge *http.MaxBytesError
	switch {
	case n > maxBytes || errors.As(err, &tooLarge):
		return nil, ErrBodyTooLarge
	case err != nil:
		return nil, err
	}
	return buf.Bytes(), nil
}
