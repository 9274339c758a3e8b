package route

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// A PatternError says what is wrong with one pattern.
type PatternError struct {
	Pattern string
	Reason  string
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("path pattern %q: %s", e.Pattern, e.Reason)
}

type kind uint8

const (
	literal kind = iota
	one          // * or {name}: any one segment
	many         // **: any number of segments
	start        // name.*: a segment that starts with text
)

type segment struct {
	kind kind
	text string // decoded; in lower case unless exact
}

type pattern struct {
	text     string
	lead     string // what every path starts with that has no escape and no capital
	segments []segment
}

// A Set is a list of path patterns. It is immutable. In doubt it matches: it is
// for what protects a path, not for what exempts one.
type Set struct {
	exact    bool
	patterns []pattern
}

// Compile reads patterns such as "/login", "/api/*/auth/verify", "/v2/**" and
// "/users/{id}": "*" and "{name}" stand for one segment that is not empty, "**"
// for zero or more. "/login.*" is "/login." with whatever follows the dot in its
// segment, or nothing; it is not "/login". Literals match ASCII
// case-insensitively, one trailing slash and ";params" of the path are ignored;
// exact opts out of all three. Nothing else is: "/login" matches neither
// "/login.json", which Rails serves alike by default, nor "/login.php/x", nor
// "/index.php/login".
// Every bad pattern is reported as a *PatternError, joined.
func Compile(patterns []string, exact bool) (*Set, error) {
	s := &Set{exact: exact}
	var errs []error
	for _, text := range patterns {
		segments, reason := compile(text, exact)
		if reason != "" {
			errs = append(errs, &PatternError{Pattern: text, Reason: reason})
			continue
		}
		s.patterns = append(s.patterns, pattern{text: text, lead: leadOf(segments), segments: segments})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

func leadOf(segments []segment) string {
	var b strings.Builder
	for _, seg := range segments {
		if seg.kind != literal && seg.kind != start {
			break
		}
		b.WriteString("/" + seg.text)
		if seg.kind == start {
			break
		}
	}
	return b.String()
}

func compile(text string, exact bool) (out []segment, reason string) {
	if !strings.HasPrefix(text, "/") {
		return nil, "must start with /"
	}
	if strings.ContainsAny(text, "?#") {
		return nil, "must be a path, without query or fragment"
	}
	rest := text
	if !exact {
		rest = strings.TrimSuffix(rest, "/")
	}
	for rest != "" {
		var s string
		s, rest = nextSegment(rest)
		seg, reason := compileSegment(s, exact, rest == "")
		if reason != "" {
			return nil, reason
		}
		out = append(out, seg)
	}
	return out, ""
}

func compileSegment(s string, exact, last bool) (segment, string) {
	if name, ok := strings.CutSuffix(s, ".*"); ok && name != "" {
		seg, reason := compileSegment(name, exact, last)
		if reason == "" && seg.kind != literal {
			reason = ".* must follow a name"
		}
		return segment{kind: start, text: seg.text + "."}, reason
	}
	switch {
	case s == "**":
		return segment{kind: many}, ""
	case s == "*", len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' && !strings.ContainsAny(s[1:len(s)-1], "{}*"):
		return segment{kind: one}, ""
	case strings.ContainsAny(s, "*{}"):
		return segment{}, "* , ** and {name} must be a whole segment, or .* its end"
	case s == "" && !(exact && last):
		return segment{}, "has an empty segment, which no cleaned path has"
	}
	text, err := url.PathUnescape(s)
	switch {
	case err != nil:
		return segment{}, "has a bad percent escape"
	case text == "." || text == "..":
		return segment{}, "has a dot segment, which no cleaned path has"
	case strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }):
		return segment{}, "has a control byte or a backslash, which no cleaned path has"
	case !exact && strings.Contains(text, ";"):
		return segment{}, "has ;params, which are ignored unless exact"
	}
	if !exact {
		text = lower(text)
	}
	return segment{kind: literal, text: text}, ""
}

// lower folds ASCII only: other bytes match as they are, UTF-8 or not.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Match reports whether any pattern matches the path of u.
func (s *Set) Match(u *url.URL) bool {
	_, ok := s.Find(u)
	return ok
}

