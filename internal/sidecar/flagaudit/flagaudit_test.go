package flagaudit_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

func entry(flag string) flagaudit.Entry {
	return flagaudit.Entry{
		What: flagaudit.Change, Actor: "ann", Via: "token", Source: "flags.yaml", Flag: flag,
		Before: json.RawMessage(`{"enabled":false}`), ConfigurationBefore: "a", ConfigurationAfter: "b",
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, l *flagaudit.Log, entries ...flagaudit.Entry) int64 {
	t.Helper()
	n, err := l.Append(t.Context(), entries...)
	must(t, err)
	return n
}

func numbers(t *testing.T, l *flagaudit.Log, before int64, limit int) []int64 {
	t.Helper()
	entries, err := l.Read(before, limit)
	must(t, err)
	var ns []int64
	for _, e := range entries {
		ns = append(ns, e.N)
	}
	return ns
}

func TestLinesFollowOnEachOther(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l := flagaudit.New(dir, 0)
	if ns := numbers(t, l, 0, 10); len(ns) != 0 {
		t.Errorf("an empty log has %v", ns)
	}
	appendTo(t, l, entry("a"))
	if n := appendTo(t, flagaudit.New(dir, 0), entry("b"), entry("c")); n != 2 {
		t.Errorf("the second line has number %d", n)
	}
	info, err := os.Stat(filepath.Join(dir, flagaudit.Name))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	if got := numbers(t, l, 0, 2); !slices.Equal(got, []int64{3, 2}) {
		t.Errorf("the newest: %v", got)
	}
	if got := numbers(t, l, 2, 2); !slices.Equal(got, []int64{1}) {
		t.Errorf("before 2: %v", got)
	}
	if n, err := l.Verify(t.Context()); n != 3 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestARemovedOrAlteredLineShows(t *testing.T) {
	for name, tamper := range map[string]func(lines []string) []string{
		"removed": func(lines []string) []string { return slices.Delete(lines, 1, 2) },
		"altered": func(lines []string) []string {
			lines[1] = strings.Replace(lines[1], "ann", "bob", 1)
			return lines
		},
		"another order": func(lines []string) []string {
			lines[1], lines[2] = lines[2], lines[1]
			return lines
		},
	} {
		dir := t.TempDir()
		l := flagaudit.New(dir, 0)
		appendTo(t, l, entry("a"), entry("b"), entry("c"))
		path := filepath.Join(dir, flagaudit.Name)
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(strings.Join(tamper(strings.SplitAfter(string(data), "\n")), "")), 0o600))
		_, err = l.Verify(t.Context())
		if e, ok := errors.AsType[*flagaudit.ChainError](err); !ok || e.Line > 3 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A crash in the middle of a line costs that line, which nobody was told of.
func TestALineThatBrokeOffHarmsNoOther(t *testing.T) {
	dir := t.TempDir()
	l := flagaudit.New(dir, 0)
	appendTo(t, l, entry("a"))
	path := filepath.Join(dir, flagaudit.Name)
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(data, `{"n":2,"time"`...), 0o600))
	if n := appendTo(t, l, entry("b")); n != 2 {
		t.Errorf("number %d", n)
	}
	if got := numbers(t, l, 0, 10); !slices.Equal(got, []int64{2, 1}) {
		t.Errorf("lines %v", got)
	}
	if _, err := l.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFilesAreSetAsideAndTheChainGoesOn(t *testing.T) {
	dir := t.TempDir()
	l := flagaudit.New(dir, 1000)
	for range 40 {
		appendTo(t, l, entry("a"))
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Size() > 1000 {
			t.Errorf("%s has %d bytes", e.Name(), info.Size())
		}
	}
	if len(entries) != 5 {
		t.Errorf("files %v", entries)
	}
	all := numbers(t, l, 0, 100)
	for i, n := range all {
		if n != int64(40-i) {
			t.Fatalf("lines %v", all)
		}
	}
	if n, err := l.Verify(t.Context()); err != nil || n != len(all) || n < 5 {
		t.Errorf("%d lines of %d, %v", n, len(all), err)
	}
}

func TestManyWritersMakeOneChain(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			l := flagaudit.New(dir, 20_000) // as of a process of its own
			for range 20 {
				if _, err := l.Append(t.Context(), entry("a")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := flagaudit.New(dir, 0).Verify(t.Context()); n != 160 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := flagaudit.New(file, 0).Append(t.Context(), entry("a")); err == nil {
		t.Error("a folder that is a file")
	}
	dir := t.TempDir()
	must(t, os.Symlink(file, filepath.Join(dir, flagaudit.Name)))
	if _, err := flagaudit.New(dir, 0).Append(t.Context(), entry("a")); err == nil {
		t.Error("a symbolic link is followed")
	}
}

func TestALongDefinitionIsItsSum(t *testing.T) {
	l := flagaudit.New(t.TempDir(), 0)
	e := entry("a")
	e.After = json.RawMessage(`{"owner":"` + strings.Repeat("x", 70_000) + `"}`)
	appendTo(t, l, e)
	entries, err := l.Read(0, 1)
	must(t, err)
	if got := string(entries[0].After); !strings.HasPrefix(got, `{"sha256":"`) || !strings.HasSuffix(got, `","bytes":70012}`) {
		t.Errorf("%.100s", got)
	}
}

// Another process that was stopped while it wrote holds up nobody for longer than
// they wait.
func TestWhoeverWaitsForTheLogWaitsNoLongerThanItsContext(t *testing.T) {
	dir := t.TempDir()
	l := flagaudit.New(dir, 0)
	appendTo(t, l, entry("a"))
	other, err := os.Open(filepath.Join(dir, flagaudit.Name))
	must(t, err)
	must(t, syscall.Flock(int(other.Fd()), syscall.LOCK_EX))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, entry("b")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append: %v", err)
	}
	if _, err := l.Verify(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("verify: %v", err)
	}
	must(t, other.Close())
	if n := appendTo(t, l, entry("c")); n != 2 {
		t.Errorf("number %d", n)
	}
}

// Files that are set aside meanwhile do not look like ones that were removed.
func TestALogThatIsWrittenMeanwhileIsVerified(t *testing.T) {
	dir := t.TempDir()
	l := flagaudit.New(dir, 2000)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := l.Append(t.Context(), entry("a")); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 200 {
		if _, err := l.Verify(t.Context()); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()
}
