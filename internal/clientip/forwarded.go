package clientip

import (
	"slices"
	"strings"
)

// maxParameters bounds the parameters of one element of Forwarded; RFC 7239
// defines four.
const maxParameters = 8

// LastComma returns the index of the last comma of s, a value of Forwarded,
// outside quoted strings (RFC 9110 section 5.6.4), or -1. What follows it is
// the element of the nearest proxy. It reads from the right, so that nothing
// to the left of that element, such as a quote that is never closed, changes
// where it begins: a quote met from the right closes a string, and the next
// one to its left that is not escaped opens it.
func LastComma(s string) int {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == ',' && !quoted:
			return i
		case s[i] == '"' && !quoted:
			quoted = true
		case s[i] == '"':
			start := i
			for start > 0 && s[start-1] == '\\' {
				start--
			}
			quoted = (i-start)%2 == 1 // an escaped quote is inside
			i = start
		}
	}
	return -1
}

// ForwardedParameter returns the value of a parameter of one element of
// Forwarded (RFC 7239 section 4), unquoted; name is compared
// case-insensitively. It is "" when the element does not name the parameter.
// The element is not ok, and its value "", when it does not parse, names any
// parameter twice, or has more than eight; an empty element is ok.
func ForwardedParameter(element, name string) (value string, ok bool) {
	var names [maxParameters]string
	n := 0
	for s := element; ; {
		s = strings.Trim(s, " \t")
		if s == "" {
			return value, true
		}
		if s[0] == ';' {
			s = s[1:]
			continue
		}
		eq := strings.IndexByte(s, '=')
		if eq < 0 || !isToken(s[:eq]) || n == maxParameters {
			return "", false
		}
		key := s[:eq]
		twice := func(other string) bool { return strings.EqualFold(other, key) }
		if slices.ContainsFunc(names[:n], twice) {
			return "", false
		}
		names[n] = key
		n++
		text, rest, valid := parameterValue(s[eq+1:])
		if s = strings.TrimLeft(rest, " \t"); !valid || s != "" && s[0] != ';' {
			return "", false
		}
		if strings.EqualFold(key, name) {
			value = text
		}
	}
}

// parameterValue reads a quoted string, or what stands unquoted: a token, or
// an address that should have been quoted.
func parameterValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ",; \t\"=")
		if end < 0 {
			return s, "", true
		}
		return s[:end], s[end:], s[end] != '"' && s[end] != '='
	}
	s = s[1:]
	end := strings.IndexAny(s, `"\`)
	if end >= 0 && s[end] == '"' {
		return s[:end], s[end+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
