package flagd

import (
	"math"
	"reflect"
	"strconv"
	"strings"
)

// Values of rules are nil, bool, float64, string, []any and map[string]any, as
// encoding/json decodes them. How they are compared and converted is the
// library's way, since flagd's rules have been written against it.

// plain is v with Go's numbers as float64. What a list or a map holds is left
// as it is. Other types have no meaning to a rule.
func plain(v any) any {
	switch v := v.(type) {
	case nil, bool, float64, string, []any, map[string]any:
		return v
	case int64:
		return float64(v)
	case int:
		return float64(v)
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int())
	case r.CanUint():
		return float64(r.Uint())
	case r.CanFloat():
		return r.Float()
	}
	return nil
}

func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return false
}

// number is what arithmetic takes v for.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		f, _ := strconv.ParseFloat(v, 64) // 0 for what is no number
		return f, true
	}
	return 0, false
}

// comparand is what comparisons take v for.
func comparand(v any) float64 {
	switch v := v.(type) {
	case nil:
		return 0
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
		return 0
	case string:
		if strings.TrimSpace(v) == "" {
			return 0
		}
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return f
		}
	}
	return math.NaN()
}

// text is what cat takes v for.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

func equal(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, ok := a.(string)
	y, also := b.(string)
	if ok && also {
		return x == y
	}
	return comparand(a) == comparand(b)
}

// same is equal between values of one type. Lists and maps are never the same.
func same(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case float64:
		y, ok := b.(float64)
		return ok && x == y
	case string:
		y, ok := b.(string)
		return ok && x == y
	}
	return false
}

func less(a, b any) bool {
	x, ok := a.(string)
	y, also := b.(string)
	if ok && also {
		return x < y
	}
	return comparand(a) < comparand(b)
}

func atMost(a, b any) bool { return less(a, b) || equal(a, b) }

// within reports whether an "in" finds a in b; ok is false where that cannot be
// asked.
func within(a, b any) (found, ok bool) {
	switch b := b.(type) {
	case string:
		a, ok := a.(string)
		return ok && strings.Contains(b, a), ok
	case []any:
		for _, element := range b {
			if found, ok := matches(a, plain(element)); found || !ok {
				return found, ok
			}
		}
	}
	return false, true
}

// matches compares a with one element of a list. An element that is a list
// itself is the first and the last of a range.
func matches(a, element any) (found, ok bool) {
	switch e := element.(type) {
	case []any:
		if len(e) < 2 {
			return false, false
		}
		low, okLow := number(plain(e[0]))
		high, okHigh := number(plain(e[1]))
		x, okX := number(a)
		// The upper bound is not looked at below the lower one.
		if !okX || !okLow || x >= low && !okHigh {
			return false, false
		}
		return x >= low && high >= x, true
	case map[string]any:
		if _, both := a.(map[string]any); both {
			return false, false
		}
	}
	if x, isNumber := a.(float64); isNumber {
		e, ok := number(element)
		return ok && e == x, ok
	}
	return same(a, element), true
}
