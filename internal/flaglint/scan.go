package flaglint

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// A place is where something stands in a file of code.
type place struct {
	file         string
	line, column int
}

// A request is a key that code asks for and that is not defined, or a computed
// one.
type request struct {
	place
	function string // the name of the call
	key      string
	computed bool
	family   family
	constant string // the name that a computed key consists of, if it does
	ignored  bool
}

// seen is what the files of code hold.
type seen struct {
	used      []bool // by the index of the definition
	requests  []request
	constants constants
	unread    map[string]error
	files     int
	skipped   int
	bytes     int64
}

// A scanner reads files one after another. Each worker has its own.
type scanner struct {
	calls   calls
	defined map[string]int
	lexer   lexer
	buf     []byte
	seen    seen
}

// scan reads the files of the folder by as many workers as there are processors.
func scan(ctx context.Context, f *folder, c calls, defined map[string]int, progress func(done, of int)) []*seen {
	var next, done atomic.Int64
	all := make([]*seen, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	for i := range all {
		s := &scanner{calls: c, defined: defined}
		s.seen = seen{used: make([]bool, len(defined)), constants: constants{}, unread: map[string]error{}}
		all[i] = &s.seen
		workers.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= len(f.files) {
					return
				}
				s.file(f, f.files[n])
				if n := done.Add(1); progress != nil {
					progress(int(n), len(f.files))
				}
			}
		})
	}
	workers.Wait()
	return all
}

// file reads one file of the folder.
func (s *scanner) file(f *folder, name string) {
	data, err := f.read(name, s.buf)
	if cap(data) > cap(s.buf) {
		s.buf = data
	}
	switch {
	case errors.Is(err, errSkipped):
		s.seen.skipped++
	case err != nil:
		s.seen.unread[f.shown(name)] = err
	case data != nil:
		s.seen.files++
		s.seen.bytes += int64(len(data))
		lang, _ := languageOf(name)
		s.code(f.shown(name), data, lang)
	}
}

// code reads what a file holds.
func (s *scanner) code(name string, data []byte, lang language) {
	l := &s.lexer
	*l = lexer{src: data, end: len(data), tokens: l.tokens[:0], marks: l.marks[:0]}
	lang.read(l)
	for i := range l.tokens {
		if t := &l.tokens[i]; t.kind == literal {
			if n, ok := s.defined[string(t.text)]; ok {
				s.seen.used[n] = true
			}
			s.seen.constants.note(l.tokens, i, lang.family)
		}
	}
	s.calls.find(l.tokens, lang.family, func(a asked) {
		r := request{function: string(a.call.text), family: lang.family}
		at := a.call.start
		if a.key != nil {
			if _, ok := s.defined[string(a.key.text)]; ok {
				return
			}
			r.key, at = string(a.key.text), a.key.start
		} else {
			r.computed, r.constant = true, constantIn(a.arg)
		}
		r.place = s.place(name, at)
		r.ignored = ignored(data, l.marks, a.call.start, at)
		s.seen.requests = append(s.seen.requests, r)
	})
}

// place counts lines, and the characters before the offset in its own.
func (s *scanner) place(name string, at int) place {
	before := s.lexer.src[:at]
	return place{
		file:   name,
		line:   bytes.Count(before, []byte{'\n'}) + 1,
		column: utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
	}
}

// ignored reports whether one of the marks silences the line of one of the
// offsets: a mark behind code its own line, one that stands alone the next too.
func ignored(data []byte, marks []int, offsets ...int) bool {
	for _, mark := range marks {
		begin := bytes.LastIndexByte(data[:mark], '\n') + 1
		end := lineEnd(data, mark)
		if !bytes.ContainsFunc(data[begin:mark], func(r rune) bool { return r > 127 || wordByte(byte(r)) || r == '"' || r == '\'' }) {
			end = lineEnd(data, min(end+1, len(data)))
		}
		for _, at := range offsets {
			if begin <= at && at <= end {
				return true
			}
		}
	}
	return false
}

func lineEnd(data []byte, from int) int {
	if i := bytes.IndexByte(data[from:], '\n'); i >= 0 {
		return from + i
	}
	return len(data)
}
