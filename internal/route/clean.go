package route

import (
	"errors"
	"strings"
)

// Why Clean refuses a path.
var (
	ErrNotAbsolute = errors.New("route: path does not start with a slash")
	ErrEscape      = errors.New("route: bad percent escape")
	ErrControl     = errors.New("route: control byte in path")
	ErrBackslash   = errors.New("route: backslash in path")
	ErrSlash       = errors.New("route: escaped slash in path")
	ErrAboveRoot   = errors.New("route: path leads above the root")
	ErrDotParams   = errors.New("route: dot segment with parameters")
	ErrOnlyParams  = errors.New("route: parameters without a segment")
)

const upperHex = "0123456789ABCDEF"

// Clean returns the one form of an escaped path that rules and upstream see:
// unreserved escapes decoded (RFC 3986 section 6.2.2.2), other escapes in
// upper case, everything that is not allowed in a path escaped, empty segments
// merged, dot segments resolved after that. It refuses what two servers could
// read differently: the errors above. An escaped slash is refused unless
// keepSlash, which keeps it escaped. A clean path is returned as it is,
// without allocation, and is its own cleaned form.
//
// Parameters stay: "/login;v=1" is what the client asked for. Some servers drop
// them before they merge and resolve segments, so "/a/..;/b" and "/;x/login"
// would become other paths there: both are refused. The last segment may be
// parameters alone, as in "/;jsessionid=1", which such servers write themselves.
func Clean(path string, keepSlash bool) (string, error) {
	if path == "" || path[0] != '/' {
		return "", ErrNotAbsolute
	}
	if isClean(path) {
		return path, nil
	}
	decoded, err := decodeUnreserved(path, keepSlash)
	if err != nil {
		return "", err
	}
	cleaned, err := resolve(decoded)
	if err != nil {
		return "", err
	}
	if keepSlash && strings.Contains(cleaned, "%2F") {
		// The other reading must be one that could be resolved as well.
		if _, err := resolve(strings.ReplaceAll(cleaned, "%2F", "/")); err != nil {
			return "", err
		}
	}
	return cleaned, nil
}

// isClean reports whether Clean would return path as it is. It may say no to
// a clean path with an escaped slash or with a segment of parameters alone,
// never yes to one that is not clean.
func isClean(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '%':
			if !isCleanEscape(path[i:]) {
				return false
			}
			i += 2
		case !pathByte[c]:
			return false
		case c == '/' && !isCleanStart(path[i+1:]):
			return false
		}
	}
	return true
}

// isCleanEscape reports whether s starts with an escape that stays.
func isCleanEscape(s string) bool {
	if len(s) < 3 || unhex(s[1]) > 15 || unhex(s[2]) > 15 || s[1] >= 'a' || s[2] >= 'a' {
		return false
	}
	c := unhex(s[1])<<4 | unhex(s[2])
	return !unreserved(c) && c != '/' && c != '\\' && c >= 0x20 && c != 0x7f
}

// isCleanStart reports whether s, which follows a slash, starts with a segment
// that is neither empty, nor a dot segment, nor parameters.
func isCleanStart(s string) bool {
	if s == "" {
		return true
	}
	if s[0] == '/' || paramsAt(s) {
		return false
	}
	if s[0] != '.' {
		return true
	}
	s = strings.TrimPrefix(s[1:], ".")
	return s != "" && s[0] != '/' && !paramsAt(s)
}

// decodeUnreserved brings every byte of path into its one escaped form.
func decodeUnreserved(path string, keepSlash bool) (string, error) {
	var b strings.Builder
	b.Grow(len(path) + 8)
	for i := 0; i < len(path); i++ {
		c, escaped := path[i], false
		if c == '%' {
			if i+2 >= len(path) || unhex(path[i+1]) > 15 || unhex(path[i+2]) > 15 {
				return "", ErrEscape
			}
			c, escaped = unhex(path[i+1])<<4|unhex(path[i+2]), true
			i += 2
		}
		switch {
		case c < 0x20 || c == 0x7f:
			return "", ErrControl
		case c == '\\':
			return "", ErrBackslash
		case c == '/' && escaped && !keepSlash:
			return "", ErrSlash
		case escaped && !unreserved(c), !pathByte[c]:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// resolve merges empty segments and resolves dot segments (RFC 3986 section
// 5.2.4), but for one that leads above the root, which is refused.
func resolve(path string) (string, error) {
	out := make([]byte, 0, len(path))
	slash := true // the result ends with a slash
	for rest := path; rest != ""; {
		var segment string
		segment, rest = nextSegment(rest)
		slash = false
		switch segment {
		case "", ".":
			slash = true
		case "..":
			if len(out) == 0 {
				return "", ErrAboveRoot
			}
			for out[len(out)-1] != '/' {
				out = out[:len(out)-1]
			}
			out = out[:len(out)-1]
			slash = true
		default:
			if dotParams(segment) {
				return "", ErrDotParams
			}
			if rest != "" && paramsAt(segment) {
				return "", ErrOnlyParams
			}
			out = append(out, '/')
			out = append(out, segment...)
		}
	}
	if slash {
		out = append(out, '/')
	}
	return string(out), nil
}

// dotParams reports whether a segment is a dot segment once its parameters
// are gone, as some application servers take it ("..;x").
func dotParams(segment string) bool {
	if segment[0] != '.' {
		return false
	}
	return paramsAt(strings.TrimPrefix(segment[1:], "."))
}

// paramsAt reports whether parameters start at s. Escaped, the semicolon counts
// as well: url.URL drops the difference in some paths, and so do servers.
func paramsAt(s string) bool {
	return strings.HasPrefix(s, ";") || strings.HasPrefix(s, "%3B")
}

// nextSegment splits "/a/b" into "a" and "/b". The path starts with a slash.
func nextSegment(path string) (segment, rest string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : i+1], path[i+1:]
	}
	return path[1:], ""
}

// pathByte tells the bytes that stand unescaped in a path (RFC 3986 pchar, the
// slash, and brackets, which servers accept).
var pathByte = func() (t [256]bool) {
	for c := range t {
		t[c] = unreserved(byte(c)) || strings.IndexByte("!$&'()*+,;=:@/[]", byte(c)) >= 0
	}
	return t
}()

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex is the value of a hexadecimal digit; over 15 when it is none.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
