// Package server is the HTTP/1.1 server that clients of the sidecar talk to. It
// serves an http.Handler as net/http's server does, on which its behaviour is
// tested, and differs where a proxy in front of an app must:
//
//   - Requests are read strictly (RFC 9112): a line that does not end with
//     CRLF, a folded field, white space before a colon, a Content-Length beside
//     a Transfer-Encoding or given twice, a coding other than chunked, or any
//     control character is refused with 400, and the connection ends. net/http
//     makes several of these proper and passes them on.
//   - Every read and every write of a connection has a time limit, and nothing
//     has a total one: uploads, streams and upgraded connections live for as
//     long as bytes move.
//   - An answer never waits for the rest of a request's body. The connection
//     then stays open for a while, so that a client that is still sending gets
//     the answer.
//   - A connection has one goroutine and no other. That its client has gone
//     cancels a request's context within 200 ms, or within a second when it has
//     been under way for a while, rather than at once; see watch.go.
//   - An answer that breaks off is never complete for its client, HTTP/1.0
//     included: there, the connection is reset.
//
// HTTP/2 and TLS are for the load balancer in front.
package server
