package flags

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/internal/filewatch"
)

const (
	// snapshotMagic begins a snapshot; the SHA-256 of all that follows that line
	// stands behind it.
	snapshotMagic = "handrail-flags-snapshot 1 "
	// maxSnapshotHead is the longest head of a snapshot.
	maxSnapshotHead = 64 << 10
	// snapshotAgain is when one that could not be written is tried again.
	snapshotAgain = time.Minute
	// snapshotLock is how long another process may write the same one.
	snapshotLock = 5 * time.Second
)

var (
	errSnapshotDamaged = errors.New("is damaged or no snapshot")
	errSnapshotOther   = errors.New("is of another source")
)

// snapshot keeps the newest good definitions in a file.
type snapshot struct {
	path    string
	pending atomic.Pointer[Document] // not written yet
	wake    chan struct{}
}

func newSnapshot(path string) *snapshot {
	return &snapshot{path: path, wake: make(chan struct{}, 1)}
}

// keep has doc written soon. It returns at once.
func (s *snapshot) keep(doc Document) {
	s.pending.Store(&doc)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run writes what is to be kept until ctx ends, and then what is left over. The
// same failure again is not worth another call of failed.
func (s *snapshot) run(ctx context.Context, failed func(error)) {
	again := time.NewTimer(snapshotAgain)
	defer again.Stop()
	last := ""
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-s.wake:
		case <-again.C:
		}
		doc := s.pending.Swap(nil)
		if doc == nil {
			continue
		}
		err := s.write(ctx, *doc)
		if err == nil {
			last = ""
			continue
		}
		s.pending.CompareAndSwap(nil, doc)
		again.Reset(snapshotAgain)
		if err = fmt.Errorf("flags: snapshot %s: %w", s.path, err); err.Error() != last {
			last = err.Error()
			failed(err)
		}
	}
}

// write replaces the file by a rename, so that it is whole at every moment. It
// takes a lock, so that the temporary file is nobody else's; one that is there is
// left over.
func (s *snapshot) write(ctx context.Context, doc Document) error {
	data := encodeSnapshot(doc)
	if now, err := filewatch.Read(s.path, int64(len(data))); err == nil && bytes.Equal(now, data) {
		return nil
	}
	dir, name := filepath.Split(s.path)
	if dir == "" {
		dir = "."
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotLock)
	defer cancel()
	unlock, err := lockFile(ctx, filepath.Join(dir, "."+name+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	temporary := filepath.Join(dir, "."+name+".new")
	if err := ignoreMissing(os.Remove(temporary)); err != nil {
		return err
	}
	err = writeNew(temporary, data)
	if err == nil {
		err = os.Rename(temporary, s.path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temporary)))
	}
	return syncFolder(dir)
}

// writeNew makes a file durable that was not there.
func writeNew(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(data); err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// read returns what is kept of the source of that name. Errors match
// fs.ErrNotExist when there is none.
func (s *snapshot) read(name string) (Document, error) {
	data, err := filewatch.Read(s.path, maxSnapshotHead+MaxFileBytes)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Document{}, err
		}
		return Document{}, fmt.Errorf("flags: snapshot: %w", err)
	}
	doc, err := decodeSnapshot(data)
	if err == nil && doc.Name != name {
		err = errSnapshotOther
	}
	if err != nil {
		return Document{}, fmt.Errorf("flags: snapshot %s: %w", s.path, err)
	}
	return doc, nil
}

// snapshotHead is what a snapshot says of its definitions, on a line of its own
// before them.
type snapshotHead struct {
	Name    string    `json:"name"`
	Written time.Time `json:"written,omitzero"`
}

func encodeSnapshot(doc Document) []byte {
	// A name that is no UTF-8 is another one afterwards, and so refused.
	head, _ := json.Marshal(snapshotHead{doc.Name, doc.Written.UTC().Round(0)})
	rest := make([]byte, 0, len(head)+1+len(doc.Data))
	rest = append(append(append(rest, head...), '\n'), doc.Data...)
	sum := sha256.Sum256(rest)
	return append([]byte(snapshotMagic+hex.EncodeToString(sum[:])+"\n"), rest...)
}

func decodeSnapshot(data []byte) (Document, error) {
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	want, isOne := bytes.CutPrefix(first, []byte(snapshotMagic))
	sum := sha256.Sum256(rest)
	if !isOne || string(want) != hex.EncodeToString(sum[:]) {
		return Document{}, errSnapshotDamaged
	}
	line, definitions, ok := bytes.Cut(rest, []byte("\n"))
	var head snapshotHead
	if !ok || len(line) > maxSnapshotHead || len(definitions) > MaxFileBytes || json.Unmarshal(line, &head) != nil {
		return Document{}, errSnapshotDamaged
	}
	return Document{Name: head.Name, Data: definitions, Written: head.Written}, nil
}
