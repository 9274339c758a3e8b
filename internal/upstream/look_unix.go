//go:build unix

package upstream

import (
	"errors"
	"os"
	"syscall"
)

// canLook: idle connections can be looked at without waiting.
const canLook = true

// readFD reads without waiting; again: there was nothing to read.
func readFD(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch {
		case err == nil:
			return n, false, nil
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		case !errors.Is(err, syscall.EINTR):
			return 0, false, os.NewSyscallError("read", err)
		}
	}
}

// writeFD writes as much as goes without waiting.
func writeFD(fd uintptr, p []byte) (n int, err error) {
	for {
		n, err = syscall.Write(int(fd), p)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		case !errors.Is(err, syscall.EINTR):
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// quiet reports whether nothing, not even the end, is there to be read.
func quiet(fd uintptr) bool {
	var b [1]byte
	_, again, _ := readFD(fd, b[:])
	return again
}
