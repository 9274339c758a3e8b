package httpx

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ofBody reports whether a header, in canonical form, describes a body.
func ofBody(name string) bool {
	switch name {
	case "Accept-Ranges", "Content-Digest", "Content-Disposition", "Content-Encoding",
		"Content-Language", "Content-Length", "Content-Location", "Content-Range",
		"Digest", "Etag", "Expires", "Last-Modified", "Repr-Digest", "Trailer":
		return true
	}
	return false
}

// WriteError answers with status and a stable snake_case code:
//
//	{"error":"rate_limited"}
//
// or, when Accept asks for application/problem+json (RFC 9457):
//
//	{"type":"about:blank","title":"Too Many Requests","status":429,"code":"rate_limited"}
//
// The answer is never cached. Other headers are set before the call; those
// that describe another body (Content-Length, Content-Encoding, ETag …) are
// removed.
func WriteError(w http.ResponseWriter, r *http.Request, status int, code string) {
	h := w.Header()
	for name := range h {
		if ofBody(name) {
			delete(h, name)
		}
	}
	var body []byte
	media := "application/json"
	if acceptsProblem(r) {
		media = "application/problem+json"
		body, _ = json.Marshal(struct {
			Type   string `json:"type"`
			Title  string `json:"title"`
			Status int    `json:"status"`
			Code   string `json:"code"`
		}{"about:blank", http.StatusText(status), status, code})
		body = append(body, '\n')
	} else {
		body = shortForm(code)
	}
	values := [...]string{"no-store", "nosniff", media, strconv.Itoa(len(body))}
	for i, name := range [...]string{"Cache-Control", "X-Content-Type-Options", "Content-Type", "Content-Length"} {
		h[name] = values[i : i+1 : i+1] // of one allocation
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// shortForm is {"error":code}. Codes as they should be need no escapes.
func shortForm(code string) []byte {
	for i := range len(code) {
		if c := code[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			body, _ := json.Marshal(struct {
				Error string `json:"error"`
			}{code})
			return append(body, '\n')
		}
	}
	body := make([]byte, 0, len(code)+len("{\"error\":\"\"}\n"))
	body = append(body, `{"error":"`...)
	body = append(body, code...)
	return append(body, "\"}\n"...)
}

// acceptsProblem reports whether Accept names application/problem+json with a
// weight other than zero. A wildcard does not: the short form is the default.
func acceptsProblem(r *http.Request) bool {
	for _, line := range r.Header["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(part, ";")
			if !strings.EqualFold(strings.TrimSpace(media), "application/problem+json") {
				continue
			}
			if !zeroWeight(params) {
				return true
			}
		}
	}
	return false
}

func zeroWeight(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		return err == nil && q == 0
	}
	return false
}

// RetryAfterSeconds is d for a Retry-After header (RFC 9110 section 10.2.3):
// whole seconds, rounded up, at least 1 and at most 2^31-1, which is as far as
// clients need to count (RFC 9111 section 1.2.2).
func RetryAfterSeconds(d time.Duration) int {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return int(min(max(s, 1), math.MaxInt32))
}
