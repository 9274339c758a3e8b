package envcheck

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A check is one expectation about a value. It answers yes or no and nothing
// else, so that no message can hold a value: texts are fixed when the check is
// made, before any value is seen.
type check struct {
	rule     string
	expected string
	base     bool // when broken, the checks after it have nothing to say
	ok       func(value string) bool
}

// rules are the checks of one variable. Struct tags and schemas both compile to
// them through compileRules.
type rules []check

// broken returns the checks that value fails.
func (r rules) broken(value string) []check {
	var out []check
	for _, c := range r {
		if c.ok(value) {
			continue
		}
		out = append(out, c)
		if c.base {
			break
		}
	}
	return out
}

// expected describes a value that passes all checks.
func (r rules) expected() string {
	if len(r) == 0 {
		return "a value"
	}
	texts := make([]string, len(r))
	for i, c := range r {
		texts[i] = c.expected
	}
	return strings.Join(texts, ", ")
}

// option is one named setting of a type, such as minLength=3.
type option struct {
	name  string
	value string
	list  []string // set instead of value for [a, b]
}

// optionError tells which option (index into the options, -1: the type) is wrong.
type optionError struct {
	index  int
	reason string
}

// typeNames are the types that compileRules knows.
func typeNames() []string {
	return []string{"string", "number", "integer", "boolean", "url", "port", "enum", "email", "ip",
		"semver", "duration", "json", "uuid"}
}

// compileRules makes the checks of a type. members are those of an enum.
// Reasons never quote an option's value.
func compileRules(typ string, members []string, opts []option) (rules, []optionError) {
	c := &ruleCompiler{opts: opts}
	switch typ {
	case "string":
		c.text()
	case "number":
		c.number()
	case "integer":
		c.add("integer", "an integer", true, isInteger)
		c.intRange(math.MinInt64, math.MaxInt64)
	case "boolean":
		c.add("boolean", "a boolean (true or false)", true, isBoolean)
	case "url":
		c.url()
	case "port":
		c.port()
	case "enum":
		c.enum(members)
	case "email":
		c.add("email", "an email address", true, isEmail)
	case "ip":
		c.ip()
	case "semver":
		c.add("semver", "a semantic version such as 1.4.2", true, isSemver)
	case "duration":
		c.duration()
	case "json":
		c.add("json", "a JSON document", true, isJSON)
	case "uuid":
		c.add("uuid", "a UUID", true, isUUID)
	default:
		c.fail(-1, "unknown type; there are "+strings.Join(typeNames(), ", "))
		return nil, c.errs
	}
	if typ != "enum" && len(members) > 0 {
		c.fail(-1, "type "+typ+" takes named options only")
	}
	c.leftOver(typ)
	return c.out, c.errs
}

type ruleCompiler struct {
	opts  []option
	used  []int    // indexes that were taken
	known []string // names that were asked for
	out   rules
	errs  []optionError
}

func (c *ruleCompiler) add(rule, expected string, base bool, ok func(string) bool) {
	c.out = append(c.out, check{rule: rule, expected: expected, base: base, ok: ok})
}

func (c *ruleCompiler) fail(index int, reason string) {
	c.errs = append(c.errs, optionError{index, reason})
}

// take finds an option by name.
func (c *ruleCompiler) take(name string) (index int, ok bool) {
	c.known = append(c.known, name)
	for i, o := range c.opts {
		if o.name == name {
			if ok {
				c.fail(i, name+" is given twice")
			}
			c.used = append(c.used, i)
			index, ok = i, true
		}
	}
	return index, ok
}

func (c *ruleCompiler) leftOver(typ string) {
	for i := range c.opts {
		if slices.Contains(c.used, i) {
			continue
		}
		if len(c.known) == 0 {
			c.fail(i, "type "+typ+" takes no options")
			continue
		}
		c.fail(i, "type "+typ+" has no such option; it takes "+strings.Join(c.known, ", "))
	}
}

