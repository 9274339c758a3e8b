// Package flagaudit is the log of changes of feature flags: one JSON line a
// change, appended and made durable before the change counts.
//
// Each line holds the SHA-256 of the line before, so that one that was removed
// or altered in the middle shows. It does not show who could write the file and
// computed all later lines anew: ship the log elsewhere where that matters.
package flagaudit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Name is the file's in its folder. Older ones are flags-audit.1.jsonl, the
// newest of them, to flags-audit.4.jsonl.
const Name = "flags-audit.jsonl"

const (
	defaultMaxBytes = 16 << 20
	kept            = 4        // files beside the one that is written
	maxDefinition   = 24 << 10 // of before and after, so that a line has less than 64 KiB
	tailBytes       = 1 << 20  // in which the last line is looked for
	lockEvery       = 10 * time.Millisecond
	timeForm        = "2006-01-02T15:04:05.000Z"
)

// What a line tells.
const (
	// Change is about to be made: the line is written first. It was made unless
	// a NotMade or an Unknown follows.
	Change = "change"
	// NotMade takes back the Change whose N is Of.
	NotMade = "not_made"
	// Unknown: the source could be neither written nor read, so that nobody can
	// tell whether the Change whose N is Of, and those of the same request behind
	// it, were made. A Made, or a NotMade for each, follows when the source has the
	// definitions after or before them; none does when it has others by then.
	Unknown = "unknown"
	// Made says of an Unknown that its changes were made.
	Made = "made"
	// Seen was found in the source: made there by somebody else.
	Seen = "seen"
)

// An Entry is one line. N, Time and Previous are Append's to set.
type Entry struct {
	N    int64  `json:"n,omitempty"` // counts from 1, over all files
	Time string `json:"time"`
	What string `json:"what"`
	Of   int64  `json:"of,omitempty"`
	// Actor is who says to have made the change, Via how it came: token, socket
	// or source. UID is that of the process at the other end of the socket.
	Actor string `json:"actor"`
	Via   string `json:"via"`
	UID   *int   `json:"uid,omitempty"`

	Source string `json:"source"`
	Flag   string `json:"flag,omitempty"`
	// Before and After are definitions, null where there is none; their size and
	// SHA-256 when one has more than 24 KiB.
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	// The versions of the whole configuration.
	ConfigurationBefore string `json:"configuration_before"`
	ConfigurationAfter  string `json:"configuration_after"`

	Note     string `json:"note,omitempty"`
	Previous string `json:"previous,omitempty"` // SHA-256 of the line before, in hex; none in the first
}

// A Log is the log in one folder. Several processes may have it open. It is safe
// for concurrent use.
type Log struct {
	dir string
	max int64
	now func() time.Time
}

// New returns the log in a folder, which is made when it is needed. MaxBytes is
// the size at which a file is set aside, 0 for 16 MiB.
func New(dir string, maxBytes int64) *Log {
	if maxBytes <= 0 {
		maxBytes = defaultMaxBytes
	}
	return &Log{dir: dir, max: maxBytes, now: time.Now}
}

// Dir is the folder.
func (l *Log) Dir() string { return l.dir }

func (l *Log) path(i int) string {
	if i == 0 {
		return filepath.Join(l.dir, Name)
	}
	return filepath.Join(l.dir, "flags-audit."+strconv.Itoa(i)+".jsonl")
}

// Append writes lines and returns the number of the first. They are durable, all
// of them, when it returns nil. It waits for other processes that write, until
// ctx ends.
func (l *Log) Append(ctx context.Context, entries ...Entry) (first int64, err error) {
	err = os.MkdirAll(l.dir, 0o700)
	for again := true; again && err == nil; {
		first, again, err = l.append(ctx, entries)
	}
	if err != nil {
		return 0, fmt.Errorf("flag audit: %w", err)
	}
	return first, nil
}

