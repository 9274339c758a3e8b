package upstream

import (
	"net/http"
	"strings"

	"github.com/handrail-go/handrail/internal/clientip"
)

const (
	headerXFF       = clientip.XForwardedFor
	headerXFHost    = "X-Forwarded-Host"
	headerXFProto   = "X-Forwarded-Proto"
	headerForwarded = clientip.Forwarded
	headerRequestID = "X-Request-Id"
)

// removeHopByHop removes the fields that end at this hop: those that Connection
// names and those that always do (RFC 9110 section 7.6.1).
func removeHopByHop(h http.Header) {
	for name := range connectionOptions(h) {
		h.Del(name)
	}
	for name := range h {
		if hopByHop(name) {
			delete(h, name)
		}
	}
}

// hopByHop reports whether the field always ends at this hop.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// connectionOptions yields the names in Connection.
func connectionOptions(h http.Header) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range h["Connection"] {
			for name := range strings.SplitSeq(line, ",") {
				if name = strings.Trim(name, " \t"); name != "" && !yield(name) {
					return
				}
			}
		}
	}
}

// restoreVouched puts back the fields that a client had removed by naming them
// in Connection although the sidecar, or a trusted proxy, had set them.
func restoreVouched(out, in http.Header) {
	for name := range connectionOptions(in) {
		name = http.CanonicalHeaderKey(name)
		if values, ok := in[name]; ok && vouched(name) {
			out[name] = values
		}
	}
}

// vouched reports whether apps believe the field because the sidecar or a
// trusted proxy wrote it. The name is canonical.
func vouched(name string) bool {
	switch name {
	case headerForwarded, headerRequestID, "Idempotency-Key", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip",
		"Traceparent", "Tracestate", "Baggage", "Sentry-Trace":
		return true
	}
	return strings.HasPrefix(name, "Handrail-") || strings.HasPrefix(name, "X-Forwarded-")
}

// outTrailer returns the trailer of the outbound request: the announced names
// that may pass, values yet to come; nil when there is none. Framing, routing,
// authentication and what the sidecar vouches for do not belong there (RFC 9110
// section 6.5.1), whatever the app does with it; nor do names that CGI-style
// apps cannot tell from those.
func outTrailer(in http.Header) http.Header {
	var out http.Header
	for name := range in {
		if vouched(name) || notInTrailer(name) || !validToken(name) {
			continue
		}
		if out == nil {
			out = make(http.Header, len(in))
		}
		out[name] = nil
	}
	return out
}

func notInTrailer(name string) bool {
	switch name {
	case "Authorization", "Cookie", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host",
		"Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.Contains(name, "_")
}

// copyTrailer gives the announced names in out their values, as far as these
// can be written.
func copyTrailer(out, in http.Header) {
	for name := range out {
		for _, value := range in[name] {
			if validValue(value) {
				out[name] = append(out[name], value)
			}
		}
	}
}

// validValue reports whether v holds no control byte but the tab (RFC 9110
// section 5.5).
func validValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// validHeader reports whether the header of an answer can be passed on.
// net/http lets one thing through in names: a space, as before the colon.
func validHeader(h http.Header) bool {
	for name, values := range h {
		if strings.Contains(name, " ") {
			return false
		}
		for _, v := range values {
			if !validValue(v) {
				return false
			}
		}
	}
	return true
}

// mayUpgrade reports whether the request asks for an upgrade that can be passed
// on: HTTP/1.1 clients, one protocol, and neither another version of HTTP nor
// TLS, behind which requests would reach the upstream unseen.
func mayUpgrade(r *http.Request) bool {
	values := r.Header["Upgrade"]
	if len(values) != 1 || r.ProtoMajor != 1 || r.ProtoMinor < 1 || !asksUpgrade(r.Header) {
		return false
	}
	for i := range len(values[0]) {
		if c := values[0][i]; c <= ' ' || c >= 0x7f || c == ',' {
			return false
		}
	}
	name, _, _ := strings.Cut(values[0], "/")
	for _, refused := range []string{"", "http", "h2", "h2c", "h3", "tls"} {
		if strings.EqualFold(name, refused) {
			return false
		}
	}
	return true
}

func asksUpgrade(h http.Header) bool {
	for name := range connectionOptions(h) {
		if strings.EqualFold(name, "upgrade") {
			return true
		}
	}
	return false
}
