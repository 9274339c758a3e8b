//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package flags

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// lockEvery is how often a lock that another one holds is tried.
const lockEvery = 10 * time.Millisecond

// lockFile waits until no other holds the lock of a file, which is made and
// stays. The lock ends with unlock, or with the process.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(lockEvery)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("lock: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("another one is writing: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// keepOwner gives a file the owner and the group of another.
func keepOwner(file *os.File, like fs.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	info, err := file.Stat()
	if err != nil || !ok {
		return err
	}
	if is, ok := info.Sys().(*syscall.Stat_t); ok && is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}

// mayReplace is why this process may not make files beside the one that w
// replaces, or not take the lock.
func (w *fileWriter) mayReplace() error {
	const read, write, enter = 4, 2, 1
	if err := syscall.Access(w.dir, write|enter); err != nil {
		return &fs.PathError{Op: "write to folder", Path: w.dir, Err: err}
	}
	if err := syscall.Access(w.lock(), read|write); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "lock", Path: w.lock(), Err: err}
	}
	return nil
}
