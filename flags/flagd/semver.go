package flagd

import (
	"cmp"
	"strconv"
	"strings"
)

// semVer is the operator sem_ver. Null where a version or the operator is none.
type semVer struct{ a, operator, b node }

func (s *semVer) eval(r *run) any {
	return semVerOf(s.a.eval(r), s.operator.eval(r), s.b.eval(r))
}

// fixedSemVer is sem_ver whose operator and second version are constant.
type fixedSemVer struct {
	a        node
	operator string
	b        version
}

func (s *fixedSemVer) eval(r *run) any {
	a, ok := versionOf(s.a.eval(r))
	if !ok {
		return nil
	}
	return a.satisfies(s.operator, &s.b)
}

func semVerOf(a, operator, b any) any {
	va, okA := versionOf(a)
	vb, okB := versionOf(b)
	op, isText := operator.(string)
	if !okA || !okB || !isText {
		return nil
	}
	return va.satisfies(op, &vb)
}

// version is a semantic version, https://semver.org, of which minor and patch
// may be missing and a "v" may stand in front. Numbers are kept as text: they
// have any length.
type version struct {
	major, minor, patch string
	prerelease          string // without the hyphen
}

// versionOf reads a version out of a value of a rule.
func versionOf(v any) (version, bool) {
	switch v := v.(type) {
	case string:
		return parseVersion(v)
	case float64:
		if v >= 0 && v < 1e21 {
			return parseVersion(strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	return version{}, false
}

func parseVersion(s string) (v version, ok bool) {
	if s != "" && (s[0] == 'v' || s[0] == 'V') {
		s = s[1:]
	}
	v.minor, v.patch = "0", "0"
	for i, part := range []*string{&v.major, &v.minor, &v.patch} {
		if i > 0 {
			if s == "" {
				return v, true
			}
			if s[0] != '.' {
				return v, false
			}
			s = s[1:]
		}
		if *part, s, ok = leadingNumber(s); !ok {
			return v, false
		}
	}
	if rest, found := strings.CutPrefix(s, "-"); found {
		v.prerelease, s = leadingIdentifiers(rest)
		if !validIdentifiers(v.prerelease, true) {
			return v, false
		}
	}
	if rest, found := strings.CutPrefix(s, "+"); found {
		var build string
		build, s = leadingIdentifiers(rest)
		if !validIdentifiers(build, false) {
			return v, false
		}
	}
	return v, s == ""
}

// leadingNumber cuts a number without leading zeros off s.
func leadingNumber(s string) (number, rest string, ok bool) {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return s[:n], s[n:], n == 1 || n > 1 && s[0] != '0'
}

// leadingIdentifiers cuts off what may stand in pre-release or build.
func leadingIdentifiers(s string) (identifiers, rest string) {
	n := 0
	for n < len(s) && (isIdentifierByte(s[n]) || s[n] == '.') {
		n++
	}
	return s[:n], s[n:]
}

func isIdentifierByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// validIdentifiers reports whether s is identifiers with dots between; of a
// pre-release, numbers have no leading zeros.
func validIdentifiers(s string, prerelease bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		if id == "" || prerelease && len(id) > 1 && id[0] == '0' && isNumber(id) {
			return false
		}
	}
	return true
}

func isNumber(s string) bool {
	number, rest, _ := leadingNumber(s)
	return rest == "" && number != ""
}

// satisfies gives the answer for an operator, null for one that is none.
func (v *version) satisfies(operator string, other *version) any {
	switch operator {
	case "=":
		return v.compare(other) == 0
	case "!=":
		return v.compare(other) != 0
	case "<":
		return v.compare(other) < 0
	case "<=":
		return v.compare(other) <= 0
	case ">":
		return v.compare(other) > 0
	case ">=":
		return v.compare(other) >= 0
	case "~":
		return v.major == other.major && v.minor == other.minor
	case "^":
		return v.major == other.major
	}
	return nil
}

func (v *version) compare(other *version) int {
	return cmp.Or(
		compareNumbers(v.major, other.major),
		compareNumbers(v.minor, other.minor),
		compareNumbers(v.patch, other.patch),
		comparePrereleases(v.prerelease, other.prerelease),
	)
}

func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// comparePrereleases: none is greater than any; identifier by identifier,
// numbers are less than names; what ends first is less.
func comparePrereleases(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(b), len(a))
	}
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if x == y {
			continue
		}
		switch numberX, numberY := isNumber(x), isNumber(y); {
		case numberX && numberY:
			return compareNumbers(x, y)
		case numberX:
			return -1
		case numberY:
			return 1
		}
		return strings.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}
