package ratelimit

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
)

// Bounds of what is read of a body for its policies.
const (
	DefaultMaxBodyBytes = 64 << 10 // of Policy.MaxBodyBytes
	maxMaxBodyBytes     = 1 << 20
	firstBodyBuffer     = 4 << 10 // what a body may take before any of it has come
)

// bodyText is a body as the parts of a policy read it. In the zero value
// nothing counts.
type bodyText struct {
	bodyType
	data []byte
}

// readBody reads the body of r ahead when one of p's parts can be in it.
func (p *policy) readBody(r *http.Request) bodyText {
	t := typeOf(r.Header)
	if !slices.ContainsFunc(p.parts, t.fits) {
		return bodyText{}
	}
	data, ok := readAhead(r, p.maxBody)
	if !ok || t.ascii && !isASCII(data) {
		return bodyText{}
	}
	return bodyText{t, data}
}

// appendTo appends the normalised value of a part of the body to b, framed.
// What cannot be read in one way only is the empty value.
func (t bodyText) appendTo(b []byte, p part, r *http.Request) []byte {
	if p.alt != nil && t.fits(*p.alt) {
		p = *p.alt
	}
	var text []byte
	ok := false
	if len(t.data) > 0 && t.fits(p) {
		if p.kind == 'j' {
			text, ok = p.pointer.find(t.data)
			ok = ok && p.pointer.param.absent(r.URL.RawQuery)
		} else {
			text, ok = p.field.find(t, r.URL.RawQuery)
			ok = ok && (!t.ascii || isASCII(text)) // once more, as it was escaped
		}
	}
	var room [128]byte
	value := room[:0]
	if ok {
		value = appendValue(value, text)
	}
	return appendFramed(b, value)
}

// readAhead returns the body of r when that is whole and not over maxBytes. The
// body can be read again, from then on: it is the same bytes with the same end.
// One that is announced as longer is left alone.
func readAhead(r *http.Request, maxBytes int64) (data []byte, ok bool) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength > maxBytes {
		return nil, false
	}
	b, shared := r.Body.(*peeked)
	if !shared {
		b = &peeked{orig: r.Body}
		r.Body = b
		// Reading asks the client for its body. Nobody needs to ask again.
		delete(r.Header, "Expect")
	}
	b.fill(maxBytes, r.ContentLength)
	return b.data, int64(len(b.data)) <= maxBytes && errors.Is(b.err, io.EOF)
}

// peeked is a body of which the beginning was read ahead. Its buffer is not used
// again: what sends the body on may hold it for longer than the handler runs.
type peeked struct {
	orig     io.ReadCloser
	data     []byte // what was read ahead
	given    int    // of data
	err      error  // that followed data, io.EOF at the end
	streamed bool   // more than data was read
	closed   atomic.Bool
}

// fill reads ahead until there are more than maxBytes, or there is no more.
// announced is negative when the length is not known.
func (b *peeked) fill(maxBytes, announced int64) {
	for b.err == nil && int64(len(b.data)) <= maxBytes && !b.streamed && !b.closed.Load() {
		if len(b.data) == cap(b.data) {
			size := min(max(2*int64(cap(b.data)), firstBodyBuffer), maxBytes+1)
			if announced >= int64(len(b.data)) {
				size = min(size, announced+1) // one more sees the end
			}
			b.data = append(make([]byte, 0, size), b.data...)
		}
		n, err := b.orig.Read(b.data[len(b.data):cap(b.data)])
		b.data, b.err = b.data[:len(b.data)+n], err
	}
}

// Read implements io.Reader.
func (b *peeked) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.given < len(b.data):
		n := copy(p, b.data[b.given:])
		b.given += n
		if b.given == len(b.data) {
			return n, b.err
		}
		return n, nil
	case b.err != nil:
		return 0, b.err
	}
	b.streamed, b.data, b.given = true, nil, 0
	return b.orig.Read(p)
}

// Close implements io.Closer.
func (b *peeked) Close() error {
	b.closed.Store(true)
	return b.orig.Close()
}
