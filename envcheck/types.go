package envcheck

import (
	"encoding/json"
	"math"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

func isInteger(v string) bool {
	_, err := strconv.ParseInt(v, 10, 64)
	return err == nil
}

// isNumber takes decimal notation only: no hexadecimal, underscores, Inf, NaN.
func isNumber(v string) bool {
	if strings.Trim(v, "+-.0123456789eE") != "" {
		return false
	}
	f, err := strconv.ParseFloat(v, 64)
	return err == nil && !math.IsInf(f, 0)
}

// isBoolean takes what the @env-spec's tools take, in any case.
func isBoolean(v string) bool {
	switch strings.ToLower(v) {
	case "true", "t", "yes", "on", "1", "false", "f", "no", "off", "0":
		return true
	}
	return false
}

// isURL asks for an absolute URL with "//". Database URLs may name several
// hosts (a:1,b:2), each of which must be valid by itself.
func isURL(v string) bool {
	scheme, rest, ok := strings.Cut(v, "://")
	if !ok || !isScheme(scheme) || strings.ContainsFunc(v, unicode.IsSpace) {
		return false
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	userinfo, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		userinfo, hosts = authority[:i+1], authority[i+1:]
	}
	if hosts == "" { // sqlite:///path, unix:///path
		s := strings.ToLower(scheme)
		return s != "http" && s != "https" && userinfo == "" && len(tail) > 1 && parses(v)
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if !parses(scheme+"://"+userinfo+host+tail) || host == "" || host[0] == ':' {
			return false
		}
	}
	return true
}

func parses(v string) bool {
	_, err := url.Parse(v)
	return err == nil
}

// isScheme is RFC 3986, section 3.1.
func isScheme(s string) bool {
	for i, r := range []byte(s) {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		if !letter && (i == 0 || !('0' <= r && r <= '9') && r != '+' && r != '-' && r != '.') {
			return false
		}
	}
	return s != ""
}

// isEmail takes the bare address only, without a display name.
func isEmail(v string) bool {
	a, err := mail.ParseAddress(v)
	return err == nil && a.Address == v && a.Name == ""
}

func isIP(v string) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && a.Zone() == ""
}

func isIPv4(v string) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && a.Is4()
}

func isJSON(v string) bool { return json.Valid([]byte(v)) }

// isUUID takes the hyphenated form of RFC 9562 in either case, of any version.
func isUUID(v string) bool {
	if len(v) != 36 {
		return false
	}
	for i := range len(v) {
		switch i {
		case 8, 13, 18, 23:
			if v[i] != '-' {
				return false
			}
		default:
			if !isHex(v[i]) {
				return false
			}
		}
	}
	return true
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'f'
}

// isSemver is Semantic Versioning 2.0.0, items 2, 9 and 10; no leading "v".
func isSemver(v string) bool {
	v, build, hasBuild := strings.Cut(v, "+")
	core, pre, hasPre := strings.Cut(v, "-")
	if hasBuild && !identifiers(build, false) || hasPre && !identifiers(pre, true) {
		return false
	}
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return false
	}
	for _, p := range parts {
		if !digits(p) || len(p) > 1 && p[0] == '0' {
			return false
		}
	}
	return true
}

// identifiers checks a dot-separated list; in a pre-release, numbers have no
// leading zeros.
func identifiers(s string, numbersStrict bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		if id == "" || numbersStrict && digits(id) && len(id) > 1 && id[0] == '0' {
			return false
		}
		for _, r := range []byte(id) {
			if !('0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z' || r == '-') {
				return false
			}
		}
	}
	return true
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// parseDuration takes what Go writes (1h30m), a number with a unit that Go
// lacks (2d, 1w, 2days), and a bare number, which the @env-spec's tools read as
// milliseconds.
func parseDuration(v string) (time.Duration, bool) {
	if d, err := time.ParseDuration(v); err == nil {
		return d, true
	}
	end := strings.LastIndexAny(v, "0123456789.") + 1
	if end == 0 || strings.Trim(v[:end], "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(v[:end], 64)
	unit := durationUnit(strings.ToLower(strings.TrimSpace(v[end:])))
	if err != nil || unit == 0 || n*float64(unit) > math.MaxInt64/2 {
		return 0, false
	}
	return time.Duration(n * float64(unit)), true
}

func durationUnit(name string) time.Duration {
	const day = 24 * time.Hour
	switch strings.TrimSuffix(name, "s") {
	case "":
		if name == "s" {
			return time.Second
		}
		return time.Millisecond
	case "m":
		if name == "ms" {
			return time.Millisecond
		}
		return time.Minute
	case "millisecond":
		return time.Millisecond
	case "sec", "second":
		return time.Second
	case "min", "minute":
		return time.Minute
	case "h", "hr", "hour":
		return time.Hour
	case "d", "day":
		return day
	case "w", "week":
		return 7 * day
	}
	return 0
}
