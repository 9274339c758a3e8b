package main

import (
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// A faultApp has the effect of each event once: it keeps Idempotency-Key
// together with the effect. Some of its calls go wrong.
type faultApp struct {
	run *faultRun
	// verifier is as strict as the sidecar.
	verifier webhook.Verifier
	// wrong says how calls go wrong, by their number.
	wrong map[int]string

	mu      sync.Mutex
	calls   []*faultCall
	effects map[string]int
	gone    map[string]bool
	order   []string // of the effects
	servers []*http.Server
	wg      sync.WaitGroup
}

// A faultCall is what the app saw and did.
type faultCall struct {
	key     string
	sidecar int
	fence   int64
	attempt int
	maybe   bool
	sum     [sha256.Size]byte
	begun   time.Duration
	ended   time.Duration // 0 while the sidecar waits
	over    bool          // the app has ended its work, too
	did     string        // "effect", "known", or what went wrong
	ok      bool          // it answered 2xx
	mute    bool          // there was no complete answer
}

// What may go wrong in a call. Where it says after, the effect has happened.
var faultyCalls = []string{
	"500 before", "500 after", "503 before", "410 before", "reset before", "reset after", "half an answer after",
	"slow before", "slow after", "effect when nobody waits",
}

// up listens for each sidecar on a port of its own.
func (a *faultApp) up() {
	a.run.t.Helper()
	for i, port := range a.run.lane.appPorts {
		ln := listenOn(a.run.t, port)
		srv := &http.Server{
			Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, i) }),
			ReadHeaderTimeout: time.Minute,
		}
		a.servers = append(a.servers, srv)
		a.wg.Go(func() { _ = srv.Serve(ln) })
	}
}

// down breaks what is under way; further connections are refused.
func (a *faultApp) down() {
	for _, srv := range a.servers {
		_ = srv.Close()
	}
	a.wg.Wait()
	a.servers = nil
}

func (a *faultApp) serve(w http.ResponseWriter, r *http.Request, sidecar int) {
	if r.Method != http.MethodPost {
		return // a health check
	}
	call := &faultCall{
		key: r.Header.Get("Idempotency-Key"), sidecar: sidecar, begun: a.run.now(),
		maybe: r.Header.Get("Handrail-Webhook-Maybe-Processed") == "true",
	}
	call.fence, _ = strconv.ParseInt(r.Header.Get("Handrail-Webhook-Fence"), 10, 64)
	call.attempt, _ = strconv.Atoi(r.Header.Get("Handrail-Webhook-Attempt"))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call.sum = sha256.Sum256(body)
	if _, err := a.verifier.Verify(webhook.Message{Header: r.Header, Body: body}); err != nil {
		a.run.t.Errorf("the app verifies again: %s: %v", call.key, err)
	}
	a.mu.Lock()
	wrong := a.wrong[len(a.calls)]
	a.calls = append(a.calls, call)
	a.mu.Unlock()
	a.run.note("app: call %s fence %d attempt %d maybe %v from sidecar %d %s", call.key, call.fence, call.attempt, call.maybe, sidecar, wrong)
	ended := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if call.ended == 0 {
			call.ended = a.run.now()
		}
	}
	defer context.AfterFunc(r.Context(), ended)()
	defer func() {
		ended()
		a.mu.Lock()
		call.over = true
		call.mute = r.Context().Err() != nil || strings.HasPrefix(wrong, "reset") || strings.HasPrefix(wrong, "half")
		a.mu.Unlock()
		a.run.note("app: end of %s fence %d: %s", call.key, call.fence, call.did)
	}()
	a.run.at("call", sidecar)
	a.run.amid(sidecar, call.key, call.fence)
	a.work(w, r, call, wrong)
}

// work has the effect, or not, and answers, or not.
func (a *faultApp) work(w http.ResponseWriter, r *http.Request, call *faultCall, wrong string) {
	if wrong != "" {
		a.run.count("fault: app, " + wrong)
		a.run.count("faults")
	}
	slow := 2 * a.run.timeout
	switch wrong {
	case "500 before", "503 before":
		a.finish(call, wrong)
		status, _ := strconv.Atoi(wrong[:3])
		w.WriteHeader(status)
		return
	case "410 before":
		a.mu.Lock()
		a.gone[call.key] = a.effects[call.key] == 0
		a.mu.Unlock()
	case "reset before":
		a.finish(call, wrong)
		panic(http.ErrAbortHandler)
	case "slow before":
		a.run.pause(r.Context().Done(), slow)
		if r.Context().Err() != nil {
			a.finish(call, wrong)
			return
		}
	case "effect when nobody waits":
		a.run.pause(nil, slow)
	}
	if !a.effect(call) {
		w.WriteHeader(http.StatusGone)
		return
	}
	a.run.at("effect", call.sidecar)
	switch wrong {
	case "500 after":
		a.finish(call, wrong)
		w.WriteHeader(http.StatusInternalServerError)
		return
	case "reset after":
		a.finish(call, wrong)
		panic(http.ErrAbortHandler)
	case "half an answer after":
		a.finish(call, wrong)
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "slow after":
		a.run.pause(r.Context().Done(), slow)
	}
	a.mu.Lock()
	call.ok = r.Context().Err() == nil // else nobody hears it
	a.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	a.run.soon("answer", call.sidecar)
}

func (a *faultApp) finish(call *faultCall, did string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	call.did = did
}

// effect has the effect of an event unless it has happened before. Of an event
// that is not wanted there is none.
func (a *faultApp) effect(call *faultCall) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.gone[call.key]:
		call.did = "410"
		return false
	case a.effects[call.key] > 0:
		call.did = "known"
	default:
		call.did = "effect"
		a.effects[call.key]++
		a.order = append(a.order, call.key)
	}
	return true
}

// seen are copies of the calls so far.
func (a *faultApp) seen() []faultCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]faultCall, len(a.calls))
	for i, c := range a.calls {
		out[i] = *c
	}
	return out
}

// idle reports whether no call goes on.
func (a *faultApp) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.calls {
		if !c.over {
			return false
		}
	}
	return true
}
