package upstream

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/internal/clientip"
)

// A forwarding is what the forwarding fields of an outbound request say. An
// empty one is absent.
type forwarding struct {
	forwarded     string
	chain         string     // X-Forwarded-For, as far as the peer told it
	peer          netip.Addr // which goes on with it; invalid: no address
	host, proto   string
	hosts, protos []string // as a trusted peer sent them, in the place of host and proto
}

// forwardingOf returns the forwarding fields of the request that goes out for in
// (RFC 7239 for Forwarded). What a trusted peer sent is continued; anything else
// is replaced. configured is Config.ForwardedHeader.
func forwardingOf(in *http.Request, configured string) forwarding {
	id, known := clientip.FromContext(in.Context())
	if !known {
		id = clientip.Identity{Peer: peerOf(in.RemoteAddr)}
		id.Client = id.Peer
	}
	proto := "http"
	if in.TLS != nil {
		proto = "https"
	}
	f := forwarding{peer: id.Peer, host: in.Host, proto: proto}
	if configured == headerForwarded {
		prior := ""
		if id.PeerTrusted {
			prior = priorForwarded(in.Header[headerForwarded])
			f.host = orElse(lastForwarded(prior, "host"), f.host)
			f.proto = orElse(lastForwarded(prior, "proto"), f.proto)
		}
		f.forwarded = join(prior, forwardedElement(id.Peer, in.Host, proto))
		if id.Client != id.Peer {
			f.chain = addr(id.Client) // X-Forwarded-For was deleted as not configured
		}
	} else if id.PeerTrusted {
		f.chain = strings.Join(in.Header[headerXFF], ", ")
	}
	if id.PeerTrusted {
		f.hosts, f.protos = in.Header[headerXFHost], in.Header[headerXFProto]
	}
	return f
}

// valid reports whether f can be written.
func (f *forwarding) valid() bool {
	return validValue(f.forwarded) && validValue(f.chain) && validValue(f.host) && validValue(f.proto) &&
		!slices.ContainsFunc(f.hosts, invalidValue) && !slices.ContainsFunc(f.protos, invalidValue)
}

func invalidValue(v string) bool { return !validValue(v) }

// setForwarded writes the forwarding fields into the outbound header.
func setForwarded(out http.Header, in *http.Request, configured string) {
	f := forwardingOf(in, configured)
	setOrDelete(out, headerForwarded, f.forwarded)
	setOrDelete(out, headerXFF, join(f.chain, addr(f.peer)))
	setOrDelete(out, headerXFHost, f.host)
	setOrDelete(out, headerXFProto, f.proto)
	keep(out, headerXFHost, f.hosts)
	keep(out, headerXFProto, f.protos)
}

// keep prefers what the trusted peer said about the first hop.
func keep(out http.Header, name string, values []string) {
	if len(values) > 0 {
		out[name] = values
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

// priorForwarded joins the lines of Forwarded that a trusted peer sent, as far as
// they can be continued. It reads from the right, for what stands left of a
// proxy's own element was said by others, and leaves out everything from the
// first element that does not parse: a quote left open there would take the
// elements after it, ours among them, into one string.
func priorForwarded(lines []string) string {
	kept := ""
	for _, line := range slices.Backward(lines) {
		for end := len(line); ; {
			cut := clientip.LastComma(line[:end])
			if _, ok := clientip.ForwardedParameter(line[cut+1:end], ""); !ok {
				return join(strings.Trim(line[min(end+1, len(line)):], " \t"), kept)
			}
			if cut < 0 {
				break
			}
			end = cut
		}
		kept = join(strings.Trim(line, " \t"), kept)
	}
	return kept
}

// lastForwarded returns the parameter name of the last element of a Forwarded
// value, which the peer itself has written; empty when there is none or the
// element does not parse.
func lastForwarded(s, name string) string {
	value, _ := clientip.ForwardedParameter(s[clientip.LastComma(s)+1:], name)
	return value
}
