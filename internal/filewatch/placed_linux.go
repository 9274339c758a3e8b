package filewatch

import (
	"io/fs"
	"syscall"
)

// placed reports whether something was done to a file after its last write, such
// as a rename: who writes still, has not put it in place yet. False where the
// clock of the file system is too coarse to tell.
func placed(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Ctim.Sec > s.Mtim.Sec || s.Ctim.Sec == s.Mtim.Sec && s.Ctim.Nsec > s.Mtim.Nsec)
}
