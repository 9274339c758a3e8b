package flagd

import (
	"math"
	"strings"
)

// operators are those that flagd's schema knows, with the numbers of arguments
// that it allows. They do not change.
var operators = map[string]operator{
	"var":          {},
	"if":           {least: 1, build: func(args []compiled) node { return conditional(listOf(args)) }},
	"and":          {least: 1, build: func(args []compiled) node { return &junction{until: false, args: listOf(args)} }},
	"or":           {least: 1, build: func(args []compiled) node { return &junction{until: true, args: listOf(args)} }},
	"!":            {build: negate(false)},
	"!!":           {build: negate(true)},
	"==":           {least: 2, most: 2, build: relate(equal, false)},
	"===":          {least: 2, most: 2, build: relate(same, false)},
	"!=":           {least: 2, most: 2, build: relate(equal, true)},
	"!==":          {least: 2, most: 2, build: relate(same, true)},
	"<":            {least: 2, most: 3, build: relate(less, false)},
	"<=":           {least: 2, most: 3, build: relate(atMost, false)},
	">":            {least: 2, most: 2, build: relate(greater, false)},
	">=":           {least: 2, most: 2, build: relate(atLeast, false)},
	"+":            {least: 1, build: calculate(plus)},
	"-":            {least: 1, build: func(args []compiled) node { return &arithmetic{combine: minus, args: listOf(args), minus: true} }},
	"*":            {least: 2, build: calculate(times)},
	"/":            {least: 2, most: 2, build: calculate(divided)},
	"%":            {least: 2, most: 2, build: calculate(math.Mod)},
	"max":          {least: 1, build: calculate(larger)},
	"min":          {least: 1, build: calculate(smaller)},
	"cat":          {least: 1, build: func(args []compiled) node { return concatenation(listOf(args)) }},
	"in":           {least: 2, most: 2, build: newMember},
	"fractional":   {least: 1, build: newFractional},
	"sem_ver":      {least: 3, most: 3, lenient: true, build: newSemVer},
	"starts_with":  {least: 2, most: 2, lenient: true, build: newAffix(strings.HasPrefix)},
	"ends_with":    {least: 2, most: 2, lenient: true, build: newAffix(strings.HasSuffix)},
	"substr":       {least: 2, most: 3},
	"merge":        {least: 1},
	"missing":      {},
	"missing_some": {least: 2, most: 2},
	"map":          {least: 2, most: 2, loop: true},
	"filter":       {least: 2, most: 2, loop: true},
	"all":          {least: 2, most: 2, loop: true},
	"none":         {least: 2, most: 2, loop: true},
	"some":         {least: 2, most: 2, loop: true},
	"reduce":       {least: 3, most: 3, loop: true},
}

func greater(a, b any) bool { return less(b, a) }
func atLeast(a, b any) bool { return less(b, a) || equal(b, a) }

func relate(holds func(a, b any) bool, not bool) func([]compiled) node {
	return func(args []compiled) node {
		r := &relation{holds: holds, a: args[0].node, b: args[1].node, not: not}
		if len(args) == 3 {
			r.c = args[2].node
		}
		return r
	}
}

func calculate(combine func(a, b float64) float64) func([]compiled) node {
	return func(args []compiled) node { return &arithmetic{combine: combine, args: listOf(args)} }
}

func negate(double bool) func([]compiled) node {
	return func(args []compiled) node { return &negation{arg: listOf(args), double: double} }
}

func newAffix(found func(s, part string) bool) func([]compiled) node {
	return func(args []compiled) node { return &affix{found: found, s: args[0].node, part: args[1].node} }
}

// newMember makes a set of a list of strings: lists of users may be long.
func newMember(args []compiled) node {
	m := &member{a: args[0].node, b: args[1].node}
	fixed, _ := m.b.(constant)
	l, isList := fixed.value.([]any)
	if !isList {
		return m
	}
	names := make(map[string]bool, len(l))
	for _, v := range l {
		name, isText := v.(string)
		if !isText {
			return m
		}
		names[name] = true
	}
	m.names = names
	return m
}

func newSemVer(args []compiled) node {
	operator, fixed := args[1].node.(constant)
	b, alsoFixed := args[2].node.(constant)
	if fixed && alsoFixed {
		name, isText := operator.value.(string)
		if v, ok := versionOf(b.value); ok && isText {
			return &fixedSemVer{a: args[0].node, operator: name, b: v}
		}
	}
	return &semVer{a: args[0].node, operator: args[1].node, b: args[2].node}
}

// newFractional finds out whether all shares are known. What comes first may be
// what is hashed.
func newFractional(args []compiled) node {
	all := listOf(args)
	f := &fractional{args: all}
	shares := all
	if _, isShare := args[0].raw.([]any); !isShare {
		f.bucket, shares = all[0], all[1:]
	}
	for _, n := range shares {
		fixed, _ := n.(constant)
		entry, _ := fixed.value.([]any)
		s, ok := shareOf(entry)
		if !ok {
			return &anyFractional{all}
		}
		f.shares = append(f.shares, s)
	}
	var ok bool
	if f.total, ok = sum(f.shares); !ok {
		return &anyFractional{all}
	}
	return f
}
