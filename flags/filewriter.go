package flags

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/handrail-go/handrail/internal/filewatch"
)

// ErrReadOnly is returned by [Writer.Write] where the definitions are not
// changed in this place: the error says where they are.
var ErrReadOnly = errors.New("flags: the definitions are read-only here")

// Write implements [Writer]. The file is replaced by a rename, so that whoever
// reads it, and whatever interrupts Write, finds the old one or the new one
// whole. Mode and owner stay. A symbolic link stays; what it leads to is
// replaced. A second Write, of any process, waits for the first: both take the
// lock of a file beside it, .NAME.lock, which stays there. Whoever writes without
// that lock in the same moment is overwritten.
//
// A file without any write permission, or in a folder that this process may not
// write to, and one that is mounted from a Kubernetes ConfigMap or Secret, matches
// ErrReadOnly.
func (f fileSource) Write(ctx context.Context, base string, data []byte) error {
	if len(data) > MaxFileBytes {
		return fmt.Errorf("flags: %s would be larger than %d bytes", string(f), MaxFileBytes)
	}
	w, err := newFileWriter(string(f))
	if err != nil {
		return err
	}
	unlock, err := lockFile(ctx, w.lock())
	if err != nil {
		return w.failed(denied(err))
	}
	defer unlock()
	now, err := filewatch.Read(w.path, MaxFileBytes)
	if err != nil {
		return w.failed(err)
	}
	if VersionOf(now) != base {
		return ErrConflict
	}
	return w.failed(w.replace(now, data))
}

// Writable is why Write would refuse whatever it got; nil when it would not. It
// matches ErrReadOnly or tells why the file cannot be looked at.
func (f fileSource) Writable() error {
	_, err := newFileWriter(string(f))
	return err
}

// A fileWriter replaces one file.
type fileWriter struct {
	path      string // with no symbolic link in it
	dir, name string
	info      fs.FileInfo
}

func newFileWriter(path string) (*fileWriter, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("flags: write: %w", err)
	}
	w := &fileWriter{path: target, dir: filepath.Dir(target), name: filepath.Base(target)}
	if w.info, err = os.Stat(target); err != nil {
		return nil, w.failed(err)
	}
	switch {
	case mounted(path):
		return nil, fmt.Errorf("%w: %s is mounted from a Kubernetes ConfigMap or Secret: change it there", ErrReadOnly, path)
	case !w.info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrReadOnly, path)
	case w.info.Mode().Perm()&0o222 == 0:
		return nil, fmt.Errorf("%w: %s has no write permission for anybody", ErrReadOnly, path)
	}
	file, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	if err := errors.Join(w.mayReplace(), file.Close()); err != nil {
		return nil, w.failed(denied(err))
	}
	return w, nil
}

func (w *fileWriter) lock() string { return filepath.Join(w.dir, "."+w.name+".lock") }

// denied is err, which came before anything was changed, as one that matches
// ErrReadOnly where this process may not write in that place.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// mounted reports whether a path leads through the link ..data, by which the
// kubelet swaps all files of a volume at once.
func mounted(path string) bool {
	for range 40 { // links of links
		if strings.Contains("/"+filepath.ToSlash(path), "/..data/") {
			return true
		}
		target, err := os.Readlink(path)
		if err != nil {
			return false
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return false
}

func (w *fileWriter) failed(err error) error {
	if err == nil || errors.Is(err, ErrReadOnly) {
		return err
	}
	return fmt.Errorf("flags: write %s: %w", w.path, err)
}

// replace puts data in the place of the content now, which is looked at once
// more before the rename. Until then nothing has changed. The lock is held, so
// that the temporary file is nobody else's; one that is there is left over.
func (w *fileWriter) replace(now, data []byte) error {
	temporary := filepath.Join(w.dir, "."+w.name+".new")
	if err := ignoreMissing(os.Remove(temporary)); err != nil {
		return denied(err)
	}
	err := w.fill(temporary, data)
	if err == nil {
		var again []byte
		if again, err = filewatch.Read(w.path, MaxFileBytes); err == nil && VersionOf(again) != VersionOf(now) {
			err = ErrConflict
		}
	}
	if err == nil {
		if err = os.Rename(temporary, w.path); errors.Is(err, syscall.EBUSY) {
			err = fmt.Errorf("%w: it is mounted by itself: mount its folder: %w", ErrReadOnly, err)
		}
	}
	if err != nil {
		return errors.Join(denied(err), ignoreMissing(os.Remove(temporary)))
	}
	return syncFolder(w.dir)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fill writes a new file that has mode and owner of the old one and is durable.
func (w *fileWriter) fill(path string, data []byte) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := keepOwner(file, w.info); err != nil {
		return fmt.Errorf("its owner cannot be kept: %w", err)
	}
	if err := file.Chmod(w.info.Mode().Perm()); err != nil {
		return err
	}
	if n, err := file.Write(data); err != nil {
		return err
	} else if n < len(data) {
		return io.ErrShortWrite
	}
	return file.Sync()
}

// syncFolder makes a rename durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
