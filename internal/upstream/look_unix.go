//go:build unix

package upstream

import (
	"errors"
	"syscall"
)

// canLook: idle connections can be looked at without waiting.
const canLook = true

// quiet reports whether nothing, not even the end, is there to be read.
func quiet(fd uintptr) bool {
	var b [1]byte
	for {
		_, err := syscall.Read(int(fd), b[:])
		if !errors.Is(err, syscall.EINTR) {
			return errors.Is(err, syscall.EAGAIN)
		}
	}
}
