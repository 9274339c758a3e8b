package flags

import (
	"bytes"
	"cmp"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// A tree is a definition file that is being changed, by splices.
type tree struct {
	name    string
	mark    []byte // the byte order mark, if there is one
	data    []byte // without it
	json    bool
	eol     string
	flags   *node // the mapping of the flags
	owner   part  // the entry "flags"; its value is nil in the bare form
	splices []splice
}

// A splice puts text in the place of some bytes.
type splice struct {
	start, end int
	text       string
}

// newTree reads a file that was parsed already.
func newTree(name string, data []byte) (*tree, error) {
	t := &tree{name: name, data: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), eol: "\n"}
	t.mark = data[:len(data)-len(t.data)]
	if !utf8.Valid(t.data) {
		return nil, &EditError{File: name, Reason: "is not UTF-8"}
	}
	if first := lineEnd(t.data, 0); first < len(t.data) {
		t.eol = string(t.data[first:pastLine(t.data, first)])
	}
	t.json = strings.EqualFold(filepath.Ext(name), ".json") || json.Valid(t.data)
	if t.json {
		t.flags = readJSON(t.data)
	} else {
		t.flags = readYAML(t.data)
	}
	if p := t.flags.get("flags"); p != nil {
		t.owner, t.flags = *p, p.value
	}
	if reason := t.flags.fixed; reason != "" || t.flags.flow && t.flags.broken {
		return nil, t.refuse(t.flags, cmp.Or(reason, errBroken))
	}
	return t, nil
}

func (t *tree) refuse(n *node, reason string) error {
	return &EditError{File: t.name, Line: n.at.line, Column: n.at.column, Reason: reason}
}

func (t *tree) splice(start, end int, text string) {
	t.splices = append(t.splices, splice{start, end, text})
}

// spliced is the file with all splices made.
func (t *tree) spliced() ([]byte, error) {
	slices.SortStableFunc(t.splices, func(a, b splice) int { return a.start - b.start })
	out := slices.Clone(t.mark)
	at := 0
	for _, s := range t.splices {
		if s.start < at || s.end < s.start || s.end > len(t.data) {
			return nil, &EditError{File: t.name, Reason: errBroken}
		}
		out = append(append(out, t.data[at:s.start]...), s.text...)
		at = s.end
	}
	return append(out, t.data[at:]...), nil
}

// remove takes a flag out, with the comments within it.
func (t *tree) remove(key string) error {
	i := slices.IndexFunc(t.flags.parts, func(p part) bool { return p.key == key })
	p := &t.flags.parts[i]
	switch {
	case len(t.flags.parts) == 1 && !t.flags.flow:
		t.replace(&t.owner, "{}") // nothing at all would be another form
		if t.owner.value == nil {
			return t.refuse(t.flags, "holds no other flag")
		}
	case t.flags.flow:
		t.cut(t.flags.parts, map[int]bool{i: true}, t.flags)
	case !t.ownLines(p):
		return t.refuse(p.value, "shares its line")
	default:
		t.splice(lineStart(t.data, p.start), t.pastComments(p), "")
	}
	return nil
}

// create adds a flag behind all others.
func (t *tree) create(key string, settings []setting) error {
	if t.flags.kind == single { // "flags:", and nothing below it
		if t.json {
			t.replace(&t.owner, "{"+t.text(key)+": "+t.flowFlag(settings)+"}")
			return nil
		}
		t.splice(t.flags.start, t.flags.end, "")
		t.insertLines(pastLine(t.data, t.flags.end), t.blockFlag("  ", "  ", key, settings))
		return nil
	}
	if t.flags.flow {
		t.append(t.flags, []string{t.keyText(key, t.flags)}, []string{t.flowFlag(settings)})
		return nil
	}
	last := &t.flags.parts[len(t.flags.parts)-1]
	if !t.ownLines(last) {
		return t.refuse(last.value, "shares its line")
	}
	indent := string(t.data[lineStart(t.data, last.start):last.start])
	step := "  "
	if v := last.value; v.kind == mapping && !v.flow {
		if inner := v.parts[0].start - lineStart(t.data, v.parts[0].start); inner > len(indent) {
			step = strings.Repeat(" ", inner-len(indent))
		}
	}
	t.insertLines(t.pastComments(last), t.blockFlag(indent, step, key, settings))
	return nil
}

// change makes settings of a flag.
func (t *tree) change(key string, settings []setting) error {
	n := t.flags.get(key).value
	if n.fixed != "" || n.kind != mapping || n.flow && n.broken {
		return t.refuse(n, cmp.Or(n.fixed, errBroken))
	}
	gone := map[int]bool{}
	var added []setting
	for _, s := range settings {
		i := slices.IndexFunc(n.parts, func(p part) bool { return p.key == s.name })
		switch {
		case i < 0 && s.value != nil:
			added = append(added, s)
		case i < 0:
		case n.parts[i].value.refusal() != "":
			return t.refuse(n.parts[i].value, n.parts[i].value.refusal())
		case s.value == nil:
			gone[i] = true
		default:
			t.set(&n.parts[i], s)
		}
	}
	if n.flow {
		return t.changeFlow(n, gone, added)
	}
	for i := range gone {
		if !t.ownLines(&n.parts[i]) {
			return t.refuse(n, "shares its line")
		}
		t.splice(lineStart(t.data, n.parts[i].start), pastLine(t.data, n.parts[i].end()), "")
	}
	if len(added) > 0 {
		last, first := &n.parts[len(n.parts)-1], &n.parts[0]
		if !t.ownLines(last) || !t.ownLines(first) {
			return t.refuse(n, "shares its line")
		}
		indent := string(t.data[lineStart(t.data, first.start):first.start])
		t.insertLines(pastLine(t.data, last.end()), t.blockLines(indent, added))
	}
	return nil
}

