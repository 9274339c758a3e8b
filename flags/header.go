package flags

// HeaderName is the request header that tells the next handler which flags are
// on.
const HeaderName = "Handrail-Flags"

// MaxHeaderBytes bounds the value of Handrail-Flags.
const MaxHeaderBytes = 8 << 10

// headerMember is a flag in Handrail-Flags: a string of RFC 9651 section 3.3.3.
// None of the characters that a key may hold needs an escape there.
func headerMember(key string) string { return `"` + key + `"` }

// AppendHeader appends the value of Handrail-Flags to dst and returns it with
// the number of flags that are on but did not fit.
//
// Shape: a list of strings (RFC 9651 section 3.1), the flags that are on and not
// marked inject: false, by key:
//
//	"beta-search", "new-checkout"
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
		if !f.def.Inject {
			continue
		}
		on, r := f.decide(e.targetingKey, now)
		e.client.tell(f, on, r)
		if !on {
			continue
		}
		separator := ", "
		if len(dst) == start {
			separator = ""
		}
		if dropped > 0 || len(dst)-start+len(separator)+len(f.member) > MaxHeaderBytes {
			dropped++
			continue
		}
		dst = append(append(dst, separator...), f.member...)
	}
	return dst, dropped
}
