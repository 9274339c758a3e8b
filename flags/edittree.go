package flags

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A node is a value of a definition file, and the bytes that it takes.
type node struct {
	start, end int // of all of it; end is meaningless when it is broken
	kind       nodeKind
	flow       bool   // in brackets or braces
	text       string // of a single value
	parts      []part // of a mapping or a list
	fixed      string // why it must not be changed; empty when it may be
	broken     bool   // it is not known where it ends
	at         place
}

type nodeKind int

const (
	single nodeKind = iota
	mapping
	list
)

// A part is an entry of a mapping, or of a list, where it has no key.
type part struct {
	start, keyEnd int // of the entry, and of its key
	key           string
	value         *node
}

// end is where the entry ends. A value that is nothing takes no bytes.
func (p *part) end() int { return max(p.keyEnd, p.value.end) }

type place struct{ line, column int }

// errBroken stands for a form that is not followed.
const errBroken = "has a form that is not followed here"

// A yamlReader finds the bytes of YAML nodes. The library tells where they
// begin; where they end follows from what they hold.
type yamlReader struct {
	data  []byte
	lines []int // where each line begins

	last   place // that offset was asked for last; nodes come from left to right
	lastAt int
}

// readYAML is the root of data, which was parsed already.
func readYAML(data []byte) *node {
	r := &yamlReader{data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' || c == '\r' && !bytes.HasPrefix(data[i+1:], []byte("\n")) {
			r.lines = append(r.lines, i+1)
		}
	}
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 || bytes.ContainsAny(data, "\u0085\u2028\u2029") {
		// Other separators of lines would shift all places.
		return &node{fixed: "holds a separator of lines that is not CR or LF", broken: true}
	}
	return r.node(doc.Content[0])
}

// offset is that of a place, whose column counts characters.
func (r *yamlReader) offset(line, column int) int {
	if line < 1 || line > len(r.lines) {
		return len(r.data)
	}
	at, from := r.lines[line-1], 1
	if line == r.last.line && column >= r.last.column {
		at, from = r.lastAt, r.last.column
	}
	for ; from < column && at < len(r.data); from++ {
		_, size := utf8.DecodeRune(r.data[at:])
		at += size
	}
	r.last, r.lastAt = place{line, column}, at
	return at
}

func (r *yamlReader) node(y *yaml.Node) *node {
	n := &node{start: r.offset(y.Line, y.Column), at: place{y.Line, y.Column}}
	if y.Kind == yaml.AliasNode {
		n.fixed, n.end = "is an alias", n.start+1+len(y.Value)
		n.broken = !bytes.HasPrefix(r.data[n.start:], []byte("*"+y.Value))
		return n
	}
	content := n.start
	if y.Anchor != "" || y.Style&yaml.TaggedStyle != 0 {
		n.fixed = "has an anchor or a tag"
		content = r.skipProperties(n.start)
	}
	switch y.Kind {
	case yaml.ScalarNode:
		n.text = y.Value
		n.end, n.broken = r.scalarEnd(y, content)
	case yaml.MappingNode:
		n.kind = mapping
		for i := 0; i+1 < len(y.Content); i += 2 {
			key, value := r.node(y.Content[i]), r.node(y.Content[i+1])
			p := part{start: key.start, keyEnd: key.end, key: key.text, value: value}
			n.broken = n.broken || key.broken || key.kind != single
			if value.fixed == "" && value.kind == single && value.text == "" && value.start >= value.end {
				colon := r.skip(key.end, ":")
				value.start, value.end = colon, colon
			}
			n.parts = append(n.parts, p)
		}
		r.collection(n, y, content, "{", "}")
	case yaml.SequenceNode:
		n.kind = list
		for _, c := range y.Content {
			value := r.node(c)
			n.parts = append(n.parts, part{start: value.start, keyEnd: value.start, value: value})
		}
		r.collection(n, y, content, "[", "]")
	}
	return n
}

// refusal is why a value must not be touched; empty when it may be.
func (n *node) refusal() string {
	if n.fixed == "" && n.broken {
		return errBroken
	}
	return n.fixed
}

