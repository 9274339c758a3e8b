package envcheck

import (
	"encoding"
	"reflect"
	"strings"
	"time"
)

// compileTag compiles a rule tag: a comma-separated list of at most one type and
// any number of options.
//
//	rule:"url"                rule:"min=32"          rule:"port"
//	rule:"enum=live|test"     rule:"url,allowedProtocols=redis|rediss"
//	rule:"startsWith=sk_,matches=^sk_(live|test)_[a-z0-9, ]+$"
//
// matches takes the rest of the tag. min and max are bounds of the value for
// numbers and durations, and of its length for a string. reason is empty when
// the tag is right.
func compileTag(tag string, field reflect.Type) (r rules, reason string) {
	typ := ""
	var members []string
	var opts []option
	for rest := tag; rest != ""; {
		item := rest
		if i := strings.IndexByte(rest, ','); i >= 0 && !strings.HasPrefix(rest, "matches=") {
			item, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		name, value, hasValue := strings.Cut(item, "=")
		switch {
		case name == "enum" && hasValue:
			members = strings.Split(value, "|")
			fallthrough
		case !hasValue:
			if typ != "" {
				return nil, "names two types"
			}
			typ = name
		case name == "allowedProtocols":
			opts = append(opts, option{name: name, list: strings.Split(value, "|")})
		default:
			opts = append(opts, option{name: name, value: value})
		}
	}
	if typ == "" {
		typ = impliedType(field)
	}
	if typ == "string" {
		for i := range opts {
			switch opts[i].name {
			case "min":
				opts[i].name = "minLength"
			case "max":
				opts[i].name = "maxLength"
			}
		}
	}
	r, errs := compileRules(typ, members, opts)
	var reasons []string
	for _, e := range errs {
		reasons = append(reasons, e.reason)
	}
	return r, strings.Join(reasons, "; ")
}

// impliedType is the type of a tag that names none, for a field of type t or
// for the items of a list.
func impliedType(t reflect.Type) string {
	switch {
	case unmarshalsText(t):
		return "string"
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		return impliedType(t.Elem())
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "integer"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "number"
	}
	return "string"
}

// describeType says what the struct parser accepts for a field of type t.
func describeType(t reflect.Type) string {
	switch {
	case unmarshalsText(t):
		return "a value that " + t.String() + " accepts"
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 30s, 5m or 1h30m"
	case t.PkgPath() == "net/url" && t.Name() == "URL":
		return "a URL"
	case t == reflect.TypeFor[time.Location]():
		return "a time zone such as Europe/Berlin"
	}
	switch kind := t.Kind(); kind {
	case reflect.Pointer:
		return describeType(t.Elem())
	case reflect.Bool:
		return "a boolean (true or false)"
	case reflect.Int, reflect.Uint:
		return "an integer that fits " + kind.String() + "32" // the struct parser's range
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer that fits " + kind.String()
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list, each item " + describeType(t.Elem())
	case reflect.Map:
		return "a list of key:value pairs"
	case reflect.String:
		return "a string"
	}
	return "a value that " + t.String() + " accepts"
}

// unmarshalsText reports whether t or a pointer to it reads itself from a text.
func unmarshalsText(t reflect.Type) bool {
	text := reflect.TypeFor[encoding.TextUnmarshaler]()
	return t.Implements(text) || reflect.PointerTo(t).Implements(text)
}
