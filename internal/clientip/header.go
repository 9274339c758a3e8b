package clientip

import (
	"net/http"
	"net/netip"
	"strings"
)

// hops walks over the hops of the forwarding header, the nearest first. It
// reads from the right and no further than it is asked to: what stands left of
// a proxy's own element was said by others and must not change how that
// element is read.
type hops struct {
	lines     []string // those not begun yet
	line      string   // what is left of the current one
	more      bool     // line holds another element, which may be empty
	forwarded bool
}

func (rs *Resolver) hopsOf(h http.Header) hops {
	if rs.forwarded {
		return hops{lines: h[Forwarded], forwarded: true}
	}
	return hops{lines: h[XForwardedFor]}
}

// next returns the text that stands for the next hop, not yet trimmed; it is
// empty for an element that names none. It reports false at the end.
func (hs *hops) next() (string, bool) {
	if !hs.more {
		last := len(hs.lines) - 1
		if last < 0 {
			return "", false
		}
		hs.line, hs.lines = hs.lines[last], hs.lines[:last]
	}
	var cut int
	if hs.forwarded {
		cut = LastComma(hs.line)
	} else {
		cut = strings.LastIndexByte(hs.line, ',')
	}
	element := hs.line[cut+1:]
	hs.more = cut >= 0
	if hs.more {
		hs.line = hs.line[:cut]
	}
	if hs.forwarded {
		value, _ := ForwardedParameter(element, "for")
		return value, true
	}
	return element, true
}

// parseHop reads an address as proxies write it: "192.0.2.1", "192.0.2.1:443",
// "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", with or without a zone,
// which is dropped. A port may be an obfuscated one (RFC 7239 section 6.3).
func parseHop(s string) (netip.Addr, bool) {
	host, port := strings.Trim(s, " \t"), ""
	colon := strings.IndexByte(host, ':')
	switch {
	case strings.HasPrefix(host, "["):
		end := strings.IndexByte(host, ']')
		if end < 0 || colon < 0 || colon > end { // brackets are for IPv6 alone
			return netip.Addr{}, false
		}
		host, port = host[1:end], host[end+1:]
	case colon >= 0 && strings.IndexByte(host[colon+1:], ':') < 0:
		host, port = host[:colon], host[colon:]
	}
	if !validPort(port) {
		return netip.Addr{}, false
	}
	// A zone says nothing here, and would make many keys of one address.
	if i := strings.IndexByte(host, '%'); i > 0 && i < len(host)-1 && strings.Contains(host[:i], ":") {
		host = host[:i]
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// validPort reports whether s is empty, ":" and a number of up to five digits,
// or ":" and an obfuscated port.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) == 1 {
		return false
	}
	s = s[1:]
	obfuscated := s[0] == '_'
	if !obfuscated && len(s) > 5 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		digit := '0' <= c && c <= '9'
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '.' || c == '_' || c == '-'
		if !digit && (!obfuscated || !letter) {
			return false
		}
	}
	return true
}