// append writes lines to the newest file, or sets it aside and says that they
// are to be appended again: another process may be the first in the next file.
func (l *Log) append(ctx context.Context, entries []Entry) (first int64, again bool, err error) {
	file, err := l.open(ctx)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = file.Close() }() // its content is durable, or err says that it is not
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	n, previous, torn, err := l.last(file, size)
	if err != nil {
		return 0, false, err
	}
	text, err := l.lines(entries, n, previous, torn)
	if err != nil {
		return 0, false, err
	}
	if size > 0 && size+int64(len(text)) > l.max && !torn {
		return 0, true, l.setAside()
	}
	if _, err = file.Write(text); err == nil {
		err = file.Sync()
	}
	if err != nil { // half a line would be the next one's beginning
		return 0, false, errors.Join(err, file.Truncate(size))
	}
	return n + 1, false, nil
}

// lines are entries as they follow line n.
func (l *Log) lines(entries []Entry, n int64, previous string, torn bool) ([]byte, error) {
	var b bytes.Buffer
	if torn {
		b.WriteByte('\n')
	}
	for _, e := range entries {
		n++
		e.N, e.Previous = n, previous
		line, err := l.Line(e)
		if err != nil {
			return nil, err
		}
		previous = sum(line)
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// Line is an entry of now as it may stand in another log: without its end, and
// without number and chain where e has none. It has less than 64 KiB.
func (l *Log) Line(e Entry) ([]byte, error) {
	e.Time = l.now().UTC().Format(timeForm)
	for _, definition := range []*json.RawMessage{&e.Before, &e.After} {
		text, err := json.Marshal(*definition)
		if err != nil {
			return nil, err
		}
		if *definition = text; len(text) > maxDefinition {
			*definition = fmt.Appendf(nil, `{"sha256":%q,"bytes":%d}`, sum(text), len(text))
		}
	}
	return json.Marshal(e)
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// open opens and locks the newest file. The lock ends when it is closed.
func (l *Log) open(ctx context.Context) (*os.File, error) {
	for {
		file, err := os.OpenFile(l.path(0), os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lock(ctx, file); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		opened, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		there, err := os.Lstat(l.path(0))
		if err == nil && os.SameFile(opened, there) {
			if opened.Size() == 0 {
				err = syncFolder(l.dir) // it may be new
			}
			if err != nil {
				return nil, errors.Join(err, file.Close())
			}
			return file, nil
		}
		_ = file.Close() // another process set it aside meanwhile
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// lock waits until no other process has the file. One that was stopped may hold
// it for as long as it likes.
func lock(ctx context.Context, file *os.File) error {
	ticker := time.NewTicker(lockEvery)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process holds %s: %w", Name, ctx.Err())
		case <-ticker.C:
		}
	}
}

// last is the number of the last line, 0 without one, and its sum. Torn: it has
// no end, because a crash came between.
func (l *Log) last(file *os.File, size int64) (n int64, previous string, torn bool, err error) {
	if size == 0 {
		older, err := os.Open(l.path(1))
		if errors.Is(err, fs.ErrNotExist) {
			return 0, "", false, nil
		}
		if err != nil {
			return 0, "", false, err
		}
		defer older.Close()
		info, err := older.Stat()
		if err != nil || info.Size() == 0 {
			return 0, "", false, err
		}
		n, previous, _, err = l.last(older, info.Size())
		return n, previous, false, err
	}
	from := max(0, size-tailBytes)
	tail := make([]byte, size-from)
	if _, err := file.ReadAt(tail, from); err != nil {
		return 0, "", false, err
	}
	torn = tail[len(tail)-1] != '\n'
	lines := bytes.Split(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n"))
	for _, line := range slices.Backward(lines) {
		var e Entry
		if json.Unmarshal(line, &e) == nil && e.N > 0 {
			n = e.N
			break
		}
	}
	return n, sum(lines[len(lines)-1]), torn, nil
}

// setAside makes the newest file the first of the older ones, of which the last
// goes. The newest is locked.
func (l *Log) setAside() error {
	for i := kept; i > 0; i-- {
		if err := os.Rename(l.path(i-1), l.path(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(l.dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
