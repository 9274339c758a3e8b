package flags

import "strings"

// HeaderName is the request header that tells the next handler which flags are
// on.
const HeaderName = "Handrail-Flags"

// MaxHeaderBytes bounds the value of Handrail-Flags.
const MaxHeaderBytes = 8 << 10

// members are how one flag may stand in Handrail-Flags.
type members struct {
	on       string            // empty: never
	variants map[string]string // by name, those whose value is no bool
}

func newMembers(def *Definition) members {
	key, ok := headerString(def.Key)
	if !ok || !def.Inject {
		return members{}
	}
	m := members{on: key}
	for _, v := range def.Variants {
		name, ok := headerString(v.Name)
		if _, isBool := v.Value.(bool); isBool || !ok {
			continue
		}
		if m.variants == nil {
			m.variants = make(map[string]string, len(def.Variants))
		}
		m.variants[v.Name] = key + ";v=" + name
	}
	return m
}

// headerString is a string of RFC 9651 section 3.3.3, which holds printable
// ASCII only.
func headerString(s string) (string, bool) {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return "", false
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`, true
}

// of is the member for what was decided, empty for none.
func (m *members) of(d *Decision) string {
	if !d.On {
		return ""
	}
	if member, ok := m.variants[d.Variant]; ok {
		return member
	}
	return m.on
}

// AppendHeader appends the value of Handrail-Flags to dst and returns it with
// the number of flags that are on but did not fit.
//
// Shape: a list of strings (RFC 9651 section 3.1), the flags that are on and not
// marked inject: false, by key, with the variant where there are several:
//
//	"beta-search", "button-color";v="red", "new-checkout"
//
// Nothing is appended when no flag is on: an empty list has no header. At most
// MaxHeaderBytes are appended; from the first member that does not fit, all are
// left out, so that a flag's presence does not hang on the length of its name.
func (e *Evaluator) AppendHeader(dst []byte) (header []byte, dropped int) {
	if e == nil {
		return dst, 0
	}
	start, now := len(dst), e.set.unix()
	for _, f := range e.set.ordered {
		if f.members.on == "" || e.hides(f) {
			continue
		}
		member := e.member(f, now)
		if member == "" {
			continue
		}
		separator := ", "
		if len(dst) == start {
			separator = ""
		}
		if dropped > 0 || len(dst)-start+len(separator)+len(member) > MaxHeaderBytes {
			dropped++
			continue
		}
		dst = append(append(dst, separator...), member...)
	}
	return dst, dropped
}

// member decides about f and returns how it stands in the header, if it does.
func (e *Evaluator) member(f *flag, now int64) string {
	if !f.plain {
		var d Decision
		e.evaluate(&d, f, now)
		return f.members.of(&d)
	}
	on, r := f.decide(e.context.TargetingKey, now)
	e.client.tell(f, on, r)
	if !on {
		return ""
	}
	return f.members.on
}
