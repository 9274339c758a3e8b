//go:build unix

package http1

import (
	"errors"
	"syscall"
)

// Peek tells what there is to be read on a socket that does not block, and
// leaves it there.
func Peek(fd uintptr) Pending {
	var b [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return Nothing
		case err == nil && n > 0:
			return Bytes
		default:
			return End
		}
	}
}
