package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

const (
	inboxSize = 8 << 10  // for the header of an answer and a short body
	headSize  = 2 << 10  // for a request's header, to begin with
	keptHead  = 64 << 10 // the largest one that is kept for other requests
	keptSpans = 256
)

// An inbox holds what one exchange needs of memory while it waits. Idle
// connections have none.
type inbox struct {
	head   []byte // the outbound header
	buf    []byte // small, large, or one that grew with a long header
	r, w   int    // buf[r:w] has come and is not used yet
	small  []byte
	large  []byte // while bytes come faster than small takes them
	scan   headScan
	header http.Header // of the answer, until it is handed on
}

// inboxes keeps them for the next exchanges.
type inboxes struct {
	pool    sync.Pool
	buffers *bufferPool
}

func (p *inboxes) get() *inbox {
	in, ok := p.pool.Get().(*inbox)
	if !ok {
		in = &inbox{head: make([]byte, 0, headSize), small: make([]byte, inboxSize), header: make(http.Header, 8)}
	}
	in.buf = in.small
	return in
}

func (p *inboxes) put(in *inbox) {
	if in.large != nil {
		p.buffers.Put(in.large)
		in.large = nil
	}
	if cap(in.head) > keptHead || in.scan.fields.Cap() > keptSpans {
		return
	}
	in.r, in.w = 0, 0
	clear(in.header)
	p.pool.Put(in)
}

// enlarge takes a large buffer when the small one was filled and used up.
func (p *inboxes) enlarge(in *inbox) {
	if in.large == nil && in.r == in.w && in.w >= inboxSize {
		in.large = p.buffers.Get()
		in.buf, in.r, in.w = in.large, 0, 0
	}
}

// room makes room for more bytes behind those that are there.
func (in *inbox) room() []byte {
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
	case in.w == len(in.buf) && in.r > 0:
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	case in.w == len(in.buf):
		in.buf = append(in.buf, make([]byte, len(in.buf))...)
	}
	return in.buf[in.w:]
}

func (in *inbox) unread() []byte { return in.buf[in.r:in.w] }

// fill reads once. No byte without an error is one that never comes.
func (in *inbox) fill(src io.Reader) error {
	n, err := src.Read(in.room())
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// answer reads the header of an answer to a request with the given method.
func (in *inbox) answer(src io.Reader, method string) (answer, error) {
	in.scan.reset()
	clear(in.header)
	for {
		done, err := in.scan.next(in.unread())
		if err != nil {
			return answer{}, err
		}
		if done {
			a, err := in.scan.answer(in.unread(), method, in.header)
			if err != nil {
				return answer{}, err // it stays unread: something was heard
			}
			in.r += in.scan.fields.At
			return a, nil
		}
		if err := in.fill(src); err != nil {
			if errors.Is(err, io.EOF) && in.r < in.w {
				err = io.ErrUnexpectedEOF
			}
			return answer{}, err
		}
	}
}
