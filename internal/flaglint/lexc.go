package flaglint

// style is what sets a language of C's family apart.
type style struct {
	hash         bool // # begins a comment
	chars        bool // '…' is a character, not a string
	triple       bool // """…""" is a string
	rawBackquote bool // `…` is a string without escapes
	multiline    bool // strings may hold line breaks
}

var (
	goStyle   = style{chars: true, rawBackquote: true}
	javaStyle = style{chars: true, triple: true}
	phpStyle  = style{hash: true, multiline: true}
	cStyle    = style{}
)

func (s style) read(l *lexer) {
	for l.space() {
		switch c := l.src[l.pos]; {
		case l.at("//"), c == '#' && s.hash && l.peek(1) != '[':
			l.lineComment()
		case l.at("/*"):
			l.blockComment("*/")
		case s.triple && l.at(`"""`):
			l.until(`"""`, 3, false)
		case c == '"':
			l.quoted('"', s.multiline)
		case c == '\'' && s.chars:
			l.char()
		case c == '\'':
			l.quoted('\'', s.multiline)
		case c == '`' && s.rawBackquote:
			l.until("`", 1, false)
		case !l.word():
			l.punct()
		}
	}
}

// char reads a character such as '"' or '\u00e4'. A quote that begins none, such
// as that of a lifetime in Rust, is passed over.
func (l *lexer) char() {
	const longest = 12 // '\U0001F600'
	start := l.pos
	for i := start + 1; i < min(l.end, start+longest); i++ {
		switch l.src[i] {
		case '\\':
			i++
		case '\'':
			l.pos = i + 1
			l.add(other, start, l.pos)
			return
		case '\n':
			l.punct()
			return
		}
	}
	l.punct()
}

// readExpression reads what stands between the delimiters of a template whose
// language nobody knows: Go, Jinja, Django, Twig, Handlebars, Vue. They share
// strings and names, and their comments have delimiters of their own.
func readExpression(l *lexer) {
	for l.space() {
		switch c := l.src[l.pos]; {
		case c == '"' || c == '\'':
			l.quoted(c, true)
		case c == '`':
			l.until("`", 1, false)
		case !l.word():
			l.punct()
		}
	}
}
