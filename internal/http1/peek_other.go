//go:build !unix

package http1

// Peek cannot tell here.
func Peek(uintptr) Pending { return Unknown }
