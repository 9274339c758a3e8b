package flaglint

// A Literal is a string of code, as a test sees it.
type Literal struct {
	Start, End int
	Text       string
}

// Literals reads code as the language of the file and lists its strings.
func Literals(name string, code []byte) []Literal {
	lang, _ := languageOf(name)
	l := &lexer{src: code, end: len(code)}
	lang.read(l)
	var all []Literal
	for _, t := range l.tokens {
		if t.kind == literal {
			all = append(all, Literal{t.start, t.end, string(t.text)})
		}
	}
	return all
}

// ScanCode is what Run finds in one file, of which key is the only definition.
func ScanCode(name string, code []byte, key, call string) *Report {
	return Reader(key, call)(name, code)
}

// Reader is ScanCode for several files, one after another.
func Reader(key, call string) func(name string, code []byte) *Report {
	c := knownCalls()
	if err := c.addOwn(call); err != nil {
		panic(err)
	}
	s := &scanner{calls: c, defined: map[string]int{key: 0}}
	return func(name string, code []byte) *Report {
		s.seen = seen{used: make([]bool, 1), constants: constants{}}
		lang, _ := languageOf(name)
		s.code(name, code, lang)
		r := &Report{}
		r.requests([]*seen{&s.seen}, s.defined, "flags.yaml")
		r.finish()
		return r
	}
}
