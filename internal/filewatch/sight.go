package filewatch

import (
	"crypto/sha256"
	"io/fs"
	"os"
)

// A sight is what one look saw.
type sight struct {
	state
	data []byte
	err  error
	file *os.File // nil with an error. Open, so that its inode is no other file's meanwhile
	info fs.FileInfo
	// placed: it was put in place after it was written. An empty one is not
	// counted among them: it may be between its truncation and a write.
	placed bool
}

// state identifies what one look saw: content by its hash, or an error.
type state struct {
	sum     [sha256.Size]byte
	problem string
}

func stateOf(data []byte, err error) state {
	if err != nil {
		return state{problem: err.Error()}
	}
	return state{sum: sha256.Sum256(data)}
}

func see(path string, maxBytes int64) *sight {
	s := &sight{}
	s.file, s.info, s.err = open(path)
	if s.err == nil {
		if s.data, s.err = readAll(s.file, path, maxBytes); s.err != nil {
			s.close()
		}
	}
	s.state = stateOf(s.data, s.err)
	s.placed = len(s.data) > 0 && placed(s.info) && s.untouched() && s.standsAt(path)
	return s
}

// untouched reports whether the file was not written since it was seen, wherever
// it is now.
func (s *sight) untouched() bool {
	if s.file == nil {
		return false
	}
	info, err := s.file.Stat()
	return err == nil && info.Size() == s.info.Size() && info.ModTime().Equal(s.info.ModTime())
}

// standsAt reports whether the file is the one at path still: taking it away
// changes its times as putting it there does.
func (s *sight) standsAt(path string) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, s.info)
}

// replacedBy reports whether next is another file, and s was left as it was.
func (s *sight) replacedBy(next *sight) bool {
	return s.file != nil && next.file != nil && !os.SameFile(s.info, next.info) && s.untouched()
}

// close lets go of the file and of what it held.
func (s *sight) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read
	}
	s.file, s.data = nil, nil
}
