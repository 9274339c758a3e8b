//go:build linux || darwin

package health

import "syscall"

func statDisk(dir string) (diskUsage, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return diskUsage{}, err
	}
	// What is reserved for root counts neither as free nor as total.
	size := uint64(s.Bsize)
	return diskUsage{
		bytes:      (s.Blocks - s.Bfree + s.Bavail) * size,
		bytesFree:  s.Bavail * size,
		inodes:     s.Files,
		inodesFree: s.Ffree,
	}, nil
}