func (t *tree) changeFlow(n *node, gone map[int]bool, added []setting) error {
	var keys, values []string
	for _, s := range added {
		keys, values = append(keys, t.keyText(s.name, n)), append(values, t.valueText(s))
	}
	if len(gone) < len(n.parts) {
		t.cut(n.parts, gone, n)
		t.append(n, keys, values)
		return nil
	}
	for i := range keys {
		keys[i] += ": " + values[i]
	}
	t.splice(n.start+1, n.end-1, strings.Join(keys, ", "))
	return nil
}

// set gives a setting that is there another value.
func (t *tree) set(p *part, s setting) {
	var want []string
	lists := s.name == "allowList" || s.name == "denyList"
	if lists && json.Unmarshal(s.value, &want) == nil && len(want) > 0 && t.setList(p.value, want) {
		return
	}
	t.replace(p, t.valueText(s))
}

// replace writes another value of an entry.
func (t *tree) replace(p *part, text string) {
	v := p.value
	switch {
	case v == nil:
	case v.start == v.end && text != "": // nothing, or nothing yet
		t.splice(v.start, v.end, " "+text)
	case v.kind != single && !v.flow:
		colon := p.keyEnd + bytes.IndexByte(t.data[p.keyEnd:], ':') + 1
		t.splice(colon, v.end, " "+text)
	default:
		t.splice(v.start, v.end, text)
	}
}

// setList takes out of a list what is not wanted and adds what is missing. It
// reports false when the list is better written anew.
func (t *tree) setList(n *node, want []string) bool {
	if n.kind != list || n.fixed != "" || len(n.parts) == 0 {
		return false
	}
	wanted, there := setOf(want), map[string]bool{}
	gone := map[int]bool{}
	for i, p := range n.parts {
		if _, ok := wanted[p.value.text]; !ok || p.value.kind != single {
			gone[i] = true
		}
		there[p.value.text] = true
		if p.value.refusal() != "" || !n.flow && !t.itemLine(&n.parts[i]) {
			return false
		}
	}
	var added []string
	for _, id := range want {
		if !there[id] {
			added = append(added, t.text(id))
		}
	}
	if len(gone) == len(n.parts) {
		return false
	}
	if n.flow {
		t.cut(n.parts, gone, n)
		t.append(n, nil, added)
		return true
	}
	for i := range gone {
		t.splice(lineStart(t.data, n.parts[i].start), pastLine(t.data, n.parts[i].end()), "")
	}
	last := &n.parts[len(n.parts)-1]
	dash := string(t.data[lineStart(t.data, last.start):last.start])
	var lines strings.Builder
	for _, text := range added {
		lines.WriteString(dash + text + t.eol)
	}
	t.insertLines(pastLine(t.data, last.end()), lines.String())
	return true
}

// itemLine reports whether an entry of a list stands in a line of its own.
func (t *tree) itemLine(p *part) bool {
	lead := strings.TrimSpace(string(t.data[lineStart(t.data, p.start):p.start]))
	return lead == "-" && t.lineOver(p.end())
}

// ownLines reports whether an entry of a mapping begins and ends its lines.
func (t *tree) ownLines(p *part) bool {
	lead := t.data[lineStart(t.data, p.start):p.start]
	return !p.value.broken && strings.Trim(string(lead), " ") == "" && t.lineOver(p.end())
}

// lineOver reports whether nothing but a comment follows in the line.
func (t *tree) lineOver(at int) bool {
	rest := strings.TrimLeft(string(t.data[at:lineEnd(t.data, at)]), " \t")
	return rest == "" || rest[0] == '#'
}

// pastComments is where the line after an entry begins, and after the comments
// that are indented deeper than it.
func (t *tree) pastComments(p *part) int {
	indent := p.start - lineStart(t.data, p.start)
	end := pastLine(t.data, p.end())
	for at := end; at < len(t.data); at = pastLine(t.data, at) {
		line := string(t.data[at:lineEnd(t.data, at)])
		text := strings.TrimLeft(line, " \t")
		switch {
		case text == "":
		case text[0] == '#' && len(line)-len(text) > indent:
			end = pastLine(t.data, at)
		default:
			return end
		}
	}
	return end
}

// insertLines adds whole lines where a line begins, or the file ends.
func (t *tree) insertLines(at int, lines string) {
	if lines != "" && at > 0 && !bytes.ContainsAny(t.data[at-1:at], "\r\n") {
		lines = t.eol + strings.TrimSuffix(lines, t.eol)
	}
	t.splice(at, at, lines)
}

// cut takes entries of a collection in brackets out, but not all of several.
func (t *tree) cut(parts []part, gone map[int]bool, n *node) {
	kept := -1 // the last one that stays
	for i := range parts {
		p := &parts[i]
		if !gone[i] {
			kept = i
			continue
		}
		until := n.end - 1
		if i+1 < len(parts) {
			until = parts[i+1].start
		}
		before, after := n.start+1, string(t.data[p.end():until])
		if i > 0 {
			before = parts[i-1].end()
		}
		switch {
		case kept >= 0 && !bytes.Contains(t.data[before:p.start], []byte("#")):
			t.splice(before, p.end(), "")
		case i+1 < len(parts) && !strings.Contains(after, "#"):
			t.splice(p.start, until, "")
		default: // a comment stands between, and stays
			comma := strings.IndexByte(after, ',')
			if hash := strings.IndexByte(after, '#'); hash >= 0 && hash < comma {
				comma = -1
			}
			t.splice(p.start, p.end()+comma+1, "")
		}
	}
}
