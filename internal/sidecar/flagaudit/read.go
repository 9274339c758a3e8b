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
