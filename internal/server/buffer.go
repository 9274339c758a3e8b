package server

import "sync"

// smallBuffer is what a connection holds while it waits: enough for the header
// of most requests.
const smallBuffer = 4 << 10

// An input holds what has come on a connection and is not used yet: buf[r:w].
type input struct {
	buf  []byte
	r, w int
}

func (in *input) unread() []byte { return in.buf[in.r:in.w] }

func (in *input) empty() bool { return in.r == in.w }

// room makes room for more bytes behind those that are there. A buffer that
// grew for a long header goes when it is empty.
func (in *input) room() []byte {
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
		if len(in.buf) != smallBuffer {
			in.buf = make([]byte, smallBuffer)
		}
	case in.w == len(in.buf) && in.r > 0:
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	case in.w == len(in.buf):
		in.buf = append(in.buf, make([]byte, len(in.buf))...)
	}
	return in.buf[in.w:]
}

// maxKeptBuffer bounds the buffers that are used again.
const maxKeptBuffer = 64 << 10

// A bufferPool has buffers for answers, which go out in one piece when they are
// short.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, smallBuffer)
	return &b
}

func (p *bufferPool) put(b *[]byte) {
	if cap(*b) <= maxKeptBuffer {
		*b = (*b)[:0]
		p.pool.Put(b)
	}
}
