package sqlstore

import (
	"fmt"
	"strconv"
	"strings"
)

// escape makes a text of printable ASCII, one for each s: PostgreSQL takes no
// NUL and nothing that its encoding does not have, and a key or a content type
// may hold any byte. Nearly all stay as they are.
func escape(s string) string {
	if !strings.ContainsFunc(s, needsEscape) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; needsEscape(rune(c)) {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func needsEscape(r rune) bool { return r < ' ' || r > '~' || r == '\\' }

// unescape undoes escape. What escape does not return stays as it is.
func unescape(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, `\x`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(rest) < 2 {
			return b.String() + `\x` + rest
		}
		c, err := strconv.ParseUint(rest[:2], 16, 8)
		if err != nil {
			b.WriteString(`\x`)
			s = rest
			continue
		}
		b.WriteByte(byte(c))
		s = rest[2:]
	}
}