func (c *ruleCompiler) length(name string) (int, bool) {
	i, ok := c.take(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(c.opts[i].value)
	if err != nil || n < 0 || n > MaxFileBytes {
		c.fail(i, name+" must be a number of characters")
		return 0, false
	}
	return n, true
}

func (c *ruleCompiler) string(name string) (string, bool) {
	i, ok := c.take(name)
	if !ok {
		return "", false
	}
	if c.opts[i].value == "" {
		c.fail(i, name+" must not be empty")
		return "", false
	}
	return c.opts[i].value, true
}

func (c *ruleCompiler) text() {
	if n, ok := c.length("minLength"); ok {
		c.add("minLength", "at least "+count(n, "character"), false,
			func(v string) bool { return utf8.RuneCountInString(v) >= n })
	}
	if n, ok := c.length("maxLength"); ok {
		c.add("maxLength", "at most "+count(n, "character"), false,
			func(v string) bool { return utf8.RuneCountInString(v) <= n })
	}
	if n, ok := c.length("isLength"); ok {
		c.add("isLength", "exactly "+count(n, "character"), false,
			func(v string) bool { return utf8.RuneCountInString(v) == n })
	}
	if s, ok := c.string("startsWith"); ok {
		c.add("startsWith", fmt.Sprintf("a value that starts with %q", s), false,
			func(v string) bool { return strings.HasPrefix(v, s) })
	}
	if s, ok := c.string("endsWith"); ok {
		c.add("endsWith", fmt.Sprintf("a value that ends with %q", s), false,
			func(v string) bool { return strings.HasSuffix(v, s) })
	}
	c.matches()
	c.take("allowEmpty") // without effect in the specification too: empty is unset
}

// matches takes RE2 syntax (package regexp), so no pattern can take
// exponential time. Like everywhere in the @env-spec it is not anchored.
func (c *ruleCompiler) matches() {
	i, ok := c.take("matches")
	if !ok {
		return
	}
	pattern := c.opts[i].value
	if body, flags, ok := slashed(pattern); ok {
		pattern = body
		if flags != "" {
			pattern = "(?" + flags + ")" + body
		}
	}
	re, err := regexp.Compile(pattern)
	if err != nil || pattern == "" {
		c.fail(i, "matches must be a regular expression in RE2 syntax (no look-around, no back-references)")
		return
	}
	c.add("matches", fmt.Sprintf("a value that matches %q", c.opts[i].value), false, re.MatchString)
}

// slashed takes /pattern/flags apart; the flags g, u and y change nothing for a
// single match and are dropped.
func slashed(s string) (pattern, flags string, ok bool) {
	end := strings.LastIndexByte(s, '/')
	if end < 2 || s[0] != '/' || strings.Trim(s[end+1:], "gimsuy") != "" {
		return "", "", false
	}
	flags = strings.Map(func(r rune) rune {
		if strings.ContainsRune("ims", r) {
			return r
		}
		return -1
	}, s[end+1:])
	return strings.ReplaceAll(s[1:end], `\/`, "/"), flags, true
}

func (c *ruleCompiler) enum(members []string) {
	if len(members) == 0 {
		c.fail(-1, "enum needs its members, such as enum(development, production)")
		return
	}
	quoted := make([]string, len(members))
	for i, m := range members {
		quoted[i] = strconv.Quote(m)
	}
	members = slices.Clone(members)
	c.add("enum", "one of "+strings.Join(quoted, ", "), true,
		func(v string) bool { return slices.Contains(members, v) })
}

func (c *ruleCompiler) number() {
	c.add("number", "a number", true, isNumber)
	value := func(v string) float64 { f, _ := strconv.ParseFloat(v, 64); return f }
	bound := func(name string) (float64, string, bool) {
		i, ok := c.take(name)
		if !ok {
			return 0, "", false
		}
		if !isNumber(c.opts[i].value) {
			c.fail(i, name+" must be a number")
			return 0, "", false
		}
		return value(c.opts[i].value), c.opts[i].value, true
	}
	if low, text, ok := bound("min"); ok {
		c.add("min", "a number of at least "+text, false, func(v string) bool { return value(v) >= low })
	}
	if high, text, ok := bound("max"); ok {
		c.add("max", "a number of at most "+text, false, func(v string) bool { return value(v) <= high })
	}
	if i, ok := c.take("isInt"); ok {
		switch c.opts[i].value {
		case "true":
			c.add("isInt", "a whole number", false, func(v string) bool { return value(v) == math.Trunc(value(v)) })
		case "false":
		default:
			c.fail(i, "isInt must be true or false")
		}
	}
}

// intRange reads min and max, which lie within [low, high].
func (c *ruleCompiler) intRange(low, high int64) (lower, upper int64) {
	bound := func(name string, otherwise int64) (int64, bool) {
		i, ok := c.take(name)
		if !ok {
			return otherwise, false
		}
		n, err := strconv.ParseInt(c.opts[i].value, 10, 64)
		if err != nil || n < low || n > high {
			c.fail(i, fmt.Sprintf("%s must be an integer from %d to %d", name, low, high))
			return otherwise, false
		}
		return n, true
	}
	value := func(v string) int64 { n, _ := strconv.ParseInt(v, 10, 64); return n }
	lower, ok := bound("min", low)
	if ok {
		c.add("min", fmt.Sprintf("an integer of at least %d", lower), false, func(v string) bool { return value(v) >= lower })
	}
	upper, ok = bound("max", high)
	if ok {
		c.add("max", fmt.Sprintf("an integer of at most %d", upper), false, func(v string) bool { return value(v) <= upper })
	}
	return lower, upper
}

// port excludes 0, which means "any free port", unless min=0 asks for it.
func (c *ruleCompiler) port() {
	lower, upper := c.intRange(0, 65535)
	if lower == 0 {
		if i := slices.IndexFunc(c.opts, func(o option) bool { return o.name == "min" }); i < 0 {
			lower = 1
		}
	}
	c.out = nil // one text for the whole range reads better than three
	c.add("port", fmt.Sprintf("a port from %d to %d", lower, upper), true, func(v string) bool {
		n, err := strconv.ParseUint(v, 10, 16)
		return err == nil && v[0] != '+' && int64(n) >= lower && int64(n) <= upper
	})
}

func (c *ruleCompiler) url() {
	c.add("url", "a URL such as https://host/path", true, isURL)
	if i, ok := c.take("allowedProtocols"); ok {
		schemes := slices.Clone(c.opts[i].list)
		if schemes == nil {
			schemes = []string{c.opts[i].value}
		}
		for n, s := range schemes {
			schemes[n] = strings.ToLower(strings.TrimSuffix(s, ":"))
			if !isScheme(schemes[n]) {
				c.fail(i, "allowedProtocols must be names such as [https, postgres]")
				return
			}
		}
		c.add("allowedProtocols", "a URL that starts with "+strings.Join(schemes, ":// or ")+"://", false,
			func(v string) bool {
				scheme, _, _ := strings.Cut(v, "://")
				return slices.Contains(schemes, strings.ToLower(scheme))
			})
	}
	if i, ok := c.take("noTrailingSlash"); ok {
		switch c.opts[i].value {
		case "true":
			c.add("noTrailingSlash", "a URL without a slash at its end", false,
				func(v string) bool { return !strings.HasSuffix(v, "/") })
		case "false":
		default:
			c.fail(i, "noTrailingSlash must be true or false")
		}
	}
	c.matches()
}

func (c *ruleCompiler) ip() {
	i, ok := c.take("version")
	switch {
	case !ok:
		c.add("ip", "an IP address", true, isIP)
	case c.opts[i].value == "4":
		c.add("ip", "an IPv4 address", true, isIPv4)
	case c.opts[i].value == "6":
		c.add("ip", "an IPv6 address", true, func(v string) bool { return isIP(v) && !isIPv4(v) })
	default:
		c.fail(i, "version must be 4 or 6")
	}
}

func (c *ruleCompiler) duration() {
	c.add("duration", "a duration such as 30s, 5m or 1h30m", true, func(v string) bool {
		_, ok := parseDuration(v)
		return ok
	})
	bound := func(name, text string, keeps func(value, bound time.Duration) bool) {
		i, ok := c.take(name)
		if !ok {
			return
		}
		limit, ok := parseDuration(c.opts[i].value)
		if !ok {
			c.fail(i, name+" must be a duration such as 30s")
			return
		}
		c.add(name, text+limit.String(), false, func(v string) bool {
			d, _ := parseDuration(v)
			return keeps(d, limit)
		})
	}
	bound("min", "a duration of at least ", func(v, b time.Duration) bool { return v >= b })
	bound("max", "a duration of at most ", func(v, b time.Duration) bool { return v <= b })
}
