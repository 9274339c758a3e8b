package observe

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

// maxPath bounds RequestEvent.Path, in bytes.
const maxPath = 512

// method is m when it is a known one, else OtherMethod.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return OtherMethod
}

// path is the path of u without its query, percent-encoded, which leaves only
// printable ASCII.
func path(u *url.URL) string {
	p := u.EscapedPath()
	if len(p) > maxPath {
		p = p[:maxPath]
	}
	return p
}

// requestID is the inbound id when it is the only one, from a trusted proxy
// and of the form ^[A-Za-z0-9._-]{1,128}$, else a new one.
func requestID(inbound []string, trusted bool, now time.Time) string {
	if trusted && len(inbound) == 1 && validID(inbound[0]) {
		return inbound[0]
	}
	return httpx.NewRequestID(now)
}

func validID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// traceID is the trace-id of a traceparent header (W3C Trace Context, section
// 3.2), or "" when there is none, several, or one that is not valid.
func traceID(lines []string) string {
	if len(lines) != 1 {
		return ""
	}
	s := lines[0]
	// version "-" trace-id "-" parent-id "-" flags; later versions may add
	// fields behind another dash, ff is not a version.
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" {
		return ""
	}
	if len(s) > 55 && (s[:2] == "00" || s[55] != '-') {
		return ""
	}
	if !lowerHex(s[:2]) || !lowerHex(s[3:35]) || !lowerHex(s[36:52]) || !lowerHex(s[53:55]) {
		return ""
	}
	if strings.Trim(s[3:35], "0") == "" || strings.Trim(s[36:52], "0") == "" {
		return ""
	}
	return s[3:35]
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
