package flaglint

import (
	"bytes"
	"unicode/utf8"
)

// kind is what a token is.
type kind uint8

const (
	word     kind = iota + 1 // an identifier or a keyword
	literal                  // a string whose value stands in the code
	computed                 // a string with something put into it
	other                    // a number, a regular expression, a character
	punct                    // one byte of punctuation
)

// A token is a piece of code between comments and white space.
type token struct {
	kind       kind
	char       byte // of punctuation; of a word in a tag, '<'
	start, end int  // in the file
	text       []byte
}

const (
	// maxNesting bounds interpolations in interpolations, and tags in tags.
	maxNesting = 200
	// maxGuesses bounds what is read twice because it was no JSX.
	maxGuesses = 8
)

// ignoreMark in a comment silences what is found beside it.
var ignoreMark = []byte("handrail:ignore")

// A lexer reads src[pos:end] into tokens. Several take turns at one file.
type lexer struct {
	src      []byte
	pos, end int
	tokens   []token
	marks    []int // where ignoreMark stands in a comment
	nesting  int
	guesses  int
	jsx      bool
	open     [3]int // up to where no ", ' or / ends what one of them begins
}

// grammar reads a file, or what a template holds in its delimiters.
type grammar func(*lexer)

// within reads src[start:end] by g, which may leave off before the end.
func (l *lexer) within(g grammar, start, end int) {
	outer := l.end
	l.pos, l.end = start, min(end, outer)
	if l.nesting++; l.nesting <= maxNesting {
		g(l)
	} else {
		l.pos = l.end
	}
	l.nesting--
	l.end = outer
}

// at reports whether s stands at pos.
func (l *lexer) at(s string) bool {
	return l.end-l.pos >= len(s) && string(l.src[l.pos:l.pos+len(s)]) == s
}

// peek is the byte n behind pos, 0 behind the end.
func (l *lexer) peek(n int) byte {
	if l.pos+n < l.end {
		return l.src[l.pos+n]
	}
	return 0
}

// find is where s stands next from the offset on, the end when nowhere.
func (l *lexer) find(s string, from int) int {
	if from < l.end {
		if i := bytes.Index(l.src[from:l.end], []byte(s)); i >= 0 {
			return from + i
		}
	}
	return l.end
}

func (l *lexer) lineEnd(from int) int {
	if from < l.end {
		if i := bytes.IndexByte(l.src[from:l.end], '\n'); i >= 0 {
			return from + i
		}
	}
	return l.end
}

// comment passes over src[pos:end].
func (l *lexer) comment(end int) {
	end = min(end, l.end)
	if i := bytes.Index(l.src[l.pos:end], ignoreMark); i >= 0 {
		l.marks = append(l.marks, l.pos+i)
	}
	l.pos = end
}

func (l *lexer) lineComment() { l.comment(l.lineEnd(l.pos)) }

func (l *lexer) blockComment(closing string) {
	l.comment(l.find(closing, min(l.pos+2, l.end)) + len(closing))
}

func (l *lexer) add(k kind, start, end int) {
	l.tokens = append(l.tokens, token{kind: k, start: start, end: end, text: l.src[start:end]})
}

func (l *lexer) punct() {
	l.tokens = append(l.tokens, token{kind: punct, char: l.src[l.pos], start: l.pos, end: l.pos + 1})
	l.pos++
}

// mark adds punctuation that does not stand in the file, around what is nested.
func (l *lexer) mark(char byte) {
	l.tokens = append(l.tokens, token{kind: punct, char: char, start: l.pos, end: l.pos})
}

// last is the token before, the zero token when there is none.
func (l *lexer) last() token {
	if len(l.tokens) == 0 {
		return token{}
	}
	return l.tokens[len(l.tokens)-1]
}

// space passes over white space and reports whether there is more to read.
func (l *lexer) space() bool {
	for l.pos < l.end {
		switch l.src[l.pos] {
		case ' ', '\t', '\n', '\r', '\f', '\v':
			l.pos++
		default:
			return true
		}
	}
	return false
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '$' || c >= utf8.RuneSelf
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// word reads an identifier, or a number as one token that is neither a name nor
// a string. It reports whether one of them was there.
func (l *lexer) word() bool {
	c := l.src[l.pos]
	if !wordByte(c) {
		return false
	}
	start := l.pos
	for l.pos < l.end && wordByte(l.src[l.pos]) {
		l.pos++
	}
	if digit(c) {
		for l.pos < l.end && (wordByte(l.src[l.pos]) || l.src[l.pos] == '.' && digit(l.peek(1))) {
			l.pos++
		}
		l.add(other, start, l.pos)
		return true
	}
	l.add(word, start, l.pos)
	return true
}

// quoted reads a string that ends at the next quote which no backslash escapes.
// Without multiline, one that does not end in its line is no string: the quote
// is an apostrophe in a text, and is passed over. It reports whether it was one.
func (l *lexer) quoted(quote byte, multiline bool) bool {
	start, i := l.pos, l.pos+1
	for ; i < l.end && start >= *l.openUntil(quote); i++ {
		c := l.src[i]
		if c == quote {
			l.pos = i + 1
			l.literal(start, start+1, i, true)
			return true
		}
		if c == '\n' && !multiline {
			break
		}
		if c == '\\' {
			i++
		}
	}
	l.unclosed(quote, i)
	return false
}

// openUntil is up to where quote is known to close nothing.
func (l *lexer) openUntil(quote byte) *int {
	switch quote {
	case '"':
		return &l.open[0]
	case '\'':
		return &l.open[1]
	}
	return &l.open[2]
}

// unclosed passes over a quote that nothing closes before the offset end, and
// remembers that: a line of quotes is not searched again for each of them.
func (l *lexer) unclosed(quote byte, end int) {
	at := l.openUntil(quote)
	*at = max(*at, min(end, l.end))
	l.punct()
}

// until reads a string without escapes, which begins behind open bytes.
func (l *lexer) until(closing string, open int, escapes bool) {
	start := l.pos
	from := min(start+open, l.end)
	end := l.find(closing, from)
	for escapes && end < l.end && escaped(l.src[from:end]) {
		end = l.find(closing, end+1)
	}
	l.pos = min(end+len(closing), l.end)
	l.literal(start, from, end, escapes)
}

// escaped reports whether an odd number of backslashes ends s.
func escaped(s []byte) bool {
	n := 0
	for n < len(s) && s[len(s)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// literal adds the string src[start:pos] whose content is src[from:to].
func (l *lexer) literal(start, from, to int, escapes bool) {
	text := l.src[from:to]
	if escapes {
		text = unescape(text)
	}
	l.tokens = append(l.tokens, token{kind: literal, start: start, end: l.pos, text: text})
}

// unescape resolves what may stand in a key: a backslash before a character that
// means itself. Other escapes stay, so that they match no key.
func unescape(s []byte) []byte {
	for i := bytes.IndexByte(s, '\\'); i >= 0 && i+1 < len(s); i += 2 {
		if !wordByte(s[i+1]) {
			return resolve(s)
		}
		next := bytes.IndexByte(s[i+2:], '\\')
		if next < 0 {
			break
		}
		i += next
	}
	return s
}

func resolve(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && !wordByte(s[i+1]) {
			i++
		}
		out = append(out, s[i])
	}
	return out
}
