package sidecar_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/internal/sidecar"
)

// sink is a writer that remembers each call.
type sink struct {
	mu     sync.Mutex
	writes []string
	at     []time.Time
	answer func(p []byte) (int, error) // nil: takes all
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := len(p), error(nil)
	if s.answer != nil {
		n, err = s.answer(p)
	}
	s.writes = append(s.writes, string(p[:n]))
	s.at = append(s.at, time.Now())
	return n, err
}

func (s *sink) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.writes)
}

func (s *sink) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.writes, "")
}

func write(t *testing.T, w io.Writer, line string) {
	t.Helper()
	if n, err := io.WriteString(w, line); n != len(line) || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
}

func TestLinesGoOutAtTheLatestAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = sidecar.LogDelay
		out := new(sink)
		w := sidecar.NewLogWriter(out)
		start := time.Now()
		want := func(rule string, after time.Duration, writes ...string) {
			t.Helper()
			synctest.Wait()
			out.mu.Lock()
			defer out.mu.Unlock()
			if d := cmp.Diff(writes, out.writes); d != "" || out.at[len(out.at)-1].Sub(start) != after {
				t.Fatalf("%s: %v after %v, want %v: %s", rule, out.writes, out.at[len(out.at)-1].Sub(start), after, d)
			}
		}
		write(t, w, "a\n")
		want("the first line goes out at once", 0, "a\n")
		time.Sleep(delay / 2)
		write(t, w, "b\n")
		time.Sleep(delay / 4)
		write(t, w, "c\n")
		want("lines soon after it are held back", 0, "a\n")
		time.Sleep(delay / 4)
		want("they go out together", delay, "a\n", "b\nc\n")
		write(t, w, "d\n")
		time.Sleep(delay)
		want("and so on", 2*delay, "a\n", "b\nc\n", "d\n")
		time.Sleep(time.Hour) // idle
		write(t, w, "e\n")
		want("after a while a line goes out at once again", 2*delay+time.Hour, "a\n", "b\nc\n", "d\n", "e\n")
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFullBufferGoesOutAtOnceInWholeLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(sink)
		w := sidecar.NewLogWriter(out)
		line := strings.Repeat("x", 999) + "\n"
		for range 3*sidecar.LogBuffer/len(line) + 1 {
			write(t, w, line)
		}
		if out.calls() != 4 { // and the first line
			t.Errorf("%d writes", out.calls())
		}
		for _, text := range out.writes[1:] {
			if !strings.HasSuffix(text, "\n") || len(text) > sidecar.LogBuffer || len(text) < sidecar.LogBuffer-len(line) {
				t.Errorf("a write of %d bytes", len(text))
			}
		}
		long := strings.Repeat("y", 3*sidecar.LogBuffer) + "\n"
		write(t, w, "before\n")
		write(t, w, long)
		if !strings.HasSuffix(out.text(), "before\n"+long) {
			t.Error("a long line does not stand behind the one before it")
		}
		_ = w.Close()
	})
}

func TestFlushAndCloseBringOutEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(sink)
		w := sidecar.NewLogWriter(out)
		write(t, w, "first\n")
		write(t, w, "a\n")
		if err := w.Flush(); err != nil || out.text() != "first\na\n" {
			t.Errorf("Flush: %v, %q", err, out.text())
		}
		write(t, w, "b\n")
		if err := w.Close(); err != nil || out.text() != "first\na\nb\n" {
			t.Errorf("Close: %v, %q", err, out.text())
		}
		write(t, w, "late\n")
		if out.text() != "first\na\nb\nlate\n" {
			t.Errorf("a line after Close is held back: %q", out.text())
		}
		if err := errors.Join(w.Flush(), w.Close()); err != nil {
			t.Error(err)
		}
	}) // which fails when a timer's goroutine is left
}

