// Package upstream is the reverse proxy of the sidecar: one http.Handler that
// passes requests to one upstream and its answers back, byte for byte where
// HTTP allows it.
//
// It is the last handler of the chain. It changes nothing that a rule has
// matched: path, query string and Host go on as they stand in the request. It
// removes hop-by-hop fields both ways, writes the X-Forwarded-* fields (and
// Forwarded, when that is the configured one), and streams bodies in both
// directions without holding more than one buffer of each.
//
// # Two engines
//
// Config.Transport chooses who carries the requests. "std" is
// httputil.ReverseProxy on http.Transport. "lean" is an HTTP/1.1 client of our
// own for http:// and unix:// upstreams: no goroutine for a connection, none for
// a request without a body, one write for the header and what is there of the
// body, the answer's header taken apart where it was read. It leaves upgrades to
// std. Both follow the same rules; the conformance table is run over both, behind
// the sidecar's server, and names each difference with its reason, most of them
// answers that net/http repairs and lean refuses.
//
// # When the upstream is down
//
// A refused dial is answered at once with 502, an upstream that does not answer
// in Config.Timeout with 504. An app that shuts down refuses connections and
// still serves those it has: with lean, a request whose dial was refused waits for
// up to 250 ms for one that another request gives back. *Error tells whether a byte
// of the request reached a connection, which decides whether it may be sent
// again. An answer that breaks off aborts the client's connection, so that a
// part never looks like the whole: ServeHTTP panics with http.ErrAbortHandler,
// which servers expect and other callers must recover.
//
// # Repeated requests
//
// A request is sent again, on a new connection, when an idle connection turns
// out to be dead and nothing of the request was written, or when its method is
// GET, HEAD, OPTIONS or TRACE, it has no body, and no byte of an answer to it
// came. All others are sent at most once. WithFreshConn rules out even that.
//
// # Security
//
//   - A client cannot remove the fields that the sidecar sets by naming them in
//     Connection.
//   - Upgrades to another version of HTTP or to TLS are not passed on: behind
//     one, requests would bypass every rule.
//   - Bytes that an upstream sends beyond an answer are not taken for the answer
//     to the next request, as far as they come before that is written. Where
//     they are likely, the connection is not used again: after HEAD, after a 204
//     or 304 that announces a body, after an answer that began before the whole
//     request was sent, and after an error that answers a body of more than 32 KiB
//     or of unknown length.
//   - Trailers that carry the name of a field that the sidecar vouches for are
//     dropped.
//   - Forwarding fields of a peer that is not trusted are replaced. Who is
//     trusted is told by clientip.NewContext; without it nobody is.
package upstream
