package envcheck

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxMistakes bounds how many mistakes of one file are reported.
const maxMistakes = 100

// readBounded reads a text file of at most MaxFileBytes. Line ends become "\n",
// a byte order mark is dropped. Control bytes are refused: the parsers use some
// of them as marks, and no configuration needs them.
func readBounded(name string, r io.Reader) (string, error) {
	src, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return "", fmt.Errorf("envcheck: reading %s: %w", name, err)
	}
	if len(src) > MaxFileBytes {
		return "", fmt.Errorf("envcheck: reading %s: larger than %d bytes", name, MaxFileBytes)
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	c := cursor{file: name, src: string(src)}
	for ; c.pos < len(c.src); c.pos++ {
		b := c.src[c.pos]
		if b >= ' ' && b != 0x7f || b == '\n' || b == '\t' {
			continue
		}
		if b == 0 {
			return "", c.mistake(c.pos, "zero byte; the file must be UTF-8, not UTF-16")
		}
		return "", c.mistake(c.pos, "control byte")
	}
	if !utf8.ValidString(c.src) {
		return "", c.mistake(invalidAt(c.src), "not UTF-8")
	}
	return c.src, nil
}

func invalidAt(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}

// cursor is a place in a file that is being parsed.
type cursor struct {
	file string
	src  string
	pos  int

	errs []*SyntaxError

	counted, lines int // newlines in src[:counted], see lineAt
}

// mistake is a SyntaxError at the byte offset pos.
func (c *cursor) mistake(pos int, reason string) *SyntaxError {
	start := strings.LastIndexByte(c.src[:pos], '\n') + 1
	return &SyntaxError{File: c.file, Line: c.lineAt(pos), Column: pos - start + 1, Reason: reason}
}

// lineAt is the line of an offset. Going forward through a file, it counts each
// byte once.
func (c *cursor) lineAt(pos int) int {
	if pos < c.counted {
		c.counted, c.lines = 0, 0
	}
	c.lines += strings.Count(c.src[c.counted:pos], "\n")
	c.counted = pos
	return c.lines + 1
}

func (c *cursor) failAt(pos int, reason string) { c.errs = append(c.errs, c.mistake(pos, reason)) }

// full reports whether enough mistakes were found to stop.
func (c *cursor) full() bool { return len(c.errs) >= maxMistakes }

// err joins the mistakes in the order of the file.
func (c *cursor) err() error {
	slices.SortStableFunc(c.errs, func(a, b *SyntaxError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var errs []error
	for _, e := range c.errs {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func (c *cursor) done() bool { return c.pos >= len(c.src) }

// peek is the next byte, "\n" at the end of the file.
func (c *cursor) peek() byte {
	if c.done() {
		return '\n'
	}
	return c.src[c.pos]
}

func (c *cursor) eat(b byte) bool {
	if c.done() || c.src[c.pos] != b {
		return false
	}
	c.pos++
	return true
}

// blanks skips spaces and tabs.
func (c *cursor) blanks() {
	for c.peek() == ' ' || c.peek() == '\t' {
		c.pos++
	}
}

// lineEnd is the offset of the end of the current line.
func (c *cursor) lineEnd() int {
	if i := strings.IndexByte(c.src[c.pos:], '\n'); i >= 0 {
		return c.pos + i
	}
	return len(c.src)
}

// nextLine goes behind the end of the current line.
func (c *cursor) nextLine() { c.pos = min(c.lineEnd()+1, len(c.src)) }

// while takes bytes for which ok holds and returns them.
func (c *cursor) while(ok func(b byte) bool) string {
	start := c.pos
	for !c.done() && ok(c.src[c.pos]) {
		c.pos++
	}
	return c.src[start:c.pos]
}

func letter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

func wordByte(b byte) bool { return letter(b) || '0' <= b && b <= '9' || b == '_' }

func keyByte(b byte) bool { return wordByte(b) || b == '-' || b == '.' }

// key takes what stands before a value: [export] NAME =. Mistakes are reported
// and leave ok false.
func (c *cursor) key() (name string, at int, ok bool) {
	c.blanks()
	at = c.pos
	name = c.while(keyByte)
	if name == "export" && (c.peek() == ' ' || c.peek() == '\t') {
		c.blanks()
		if c.peek() != '=' {
			at = c.pos
			name = c.while(keyByte)
		}
	}
	if name == "" || !letter(name[0]) && name[0] != '_' {
		c.failAt(at, "expected the name of a variable: a letter or _, then letters, digits, _ . -")
		return "", at, false
	}
	c.blanks()
	if !c.eat('=') {
		c.failAt(c.pos, "expected = after the name of a variable")
		return "", at, false
	}
	c.blanks()
	return name, at, true
}

// quoted takes text up to the closing mark, which quote names; the cursor stands
// on the opening one. Backslashes escape in escaping quotes only. body is raw.
func (c *cursor) quoted(quote string, escapes, lines bool) (body string, ok bool) {
	open := c.pos
	c.pos += len(quote)
	start := c.pos
	for !c.done() {
		switch {
		case strings.HasPrefix(c.src[c.pos:], quote):
			body = c.src[start:c.pos]
			c.pos += len(quote)
			return body, true
		case escapes && c.src[c.pos] == '\\' && c.pos+1 < len(c.src):
			c.pos++
		case c.src[c.pos] == '\n' && !lines:
			c.failAt(open, "the quote is not closed on this line")
			return "", false
		}
		c.pos++
	}
	c.pos = open
	c.failAt(open, "the quote is never closed")
	return "", false
}

// readPath is readBounded of the file at path.
func readPath(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("envcheck: %w", err)
	}
	defer f.Close()
	return readBounded(path, f)
}
