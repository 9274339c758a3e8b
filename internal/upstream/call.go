package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"syscall"
)

// A call is one request on its way through the lean engine. Its handler's
// goroutine owns it; an upload has a part of its own.
type call struct {
	exchange
	lean   *lean
	link   *link // nil: none yet, or no more
	inbox  *inbox
	upload *upload // nil: no body
	answer answer

	stopDial context.CancelFunc // nil: there was none

	heard   bool // a byte of an answer came
	early   bool // the answer came before the request had gone, as it seems
	whole   bool // the answer was read to its end
	settled bool // the handler is to return as usual
}

var errSwitched = errors.New("the upstream switched protocols unasked")

// ask sends the request and reads the header of the answer.
func (c *call) ask() error {
	l, r := c.lean, c.in
	defer c.returned()
	c.once = wantsFreshConn(r.Context())
	c.inbox = l.inboxes.get()
	length := r.ContentLength
	if r.Body == nil || r.Body == http.NoBody {
		if length > 0 {
			return errRequest
		}
		length = 0
	}
	var trailer http.Header
	if length != 0 {
		trailer = outTrailer(r.Trailer)
	}
	head, err := appendHead(c.inbox.head[:0], &c.exchange, length, trailer, &l.config, &l.target)
	c.inbox.head = head
	if err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	_, c.expect.asked = r.Header["Expect"]
	if length != 0 {
		c.body = newRequestBody(&c.exchange, &http.Request{Body: r.Body, Trailer: trailer, ContentLength: length})
		c.upload = newUpload(c)
	}
	for {
		if err = c.send(); err == nil {
			err = c.receive()
		}
		if err == nil || !c.mayAskAgain() {
			return err
		}
		if err := c.reconnect(err); err != nil {
			return err
		}
	}
}

// mayAskAgain reports whether the request can be sent on a new connection: when
// nothing of it was written, or when it is safe and nothing was heard.
func (c *call) mayAskAgain() bool {
	if c.once || !c.reused || c.heard || c.Err() != nil || c.dog.hasExpired() {
		return false
	}
	return !c.wrote.Load() && (c.body == nil || c.body.failed() == nil) || c.body == nil && safe(c.in.Method)
}

// send writes the header, with the first piece of the body when that is there.
func (c *call) send() error {
	message, piece := c.inbox.head, false
	if c.upload != nil {
		var err error
		if message, piece, err = c.upload.first(message); err != nil {
			return err
		}
		if c.reused && !c.link.look.usable() { // any more: time has passed
			return errSurplus
		}
		c.dog.sending()
	}
	sent := 0
	if c.upload == nil && c.link.look.raw != nil {
		var err error
		if sent, err = c.turn(); err != nil || sent == len(message) {
			return err
		}
		message = message[sent:]
	}
	n, err := c.link.conn.Write(message)
	if c.upload != nil {
		c.dog.sent()
	}
	if n > 0 || err == nil {
		c.wrote.Store(true)
	}
	deaf := sent+n > 0 && hungUp(err) // and may have answered before that
	if err != nil && !deaf {
		return err
	}
	if c.upload != nil && !deaf {
		c.upload.goOn(c.link.conn, piece)
	}
	return nil
}

// turn sends a request without a body, or the beginning of it, and reads what
// comes first.
func (c *call) turn() (sent int, err error) {
	sent, got, err := c.link.takeTurn(c.inbox.head, c.inbox.room())
	c.inbox.w += got
	if sent > 0 {
		c.wrote.Store(true)
	}
	return sent, err
}

// hungUp reports whether a write failed because the other side reads no more.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// receive reads answers up to the final one, and passes the others on.
func (c *call) receive() error {
	for {
		a, err := c.inbox.answer(c.link.conn, c.in.Method)
		if err != nil {
			c.heard = c.heard || len(c.inbox.unread()) > 0
			return err
		}
		c.heard = true
		if !a.informational() {
			if a.status == http.StatusSwitchingProtocols {
				return errSwitched
			}
			if c.upload != nil {
				c.early = !c.upload.gone.Load() || refusesUpload(c.in, a.status)
				c.upload.refuse()
			}
			c.answer = a
			return nil
		}
		if err := c.gotInformational(a.status, textproto.MIMEHeader(a.header)); err != nil {
			return err
		}
		if a.status == http.StatusContinue && c.upload != nil {
			c.upload.grant()
		}
	}
}

// drop gives the connection up.
func (c *call) drop() {
	if c.upload != nil {
		c.upload.giveUp()
	}
	if c.link == nil {
		return
	}
	c.link.close()
	c.link = nil
	if !c.once {
		c.lean.pool.lost()
	}
}

// end returns what the call holds: the link to the pool, if nothing is left on
// it, and what it has of memory.
func (c *call) end() {
	if k := c.link; k != nil && c.reusable() && k.dog.rest() {
		c.link = nil
		c.lean.pool.put(k)
	}
	c.drop()
	c.undial()
	if c.inbox != nil {
		c.lean.inboxes.put(c.inbox)
		c.inbox = nil
	}
	if c.begun && !c.settled {
		c.cutShort()
	}
	if c.upload == nil { // which may outlast it
		l := c.lean
		*c = call{}
		l.calls.Put(c)
	}
}

// reusable reports whether nothing of this exchange can come any more. What the
// upstream says must be over, and it must have had the request before it spoke:
// an app that leaves a body unread may take it for the next request. Apps that
// answer HEAD with a body may send it late.
func (c *call) reusable() bool {
	return c.in.Method != http.MethodHead && c.whole && c.settled && !c.once && !c.early &&
		c.answer.keepAlive && !c.answer.mayFollow && len(c.inbox.unread()) == 0
}
