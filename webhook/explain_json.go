package webhook

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// layout is a way to set JSON.
type layout struct {
	name   string
	keep   bool // the white space that is there
	comma  string
	colon  string
	indent string // empty: all in one line
}

func layouts() []layout {
	return []layout{
		{name: "in one line without spaces, as JSON.stringify writes it", comma: ",", colon: ":"},
		{name: "indented by 2", comma: ",", colon: ": ", indent: "  "},
		{name: "with a space after each comma and colon, as Python's json.dumps writes it", comma: ", ", colon: ": "},
		{name: "indented by 4", comma: ",", colon: ": ", indent: "    "},
		{name: "indented by a tab", comma: ",", colon: ": ", indent: "\t"},
		{name: "", keep: true},
	}
}

// escaping is a way to write strings.
type escaping uint8

const (
	asWritten   escaping = iota
	plainUTF8            // JSON.stringify, and PHP and Python when told so
	asciiOnly            // Python
	htmlSafe             // Go, Rails
	asciiSlash           // PHP
	escapeModes = iota
)

func (e escaping) name() string {
	switch e {
	case plainUTF8:
		return "with characters in place of their \\u escapes"
	case asciiOnly:
		return "with \\u escapes for all characters beyond ASCII"
	case htmlSafe:
		return "with \\u escapes for <, > and &"
	case asciiSlash:
		return "with \\u escapes for all characters beyond ASCII and a backslash before each slash"
	case asWritten, escapeModes:
	}
	return ""
}

// maxSorted is the longest document whose keys are sorted.
const maxSorted = 1 << 20

func reserialised(l layout, e escaping, sorted, newline bool) Finding {
	var how strings.Builder
	for _, part := range []struct {
		text string
		is   bool
	}{{l.name, !l.keep}, {e.name(), e != asWritten}, {"with its keys sorted", sorted}, {"with a newline at its end", newline}} {
		if part.is {
			_, _ = how.WriteString(", " + part.text)
		}
	}
	return finding("json_reserialised", "The body was parsed and written anew: the signature is valid for the same JSON"+how.String()+".", rawBytes)
}

// written are other ways to write the same JSON.
func (s *search) written(m Message) iter.Seq2[Finding, []byte] {
	return func(yield func(Finding, []byte) bool) {
		if !s.spend(int64(len(m.Body))) || !isJSON(m.Body) {
			return
		}
		docs := [][]byte{m.Body}
		if sorted, ok := s.sorted(m.Body); ok {
			docs = append(docs, sorted)
		}
		for e := range escaping(escapeModes) {
			for i, doc := range docs {
				for _, l := range layouts() {
					body, ok := s.rewrite(doc, l, e)
					if !ok || l.keep && i > 0 {
						continue
					}
					if !yield(reserialised(l, e, i > 0, false), body) || !yield(reserialised(l, e, i > 0, true), append(body, '\n')) {
						return
					}
				}
			}
		}
	}
}

// rewrite writes a document, unless that becomes much longer, as deep ones do.
// What it returns is good until the next call.
func (s *search) rewrite(doc []byte, l layout, e escaping) ([]byte, bool) {
	if !s.spend(4 * int64(len(doc))) {
		return nil, false
	}
	w := jsonWriter{layout: l, escaping: e, most: 8*len(doc) + 4<<10}
	if len(doc) > 8<<20 {
		w.most = 2 * len(doc)
	}
	w.out = s.buffer[:0]
	ok := w.write(doc)
	s.buffer = w.out
	return w.out, ok && s.spend(int64(len(w.out)))
}

// jsonWriter sets a valid document anew.
type jsonWriter struct {
	layout
	escaping
	out   []byte
	most  int
	depth int
}

