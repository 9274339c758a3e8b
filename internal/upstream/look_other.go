//go:build !unix

package upstream

import "errors"

// canLook: without it the standard engine, which reads all the time, is the one
// that notices what comes on idle connections.
const canLook = false

func quiet(uintptr) bool { return false }

func readFD(uintptr, []byte) (n int, again bool, err error) { return 0, false, errors.ErrUnsupported }

func writeFD(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
