package ratelimit

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxPointerDepth = 16

// A jsonPointer is where a value stands in a JSON document (RFC 6901).
type jsonPointer struct {
	names  []string
	folded []string // the same, as appendFolded has them
	index  []int    // the same as places in an array; -1: none

	// The first name as a parameter of the query: Rails lets those replace members.
	param *formField
}

// parsePointer reads a pointer; reason is empty when it is good.
func parsePointer(s string) (p *jsonPointer, reason string) {
	const must = "must be a JSON pointer to a value, as in json:/email or json:/user/id"
	if !strings.HasPrefix(s, "/") || !utf8.ValidString(s) {
		return nil, must
	}
	p = &jsonPointer{names: strings.Split(s[1:], "/")}
	if len(p.names) > maxPointerDepth {
		return nil, "is deeper than " + strconv.Itoa(maxPointerDepth)
	}
	for i, name := range p.names {
		escapes := strings.Count(name, "~0") + strings.Count(name, "~1")
		if strings.Count(name, "~") != escapes || strings.IndexByte(name, 0) >= 0 {
			return nil, must
		}
		name = strings.NewReplacer("~0", "~", "~1", "/").Replace(name)
		at, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(at) != name {
			at = -1
		}
		p.names[i] = name
		p.folded = append(p.folded, string(appendFolded(nil, name)))
		p.index = append(p.index, at)
	}
	if p.param = newField(p.names[0]); len(p.param.steps) == 0 {
		p.param.steps = p.folded[:1]
	}
	return p, ""
}

// find returns the text of the string, number or boolean that p points to in
// doc. It is not ok for null, arrays, objects, a document that is not JSON to
// the letter, and members on the way that are there twice, in any letter case.
func (p *jsonPointer) find(doc []byte) (text []byte, ok bool) {
	if !utf8.Valid(doc) {
		return nil, false
	}
	s := jsonScan{pointer: p, doc: doc}
	s.blank()
	if !s.value(0, 0) {
		return nil, false
	}
	s.blank()
	return s.text, s.at == len(doc) && s.found && !s.unclear
}
