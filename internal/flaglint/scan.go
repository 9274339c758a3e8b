package flaglint

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
)

// A request is a key that code asks for and that is not defined, or a computed
// one.
type request struct {
	file         string
	line, column int

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
	here := places{src: data, line: 1}
	silent := silenced(data, l.marks)
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
		r.file = name
		r.line, r.column = here.of(at)
		r.ignored = silent.holds(a.call.start) || silent.holds(at)
		s.seen.requests = append(s.seen.requests, r)
	})
}
