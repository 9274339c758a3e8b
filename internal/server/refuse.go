package server

import (
	"net/http"
	"strconv"
	"time"
)

// codes name what is wrong in the body of a refusal.
var codes = map[int]string{
	http.StatusBadRequest:                  "bad_request",
	http.StatusRequestURITooLong:           "uri_too_long",
	http.StatusExpectationFailed:           "expectation_failed",
	http.StatusRequestHeaderFieldsTooLarge: "header_too_large",
	http.StatusNotImplemented:              "not_implemented",
	http.StatusHTTPVersionNotSupported:     "version_not_supported",
}

// refuse answers what is not a request. The connection ends: nobody can tell
// where the next one would begin.
func (c *conn) refuse(e *refusal) {
	text := `{"error":"` + codes[e.status] + "\"}\n"
	c.vector[0] = []byte("HTTP/1.1 " + strconv.Itoa(e.status) + " " + http.StatusText(e.status) + "\r\n" +
		"Content-Type: application/json\r\nCache-Control: no-store\r\n" +
		"Content-Length: " + strconv.Itoa(len(text)) + "\r\n" +
		"Date: " + c.server.date.at(time.Now()) + "\r\nConnection: close\r\n\r\n" + text)
	if c.server.cfg.OnRefused != nil {
		c.server.cfg.OnRefused(c.remote, e.status, e)
	}
	if c.write(1) == nil {
		c.linger()
	}
}
