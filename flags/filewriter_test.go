package flags_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/flags"
)

func writerOf(t *testing.T, path string) flags.Writer {
	t.Helper()
	w, ok := flags.File(path).(flags.Writer)
	if !ok {
		t.Fatal("a file is no Writer")
	}
	return w
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// folder lists what is in one, but for locks.
func folder(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

func TestWriteReplacesTheFileWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "flags.yaml")
	write(t, path, version(1))
	must(t, os.Chmod(path, 0o640))
	write(t, filepath.Join(dir, ".flags.yaml.new"), "left over from a crash")
	old, err := os.Open(path)
	must(t, err)
	defer old.Close()

	w := writerOf(t, path)
	must(t, w.Write(t.Context(), flags.VersionOf([]byte(version(1))), []byte(version(2))))
	if read(t, path) != version(2) || folder(t, dir) != "flags.yaml" {
		t.Errorf("%q in %s", read(t, path), folder(t, dir))
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	before := make([]byte, 1000)
	if n, _ := old.Read(before); string(before[:n]) != version(1) {
		t.Error("who reads the old file finds another")
	}
	if err := w.Write(t.Context(), flags.VersionOf([]byte(version(1))), []byte(version(3))); !errors.Is(err, flags.ErrConflict) {
		t.Errorf("another version: %v", err)
	}
	if err := w.Write(t.Context(), flags.VersionOf([]byte(version(2))), make([]byte, flags.MaxFileBytes+1)); err == nil {
		t.Error("a file that could not be read again is written")
	}
	if read(t, path) != version(2) || folder(t, dir) != "flags.yaml" {
		t.Errorf("a refusal leaves %q in %s", read(t, path), folder(t, dir))
	}
}

func TestWriteFollowsASymbolicLink(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "target.yaml"), filepath.Join(t.TempDir(), "flags.yaml")
	write(t, target, version(1))
	must(t, os.Symlink(target, path))
	must(t, writerOf(t, path).Write(t.Context(), flags.VersionOf([]byte(version(1))), []byte(version(2))))
	if link, err := os.Readlink(path); link != target || err != nil || read(t, target) != version(2) {
		t.Errorf("link %s (%v), target %q", link, err, read(t, target))
	}
}

func TestWriteSaysWhereAReadOnlyFileIsChanged(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "..v1"), 0o700))
	write(t, filepath.Join(dir, "..v1", "flags.yaml"), version(1))
	must(t, os.Symlink("..v1", filepath.Join(dir, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "flags.yaml"), filepath.Join(dir, "flags.yaml")))
	must(t, os.Symlink(filepath.Join(dir, "flags.yaml"), filepath.Join(dir, "again.yaml")))
	write(t, filepath.Join(dir, "closed.yaml"), version(1))
	must(t, os.Chmod(filepath.Join(dir, "closed.yaml"), 0o444))
	for name, want := range map[string]string{
		"flags.yaml":  "is mounted from a Kubernetes ConfigMap or Secret: change it there",
		"again.yaml":  "is mounted from a Kubernetes ConfigMap or Secret: change it there",
		"closed.yaml": "closed.yaml has no write permission for anybody",
		"..v1":        "is not a regular file",
	} {
		err := writerOf(t, filepath.Join(dir, name)).Write(t.Context(), flags.VersionOf([]byte(version(1))), []byte(version(2)))
		if !errors.Is(err, flags.ErrReadOnly) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := writerOf(t, filepath.Join(dir, "none")).Write(t.Context(), "", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestWriteWaitsForAnotherWriterNoLongerThanItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.yaml")
	write(t, path, version(1))
	lock, err := os.Create(filepath.Join(filepath.Dir(path), ".flags.yaml.lock"))
	must(t, err)
	defer lock.Close()
	must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := writerOf(t, path).Write(ctx, flags.VersionOf([]byte(version(1))), []byte(version(2))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if read(t, path) != version(1) {
		t.Error("it was written all the same")
	}
}

// Of several that write over the same version exactly one wins, so that no
// update is lost.
func TestOfConcurrentWritesOneWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.yaml")
	const writers, rounds = 8, 20
	write(t, path, version(0))
	var conflicts atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			w := writerOf(t, path)
			for done := 0; done < rounds; {
				doc, err := w.Load(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				set, err := flags.Parse("f", doc.Data)
				if err != nil {
					t.Errorf("not whole: %v", err)
					return
				}
				switch err := w.Write(t.Context(), set.Version(), []byte(version(versionOf(t, set)+1))); {
				case err == nil:
					done++
				case errors.Is(err, flags.ErrConflict):
					conflicts.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	set, err := flags.Parse("f", []byte(read(t, path)))
	must(t, err)
	if got := versionOf(t, set); got != writers*rounds {
		t.Errorf("%d updates are left of %d", got, writers*rounds)
	}
	t.Logf("%d conflicts", conflicts.Load())
}

// child makes the test binary write until it is killed, or once with little room.
const child = "FLAGS_WRITER_CHILD"

func TestWriterChild(t *testing.T) {
	path, limit, _ := strings.Cut(os.Getenv(child), "?")
	if path == "" {
		t.Skip("it is a part of other tests")
	}
	if room, err := strconv.ParseUint(limit, 10, 64); err == nil {
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: room}))
	}
	w := writerOf(t, path)
	for {
		doc, err := w.Load(t.Context())
		must(t, err)
		set, err := flags.Parse("f", doc.Data)
		must(t, err)
		must(t, w.Write(t.Context(), set.Version(), []byte(version(versionOf(t, set)+1))))
	}
}

func startChild(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestWriterChild$")
	cmd.Env = append(os.Environ(), child+"="+path)
	return cmd
}

func TestAKilledWriterLeavesAWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "flags.yaml")
	write(t, path, version(0))
	last := 0
	for round := range 15 {
		cmd := startChild(t, path)
		must(t, cmd.Start())
		eventually(t, func() bool { // it is at work
			data, err := os.ReadFile(path)
			set, parsed := flags.Parse("f", data)
			if err != nil || parsed != nil {
				t.Fatalf("not whole: %v, %v", err, parsed)
			}
			return versionOf(t, set) > last+round%5
		})
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		set, err := flags.Parse("f", []byte(read(t, path)))
		must(t, err)
		last = versionOf(t, set)
		must(t, writerOf(t, path).Write(t.Context(), set.Version(), []byte(version(last))))
		if got := folder(t, dir); got != "flags.yaml" {
			t.Fatalf("left in the folder after the next write: %s", got)
		}
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never")
		}
	}
}

func TestAFullDiskChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "flags.yaml")
	write(t, path, version(0))
	out, err := startChild(t, path+fmt.Sprintf("?%d", len(version(0))-5)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "file too large") {
		t.Fatalf("%v: %s", err, out)
	}
	if read(t, path) != version(0) || folder(t, dir) != "flags.yaml" {
		t.Errorf("%q in %s", read(t, path), folder(t, dir))
	}
}
