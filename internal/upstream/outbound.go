package upstream

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/internal/http1"
)

var errRequest = errors.New("the request cannot be written as HTTP/1.1")

// appendHead appends the header of the outbound request to b: what
// httputil.ReverseProxy and http.Transport make of it. length is that of the
// body, negative when it is not known, and trailer holds the names that its
// trailer will have.
func appendHead(b []byte, ex *exchange, length int64, trailer http.Header, config *Config, t *target) ([]byte, error) {
	in := ex.in
	method := in.Method
	if method == "" {
		method = http.MethodGet
	}
	path := in.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	host := in.Host
	if host == "" {
		host = t.host
	}
	if !validToken(method) || !graphic(path) || !graphic(in.URL.RawQuery) || !graphic(host) {
		return b, errRequest
	}
	b = append(append(append(b, method...), ' '), path...)
	if in.URL.ForceQuery || in.URL.RawQuery != "" {
		b = append(append(b, '?'), in.URL.RawQuery...)
	}
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", host)
	b, ok := appendHeader(b, in.Header)
	if !ok {
		return b, errRequest
	}
	f := forwardingOf(in, config.ForwardedHeader)
	if !f.valid() {
		return b, errRequest
	}
	b = appendForwarding(b, f)
	b = appendFraming(b, method, length, trailer)
	if ex.once || method == http.MethodHead {
		b = appendField(b, "Connection", "close")
	}
	return append(b, "\r\n"...), nil
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(append(b, name...), ": "...), value...)
	return append(b, "\r\n"...)
}

// appendHeader appends the fields that are not of this hop and that nobody else
// writes. It reports false when one cannot be written.
func appendHeader(b []byte, h http.Header) ([]byte, bool) {
	dropped := droppedFields(h)
	for name, values := range h {
		if ownField(name) || dropped[name] {
			continue
		}
		if name == "User-Agent" {
			values = values[:min(len(values), 1)]
			if len(values) == 1 && values[0] == "" {
				continue
			}
		}
		if !validToken(name) {
			return b, false
		}
		for _, v := range values {
			if !validValue(v) {
				return b, false
			}
			b = appendField(b, name, v)
		}
	}
	if trailersWanted(h["Te"]) {
		b = appendField(b, "Te", "trailers")
	}
	return b, true
}

// ownField reports whether the field ends at this hop, or is written by
// appendHead itself.
func ownField(name string) bool {
	switch name {
	case "Host", "Content-Length", headerForwarded, headerXFF, headerXFHost, headerXFProto:
		return true
	}
	return hopByHop(name)
}

// droppedFields returns the fields that Connection makes hop-by-hop, and that
// are there; nil without any.
func droppedFields(h http.Header) map[string]bool {
	var dropped map[string]bool
	for option := range connectionOptions(h) {
		if strings.EqualFold(option, "keep-alive") || strings.EqualFold(option, "close") {
			continue
		}
		name := http.CanonicalHeaderKey(option)
		if _, there := h[name]; !there || ownField(name) || vouched(name) {
			continue
		}
		if dropped == nil {
			dropped = make(map[string]bool)
		}
		dropped[name] = true
	}
	return dropped
}

func trailersWanted(te []string) bool {
	for _, line := range te {
		for coding := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(coding, " \t"), "trailers") {
				return true
			}
		}
	}
	return false
}

func appendForwarding(b []byte, f forwarding) []byte {
	one := func(name, value string, values []string) {
		if len(values) == 0 && value != "" {
			b = appendField(b, name, value)
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	one(headerForwarded, f.forwarded, nil)
	if f.chain != "" || f.peer.IsValid() {
		b = append(append(b, headerXFF+": "...), f.chain...)
		if f.chain != "" && f.peer.IsValid() {
			b = append(b, ", "...)
		}
		b = append(f.peer.AppendTo(b), "\r\n"...)
	}
	one(headerXFHost, f.host, f.hosts)
	one(headerXFProto, f.proto, f.protos)
	return b
}

func appendFraming(b []byte, method string, length int64, trailer http.Header) []byte {
	switch {
	case length > 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		return append(b, "\r\n"...)
	case length < 0:
		b = appendField(b, "Transfer-Encoding", "chunked")
		for name := range trailer {
			b = appendField(b, "Trailer", name)
		}
	case method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch:
		b = appendField(b, "Content-Length", "0")
	}
	return b
}

// appendTrailer ends a chunked body.
func appendTrailer(b []byte, trailer http.Header) []byte {
	b = append(b, "0\r\n"...)
	for name, values := range trailer {
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

func validToken(s string) bool {
	for i := range len(s) {
		if !http1.IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// graphic reports whether s holds neither a space nor a control byte.
func graphic(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
