package upstream

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/handrail-go/handrail/internal/clientip"
)

// setForwarded writes the forwarding fields of the outbound header (RFC 7239
// for Forwarded). What a trusted peer sent is continued; anything else is
// replaced. configured is Config.ForwardedHeader.
func setForwarded(out http.Header, in *http.Request, configured string) {
	id, known := clientip.FromContext(in.Context())
	if !known {
		id = clientip.Identity{Peer: peerOf(in.RemoteAddr)}
		id.Client = id.Peer
	}
	proto := "http"
	if in.TLS != nil {
		proto = "https"
	}
	var chain, prior string
	host, seenProto := in.Host, proto
	if configured == headerForwarded {
		if id.PeerTrusted {
			prior = strings.Join(in.Header[headerForwarded], ", ")
			host = orElse(lastForwarded(prior, "host"), host)
			seenProto = orElse(lastForwarded(prior, "proto"), seenProto)
		}
		out[headerForwarded] = []string{join(prior, forwardedElement(id.Peer, in.Host, proto))}
		if id.Client != id.Peer {
			chain = addr(id.Client) // X-Forwarded-For was deleted as not configured
		}
	} else {
		delete(out, headerForwarded)
		if id.PeerTrusted {
			chain = strings.Join(in.Header[headerXFF], ", ")
		}
	}
	setOrDelete(out, headerXFF, join(chain, addr(id.Peer)))
	setOrDelete(out, headerXFHost, host)
	out[headerXFProto] = []string{seenProto}
	if id.PeerTrusted {
		keep(out, in.Header, headerXFHost)
		keep(out, in.Header, headerXFProto)
	}
}

// keep prefers what the trusted peer said about the first hop.
func keep(out, in http.Header, name string) {
	if v := in[name]; len(v) > 0 {
		out[name] = v
	}
}

func setOrDelete(h http.Header, name, value string) {
	if value == "" {
		delete(h, name)
		return
	}
	h[name] = []string{value}
}

func join(prior, next string) string {
	if prior == "" || next == "" {
		return prior + next
	}
	return prior + ", " + next
}

func orElse(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// addr is empty for a peer without an address, as on a unix socket.
func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func peerOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// forwardedElement describes this hop.
func forwardedElement(peer netip.Addr, host, proto string) string {
	node := "unknown"
	switch {
	case peer.Is4():
		node = peer.String()
	case peer.IsValid():
		node = `"[` + peer.String() + `]"`
	}
	e := "for=" + node
	if host != "" {
		e += ";host=" + quoted(host)
	}
	return e + ";proto=" + proto
}

// quoted is s as a quoted string (RFC 9110 section 5.6.4), or bare when it is a
// token.
func quoted(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !isTokenRune(r) }) < 0 {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func isTokenRune(r rune) bool {
	return r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// lastForwarded returns the parameter name of the last element of a Forwarded
// value, which the peer itself has written; empty when there is none or the
// value does not parse.
func lastForwarded(s, name string) string {
	found := ""
	for {
		s = strings.TrimLeft(s, " \t")
		if eq := strings.IndexAny(s, "=,;"); eq >= 0 && s[eq] == '=' {
			value, rest, ok := forwardedValue(s[eq+1:])
			if !ok {
				return ""
			}
			if strings.EqualFold(s[:eq], name) {
				found = value
			}
			s = strings.TrimLeft(rest, " \t")
		}
		switch {
		case s == "":
			return found
		case s[0] == ',':
			found = ""
		case s[0] != ';':
			return ""
		}
		s = s[1:]
	}
}

// forwardedValue reads a token or a quoted string.
func forwardedValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ",; \t\"=")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end == len(s) || s[end] != '"' && s[end] != '='
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
