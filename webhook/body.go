package webhook

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

var errSlowBody = errors.New("webhook: body did not come within Timeout")

// readBody reads the body for at most Timeout, into memory that counts towards
// MaxBufferedBytes until letGo.
func (d *inbound) readBody() ([]byte, reply, bool) {
	if d.r.Body == nil || d.r.Body == http.NoBody {
		return nil, reply{}, true
	}
	r := *d.r
	r.Body = &cutBody{ReadCloser: d.r.Body, deadline: time.Now().Add(d.m.cfg.Timeout)}
	cut := cutAfter(d.m.cfg.Timeout, d.w)
	body, err := httpx.ReadBody(&r, d.m.cfg.MaxBodyBytes, d.hold)
	slow := cut.stop() || errors.Is(err, errSlowBody)
	switch {
	case errors.Is(err, httpx.ErrBodyTooLarge):
		return nil, tooLarge(), false
	case slow:
		return nil, reply{outcome: OutcomeBodyIncomplete, status: http.StatusRequestTimeout, code: "incomplete_body", err: errSlowBody}, false
	case errors.Is(err, httpx.ErrNoRoom):
		return nil, unavailable(OutcomeOverloaded, "overloaded", err), false
	case err != nil:
		return nil, reply{outcome: OutcomeBodyIncomplete, status: http.StatusBadRequest, code: "incomplete_body", err: err}, false
	}
	return body, reply{}, true
}

// hold takes n bytes from what the deliveries of the middleware may hold
// together, and reports whether they were left.
func (d *inbound) hold(n int64) bool {
	if d.m.held.Add(n) > d.m.cfg.MaxBufferedBytes {
		d.m.held.Add(-n)
		return false
	}
	d.held += n
	return true
}

func (d *inbound) letGo() { d.m.held.Add(-d.held) }

// cutBody ends a body that comes slowly, however little at a time.
type cutBody struct {
	io.ReadCloser
	deadline time.Time
}

func (b *cutBody) Read(p []byte) (int, error) {
	if !time.Now().Before(b.deadline) {
		return 0, errSlowBody
	}
	return b.ReadCloser.Read(p)
}

// cutoff wakes a Read that waits when the time is over, where the server can.
type cutoff struct {
	mu    sync.Mutex
	timer *time.Timer
	fired bool
	done  bool
}

func cutAfter(timeout time.Duration, w http.ResponseWriter) *cutoff {
	c, control := new(cutoff), http.NewResponseController(w)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(timeout, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.done {
			return
		}
		c.fired = true
		_ = control.SetReadDeadline(time.Now())
		// Once more, for a reader that set a deadline of its own just now.
		c.timer.Reset(time.Second)
	})
	return c
}

// stop reports whether the time was over. From here on the connection's
// deadline is left alone.
func (c *cutoff) stop() (fired bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	c.timer.Stop()
	return c.fired
}