func (w *jsonWriter) write(doc []byte) bool {
	for at := 0; at < len(doc); {
		if len(w.out) > w.most {
			return false
		}
		switch c := doc[at]; c {
		case '"':
			end := stringEnd(doc, at)
			if end < 0 {
				return false
			}
			w.string(doc[at:end])
			at = end
			continue
		case ' ', '\t', '\r', '\n':
			if w.keep {
				w.out = append(w.out, c)
			}
		case '{', '[':
			w.out = append(w.out, c)
			next := skipSpace(doc, at+1)
			if !w.keep && next < len(doc) && (doc[next] == '}' || doc[next] == ']') {
				w.out, at = append(w.out, doc[next]), next
				break
			}
			w.depth++
			w.line()
		case '}', ']':
			w.depth--
			w.line()
			w.out = append(w.out, c)
		case ',':
			w.punctuation(c, w.comma)
			w.line()
		case ':':
			w.punctuation(c, w.colon)
		default:
			w.out = append(w.out, c)
		}
		at++
	}
	return len(w.out) <= w.most
}

func (w *jsonWriter) punctuation(c byte, set string) {
	if w.keep {
		w.out = append(w.out, c)
		return
	}
	w.out = append(w.out, set...)
}

// line begins a new one where the layout has lines.
func (w *jsonWriter) line() {
	if w.indent == "" || len(w.out)+w.depth*len(w.indent) > w.most {
		return
	}
	w.out = append(w.out, '\n')
	for range w.depth {
		w.out = append(w.out, w.indent...)
	}
}

func (w *jsonWriter) string(quoted []byte) {
	if w.escaping == asWritten {
		w.out = append(w.out, quoted...)
		return
	}
	s := text(quoted)
	w.out = append(w.out, '"')
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		w.rune(r, s[:size])
		s = s[size:]
	}
	w.out = append(w.out, '"')
}

func (w *jsonWriter) rune(r rune, raw []byte) {
	const short = "\"\"\\\\\bb\ff\nn\rr\tt"
	for i := 0; i < len(short); i += 2 {
		if r == rune(short[i]) {
			w.out = append(w.out, '\\', short[i+1])
			return
		}
	}
	html := w.escaping == htmlSafe && (r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029')
	beyond := w.escaping == asciiOnly && r >= 0x7F || w.escaping == asciiSlash && r > 0x7F
	switch {
	case r < ' ', html, beyond && r < 0x10000:
		w.escape(r)
	case beyond:
		high, low := utf16.EncodeRune(r)
		w.escape(high)
		w.escape(low)
	case w.escaping == asciiSlash && r == '/':
		w.out = append(w.out, '\\', '/')
	default:
		w.out = append(w.out, raw...)
	}
}

func (w *jsonWriter) escape(r rune) {
	const hexadecimal = "0123456789abcdef"
	w.out = append(w.out, '\\', 'u', hexadecimal[r>>12&15], hexadecimal[r>>8&15], hexadecimal[r>>4&15], hexadecimal[r&15])
}

// sorted is a document in one line with the keys of its objects sorted.
func (s *search) sorted(doc []byte) ([]byte, bool) {
	if len(doc) > maxSorted || !s.spend(8*int64(len(doc))) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	return appendSorted(make([]byte, 0, len(doc)), v), true
}

// appendSorted writes what package json read, numbers as they were.
func appendSorted(out []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		out = append(out, '{')
		for i, key := range keys {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(appendText(out, key), ':')
			out = appendSorted(out, v[key])
		}
		return append(out, '}')
	case []any:
		out = append(out, '[')
		for i, element := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendSorted(out, element)
		}
		return append(out, ']')
	case string:
		return appendText(out, v)
	case json.Number:
		return append(out, v...)
	case bool:
		if v {
			return append(out, "true"...)
		}
		return append(out, "false"...)
	}
	return append(out, "null"...)
}

func appendText(out []byte, s string) []byte {
	w := jsonWriter{escaping: plainUTF8, out: append(out, '"')}
	for _, r := range s {
		w.rune(r, utf8.AppendRune(nil, r))
	}
	return append(w.out, '"')
}
