package ofrep

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/handrail-go/handrail/flags"
)

// appendFailure appends an evaluationFailure of the protocol, with a key where
// one flag is concerned.
func appendFailure(dst []byte, key string, withKey bool, code flags.ErrorCode, details string) []byte {
	dst = append(dst, '{')
	if withKey {
		dst = appendString(append(dst, `"key":`...), key)
		dst = append(dst, ',')
	}
	dst = appendString(append(dst, `"errorCode":`...), string(code))
	dst = appendString(append(dst, `,"errorDetails":`...), details)
	return append(dst, '}')
}

// encoder writes JSON of decisions: the same for the same decision, in whatever
// order a map yields its members.
type encoder struct {
	out   []byte
	names []string // the members of the objects that are being written, by object
}

// decision appends an evaluationSuccess of the protocol. It reports false when
// that cannot be told in JSON.
func (e *encoder) decision(d *flags.Decision) bool {
	e.out = appendString(append(e.out, `{"key":`...), d.Key)
	if d.Value != nil {
		e.out = append(e.out, `,"value":`...)
		if !e.value(d.Value, 0) {
			return false
		}
	}
	e.out = appendString(append(e.out, `,"reason":`...), string(d.Reason))
	if d.Variant != "" {
		e.out = appendString(append(e.out, `,"variant":`...), d.Variant)
	}
	if len(d.Metadata) > 0 {
		e.out = append(e.out, `,"metadata":`...)
		if !e.object(d.Metadata, 0) {
			return false
		}
	}
	e.out = append(e.out, '}')
	return true
}

func (e *encoder) value(value any, depth int) bool {
	switch v := value.(type) {
	case nil:
		e.out = append(e.out, "null"...)
	case bool:
		e.out = strconv.AppendBool(e.out, v)
	case string:
		e.out = appendString(e.out, v)
	case int64:
		e.out = strconv.AppendInt(e.out, v, 10)
	case int:
		e.out = strconv.AppendInt(e.out, int64(v), 10)
	case float64:
		return e.float(v)
	case []any:
		return e.list(v, depth)
	case map[string]any:
		return e.object(v, depth)
	default:
		return false
	}
	return true
}

// float writes a number as ECMAScript does, large and small ones with an
// exponent.
func (e *encoder) float(f float64) bool {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return false
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.out = strconv.AppendFloat(e.out, f, format, -1, 64)
	return true
}

func (e *encoder) list(list []any, depth int) bool {
	if depth >= maxDepth {
		return false
	}
	e.out = append(e.out, '[')
	for i, element := range list {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		if !e.value(element, depth+1) {
			return false
		}
	}
	e.out = append(e.out, ']')
	return true
}

// object writes the members by name.
func (e *encoder) object(object map[string]any, depth int) bool {
	if depth >= maxDepth {
		return false
	}
	start := len(e.names)
	for name := range object {
		e.names = append(e.names, name)
	}
	slices.Sort(e.names[start:])
	e.out = append(e.out, '{')
	for i := range len(object) {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		name := e.names[start+i] // members that are objects put theirs behind
		e.out = append(appendString(e.out, name), ':')
		if !e.value(object[name], depth+1) {
			return false
		}
	}
	e.names = e.names[:start]
	e.out = append(e.out, '}')
	return true
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0 // of what was not appended yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		switch {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, "\uFFFD"...)
		}
		i += size
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
