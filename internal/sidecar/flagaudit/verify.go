package flagaudit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// A ChainError tells where the log is not as it was written.
type ChainError struct {
	File   string
	Line   int
	Reason string
}

// Error has the shape "flags-audit.jsonl:3: ...".
func (e *ChainError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// Verify follows the chain of all lines that are kept. It returns how many there
// are, and a *ChainError for the first one that does not follow on the one
// before. Lines at the end that were removed do not show. It waits as Append
// does, for as long as it takes to open the files.
func (l *Log) Verify(ctx context.Context) (lines int, err error) {
	files, err := l.openAll(ctx)
	defer func() {
		for _, file := range files {
			_ = file.Close() // it was read
		}
	}()
	if err != nil {
		return 0, fmt.Errorf("flag audit: %w", err)
	}
	c := chain{}
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return c.lines, fmt.Errorf("flag audit: %w", err)
		}
		data, err := io.ReadAll(file)
		if err != nil {
			return c.lines, fmt.Errorf("flag audit: %w", err)
		}
		if err := c.follow(file.Name(), data); err != nil {
			return c.lines, err
		}
	}
	return c.lines, nil
}

// openAll opens the files, the oldest first, as they are at one moment: while the
// newest is locked none is set aside.
func (l *Log) openAll(ctx context.Context) (files []*os.File, err error) {
	if _, err := os.Stat(l.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	newest, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, newest.Close()) }()
	for i := kept; i >= 0; i-- {
		file, err := os.Open(l.path(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

// A chain is what was followed so far.
type chain struct {
	previous string // the sum of the line before
	lines    int
}

// follow reads the lines of the next file.
func (c *chain) follow(file string, data []byte) error {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		line = bytes.TrimSuffix(line, []byte("\n"))
		var e Entry
		// What is no entry broke off in a crash; the next line names it all the same.
		if json.Unmarshal(line, &e) == nil && e.Previous != c.previous && (c.lines > 0 || e.N == 1) {
			return &ChainError{File: file, Line: n, Reason: "does not follow on the line before: one was removed or altered"}
		}
		c.previous = sum(line)
		c.lines++
	}
	return nil
}
