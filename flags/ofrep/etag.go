package ofrep

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// tag is an entity tag, with its quotes: a hash of the answer, so that any
// instance that would give the same answer takes it for its own.
type tag [2 + 16]byte

func (t *tag) of(answer []byte) {
	sum := sha256.Sum256(answer)
	t[0], t[len(t)-1] = '"', '"'
	base64.RawURLEncoding.Encode(t[1:len(t)-1], sum[:12])
}

func (t *tag) String() string { return string(t[:]) }

// in reports whether If-None-Match, given as its lines, names t. The comparison
// is the weak one: something on the way may have made t weak. What follows a
// mistake is not looked at.
//
// Source: RFC 9110 section 13.1.2.
func (t *tag) in(lines []string) bool {
	for _, line := range lines {
		for {
			line = strings.TrimLeft(line, " \t,")
			if line == "" {
				break
			}
			if line[0] == '*' {
				return true
			}
			line = strings.TrimPrefix(line, "W/")
			if line == "" || line[0] != '"' {
				break
			}
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				break
			}
			if line[:end+2] == string(t[:]) {
				return true
			}
			line = line[end+2:]
		}
	}
	return false
}
