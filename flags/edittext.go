package flags

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// append adds entries behind all others of a collection in brackets, as the last
// one of them is written. A list has no keys.
func (t *tree) append(n *node, keys, values []string) {
	if len(values) == 0 {
		return
	}
	lead, colon, at := "", ": ", n.start+1
	if len(n.parts) > 0 {
		last := &n.parts[len(n.parts)-1]
		at = last.end()
		lead = t.lead(last.start)
		if n.kind == mapping {
			colon = t.colon(last)
		}
		if len(n.parts) == 1 && !strings.ContainsAny(lead, "\r\n") && !(t.json && colon == ":") {
			lead = " "
		}
		if !t.json && lead == "" {
			lead = " "
		}
	}
	var b strings.Builder
	for i, value := range values {
		if i > 0 || len(n.parts) > 0 {
			b.WriteString("," + lead)
		}
		if keys != nil {
			b.WriteString(keys[i] + colon)
		}
		b.WriteString(value)
	}
	t.splice(at, at, b.String())
}

// lead is the space before an entry in brackets.
func (t *tree) lead(at int) string {
	from := at
	for from > 0 && strings.IndexByte(" \t\r\n", t.data[from-1]) >= 0 {
		from--
	}
	if from > 0 && strings.IndexByte("{[,", t.data[from-1]) >= 0 {
		return string(t.data[from:at])
	}
	return " " // a comment is before it
}

// colon is what stands between key and value of an entry in braces.
func (t *tree) colon(p *part) string {
	if between := string(t.data[p.keyEnd:max(p.value.start, p.keyEnd)]); strings.Trim(between, " ") == ":" {
		return between
	}
	return ": "
}

// keyText is a key of a mapping, quoted as those are that stand there.
func (t *tree) keyText(key string, n *node) string {
	if len(n.parts) > 0 && n.flow && t.data[n.parts[len(n.parts)-1].start] == '"' {
		return string(jsonText(key))
	}
	return t.text(key)
}

// flowFlag is a flag in braces, laid out as the last one is.
func (t *tree) flowFlag(settings []setting) string {
	inner, outer, between, colon := "", "", ", ", ": "
	if n := len(t.flags.parts); n > 0 {
		last := &t.flags.parts[n-1]
		if v := last.value; v.flow && len(v.parts) > 0 {
			colon = t.colon(&v.parts[0])
			if inner = t.lead(v.parts[0].start); strings.ContainsAny(inner, "\r\n") {
				between, outer = ","+inner, t.lead(last.start)
			} else if outer = inner; t.json && colon == ":" {
				between = ","
			}
		}
	}
	var entries []string
	for _, s := range settings {
		entries = append(entries, t.keyText(s.name, t.sample())+colon+t.valueText(s))
	}
	return "{" + inner + strings.Join(entries, between) + outer + "}"
}

// sample is a flag that is in braces, or an empty mapping.
func (t *tree) sample() *node {
	if n := len(t.flags.parts); n > 0 {
		return t.flags.parts[n-1].value
	}
	return &node{}
}

func (t *tree) blockFlag(indent, step, key string, settings []setting) string {
	return indent + t.text(key) + ":" + t.eol + t.blockLines(indent+step, settings)
}

func (t *tree) blockLines(indent string, settings []setting) string {
	var b strings.Builder
	for _, s := range settings {
		b.WriteString(indent + s.name + ": " + t.valueText(s) + t.eol)
	}
	return b.String()
}

// valueText is the value of a setting, in one line.
func (t *tree) valueText(s setting) string {
	if t.json {
		var b bytes.Buffer
		if json.Compact(&b, s.value) == nil {
			return b.String()
		}
	}
	if s.name == "created" || s.name == "expires" {
		return strings.Trim(string(s.value), `"`) // a day
	}
	d := json.NewDecoder(bytes.NewReader(s.value))
	d.UseNumber()
	var v any
	_ = d.Decode(&v) // it was read before
	return yamlText(v)
}

// text is a string.
func (t *tree) text(s string) string {
	if t.json {
		return string(jsonText(s))
	}
	return yamlText(s)
}

// yamlText is v as YAML in one line.
func yamlText(v any) string {
	var parts []string
	switch v := v.(type) {
	case string:
		return yamlString(v)
	case []any:
		for _, e := range v {
			parts = append(parts, yamlText(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		for key, e := range v {
			parts = append(parts, yamlString(key)+": "+yamlText(e))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case nil:
		return "null"
	}
	return fmt.Sprint(v) // a number or a boolean
}

var (
	plain    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$`)
	reserved = regexp.MustCompile(`^(?i:true|false|null|yes|no|on|off|y|n)$`)
)

// yamlString is plain where every reader of YAML takes it for text.
func yamlString(s string) string {
	if plain.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			b.WriteString(`\U` + hexDigits(r, 8))
		default:
			b.WriteString(`\u` + hexDigits(r, 4))
		}
	}
	b.WriteByte('"')
	return b.String()
}

func hexDigits(r rune, n int) string {
	digits := strconv.FormatInt(int64(r), 16)
	return strings.Repeat("0", n-len(digits)) + digits
}
