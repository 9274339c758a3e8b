package flagd

import (
	"fmt"
	"math"
)

// checks look at the arguments of single operators and return the operator as
// the library takes it. Raw are the arguments, likewise.
var checks = map[string]func(c *compiler, at string, args []any, parts []compiled, raw []any) any{
	"starts_with":  checkAffix("starts_with"),
	"ends_with":    checkAffix("ends_with"),
	"sem_ver":      checkSemVer,
	"fractional":   checkFractional,
	"cat":          renamed("cat"),
	"merge":        renamed("merge"),
	"missing":      checkMissing,
	"missing_some": checkMissingSome,
}

// renamed looks at nothing: the operator is ours to the library too.
func renamed(name string) func(*compiler, string, []any, []compiled, []any) any {
	return func(_ *compiler, _ string, _ []any, _ []compiled, raw []any) any {
		return map[string]any{ours + name: raw}
	}
}

func checkAffix(name string) func(*compiler, string, []any, []compiled, []any) any {
	return func(c *compiler, at string, _ []any, parts []compiled, raw []any) any {
		for i, p := range parts {
			if fixed, ok := p.node.(constant); ok {
				if _, isText := fixed.value.(string); !isText {
					c.problem(fmt.Sprintf("%s[%d]", at, i), "expected a text or a rule")
				}
			}
		}
		return map[string]any{ours + name: raw}
	}
}

func checkSemVer(c *compiler, at string, args []any, parts []compiled, raw []any) any {
	for i, p := range parts {
		fixed, ok := p.node.(constant)
		if !ok || len(args) != 3 {
			continue
		}
		path := fmt.Sprintf("%s[%d]", at, i)
		name, isText := fixed.value.(string)
		_, isVersion := parseVersion(name)
		switch {
		case i == 1 && !isText:
			c.problem(path, "must be one of = != < <= > >= ~ ^")
		case i == 1 && (&version{}).satisfies(name, &version{}) == nil:
			c.warn(path, "is none of = != < <= > >= ~ ^: gives null")
		case i != 1 && !isVersion:
			c.problem(path, "expected a semantic version, such as \"1.2.3\"")
		}
	}
	return map[string]any{ours + "sem_ver": raw}
}

// checkFractional judges the shares that are known.
func checkFractional(c *compiler, at string, args []any, parts []compiled, raw []any) any {
	result := map[string]any{ours + "fractional": raw}
	if len(args) == 0 {
		return result
	}
	first := 0
	if _, isList := args[0].([]any); !isList {
		first = 1
		if _, isRule := args[0].(map[string]any); !isRule {
			c.problem(at+"[0]", "expected a rule for what is hashed, or a share such as [\"on\", 50]")
		}
	}
	if len(args) == first {
		c.problem(at, "has no shares")
		return result
	}
	total, known := 0.0, true
	for i := first; i < len(args); i++ {
		path := fmt.Sprintf("%s[%d]", at, i)
		share, isList := args[i].([]any)
		if !isList || len(share) < 1 || len(share) > 2 {
			c.problem(path, "expected a share such as [\"on\", 50]")
			known = false
			continue
		}
		switch share[0].(type) {
		case string, bool, map[string]any:
		default:
			c.problem(path+"[0]", "expected the name of a variant, true, false or a rule")
		}
		weight, isKnown := c.weight(path+"[1]", share)
		total, known = total+weight, known && isKnown
	}
	switch {
	case known && total > maxWeights:
		c.problem(at, fmt.Sprintf("its weights must add up to at most %d", maxWeights))
	case known && total == 0:
		c.warn(at, "all its weights are 0: gives null")
	}
	return result
}

// weight is that of a share, 1 by default; known is false where a rule gives it.
func (c *compiler) weight(path string, share []any) (weight float64, known bool) {
	if len(share) == 1 {
		return 1, true
	}
	switch w := plain(share[1]).(type) {
	case map[string]any:
		return 0, false
	case float64:
		switch {
		case w != math.Trunc(w):
			c.problem(path, "must be an integer")
		case w > maxWeights:
			c.problem(path, fmt.Sprintf("must be at most %d", maxWeights))
			return 0, false
		case w < 0:
			c.warn(path, "counts as 0")
		}
		return max(w, 0), true
	}
	c.problem(path, "expected an integer or a rule")
	return 0, false
}

func checkMissing(c *compiler, at string, args []any, _ []compiled, raw []any) any {
	for i, arg := range args {
		if _, isText := arg.(string); !isText {
			c.problem(fmt.Sprintf("%s[%d]", at, i), "expected a path")
		}
	}
	return map[string]any{"missing": raw}
}

func checkMissingSome(c *compiler, at string, args []any, _ []compiled, raw []any) any {
	if len(args) == 2 {
		if _, isNumber := plain(args[0]).(float64); !isNumber {
			c.problem(at+"[0]", "expected a number")
		}
		if paths, isList := args[1].([]any); isList {
			checkMissing(c, at+"[1]", paths, nil, nil)
		} else {
			c.problem(at+"[1]", "expected a list of paths")
		}
	}
	return map[string]any{"missing_some": raw}
}
