package flaglint

import (
	"bytes"
	"slices"
)

// arguments are those of a call whose name stands before tokens[i]. ok is false
// when nothing is called there.
func arguments(tokens []token, i int, in family) (args [][]token, ok bool) {
	i = typeArguments(tokens, i)
	if i+1 < len(tokens) && tokens[i].char == '?' && tokens[i+1].char == '.' { // isOn?.("k")
		i += 2
	}
	if i >= len(tokens) {
		return nil, false
	}
	if tokens[i].char != '(' {
		return bareArguments(tokens, i, in)
	}
	depth, from := 0, i+1
	limit := min(len(tokens), i+maxCallTokens)
	for j := i; j < limit; j++ {
		if tokens[j].kind != punct {
			continue
		}
		switch tokens[j].char {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth == 0 {
				if j > from {
					args = append(args, tokens[from:j])
				}
				return args, !signature(args, tokens, j+1, in)
			}
		case ',':
			if depth == 1 {
				if args = append(args, tokens[from:j]); len(args) == maxArguments {
					return args, true
				}
				from = j + 1
			}
		}
	}
	return nil, false
}

// typeArguments passes over <T> of TypeScript and [T] of Go before a parenthesis.
func typeArguments(tokens []token, i int) int {
	if i >= len(tokens) || tokens[i].char != '<' && tokens[i].char != '[' || tokens[i].kind != punct {
		return i
	}
	open, depth := tokens[i].char, 0
	closing := byte('>')
	if open == '[' {
		closing = ']'
	}
	for j := i; j < min(len(tokens), i+maxCallTokens/8); j++ {
		switch {
		case tokens[j].kind != punct:
		case tokens[j].char == open:
			depth++
		case tokens[j].char == closing:
			if depth--; depth == 0 {
				if j+1 < len(tokens) && tokens[j+1].char == '(' {
					return j + 1
				}
				return i
			}
		case tokens[j].char == '(' || tokens[j].char == ';':
			return i
		}
	}
	return i
}

// bareArguments are those of a call without parentheses, in Ruby and templates:
// {{ if enabled "k" }}, {{ if enabled .Ctx "k" }}, enabled? "k".
func bareArguments(tokens []token, i int, in family) ([][]token, bool) {
	if in&(ruby|template) == 0 {
		return nil, false
	}
	if tokens[i].kind == literal {
		return [][]token{tokens[i : i+1]}, true
	}
	if in&ruby != 0 && i+2 < len(tokens) && tokens[i].kind == word && tokens[i+1].char == ':' {
		return [][]token{tokens[i : i+3]}, true
	}
	if in&template == 0 || tokens[i].char != '.' && !bytes.HasPrefix(tokens[i].text, []byte("$")) {
		return nil, false
	}
	end := i
	for end < len(tokens) && end < i+maxCallTokens && (tokens[end].char == '.' || tokens[end].kind == word) {
		if end > i && tokens[end].start > tokens[end-1].end {
			break
		}
		end++
	}
	args := [][]token{tokens[i:end]}
	if end < len(tokens) && tokens[end].kind == literal {
		args = append(args, tokens[end:end+1])
	}
	return args, true
}

// declared reports whether tokens[i] is the name of a function that is declared
// here and not called.
func declared(tokens []token, i int) bool {
	if i == 0 {
		return false
	}
	switch string(tokens[i-1].text) {
	case "func", "function", "def", "fn", "fun":
		return true
	}
	return false
}

// signature reports whether what tokens[i] follows is the head of a method, or a
// declaration of one, rather than a call.
func signature(args [][]token, tokens []token, i int, in family) bool {
	switch {
	case in == golang || in == elsewhere: // ctx context.Context, String key
		return slices.ContainsFunc(args, func(arg []token) bool {
			return len(arg) > 1 && arg[0].kind == word && arg[1].kind == word && !typeOrOperator(arg[0].text)
		})
	case in&(javascript|python|ruby) != javascript:
		return false
	}
	for _, arg := range args {
		if len(arg) > 1 && arg[0].kind == word && (arg[1].char == ':' || len(arg) > 2 && arg[1].char == '?' && arg[2].char == ':') {
			return true // key: string, key?: string
		}
	}
	return i < len(tokens) && tokens[i].char == '{' && tokens[i].start < tokens[i].end
}

// typeOrOperator reports whether a value may begin with the keyword s and a name.
func typeOrOperator(s []byte) bool {
	switch string(s) {
	case "func", "map", "chan", "struct", "interface", "ref", "out", "mut":
		return true
	}
	return operatorWord(s)
}

// receives reports whether name stands before the dot before tokens[i].
func receives(tokens []token, i int, name string) bool {
	i--
	if i > 0 && tokens[i].char == '.' {
		i--
		if i > 0 && tokens[i].char == '?' {
			i--
		}
		return tokens[i].kind == word && string(tokens[i].text) == name
	}
	return false
}

// flagReceiver reports whether a name in the chain of calls before tokens[i]
// speaks of flags, as in h.flags.For(id).Enabled or FlagClient().Evaluate.
func flagReceiver(tokens []token, i int) bool {
	depth := 0
	for j := i - 1; j >= 0 && j > i-maxCallTokens/8; j-- {
		t := &tokens[j]
		switch {
		case t.kind == punct && t.char == ')':
			depth++
		case t.kind == punct && t.char == '(':
			if depth--; depth < 0 {
				return false
			}
		case depth > 0 || t.kind == punct && (t.char == '.' || t.char == '?'):
		case t.kind != word || j+1 < i && tokens[j+1].kind == word:
			return false
		case bytes.Contains(bytes.ToLower(t.text), []byte("flag")):
			return true
		case j > 0 && tokens[j-1].char != '.':
			return false
		}
	}
	return false
}
