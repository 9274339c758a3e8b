package flags

import (
	"context"
	"os"
	"time"

	"github.com/handrail-go/handrail/internal/filewatch"
)

// Document is a definition file as a Source found it.
type Document struct {
	// Name stands before the line in errors: a path or an address, without
	// credentials.
	Name string
	// Data is YAML or JSON. Nobody changes it after it was handed over.
	Data []byte
	// Written is when the definitions were changed last, by the clock of this
	// process as well as the Source can tell: a server is asked how long ago that
	// was. Zero when that is not known.
	Written time.Time
}

// Source is where definitions come from. The Client decides what becomes of
// them: whatever a Source delivers is taken whole or not at all.
type Source interface {
	// Load reads the definitions now. It returns when ctx ends. With an error it
	// returns the Name alone, by which a snapshot is known.
	Load(ctx context.Context) (Document, error)

	// Watch calls update with the definitions that are there, with each new
	// version of them, and with each failure to read them, one call at a time,
	// until ctx ends. After a failure it goes on trying, and delivers again when
	// it succeeds. It may deliver a version that is already known. It returns nil
	// when ctx ended, and otherwise why it cannot go on; no call of update comes
	// after that.
	Watch(ctx context.Context, update func(Document, error)) error
}

// Writer is a Source whose definitions can be changed through it.
type Writer interface {
	Source

	// Write puts data in the place of the definitions whose [VersionOf] is
	// base. It returns an error that matches ErrConflict, and changes nothing,
	// when others are there by now. What is written is durable when it returns
	// nil; after another error it may have been written or not.
	Write(ctx context.Context, base string, data []byte) error
}

// Static is a Source that never changes: definitions that are built into a
// program. The data must not be changed afterwards.
func Static(name string, data []byte) Source {
	return staticSource{Name: name, Data: data}
}

type staticSource Document

func (s staticSource) Load(context.Context) (Document, error) { return Document(s), nil }

func (s staticSource) Watch(ctx context.Context, update func(Document, error)) error {
	update(Document(s), nil)
	<-ctx.Done()
	return nil
}

// File is a Source that reads a file and looks at its content twice a second. So
// it follows a rename over the file, deletion and restoration, and the symlink
// swap of a Kubernetes ConfigMap.
//
// New content counts once it stayed the same for half a second. That catches a
// writer at work, not one that stops in the middle for longer and leaves valid
// YAML behind: replace the file by a rename where you can. A renamed file counts
// sooner, and however often it is replaced; one that is written in place all the
// time changes nothing, and Err says so after five seconds. Load, which reads
// once, returns an error that matches fs.ErrNotExist when the file is missing.
func File(path string) Source { return fileSource(path) }

type fileSource string

func (f fileSource) Load(context.Context) (Document, error) {
	data, err := filewatch.Read(string(f), MaxFileBytes)
	return f.document(data), err
}

func (f fileSource) document(data []byte) Document {
	doc := Document{Name: string(f), Data: data}
	if info, err := os.Stat(string(f)); err == nil && data != nil {
		doc.Written = info.ModTime()
	}
	return doc
}

func (f fileSource) Watch(ctx context.Context, update func(Document, error)) error {
	filewatch.Watch(ctx, filewatch.Config{
		Path:     string(f),
		MaxBytes: MaxFileBytes,
		Initial:  []byte{0}, // differs from every definition file, the empty one included
		OnChange: func(data []byte, err error) {
			update(f.document(data), err)
		},
	})
	return nil
}
