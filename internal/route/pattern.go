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
)

type segment struct {
	kind kind
	text string // decoded; in lower case unless exact
}

type pattern struct {
	text     string
	segments []segment
}

// A Set is a list of path patterns. It is immutable.
type Set struct {
	exact    bool
	patterns []pattern
}

// Compile reads patterns such as "/login", "/api/*/auth/verify", "/v2/**" and
// "/users/{id}": "*" and "{name}" stand for one segment that is not empty, "**"
// for zero or more. Literals match ASCII case-insensitively, one trailing
// slash and ";params" of the path are ignored; exact opts out of all three.
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
		s.patterns = append(s.patterns, pattern{text: text, segments: segments})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
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
	switch {
	case s == "**":
		return segment{kind: many}, ""
	case s == "*", len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' && !strings.ContainsAny(s[1:len(s)-1], "{}*"):
		return segment{kind: one}, ""
	case strings.ContainsAny(s, "*{}"):
		return segment{}, "* , ** and {name} must be a whole segment"
	case s == "" && !(exact && last):
		return segment{}, "has an empty segment, which no cleaned path has"
	case s == "." || s == "..":
		return segment{}, "has a dot segment, which no cleaned path has"
	case !exact && strings.Contains(s, ";"):
		return segment{}, "has ;params, which are ignored unless exact"
	}
	text, err := url.PathUnescape(s)
	if err != nil {
		return segment{}, "has a bad percent escape"
	}
	if !exact {
		text = lower(text)
	}
	return segment{kind: literal, text: text}, ""
}

// lower folds ASCII only: other letters match byte for byte.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Match reports whether any pattern matches the path of u.
func (s *Set) Match(u *url.URL) bool {
	_, ok := s.Find(u)
	return ok
}

// Find returns the first pattern that matches the path of u, as it was written.
// A path with an escaped slash matches in either reading: the slash as part of
// its segment, or as a separator. A path that Clean refuses is matched as
// path.Clean leaves its decoded form, since a server may take it so.
func (s *Set) Find(u *url.URL) (string, bool) {
	if s == nil || len(s.patterns) == 0 {
		return "", false
	}
	cleaned, err := Clean(u.EscapedPath(), true)
	if err != nil {
		decoded := url.URL{Path: path.Clean("/" + u.Path)}
		cleaned = decoded.EscapedPath()
	}
	if text, ok := s.find(cleaned); ok {
		return text, true
	}
	if !strings.Contains(cleaned, "%2F") {
		return "", false
	}
	other, err := resolve(strings.ReplaceAll(cleaned, "%2F", "/"))
	if err != nil {
		return "", false
	}
	return s.find(other)
}

func (s *Set) find(cleaned string) (string, bool) {
	if !s.exact {
		cleaned = strings.TrimSuffix(cleaned, "/")
	}
	for i := range s.patterns {
		if s.matchPath(s.patterns[i].segments, cleaned) {
			return s.patterns[i].text, true
		}
	}
	return "", false
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
		if i < len(segments) && s.matchSegment(&segments[i], text) {
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

func (s *Set) matchSegment(seg *segment, text string) bool {
	if seg.kind == one {
		return text != ""
	}
	if !s.exact {
		if i := strings.IndexByte(text, ';'); i >= 0 {
			text = text[:i]
		}
	}
	want := seg.text
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' && i+2 < len(text) {
			c = unhex(text[i+1])<<4 | unhex(text[i+2])
			i += 2
		}
		if !s.exact && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if want == "" || want[0] != c {
			return false
		}
		want = want[1:]
	}
	return want == ""
}
