package clientip

import (
	"iter"
	"net/http"
	"strings"
)

// hopsFromRight yields the hops of the configured header, the nearest first.
func (rs *Resolver) hopsFromRight(h http.Header) iter.Seq[string] {
	if rs.forwarded {
		return forwardedHops(h[Forwarded])
	}
	return func(yield func(string) bool) {
		lines := h[XForwardedFor]
		for i := len(lines) - 1; i >= 0; i-- {
			rest := lines[i]
			for {
				cut := strings.LastIndexByte(rest, ',')
				if !yield(rest[cut+1:]) {
					return
				}
				if cut < 0 {
					break
				}
				rest = rest[:cut]
			}
		}
	}
}

// forwardedHops yields the "for" parameter of each element of Forwarded
// (RFC 7239 section 4), the nearest first. An element without one, or a line
// that does not parse, yields "", which is no address and ends the walk.
func forwardedHops(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := len(lines) - 1; i >= 0; i-- {
			elements := splitForwarded(lines[i])
			for j := len(elements) - 1; j >= 0; j-- {
				if !yield(elements[j]) {
					return
				}
			}
		}
	}
}

// splitForwarded returns the value of "for" of each element, unquoted.
func splitForwarded(line string) []string {
	var out []string
	for {
		value, rest, more, ok := forwardedElement(line)
		if !ok {
			return append(out, "")
		}
		out = append(out, value)
		if !more {
			return out
		}
		line = rest
	}
}

// forwardedElement reads one element, up to its comma or the end of the line.
func forwardedElement(s string) (value, rest string, more, ok bool) {
	seen := false
	for {
		s = strings.TrimLeft(s, " \t")
		eq := strings.IndexAny(s, "=,;")
		if eq >= 0 && s[eq] == '=' {
			name := s[:eq]
			v, after, valid := forwardedValue(s[eq+1:])
			if !valid {
				return "", "", false, false
			}
			if strings.EqualFold(name, "for") {
				if seen {
					return "", "", false, false
				}
				seen, value = true, v
			}
			s = strings.TrimLeft(after, " \t")
		}
		switch {
		case s == "":
			return value, "", false, true
		case s[0] == ';':
			s = s[1:]
		case s[0] == ',':
			return value, s[1:], true, true
		default:
			return "", "", false, false
		}
	}
}

// forwardedValue reads a token or a quoted string (RFC 9110 section 5.6.4).
func forwardedValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		end := strings.IndexAny(s, ",; \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
