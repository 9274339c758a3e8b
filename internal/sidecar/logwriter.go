package sidecar

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logBuffer is how much a logWriter holds back, in bytes.
	logBuffer = 32 << 10
	// logDelay is how long a logWriter holds a line back.
	logDelay = 100 * time.Millisecond
)

// A logWriter collects lines for a writer that costs a system call each time. A
// line goes out at once when none came for logDelay. Those after it are
// collected and go out as whole lines, in their order, when they fill logBuffer,
// at the latest logDelay after the first of them, at Flush and at Close. Nothing is dropped to save time or memory: while the writer below takes no
// more, whoever logs waits, once another logBuffer is full. It is safe for
// concurrent use. Each Write must be one or more whole lines.
//
// What a SIGKILL, or a panic outside of a request, takes with it are lines of the
// last logDelay. Those of level WARN and above are never among them when
// they come through a logHandler.
type logWriter struct {
	out  io.Writer
	lost atomic.Uint64

	mu      sync.Mutex
	changed sync.Cond // writing or armed became false
	buf     []byte    // whole lines
	spare   []byte    // the other buffer, empty; nil while it is written
	writing bool      // somebody writes to out, without mu
	torn    bool      // out ends in the middle of a line
	timer   *time.Timer
	armed   bool // the timer is set, or is at work: lines are held back
	closed  bool
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out}
	w.changed.L = &w.mu
	return w
}

// Write implements io.Writer. It keeps nothing of p. That a write below failed,
// for these lines or earlier ones, is Flush's, Close's and Lost's to tell.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) > 0 && len(w.buf)+len(p) > logBuffer {
		_ = w.flush()
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, logBuffer)
	}
	w.buf = append(w.buf, p...)
	idle := !w.armed
	if idle && !w.closed {
		w.arm()
	}
	if idle || w.closed || len(w.buf) >= logBuffer {
		_ = w.flush()
	}
	return len(p), nil
}

// Flush brings out every line written before. The error is that of its own
// write below, whose lines are lost; Lost counts those of any other write, too.
func (w *logWriter) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flush()
}

// Close is Flush, after which nothing is held back any more: a line that comes
// later goes out at once. It waits for the writer below, which it leaves open.
func (w *logWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	err := w.flush()
	if w.armed && w.timer.Stop() {
		w.armed = false
	}
	for w.armed {
		w.changed.Wait()
	}
	return err
}

// Lost counts the lines that the writer below did not take.
func (w *logWriter) Lost() uint64 { return w.lost.Load() }

// flush is called with mu, which it gives back while it writes: meanwhile lines
// are collected in the other buffer.
func (w *logWriter) flush() error {
	for w.writing {
		w.changed.Wait()
	}
	if len(w.buf) == 0 {
		return nil
	}
	lines, torn := w.buf, w.torn
	w.buf, w.spare, w.writing = w.spare, nil, true
	w.mu.Unlock()
	n, torn, err := writeLines(w.out, lines, torn)
	w.mu.Lock()
	w.lost.Add(uint64(bytes.Count(lines[n:], newline)))
	if cap(lines) <= 2*logBuffer { // one long line does not keep its memory
		w.spare = lines[:0]
	}
	w.torn, w.writing = torn, false
	w.changed.Broadcast()
	return err
}

var newline = []byte{'\n'}

// writeLines returns how much of lines out took, and whether out ends in the
// middle of a line now. A line that an earlier write tore is ended first, so
// that it spoils no other.
func writeLines(out io.Writer, lines []byte, torn bool) (n int, tornNow bool, err error) {
	if torn {
		if _, err := out.Write(newline); err != nil {
			return 0, true, err
		}
	}
	n, err = out.Write(lines)
	n = min(max(n, 0), len(lines))
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	return n, n > 0 && lines[n-1] != '\n', err
}

// arm is called with mu, when lines are held back from now on.
func (w *logWriter) arm() {
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(logDelay, w.onTimer)
		return
	}
	w.timer.Reset(logDelay)
}

// onTimer flushes on the timer's goroutine. When nothing came since the timer
// was set, it stands still: an idle process is not woken.
func (w *logWriter) onTimer() {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := w.writing || len(w.buf) > 0
	_ = w.flush()
	if busy && !w.closed {
		w.arm()
		return
	}
	w.armed = false
	w.changed.Broadcast()
}
