package strictyaml

import (
	"errors"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar is the text of a single value, expanded. Numbers are their text;
// nothing, lists and mappings are problems.
func (d *decoder) scalar(n *yaml.Node, path, expected string) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.report(n, path, "expected %s, got %s", expected, describe(n))
		return "", false
	}
	if d.expand == nil {
		return n.Value, true
	}
	text, err := d.expand(n.Value)
	if err != nil {
		d.report(n, path, "%s", err)
		return "", false
	}
	return text, true
}

var (
	integer = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})$`)
	number  = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?$`)
	decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?$`)
)

func (d *decoder) scalarValue(n *yaml.Node, v reflect.Value, path string) {
	expected := expectation(v)
	text, ok := d.scalar(n, path, expected)
	if !ok {
		return
	}
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	literal := text == n.Value // nothing was expanded
	switch {
	case v.Kind() == reflect.String && n.ShortTag() == "!!bool":
		d.report(n, path, "expected a string, got a boolean: quote it if it is meant as text")
		return
	case v.Kind() != reflect.String && v.Type() != durationType && quoted && literal:
		d.report(n, path, "expected %s, got a quoted string", expected)
		return
	}
	if err := set(v, text); err != nil {
		d.report(n, path, "expected %s%s", expected, rangeNote(err))
	}
}

func expectation(v reflect.Value) string {
	switch {
	case v.Type() == durationType:
		return `a duration such as "90s" or "5m"`
	case v.Kind() == reflect.String:
		return "a string"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.CanInt():
		return "an integer"
	case v.CanFloat():
		return "a number"
	}
	panic("strictyaml: field of type " + v.Type().String())
}

var errSyntax = errors.New("wrong form")

func set(v reflect.Value, text string) error {
	switch {
	case v.Type() == durationType:
		dur, err := time.ParseDuration(text)
		if err != nil {
			return errSyntax
		}
		v.SetInt(int64(dur))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return errSyntax
		}
		v.SetBool(text == "true")
	case v.CanInt():
		if !integer.MatchString(text) {
			return errSyntax
		}
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return err
		}
		v.SetInt(n)
	case v.CanFloat():
		if !decimal.MatchString(text) {
			return errSyntax
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		v.SetFloat(f)
	}
	return nil
}

func rangeNote(err error) string {
	if errors.Is(err, strconv.ErrRange) {
		return ", the value is out of range"
	}
	return ""
}

// ByteSize is a number of bytes, written as 512, 64KiB, 1MiB or 2GiB.
type ByteSize int64

var byteSize = regexp.MustCompile(`^([0-9]{1,12})(B|KiB|MiB|GiB)?$`)

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *ByteSize) UnmarshalText(text []byte) error {
	m := byteSize.FindSubmatch(text)
	if m == nil {
		return errors.New("expected a size such as 64KiB, 1MiB or a number of bytes")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		return errors.New("the size is out of range")
	}
	shift := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[string(m[2])]
	if n > 1<<40>>shift {
		return errors.New("the size is out of range: at most 1024GiB")
	}
	*b = ByteSize(n << shift)
	return nil
}

// String is the size in the largest unit that holds it without a remainder.
func (b ByteSize) String() string {
	for _, u := range []struct {
		name string
		size ByteSize
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strings.TrimSpace(strconv.FormatInt(int64(b), 10) + "B")
}
