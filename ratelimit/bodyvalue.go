package ratelimit

import (
	"bytes"
	"errors"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// appendValue appends text as it counts in a subject: plain, without space
// around it, and a number as the one that a double makes of it. Text that is not
// UTF-8, holds NUL, where some would end it, or characters that some take for
// others, and numbers beyond a double are the empty value.
func appendValue(b, text []byte) []byte {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 || bytes.ContainsFunc(text, lookalike) {
		return b
	}
	start := len(b)
	b = appendFolded(b, text)
	value := bytes.TrimSpace(b[start:])
	if f, is, err := number(value); err != nil {
		return b[:start]
	} else if is {
		return strconv.AppendFloat(b[:start], f+0, 'g', -1, 64) // zero without its sign
	}
	return append(b[:start], value...) // over itself, to the left
}

// lookalike reports whether r is one of lookalikes, other than by letter case, or
// a number that is no digit. U+0345 is an iota for some and an accent for others.
func lookalike(r rune) bool {
	return r > unicode.MaxASCII &&
		(r == 0x345 || unicode.In(unicode.ToLower(unicode.ToUpper(r)), lookalikes, unicode.No, unicode.Nl))
}

// appendFolded appends text, which is UTF-8, as appendPlain has it.
func appendFolded[T string | []byte](b []byte, text T) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			b = appendPlain(b, r)
			i += size
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c >= ' ' && c != 0x7f {
			b = append(b, c)
		}
		i++
	}
	return b
}

// number reads a number: decimal, or with the 0x, 0o or 0b of many languages before
// its digits, which may be parted by underscores. It is not one that is not written
// so; the error is for one beyond a double.
func number(text []byte) (f float64, is bool, err error) {
	if bytes.IndexByte(text, '_') >= 0 {
		text = bytes.ReplaceAll(text, []byte("_"), nil)
	}
	if isDecimal(text) {
		f, err = strconv.ParseFloat(string(text), 64)
		return f, true, err
	}
	if !bytes.HasPrefix(bytes.TrimLeft(text, "+-"), []byte("0")) {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(string(text), 0, 64)
	if errors.Is(err, strconv.ErrRange) {
		f, err = strconv.ParseFloat(string(text)+"p0", 64) // of base 16
		return f, true, err
	}
	return float64(n), err == nil, nil
}

// isDecimal reports whether s is a decimal number, in JSON's form or with what
// most readers of numbers take beside it: a plus, leading zeros, a bare point.
func isDecimal(s []byte) bool {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	whole, s := digits(s)
	fraction := 0
	if len(s) > 0 && s[0] == '.' {
		fraction, s = digits(s[1:])
	}
	if whole+fraction == 0 {
		return false
	}
	if len(s) > 0 && s[0] == 'e' {
		s = s[1:]
		if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
			s = s[1:]
		}
		var exponent int
		if exponent, s = digits(s); exponent == 0 {
			return false
		}
	}
	return len(s) == 0
}

// digits counts the digits that s begins with, and returns the rest.
func digits(s []byte) (n int, rest []byte) {
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n, s[n:]
}