// Find returns the first pattern that matches the path of u, as it was written.
// The cleaned path is matched; when it is not simply the path of u, so are the
// readings that a server may take instead: an escaped slash as part of its
// segment or as a separator, parameters dropped before or after that, each
// cleaned or as it stands. That is for upstreams of kept slashes, and for
// services that match without Clean before.
func (s *Set) Find(u *url.URL) (string, bool) {
	if s == nil || len(s.patterns) == 0 {
		return "", false
	}
	raw := u.EscapedPath()
	cleaned, err := Clean(raw, true)
	if err == nil {
		if text, ok := s.find(cleaned); ok {
			return text, true
		}
		if cleaned == raw && !strings.Contains(raw, "%2F") { // the one reading
			return "", false
		}
	}
	for _, reading := range [...]string{
		escape(cleanDecoded(u.Path)), raw, escape(u.Path), s.withoutParams(raw),
	} {
		if !strings.HasPrefix(reading, "/") {
			continue
		}
		if text, ok := s.find(reading); ok {
			return text, true
		}
	}
	return "", false
}

// withoutParams is raw as servers read it that drop parameters before they
// decode. It is empty where that changes nothing.
func (s *Set) withoutParams(raw string) string {
	if s.exact || !strings.Contains(raw, ";") {
		return ""
	}
	segments := strings.Split(raw, "/")
	for i, text := range segments {
		segments[i], _, _ = strings.Cut(text, ";")
	}
	decoded, err := url.PathUnescape(strings.Join(segments, "/"))
	if err != nil {
		return ""
	}
	return escape(cleanDecoded(decoded))
}

// cleanDecoded is path.Clean for requests: absolute, and with the slash at the
// end kept.
func cleanDecoded(p string) string {
	cleaned := path.Clean("/" + p)
	if cleaned != "/" && strings.HasSuffix(p, "/") {
		cleaned += "/"
	}
	return cleaned
}

func escape(p string) string {
	u := url.URL{Path: p}
	return u.EscapedPath()
}

func (s *Set) find(path string) (string, bool) {
	if s.exact {
		return s.findSegments(path)
	}
	path = strings.TrimSuffix(path, "/")
	if text, ok := s.findSegments(path); ok {
		return text, true
	}
	// A last segment of parameters alone is no segment once they are ignored.
	if i := strings.LastIndexByte(path, '/'); i >= 0 && paramsAt(path[i+1:]) {
		return s.findSegments(path[:i])
	}
	return "", false
}

func (s *Set) findSegments(path string) (string, bool) {
	verbatim := isVerbatim(path)
	for i := range s.patterns {
		p := &s.patterns[i]
		if verbatim && !strings.HasPrefix(path, p.lead) {
			continue
		}
		if s.matchPath(p.segments, path) {
			return p.text, true
		}
	}
	return "", false
}

// isVerbatim reports whether literals match path by their bytes alone: it holds
// no escape, no parameters and no capital.
func isVerbatim(path string) bool {
	for i := range len(path) {
		if c := path[i]; c == '%' || c == ';' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// matchPath matches segment by segment. On a mismatch it returns to the last
// "**" and lets that take one more segment: no other choice needs a retry.
func (s *Set) matchPath(segments []segment, path string) bool {
	i, star, starPath := 0, -1, ""
	for {
		if path == "" {
			for i < len(segments) && segments[i].kind == many {
				i++
			}
			return i == len(segments)
		}
		if i < len(segments) && segments[i].kind == many {
			star, starPath = i, path
			i++
			continue
		}
		text, rest := nextSegment(path)
		if i < len(segments) && s.matchSegment(&segments[i], text, rest == "") {
			i++
			path = rest
			continue
		}
		if star < 0 {
			return false
		}
		_, starPath = nextSegment(starPath)
		i, path = star+1, starPath
	}
}

// matchSegment matches the text of one segment. An empty one, which only a path
// that is not clean has before its last, is taken by "*" there: routers that do
// not clean take it so.
func (s *Set) matchSegment(seg *segment, text string, last bool) bool {
	if seg.kind == one {
		return text != "" || !last
	}
	want := seg.text
	for i := 0; i < len(text); i++ {
		if want == "" && seg.kind == start {
			return true
		}
		c := text[i]
		if c == '%' && i+2 < len(text) {
			c = unhex(text[i+1])<<4 | unhex(text[i+2])
			i += 2
		}
		if !s.exact {
			if c == ';' {
				break
			}
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
		}
		if want == "" || want[0] != c {
			return false
		}
		want = want[1:]
	}
	return want == ""
}
