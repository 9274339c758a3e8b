package upstream

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/internal/http1"
)

// deliver passes the answer on. It panics with http.ErrAbortHandler when the
// client does not get all of it.
func (c *call) deliver() {
	a := &c.answer
	removeHopByHop(a.header)
	if c.lean.config.OnResponse != nil {
		c.lean.config.OnResponse(c.in, a.status, a.header)
	}
	own := c.w.Header()
	prepareHeader(own, a.header)
	for name, values := range a.header {
		if c.config.Reserved != nil && c.config.Reserved(name) {
			continue
		}
		if prior := own[name]; len(prior) > 0 {
			values = append(slices.Clip(prior), values...)
		}
		own[name] = values
	}
	a.announced = slices.DeleteFunc(a.announced, c.notTheirs)
	if len(a.announced) > 0 {
		own["Trailer"] = append(own["Trailer"], strings.Join(a.announced, ", "))
	}
	c.answering()
	c.begun = true
	c.w.WriteHeader(a.status)
	if !c.pump() {
		panic(http.ErrAbortHandler)
	}
	c.whole = true
	for name, values := range a.body.Trailer {
		switch {
		case c.notTheirs(name):
		case slices.Contains(a.announced, name):
			own[name] = values
		default:
			own[http.TrailerPrefix+name] = values
		}
	}
}

// notTheirs reports whether the upstream must not send a trailer of that name.
func (c *call) notTheirs(name string) bool {
	return ownField(name) || c.config.Reserved != nil && c.config.Reserved(name)
}

// prepareHeader settles what both sides would say.
func prepareHeader(own, answer http.Header) {
	if _, ours := own[headerRequestID]; ours {
		delete(answer, headerRequestID) // one of them, not both
	}
	if _, typed := answer["Content-Type"]; !typed {
		own["Content-Type"] = nil // the server would guess one
	}
}

// pump copies the body. Bytes of a stream go on before the next ones are waited
// for, those of a body of known length after flushInterval.
func (c *call) pump() bool {
	f := &c.answer.body
	stream := f.Kind == http1.Chunked || f.Kind == http1.UntilClose || isEventStream(c.answer.header)
	pending, flushed := true, false
	for !f.Over() {
		piece, used, err := f.Take(c.inbox.unread())
		c.inbox.r += used
		if err != nil {
			c.readErr = err
			return false
		}
		if len(piece) > 0 {
			if _, err := c.w.Write(piece); err != nil {
				return false
			}
			pending = true
			continue
		}
		if f.Over() {
			break
		}
		if stream && pending {
			if !c.flush() {
				return false
			}
			pending, flushed = false, true
		}
		late, err := c.more(pending)
		switch {
		case late:
			if !c.flush() {
				return false
			}
			pending = false
		case errors.Is(err, io.EOF) && f.Kind == http1.UntilClose:
			return true
		case err != nil:
			c.readErr = err
			if errors.Is(err, io.EOF) {
				c.readErr = io.ErrUnexpectedEOF
			}
			return false
		}
	}
	// Otherwise the server would put a length in the place of chunks.
	return f.Kind != http1.Chunked || flushed || c.flush()
}

// more reads more of the body. late: there was none for flushInterval, and
// bytes are pending.
func (c *call) more(pending bool) (late bool, err error) {
	c.lean.inboxes.enlarge(c.inbox)
	c.dog.answerWait()
	defer c.dog.answerMoved()
	if !pending {
		return false, c.inbox.fill(c.link.conn)
	}
	n, late, err := c.link.readWithin(c.inbox.room(), flushInterval)
	c.inbox.w += n
	if n > 0 {
		return false, nil
	}
	if err == nil && !late {
		err = io.ErrNoProgress
	}
	return late, err
}

// flush reports false when the client's connection failed.
func (c *call) flush() bool {
	err := http.NewResponseController(c.w).Flush()
	return err == nil || errors.Is(err, http.ErrNotSupported)
}

func isEventStream(h http.Header) bool {
	for _, v := range h["Content-Type"] {
		kind, _, _ := strings.Cut(v, ";")
		return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
	}
	return false
}
