package flags_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

// asNobody runs f as a user to whom permissions mean something. The thread that
// was one ends with its goroutine, since that never unlocks it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	const nobody = 65534
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Errorf("setresuid: %v", errno)
			return
		}
		f()
	}()
	<-done
}

// A file that may be written, in a folder in which nothing may be made, cannot be
// replaced: who asks first learns so.
func TestAFileThatCannotBeReplacedIsReadOnly(t *testing.T) {
	for _, tt := range []struct {
		rule, says string
		prepare    func(t *testing.T, dir string)
	}{
		{"a folder without write permission", "write to folder ", func(t *testing.T, dir string) {
			t.Helper()
			must(t, os.Chmod(dir, 0o555))
		}},
		{"a lock that is another user's", ".flags.yaml.lock: permission denied", func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, ".flags.yaml.lock"), "")
			must(t, os.Chmod(filepath.Join(dir, ".flags.yaml.lock"), 0))
		}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "flags.yaml")
			write(t, path, version(1))
			must(t, os.Chmod(path, 0o666))
			must(t, os.Chmod(filepath.Dir(dir), 0o755))
			must(t, os.Chmod(dir, 0o777))
			tt.prepare(t, dir)
			defer func() { must(t, os.Chmod(dir, 0o700)) }()
			asNobody(t, func() {
				file, _ := flags.File(path).(interface {
					flags.Writer
					Writable() error
				})
				writable := file.Writable()
				written := file.Write(t.Context(), flags.VersionOf([]byte(version(1))), []byte(version(2)))
				for _, err := range []error{writable, written} {
					if !errors.Is(err, flags.ErrReadOnly) || !strings.HasPrefix(err.Error(), flags.ErrReadOnly.Error()+": ") || !strings.Contains(err.Error(), tt.says) {
						t.Errorf("%v", err)
					}
				}
			})
			if read(t, path) != version(1) {
				t.Error("it was written all the same")
			}
		})
	}
}