// A blocked pipe takes back-pressure, not memory, and loses nothing.
func TestWritersWaitWhileTheWriterBelowIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		out := &sink{answer: func(p []byte) (int, error) { <-release; return len(p), nil }}
		w := sidecar.NewLogWriter(out)
		const writers, each = 4, 100
		var written, want [writers]int
		var wg sync.WaitGroup
		line := strings.Repeat("x", 1000)
		for g := range writers {
			wg.Go(func() {
				for i := range each {
					write(t, w, fmt.Sprintf("%d %d %s\n", g, i, line))
					written[g]++
				}
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		total := 0
		for _, n := range written {
			total += n * len(line)
		}
		if total < sidecar.LogBuffer/2 || total > sidecar.LogBuffer {
			t.Errorf("%d bytes were taken while nothing went out", total)
		}
		close(release)
		wg.Wait()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		for text := range strings.Lines(out.text()) {
			var g, i int
			var rest string
			if n, err := fmt.Sscanf(text, "%d %d %s\n", &g, &i, &rest); n != 3 || err != nil || rest != line || i != want[g] {
				t.Fatalf("line %.20q: %v, writer %d at %d", text, err, g, want[g])
			}
			want[g]++
		}
		if want != [writers]int{each, each, each, each} || w.Lost() != 0 {
			t.Errorf("lines %v, lost %d", want, w.Lost())
		}
	})
}

// A line that is written while Close waits for the timer's goroutine is not
// forgotten.
func TestALineThatMeetsCloseGoesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(sink)
		w := sidecar.NewLogWriter(out)
		write(t, w, "a\n")
		release := make(chan struct{})
		out.answer = func(p []byte) (int, error) { <-release; return len(p), nil }
		write(t, w, "b\n")
		time.Sleep(2 * sidecar.LogDelay) // the timer's goroutine is stuck
		done := make(chan error)
		go func() { done <- w.Close() }()
		synctest.Wait()
		go func() { _, _ = io.WriteString(w, "c\n") }()
		synctest.Wait()
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if out.text() != "a\nb\nc\n" {
			t.Errorf("got %q", out.text())
		}
	})
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	var buf bytes.Buffer
	w := sidecar.NewLogWriter(&buf)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			line := strings.Repeat(string(rune('a'+g)), 100+g) + "\n"
			for i := range 2000 {
				write(t, w, line)
				if i%97 == 0 {
					_ = w.Flush()
				}
			}
		})
	}
	wg.Wait()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	n := 0
	for line := range strings.Lines(buf.String()) {
		text := strings.TrimSuffix(line, "\n")
		if g := int(text[0] - 'a'); text != strings.Repeat(text[:1], 100+g) {
			t.Fatalf("torn: %q", text)
		}
		n++
	}
	if n != 8*2000 {
		t.Errorf("%d lines", n)
	}
}

func TestLinesThatAreNotTakenAreCounted(t *testing.T) {
	full := errors.New("no space left on device")
	for _, tc := range []struct {
		rule   string
		answer func([]byte) (int, error)
		err    error
		lost   uint64
		text   string // with the line that comes once there is space
	}{
		{"none taken", func([]byte) (int, error) { return 0, full }, full, 3, "later\n"},
		{"torn in the second line: it is ended before the next", func([]byte) (int, error) { return 5, full }, full, 2, "one\nt\nlater\n"},
		{"an end between two lines needs none", func([]byte) (int, error) { return 4, full }, full, 2, "one\nlater\n"},
		{"taken in part, without an error", func([]byte) (int, error) { return 5, nil }, io.ErrShortWrite, 2, "one\nt\nlater\n"},
	} {
		out := new(sink)
		w := sidecar.NewLogWriter(out)
		write(t, w, "zero\n")
		out.answer = tc.answer
		write(t, w, "one\n")
		write(t, w, "two\nthree\n")
		if err := w.Flush(); !errors.Is(err, tc.err) {
			t.Errorf("%s: Flush %v", tc.rule, err)
		}
		if err := w.Flush(); err != nil || w.Lost() != tc.lost {
			t.Errorf("%s: lost %d, then %v; want %d", tc.rule, w.Lost(), err, tc.lost)
		}
		out.answer = nil
		write(t, w, "later\n")
		if err := w.Close(); err != nil || out.text() != "zero\n"+tc.text || w.Lost() != tc.lost {
			t.Errorf("%s: %q, lost %d, %v", tc.rule, out.text(), w.Lost(), err)
		}
	}
}

func TestLogWriterDoesNotAllocate(t *testing.T) {
	w := sidecar.NewLogWriter(io.Discard)
	line := bytes.Repeat([]byte("x"), 300)
	line[299] = '\n'
	for range 1000 { // both buffers and the timer are there
		_, _ = w.Write(line)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = w.Write(line) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_ = w.Close()
}