// collection finds where a mapping or a list ends: behind its last part, or at
// its bracket.
func (r *yamlReader) collection(n *node, y *yaml.Node, content int, opening, closing string) {
	n.flow = y.Style&yaml.FlowStyle != 0
	n.end = content
	ends := true
	for i := range n.parts {
		if n.flow && !ends || ends && n.parts[i].start < n.end {
			n.broken = true
		}
		ends, n.end = !n.parts[i].value.broken, n.parts[i].end()
	}
	if n.broken = n.broken || !ends; n.broken || !n.flow {
		return
	}
	if !bytes.HasPrefix(r.data[content:], []byte(opening)) {
		n.broken = true // a pair in a list, without braces of its own
		return
	}
	n.end = max(n.end, content+1)
	at := r.skip(n.end, ",:?")
	n.broken = !bytes.HasPrefix(r.data[at:], []byte(closing))
	n.end = at + 1
}

// skip is where what follows at begins, past spaces, line ends, comments and the
// separators given.
func (r *yamlReader) skip(at int, separators string) int {
	for at < len(r.data) {
		c := r.data[at]
		switch {
		case strings.IndexByte(" \t\r\n"+separators, c) >= 0:
			at++
			if c == ':' && separators == ":" {
				return at
			}
		case c == '#':
			at = lineEnd(r.data, at)
		default:
			return at
		}
	}
	return at
}

// skipProperties is where what follows anchors and tags begins.
func (r *yamlReader) skipProperties(at int) int {
	for at < len(r.data) && (r.data[at] == '&' || r.data[at] == '!') {
		for at < len(r.data) && strings.IndexByte(" \t\r\n,[]{}", r.data[at]) < 0 {
			at++
		}
		at = r.skip(at, "")
	}
	return at
}

// scalarEnd is where a single value ends that begins at at.
func (r *yamlReader) scalarEnd(y *yaml.Node, at int) (end int, broken bool) {
	switch {
	case y.Style&yaml.DoubleQuotedStyle != 0:
		for end = at + 1; end < len(r.data) && r.data[end] != '"'; end++ {
			if r.data[end] == '\\' {
				end++
			}
		}
		return end + 1, end >= len(r.data) || r.data[at] != '"'
	case y.Style&yaml.SingleQuotedStyle != 0:
		for end = at + 1; end < len(r.data); end++ {
			if r.data[end] != '\'' {
				continue
			}
			if end+1 == len(r.data) || r.data[end+1] != '\'' {
				return end + 1, r.data[at] != '\''
			}
			end++
		}
		return end, true
	case y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		at = lineEnd(r.data, at)
	}
	return r.matched(y.Value, at)
}

// matched is where text ends that begins at at, however it is broken into lines.
func (r *yamlReader) matched(text string, at int) (end int, broken bool) {
	end = at
	for _, want := range text {
		if strings.ContainsRune(" \t\r\n", want) {
			continue
		}
		for at < len(r.data) && strings.IndexByte(" \t\r\n", r.data[at]) >= 0 {
			at++
		}
		got, size := utf8.DecodeRune(r.data[at:])
		if got != want {
			return end, true
		}
		at += size
		end = at
	}
	return end, false
}

// lineEnd is where the line ends that at is in, before its end of line.
func lineEnd(data []byte, at int) int {
	if n := bytes.IndexAny(data[at:], "\r\n"); n >= 0 {
		return at + n
	}
	return len(data)
}

// lineStart is where the line begins that at is in.
func lineStart(data []byte, at int) int { return bytes.LastIndexAny(data[:at], "\r\n") + 1 }

// pastLine is where the line after that of at begins.
func pastLine(data []byte, at int) int {
	at = lineEnd(data, at)
	switch {
	case bytes.HasPrefix(data[at:], []byte("\r\n")):
		return at + 2
	case at < len(data):
		return at + 1
	}
	return at
}

// get is the entry of a mapping; nil when there is none.
func (n *node) get(key string) *part {
	i := slices.IndexFunc(n.parts, func(p part) bool { return p.key == key })
	if i < 0 || n.kind != mapping {
		return nil
	}
	return &n.parts[i]
}
