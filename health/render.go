package health

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

type view int

const (
	viewHealth view = iota
	viewVerbose
	viewReady
	viewStartup
	views
)

type format int

const (
	formatPlain  format = iota // application/json
	formatHealth               // application/health+json
	formats
)

// snapshot holds every answer that a handler can give until the next one.
type snapshot struct {
	status  Status
	answers [views][formats]struct{ fresh, stale answer }
}

// answer is a response, ready to be copied. Header values are shared between
// requests; their capacity is their length, so that an append copies them.
type answer struct {
	code         int
	contentType  []string
	length       []string
	cacheControl []string
	retryAfter   []string // nil when code is 200
	body         []byte
}

func newAnswer(code int, contentType string, body []byte) answer {
	return answer{
		code: code, body: body,
		contentType: []string{contentType}, length: headerInt(len(body)), cacheControl: []string{"no-store"},
	}
}

// report is what one view shows.
type report struct {
	now     time.Time
	status  Status
	rows    []row
	verbose bool
}

func (s *snapshot) fill(v view, retryAfter []string, r report) {
	old := r
	if v != viewStartup { // latched: it holds whatever happens later
		old.status = r.status.orStale()
	}
	for f := range formats {
		s.answers[v][f].fresh = r.answer(f, retryAfter)
		s.answers[v][f].stale = s.answers[v][f].fresh
		if old.status != r.status {
			s.answers[v][f].stale = old.answer(f, retryAfter)
		}
	}
}

func (r *report) answer(f format, retryAfter []string) answer {
	var body []byte
	contentType := "application/json"
	if f == formatHealth {
		contentType, body = mediaHealth, r.healthJSON()
	} else {
		body = r.plain()
	}
	if r.status.serving() {
		return newAnswer(http.StatusOK, contentType, body)
	}
	a := newAnswer(http.StatusServiceUnavailable, contentType, body)
	a.retryAfter = retryAfter
	return a
}

func headerInt(n int) []string { return []string{strconv.Itoa(n)} }

// plain renders {"status":"ok","timestamp":"…","checks":{"database":"ok"}}.
func (r *report) plain() []byte {
	b := append([]byte(nil), `{"status":`...)
	b = quote(b, string(r.status))
	b = append(b, `,"timestamp":`...)
	b = quoteTime(b, r.now)
	b = append(b, `,"checks":{`...)
	for i := range r.rows {
		b = key(b, i, r.rows[i].name)
		b = quote(b, string(r.rows[i].value))
	}
	b = append(b, '}')
	if r.verbose {
		b = append(b, `,"details":{`...)
		for i := range r.rows {
			b = key(b, i, r.rows[i].name)
			b = r.rows[i].details(b)
		}
		b = append(b, '}')
	}
	return append(b, "}\n"...)
}

func (r *row) details(b []byte) []byte {
	b = append(b, `{"critical":`...)
	b = strconv.AppendBool(b, r.critical)
	b = append(b, `,"ready":`...)
	b = strconv.AppendBool(b, r.ready)
	b = append(b, `,"stale":`...)
	b = strconv.AppendBool(b, r.stale)
	b = append(b, `,"consecutive_failures":`...)
	b = strconv.AppendInt(b, int64(r.failures), 10)
	b = append(b, `,"duration_ms":`...)
	b = milliseconds(b, r.took)
	if !r.at.IsZero() {
		b = append(b, `,"time":`...)
		b = quoteTime(b, r.at)
	}
	if r.err != nil {
		b = append(b, `,"error":`...)
		b = quote(b, errorText(r.err))
	}
	return append(b, '}')
}

// healthJSON renders the shape of draft-inadarei-api-health-check-06.
func (r *report) healthJSON() []byte {
	b := append([]byte(nil), `{"status":`...)
	b = quote(b, r.status.verdict())
	if r.status != StatusOK {
		b = append(b, `,"notes":[`...)
		b = append(quote(b, string(r.status)), ']')
	}
	b = append(b, `,"checks":{`...)
	for i := range r.rows {
		b = r.rows[i].component(b, i, r.verbose)
	}
	return append(b, "}}\n"...)
}

func (r *row) component(b []byte, i int, verbose bool) []byte {
	o := r.observed
	switch {
	case o.Name != "":
		b = key(b, i, r.name+":"+o.Name)
	case r.took > 0:
		b = key(b, i, r.name+":responseTime")
	default:
		b = key(b, i, r.name)
	}
	b = append(b, `[{"componentType":`...)
	b = quote(b, r.componentType)
	switch {
	case o.Name != "":
		b = append(b, `,"observedValue":`...)
		b = strconv.AppendFloat(b, o.Value, 'f', -1, 64)
		b = append(b, `,"observedUnit":`...)
		b = quote(b, o.Unit)
	case r.took > 0:
		b = append(b, `,"observedValue":`...)
		b = milliseconds(b, r.took)
		b = append(b, `,"observedUnit":"ms"`...)
	}
	b = append(b, `,"status":`...)
	b = quote(b, r.value.verdict())
	if !r.at.IsZero() {
		b = append(b, `,"time":`...)
		b = quoteTime(b, r.at)
	}
	if verbose && r.err != nil {
		b = append(b, `,"output":`...)
		b = quote(b, errorText(r.err))
	}
	return append(b, "}]"...)
}

func (s Status) verdict() string {
	switch s {
	case StatusOK:
		return "pass"
	case StatusWarning:
		return "warn"
	}
	return "fail"
}

func (v Value) verdict() string {
	switch v {
	case ValueOK:
		return "pass"
	case ValueError:
		return "fail"
	}
	return "warn"
}

func key(b []byte, i int, name string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return append(quote(b, name), ':')
}

func quote(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string never fails
	return append(b, q...)
}

func quoteTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339)
	return append(b, '"')
}

func milliseconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d.Microseconds())/1000, 'f', -1, 64)
}

// maxErrorText bounds the text of an error, in bytes.
const maxErrorText = 1024

func errorText(err error) string {
	s := err.Error()
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return s
}
