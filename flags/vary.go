package flags

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/internal/httpx"
)

// SettleHeader makes the header of a final answer (101 included) fit to leave,
// before it is written, for a [Middleware] whose Config says Settled. ctx is
// that of the request which Wrap's next handler got; for another ctx nothing
// happens.
//
// Caches downstream never see Handrail-Flags: what varies with it varies with
// what the targeting key is read from. A visitor who gets a new anonymous key
// gets its cookie here; see [AnonymousCookie].
func SettleHeader(ctx context.Context, status int, h http.Header) {
	if f, ok := ctx.Value(flaggedKey{}).(*flagged); ok {
		f.settle(status, h)
	}
}

func (f *flagged) settle(status int, h http.Header) {
	names := f.m.vary
	if f.varies {
		names = nil // they are there, or stand in another map for now
	}
	if f.m.inject {
		translateVary(h, names)
	}
	if f.fresh != nil && status != http.StatusNotModified {
		f.fresh.give(h)
		keepPrivate(h)
		addVary(h, names)
	}
}

// A settler settles the header of an answer before it is written.
type settler struct {
	httpx.Recorder
	flagged *flagged
	settled bool
}

// serve lets next answer r through a settler.
func (s *settler) serve(next http.Handler, w http.ResponseWriter, r *http.Request, f *flagged) {
	s.Reset(w)
	s.flagged = f
	next.ServeHTTP(s, r)
	// A handler that panics never comes here.
	if !s.Hijacked() {
		s.settle(http.StatusOK) // the server answers
	}
}

func (s *settler) settle(status int) {
	if !s.settled && !s.Wrote() {
		s.settled = true
		s.flagged.settle(status, s.Header())
	}
}

// WriteHeader implements http.ResponseWriter.
func (s *settler) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		s.settle(status)
	}
	s.Recorder.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (s *settler) Write(p []byte) (int, error) {
	s.settle(http.StatusOK)
	return s.Recorder.Write(p)
}

// FlushError implements what http.ResponseController asks for.
func (s *settler) FlushError() error {
	s.settle(http.StatusOK)
	return s.Recorder.FlushError()
}

// Flush implements http.Flusher.
func (s *settler) Flush() { _ = s.FlushError() }

const varyByAll = "*"

// addVary adds to Vary those of names that are not in it.
func addVary(h http.Header, names []string) {
	for _, name := range names {
		if !hasMember(h["Vary"], name) {
			h["Vary"] = append(slices.Clip(h["Vary"]), name)
		}
	}
}

// translateVary puts names in the place of Handrail-Flags in Vary.
func translateVary(h http.Header, names []string) {
	lines := h["Vary"]
	if !hasMember(lines, HeaderName) {
		return
	}
	var kept []string
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			if member = trimBlanks(member); member != "" && !strings.EqualFold(member, HeaderName) {
				kept = append(kept, member)
			}
		}
	}
	for _, name := range names {
		if !hasMember(kept, name) {
			kept = append(kept, name)
		}
	}
	switch {
	case len(kept) == 0:
		delete(h, "Vary")
		return
	case slices.Contains(kept, varyByAll):
		kept = []string{varyByAll} // says it all, and stands alone: RFC 9110 section 12.5.5
	}
	h["Vary"] = []string{strings.Join(kept, ", ")}
}

// hasMember reports whether name is a member of a comma-separated list, in any
// letter case. It does not allocate.
func hasMember(lines []string, name string) bool {
	for _, rest := range lines {
		for more := len(rest) >= len(name); more; {
			var member string
			member, rest, more = strings.Cut(rest, ",")
			if strings.EqualFold(trimBlanks(member), name) {
				return true
			}
		}
	}
	return false
}

func trimBlanks(s string) string { return strings.Trim(s, " \t") }

// keepPrivate has no shared cache store an answer that is one visitor's alone:
// RFC 9111 section 5.2.2.7, and what caches heed instead of Cache-Control, such
// as RFC 9213's targeted fields. The visitor's own browser may keep it.
func keepPrivate(h http.Header) {
	for name := range h {
		if outranksCacheControl(name) {
			delete(h, name)
		}
	}
	var kept []string
	private := false
	for _, line := range h["Cache-Control"] {
		for line != "" {
			var directive string
			directive, line = cutDirective(line)
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(trimBlanks(name)) {
			case "", "public", "s-maxage", "proxy-revalidate":
				continue
			case "private":
				// Qualified, it would leave the rest to shared caches.
				continue
			case "no-store":
				private = true
			}
			kept = append(kept, directive)
		}
	}
	if !private {
		kept = append(kept, "private")
	}
	h["Cache-Control"] = []string{strings.Join(kept, ", ")}
}

func outranksCacheControl(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, "-cache-control") || name == "surrogate-control" || name == "x-accel-expires"
}

// cutDirective returns the first directive of a Cache-Control line, and what
// follows its comma. Commas in a quoted argument are part of it.
func cutDirective(line string) (directive, rest string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return trimBlanks(line[:i]), line[i+1:]
		}
	}
	return trimBlanks(line), ""
}
