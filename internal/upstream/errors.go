package upstream

import (
	"fmt"
)

// A Kind says what went wrong between the proxy and its upstream.
type Kind uint8

const (
	// NotWritten: no byte of the request reached a connection, as when the
	// dial is refused. The upstream has not seen it. Answered with 502.
	NotWritten Kind = iota + 1
	// NoAnswer: the request was written, at least in part, and no valid
	// response header came back. Answered with 502.
	NoAnswer
	// Timeout: the upstream took longer than Config.Timeout to answer, than
	// Config.DialTimeout to accept, or than the deadline of the request's
	// context. Answered with 504. After the header: longer than
	// Config.IdleTimeout between two bytes.
	Timeout
	// Gone: the client went away, or the caller cancelled the request's
	// context. Nobody reads an answer.
	Gone
	// BadRequest: the request's own body could not be read (malformed chunk,
	// http.MaxBytesReader, a client that stalled past the server's read
	// deadline). Answered with 400, 413 or 408.
	BadRequest
	// Truncated: the answer had begun and the upstream broke it off. Only
	// Config.OnAbort sees it: the client's connection is aborted.
	Truncated
)

// String is a stable snake_case name, fit for a log field or a metric label.
func (k Kind) String() string {
	switch k {
	case NotWritten:
		return "not_written"
	case NoAnswer:
		return "no_answer"
	case Timeout:
		return "timeout"
	case Gone:
		return "gone"
	case BadRequest:
		return "bad_request"
	case Truncated:
		return "truncated"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// An Error is a request that the upstream did not answer, or not completely.
type Error struct {
	Kind Kind
	// Written reports whether a byte of the request may have reached the
	// upstream, whatever the Kind. False is certain: the upstream has not seen
	// the request, and sending it again cannot repeat an effect.
	Written bool
	// Err is the cause. It is for the log: it may name hosts and addresses.
	Err error
}

func (e *Error) Error() string {
	written := "not written"
	if e.Written {
		written = "written"
	}
	return fmt.Sprintf("upstream: %s (%s): %v", e.Kind, written, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// A ConfigError is one problem of a Config. New joins all of them.
type ConfigError struct {
	Field  string // "URL"
	Value  string // as given; credentials are replaced
	Reason string // what is wrong and what to write instead
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("upstream: %s %q: %s", e.Field, e.Value, e.Reason)
}
