package envcheck

import (
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/caarlos0/env/v11"
)

// Option changes how [Load] and [Parse] read the environment.
type Option func(*options)

type options struct {
	environ map[string]string // nil: the process environment
	prefix  string
}

// Environ reads from env instead of the process environment. env is copied;
// nil is an empty environment.
func Environ(env map[string]string) Option {
	return func(o *options) {
		o.environ = map[string]string{}
		addSet(o.environ, env)
	}
}

// Prefix is put before every variable's name, such as "APP_".
func Prefix(prefix string) Option {
	return func(o *options) { o.prefix = prefix }
}

// Load reads the environment into a T, which is a struct with the tags of
// github.com/caarlos0/env v11 (env:"NAME,required", envDefault, envPrefix,
// envSeparator, …) and, beside them, rule:
//
//	rule:"url"                    absolute, with "//"; also rule:"url,allowedProtocols=redis|rediss"
//	rule:"min=32"                 characters of a string; value of a number or a duration; also max
//	rule:"enum=live|test"
//	rule:"port"                   1 to 65535; rule:"port,min=1024"
//	rule:"startsWith=sk_"         also endsWith, isLength, matches=… (RE2, takes the rest of the tag)
//	rule:"email" "ip" "ip,version=4" "semver" "duration" "json" "uuid" "integer" "number" "boolean"
//
// Rules of a list apply to each item. An empty variable counts as unset: it
// fails "required" and takes envDefault. A default must pass the rules too.
//
// Errors: *Error with every *Problem at once when the environment is wrong; an
// errors.Join of *ConfigError when the struct is. No error quotes a value. With
// an error the returned T is zero.
func Load[T any](opts ...Option) (T, error) {
	var value T
	if err := Parse(&value, opts...); err != nil {
		var zero T
		return zero, err
	}
	return value, nil
}

// Parse is [Load] into dst, a pointer to a struct whose fields may hold
// defaults. With an error *dst is as it was, except for what its pointers lead
// to.
func Parse(dst any, opts ...Option) error {
	o := options{}
	for _, opt := range opts {
		opt(&o)
	}
	if o.environ == nil {
		o.environ = map[string]string{}
		addSet(o.environ, env.ToMap(os.Environ()))
	}
	target := reflect.ValueOf(dst)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return &ConfigError{Field: "(root)", Value: fmt.Sprintf("%T", dst), Reason: "is not a pointer to a struct"}
	}

	result := reflect.New(target.Type().Elem())
	result.Elem().Set(target.Elem())
	c := &collector{environ: o.environ, found: map[string]string{}, missing: map[string]bool{}, unreadable: map[string]bool{}}
	c.parse(result, o.prefix)
	c.walk(result.Elem(), o.prefix, "")
	if len(c.errs) > 0 {
		return errors.Join(c.errs...)
	}
	if problems := c.problems(); len(problems) > 0 {
		return &Error{Problems: problems}
	}
	target.Elem().Set(result.Elem())
	return nil
}

// addSet copies the variables that are set to something.
func addSet(dst, src map[string]string) {
	for k, v := range src {
		if v != "" {
			dst[k] = v
		}
	}
}

// parse runs the struct parser on the struct that dst points to.
func (c *collector) parse(dst reflect.Value, prefix string) {
	err := env.ParseWithOptions(dst.Interface(), env.Options{
		Environment: c.environ,
		Prefix:      prefix,
		OnSet: func(key string, value any, _ bool) {
			c.found[key], _ = value.(string)
		},
	})
	if err != nil {
		c.keep(err)
	}
}

// keep takes from the struct parser's errors which variables they concern. Their
// texts quote values and are dropped.
func (c *collector) keep(err error) {
	list := []error{err}
	if all, ok := errors.AsType[env.AggregateError](err); ok {
		list = all.Errors
	}
	for _, err := range list {
		switch e := err.(type) { //nolint:errorlint // the parser lists its errors bare
		case env.VarIsNotSetError:
			c.missing[e.Key] = true
		case env.EmptyVarError:
			c.missing[e.Key] = true
		case env.LoadFileContentError:
			c.unreadable[e.Key] = true
		case env.ParseError:
			c.unparsable = append(c.unparsable, e.Name)
		case env.NoParserError:
			c.fail(e.Name, e.Type.String(), "has a type that cannot be read from a variable")
		case env.NoSupportedTagOptionError:
			c.fail("(unknown)", e.Tag, "is not an option of the env tag")
		default:
			c.fail("(unknown)", fmt.Sprintf("%T", err), "unknown error of the struct parser")
		}
	}
}

// problems goes through the fields in their order.
func (c *collector) problems() []*Problem {
	var out []*Problem
	for _, f := range c.fields {
		value := c.found[f.key]
		switch {
		case c.missing[f.key]:
			out = append(out, f.problem(Missing, "required", f.expected(), "", "set it in the environment"))
		case c.unreadable[f.key]:
			out = append(out, f.problem(Unreadable, "file", "the path of a readable file", c.environ[f.key], ""))
		case value == "":
		case len(c.unparsable) > 0 && !f.parses(value):
			out = append(out, f.problem(Invalid, "type", describeType(f.typ), value, ""))
		default:
			out = append(out, f.broken(value)...)
		}
	}
	if len(out) == 0 { // what the parser refused is never let through
		for _, name := range c.unparsable {
			out = append(out, &Problem{Field: name, Kind: Invalid, Rule: "type", Expected: "a value of the field's type", Length: unset})
		}
	}
	return out
}

// broken reports each broken rule once, however many items break it.
func (f *field) broken(value string) []*Problem {
	var out []*Problem
	seen := map[string]bool{}
	for _, item := range f.items(value) {
		for _, c := range f.rules.broken(item) {
			if seen[c.rule] {
				continue
			}
			seen[c.rule] = true
			expected := c.expected
			if f.isList {
				expected = "each item to be " + expected
			}
			out = append(out, f.problem(Invalid, c.rule, expected, value, ""))
		}
	}
	return out
}
