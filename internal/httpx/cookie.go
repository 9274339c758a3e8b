package httpx

import (
	"net/http"
	"strconv"
	"strings"
)

// maxCookies is how many cookies a request may send for any to be read, as in
// net/http.
const maxCookies = 3000

// LoneCookie returns the value of the cookie name when every way in which
// applications read the Cookie header finds this one value; otherwise ok is
// false. The name is compared exactly, after spaces and tabs around it. One pair
// of quotes around the value is left out; percent escapes stay.
//
// So ok is false for a cookie that is absent; for several Cookie lines; when
// the name stands there twice, be it in other letter case, percent-encoded,
// within another cookie's value, bare beside a comma, or with the dots and spaces
// that PHP takes for underscores; for a value of other than cookie-octets (RFC
// 6265 section 4.1.1); and behind a quoted value that does not end before its
// semicolon.
func LoneCookie(r *http.Request, name string) (value string, ok bool) {
	lines := r.Header["Cookie"]
	if name == "" || len(lines) != 1 || strings.Count(lines[0], ";") >= maxCookies {
		return "", false
	}
	for part := range strings.SplitSeq(lines[0], ";") {
		part = trimBlanks(part)
		key, raw, _ := strings.Cut(part, "=")
		if trimBlanks(key) != name {
			if mentions(part, name) || standsBare(part, name) || opensQuote(part) {
				return "", false
			}
			continue
		}
		if ok {
			return "", false
		}
		if value, ok = cookieOctets(raw); !ok {
			return "", false
		}
	}
	return value, ok
}

// cookieOctets is raw without the quotes around it. It is not ok when raw holds
// anything that only some parsers accept, trim or decode.
func cookieOctets(raw string) (value string, ok bool) {
	if len(raw) > 1 && raw[0] == '"' && raw[len(raw)-1] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	for i := range len(raw) {
		if c := raw[i]; breaks(c) || c == '\\' {
			return "", false
		}
	}
	return raw, true
}

// mentions reports whether some parser finds a cookie called name in part: some
// end a cookie at commas and blanks as well, or do not heed quotes.
func mentions(part, name string) bool {
	key, _, _ := strings.Cut(part, "=")
	if sameName(strings.TrimFunc(key, func(r rune) bool { return r > 0x7f || breaks(byte(r)) }), name) {
		return true
	}
	for end := nextSign(part, 0); end >= 0; end = nextSign(part, end+1) {
		to := end
		for to > 0 && breaks(part[to-1]) {
			to--
		}
		from := to
		for from > 0 && part[from-1] != '=' && !breaks(part[from-1]) {
			from--
		}
		if (from == 0 || part[from-1] != '=') && sameName(part[from:to], name) {
			return true
		}
	}
	return false
}

// standsBare reports whether a parser that ends cookies at commas as well finds
// one in part that is called name and has no value.
func standsBare(part, name string) bool {
	if strings.IndexByte(part, ',') < 0 {
		return false
	}
	for element := range strings.SplitSeq(part, ",") {
		if sameName(strings.TrimFunc(element, func(r rune) bool { return r <= ' ' || r > 0x7f }), name) {
			return true
		}
	}
	return false
}

// opensQuote reports whether a quoted value in part does not end there, or not
// for every parser: what follows the semicolon may be read as its rest.
func opensQuote(part string) bool {
	if strings.IndexByte(part, '"') < 0 {
		return false
	}
	for i := nextSign(part, 0); i >= 0; i = nextSign(part, i+1) {
		open := i + 1
		for open < len(part) && part[open] != '"' && breaks(part[open]) {
			open++
		}
		if open == len(part) || part[open] != '"' {
			continue
		}
		end := strings.IndexAny(part[open+1:], `"\`)
		if end < 0 || part[open+1+end] == '\\' {
			return true
		}
		i = open + 1 + end
	}
	return false
}

// trimBlanks is strings.Trim for spaces and tabs, which makes a set of them for
// each call.
func trimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// nextSign is where part holds an equals sign at or behind from, else -1.
func nextSign(part string, from int) int {
	if i := strings.IndexByte(part[from:], '='); i >= 0 {
		return from + i
	}
	return -1
}

// breaks reports whether a parser may end a word at c: controls, blanks, commas,
// quotes, and bytes beyond ASCII, of which some are blanks once decoded.
func breaks(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == ',' }

// sameName reports whether raw may be read as name: percent-decoded, in any
// letter case, and by the rules of PHP.
func sameName(raw, name string) bool {
	for raw != "" && name != "" {
		c, width := raw[0], 1
		if c == '%' && len(raw) > 2 {
			if v, err := strconv.ParseUint(raw[1:3], 16, 8); err == nil {
				c, width = byte(v), 3
			}
		}
		if folded(c) != folded(name[0]) {
			return false
		}
		raw, name = raw[width:], name[1:]
	}
	return raw == "" && name == ""
}

func folded(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '.' || c == ' ' || c == '[' || c == '+':
		return '_'
	}
	return c
}
