package webhook

import (
	"bytes"
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

const (
	// maxAnswerBytes is the longest answer that is passed on.
	maxAnswerBytes = 1 << 20
	// maxKeptBytes is the longest answer that is kept for duplicates.
	maxKeptBytes = 64 << 10
)

// answerBuffer holds the handler's answer back until the store has recorded
// the outcome. It has no Unwrap on purpose: nothing may reach the client past
// it. Above maxAnswerBytes the body is dropped and the status alone counts.
type answerBuffer struct {
	header   http.Header // the handler's
	sent     http.Header // as of WriteHeader
	status   int         // 0 until WriteHeader
	body     bytes.Buffer
	written  int64
	overflow bool
}

func newAnswerBuffer() *answerBuffer { return &answerBuffer{header: make(http.Header)} }

func (b *answerBuffer) Header() http.Header { return b.header }

func (b *answerBuffer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("webhook: invalid status " + strconv.Itoa(status)) // as net/http does
	}
	// 1xx answers are not final. Switching protocols is: the handler asked
	// for what a webhook cannot have, and that is no success.
	if b.status != 0 || (status <= 199 && status != http.StatusSwitchingProtocols) {
		return
	}
	b.status = status
	b.sent = b.header.Clone()
}

func (b *answerBuffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	b.written += int64(len(p))
	if b.written > maxAnswerBytes {
		b.overflow = true
		b.body = bytes.Buffer{}
	}
	if !b.overflow {
		b.body.Write(p)
	}
	return len(p), nil
}

// Flush does nothing: it is there for handlers that insist on a Flusher.
func (b *answerBuffer) Flush() {}

// finish ends an answer whose handler has returned. A body that is shorter
// than announced was cut off on its way.
func (b *answerBuffer) finish() error {
	b.WriteHeader(http.StatusOK)
	announced, err := strconv.ParseInt(b.sent.Get("Content-Length"), 10, 64)
	if err == nil && announced > b.written && b.status != http.StatusNoContent && b.status != http.StatusNotModified {
		return errIncomplete
	}
	return nil
}

// reply is a 2xx answer as the provider gets it. One without a body, or with
// one that is too long, becomes {"status":"processed"}.
func (b *answerBuffer) reply() reply {
	rep := reply{outcome: OutcomeProcessed, status: b.status, mark: "processed", header: b.sent, body: b.body.Bytes()}
	if b.status == http.StatusNoContent || len(rep.body) == 0 {
		rep.status, rep.said, rep.header, rep.body = http.StatusOK, "processed", nil, nil
	}
	return rep
}

// reply is what the middleware answers: with code an error, with said
// {"status":said}, else header and body as they are.
type reply struct {
	outcome    Outcome
	status     int
	code       string
	said       string
	mark       string // Handrail-Webhook
	retryAfter time.Duration
	header     http.Header
	body       []byte
	err        error // the cause, never shown
}

func unavailable(outcome Outcome, code string, err error) reply {
	return reply{outcome: outcome, status: http.StatusServiceUnavailable, code: code, retryAfter: retryAfter, err: err}
}

func tooLarge() reply {
	return reply{outcome: OutcomeBodyTooLarge, status: http.StatusRequestEntityTooLarge, code: "body_too_large"}
}

// refused answers a message with the status that its provider takes well.
func (d *inbound) refused(code string, outcome Outcome, cause error) reply {
	rep := reply{outcome: outcome, status: cmp.Or(d.m.provider.RefusalStatus, http.StatusBadRequest), code: code, err: cause}
	if rep.status == http.StatusServiceUnavailable {
		rep.retryAfter = retryAfter
	}
	return rep
}

func duplicate(stored *Answer) reply {
	rep := reply{outcome: OutcomeDuplicate, status: http.StatusOK, said: "duplicate", mark: "duplicate"}
	if stored != nil {
		rep.status, rep.said, rep.body = stored.Status, "", stored.Body
		if stored.ContentType != "" {
			rep.header = http.Header{"Content-Type": {stored.ContentType}}
		}
	}
	return rep
}

func inFlight(left time.Duration) reply {
	rep := unavailable(OutcomeInFlight, "in_flight", nil)
	rep.mark, rep.retryAfter = "in-flight", cmp.Or(left, retryAfter)
	return rep
}

func dead(cause error) reply {
	return reply{outcome: OutcomeDead, status: http.StatusOK, said: "dead", mark: "dead", err: cause}
}

// kept is the reply as it is stored for duplicates, nil when it is too long or
// encoded, which a stored answer cannot say.
func (rep reply) kept() *Answer {
	if rep.said != "" {
		return &Answer{Status: rep.status, ContentType: "application/json", Body: saidBody(rep.said)}
	}
	if len(rep.body) > maxKeptBytes || rep.header.Get("Content-Encoding") != "" {
		return nil
	}
	return &Answer{Status: rep.status, ContentType: rep.header.Get("Content-Type"), Body: rep.body}
}

// write gives the reply to the client. What the client does not take is lost
// without harm: the event's state is on record, and a copy is answered by it.
func (rep reply) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if rep.mark != "" {
		h.Set("Handrail-Webhook", rep.mark)
	}
	if rep.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(httpx.RetryAfterSeconds(rep.retryAfter)))
	}
	if rep.status == http.StatusMethodNotAllowed {
		h.Set("Allow", http.MethodPost)
	}
	if rep.code != "" {
		httpx.WriteError(w, r, rep.status, rep.code)
		return
	}
	if rep.said != "" {
		rep.body = saidBody(rep.said)
		rep.header = http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
	}
	for name, values := range rep.header {
		if !dropped(name) {
			h[name] = values
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(rep.body)))
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body)
}

func saidBody(status string) []byte {
	return append(strconv.AppendQuote([]byte(`{"status":`), status), "}\n"...)
}

// dropped reports whether a header of the handler's answer is not passed on:
// ours to say, or about a connection or a framing that is not the client's.
func dropped(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, http.TrailerPrefix) || len(name) >= 9 && strings.EqualFold(name[:9], "Handrail-")
}
