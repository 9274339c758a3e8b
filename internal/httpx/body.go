package httpx

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// ErrBodyTooLarge is returned by ReadBody for a body over the limit.
var ErrBodyTooLarge = errors.New("httpx: request body too large")

// ReadBody reads the whole body of r, as received, up to maxBytes inclusive.
// A longer one is ErrBodyTooLarge, found without reading on; errors of the
// connection are returned as they are. The body is not closed.
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
	n, err := buf.ReadFrom(io.LimitReader(r.Body, maxBytes+1))
	switch {
	case n > maxBytes:
		return nil, ErrBodyTooLarge
	case err != nil:
		return nil, err
	}
	return buf.Bytes(), nil
}
