package ofrep

import (
	"net/http"
	"strconv"

	"github.com/handrail-go/handrail/flags"
)

// answer is one on its way.
type answer struct {
	*buffer
	w      http.ResponseWriter
	key    string // of the flag that was asked for
	single bool   // one was
}

// append adds what was decided about a flag. It reports false, and leaves half
// of it there, when a value cannot be told in JSON.
func (a *answer) append(d *flags.Decision) bool {
	if a.single {
		a.answer = a.answer[:0]
	}
	e := encoder{out: a.answer, names: a.names[:0]}
	ok := e.decision(d)
	a.answer, a.names = e.out, e.names
	return ok
}

// fail sends an error in the protocol's form.
func (a *answer) fail(status int, code flags.ErrorCode, details string) {
	a.answer = appendFailure(a.answer[:0], a.key, a.single, code, details)
	a.send(status, "")
}

// send sends the answer as it stands in the buffer, with an ETag unless that is
// empty. It is never cached: it is for one context, and what a cache takes for a
// request's key, method and URL, does not tell contexts apart.
func (a *answer) send(status int, etag string) {
	h := a.w.Header()
	values := [...]string{"no-store", "nosniff", etag, "application/json", strconv.Itoa(len(a.answer))}
	names := [...]string{"Cache-Control", "X-Content-Type-Options", "Etag", "Content-Type", "Content-Length"}
	for i, name := range names {
		ofBody := i >= 3
		if values[i] != "" && !(ofBody && status == http.StatusNotModified) {
			h[name] = values[i : i+1 : i+1] // of one allocation
		}
	}
	a.w.WriteHeader(status)
	if status != http.StatusNotModified {
		_, _ = a.w.Write(a.answer)
	}
}
