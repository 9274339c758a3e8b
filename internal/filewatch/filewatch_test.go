package filewatch_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/filewatch"
)

type change struct {
	data string
	err  error
}

// watch starts a watcher of path and returns what it tells.
func watch(t *testing.T, path, initial string) <-chan change {
	t.Helper()
	changes := make(chan change, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		filewatch.Watch(ctx, filewatch.Config{
			Path: path, Interval: 5 * time.Millisecond, Initial: []byte(initial),
			OnChange: func(data []byte, err error) { changes <- change{string(data), err} },
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return changes
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, changes <-chan change, want string) {
	t.Helper()
	select {
	case c := <-changes:
		if c.err != nil || c.data != want {
			t.Fatalf("got %q, %v, want %q", c.data, c.err, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no change seen, want %q", want)
	}
}

func expectError(t *testing.T, changes <-chan change, want error) {
	t.Helper()
	select {
	case c := <-changes:
		if !errors.Is(c.err, want) {
			t.Fatalf("got %q, %v, want %v", c.data, c.err, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no change seen, want %v", want)
	}
}

func TestSeesEveryWayOfReplacingAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.yaml")
	write(t, path, "one")
	changes := watch(t, path, "one")

	write(t, path, "two")
	expect(t, changes, "two")

	write(t, path+".new", "three")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect(t, changes, "three")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expectError(t, changes, fs.ErrNotExist)
	write(t, path, "three")
	expect(t, changes, "three")

	write(t, path, strings.Repeat("x", 9<<20))
	expectError(t, changes, filewatch.ErrTooLarge)
	write(t, path, "four")
	expect(t, changes, "four")
}

func TestSeesConfigMapSwaps(t *testing.T) {
	dir := t.TempDir()
	publish := func(version, data string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "f.yaml"), data)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..v1", "one")
	path := filepath.Join(dir, "f.yaml")
	if err := os.Symlink(filepath.Join("..data", "f.yaml"), path); err != nil {
		t.Fatal(err)
	}
	changes := watch(t, path, "one")
	publish("..v2", "two")
	expect(t, changes, "two")
	publish("..v3", "one")
	expect(t, changes, "one")
}

func TestReadRefusesWhatIsNoRegularFile(t *testing.T) {
	if _, err := filewatch.Read(t.TempDir(), 10); err == nil {
		t.Error("a directory was read")
	}
	if _, err := filewatch.Read("/dev/null", 10); err == nil {
		t.Error("a device was read")
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := filewatch.Read(fifo, 10); err == nil {
		t.Error("a FIFO was read")
	}
}
