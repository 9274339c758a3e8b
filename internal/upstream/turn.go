package upstream

import "io"

// A turn is a request without a body and the first bytes of the answer, with one
// wait in between: to look whether the connection is still good, to write, and,
// when something has come, to read. Apart from each other, these would look for
// the answer once more, in vain, before they waited.
type turn struct {
	out, in   []byte
	asked     bool // out was written, as far as it went
	spoken    bool // something had come before
	sent, got int
	err       error
	next      func(fd uintptr) bool // step, made once
}

func (t *turn) step(fd uintptr) bool {
	if t.asked {
		var again bool
		if t.got, again, t.err = readFD(fd, t.in); again {
			return false
		}
		if t.got == 0 && t.err == nil {
			t.err = io.EOF
		}
		return true
	}
	if t.spoken = !quiet(fd); t.spoken {
		return true
	}
	t.asked = true
	t.sent, t.err = writeFD(fd, t.out)
	return t.err != nil || t.sent < len(t.out) // the rest is for another to write
}

// takeTurn writes out and reads into in. It writes nothing on a connection that
// cannot carry a request, which is errSurplus, and reads nothing unless all was
// written.
func (k *link) takeTurn(out, in []byte) (sent, got int, err error) {
	t := &k.turn
	if t.next == nil {
		t.next = t.step
	}
	*t = turn{out: out, in: in, next: t.next}
	err = k.look.raw.Read(t.next)
	switch {
	case t.spoken:
		err = errSurplus
	case err == nil:
		err = t.err
	}
	sent, got = t.sent, t.got
	t.out, t.in = nil, nil
	return sent, got, err
}
