package filewatch_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
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
			Path: path, Interval: 20 * time.Millisecond, Initial: []byte(initial),
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
		if c.err == nil && c.data == "" {
			expect(t, changes, want) // a busy machine was seen between truncating and writing
			return
		}
		if c.err != nil || c.data != want {
			t.Fatalf("got %d bytes, %v, want %q", len(c.data), c.err, want)
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

	write(t, path+".new", strings.Repeat("x", 9<<20))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
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

func TestSeesContentBehindTheSameSizeAndTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	write(t, path, "50")
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	changes := watch(t, path, "")
	expect(t, changes, "50")
	write(t, path, "25")
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	expect(t, changes, "25")
}

// In a bubble, a look that takes longer than the interval stands for a process
// that was stopped.
func TestTwoLooksAreAnIntervalApartAfterAStandstill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	write(t, path, "one")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begun, calls := time.Now(), []time.Duration{}
		next := "two"
		done := make(chan struct{})
		go func() {
			defer close(done)
			filewatch.Watch(ctx, filewatch.Config{Path: path, Interval: time.Second, OnChange: func([]byte, error) {
				calls = append(calls, time.Since(begun))
				time.Sleep(2500 * time.Millisecond)
				write(t, path, next)
				next += "!"
			}})
		}()
		time.Sleep(20 * time.Second)
		cancel()
		<-done
		// Seen at 1 s and 2 s; after each standstill of 2.5 s, two looks again.
		want := []time.Duration{2 * time.Second, 6500 * time.Millisecond, 11 * time.Second, 15500 * time.Millisecond, 20 * time.Second}
		if len(calls) < 4 || !slices.Equal(calls[:4], want[:4]) {
			t.Errorf("told at %v, want %v", calls, want)
		}
	})
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
