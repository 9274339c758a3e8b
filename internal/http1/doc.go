// Package http1 takes HTTP/1.1 messages apart where they stand, strictly: header
// fields and the framing of bodies (RFC 9112 sections 5 to 7). What net/http
// makes proper by itself is refused here: lines that do not end with CRLF,
// folded fields, white space before a colon. It reads nothing and keeps nothing
// of what it is shown.
package http1
