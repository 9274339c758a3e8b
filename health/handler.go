package health

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/internal/httpx"
)

const mediaHealth = "application/health+json"

// Handler is for /health. It answers 200 when the status is "ok" or
// "warning", else 503 with Retry-After, in one of two shapes:
//
//	{"status":"ok","timestamp":"2026-01-02T15:04:05Z","checks":{"database":"ok"}}
//
// and, when Accept names application/health+json, that of
// draft-inadarei-api-health-check-06 with "pass", "warn" or "fail". The
// timestamp says when the answer was rendered. Answers are never cached;
// methods other than GET and HEAD are 405. No handler of a Monitor waits for
// a check, or allocates.
func (m *Monitor) Handler() http.Handler { return &handler{m, viewHealth} }

// VerboseHandler is Handler with the text of errors, and in the plain shape
// with "details" for every check. It is for operators: error texts name hosts
// and users.
func (m *Monitor) VerboseHandler() http.Handler { return &handler{m, viewVerbose} }

// ReadyzHandler is for /readyz: 200 while the service is ready, not draining,
// and each check with Ready set answers "ok" or "warning" and is not stale.
func (m *Monitor) ReadyzHandler() http.Handler { return &handler{m, viewReady} }

// StartupzHandler is for /startupz: 503 until /readyz was 200 once, then 200
// for good.
func (m *Monitor) StartupzHandler() http.Handler { return &handler{m, viewStartup} }

// LivezHandler is for /livez: 200 as long as the process serves requests,
// whatever else is wrong.
func (m *Monitor) LivezHandler() http.Handler { return newLivez() }

type handler struct {
	m    *Monitor
	view view
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := formatPlain
	if acceptsHealth(r.Header["Accept"]) {
		f = formatHealth
	}
	a := &h.m.snap.Load().answers[h.view][f]
	if h.m.stopped() {
		a.stale.serve(w, r)
	} else {
		a.fresh.serve(w, r)
	}
}

func newLivez() http.Handler {
	body := []byte(`{"status":"ok"}` + "\n")
	a := newAnswer(http.StatusOK, "application/json", body)
	return http.HandlerFunc(a.serve)
}

func (a *answer) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		httpx.WriteError(w, r, http.StatusMethodNotAllowed, "method_not_allowed")
		return
	}
	h["Content-Type"] = a.contentType
	h["Content-Length"] = a.length
	h["Cache-Control"] = a.cacheControl
	if a.retryAfter != nil {
		h["Retry-After"] = a.retryAfter
	}
	w.WriteHeader(a.code)
	if r.Method == http.MethodGet {
		_, _ = w.Write(a.body) // a poller that went away
	}
}

// acceptsHealth reports whether Accept names application/health+json with a
// weight other than zero. A wildcard does not: the plain form is the default.
func acceptsHealth(lines []string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(media), mediaHealth) && !refused(params) {
				return true
			}
		}
	}
	return false
}

func refused(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && q == 0
		}
	}
	return false
}
