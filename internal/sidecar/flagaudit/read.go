package flagaudit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// maxPageBytes bounds a page: it ends with the line that reaches it.
const maxPageBytes = 4 << 20

// Read returns up to limit lines, the newest first, whose number is below
// before; 0 begins with the newest. Lines that cannot be read are left out.
func (l *Log) Read(before int64, limit int) ([]Entry, error) {
	entries, bytesRead := []Entry{}, 0
	for i := 0; i <= kept; i++ {
		data, err := os.ReadFile(l.path(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("flag audit: %w", err)
		}
		for len(data) > 0 {
			data = bytes.TrimSuffix(data, []byte("\n"))
			cut := bytes.LastIndexByte(data, '\n') + 1
			line := data[cut:]
			data = data[:cut]
			var e Entry
			if json.Unmarshal(line, &e) != nil || e.N < 1 || before > 0 && e.N >= before {
				continue
			}
			entries = append(entries, e)
			if bytesRead += len(line); len(entries) >= limit || bytesRead > maxPageBytes {
				return entries, nil
			}
		}
	}
	return entries, nil
}

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
// before.
func (l *Log) Verify() (lines int, err error) {
	previous, known := "", false
	for i := kept; i >= 0; i-- {
		data, err := os.ReadFile(l.path(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return lines, fmt.Errorf("flag audit: %w", err)
		}
		for n, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
			if len(data) == 0 {
				break
			}
			var e Entry
			torn := json.Unmarshal(line, &e) != nil
			switch {
			case torn:
				// A crash came between; the next line names it all the same.
			case e.Previous != previous && (known || e.N == 1):
				return lines, &ChainError{File: l.path(i), Line: n + 1, Reason: "does not follow on the line before: one was removed or altered"}
			}
			previous, known = sum(line), true
			lines++
		}
	}
	return lines, nil
}
