package flaglint

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// need is what must stand around a call besides its name.
type need uint8

const (
	needsFlags   need = 1 << iota // a receiver named after flags, or our import
	needsContext                  // a context before the key
	needsImport                   // the import of an SDK
	inTag                         // an attribute of an element: name="key"
	inConfig                      // a setting: name: key
)

const (
	// anyPosition is the first argument, or the second behind a context.
	anyPosition = -1
	// maxArguments are looked at, of maxCallTokens tokens together.
	maxArguments  = 4
	maxCallTokens = 400
)

// A call is a function that takes the key of a flag.
type call struct {
	families family
	receiver string // what must stand before the dot; "" for anything
	position int    // of the key, from 0, or anyPosition
	least    int    // arguments
	needs    need
}

// calls are functions by the last part of their name.
type calls map[string][]call

// imports of which one makes needsFlags or needsImport true of a file.
const (
	ourImport = "github.com/handrail-go/handrail/flags"
	sdkImport = "github.com/open-feature/go-sdk"
)

// knownCalls are those of our own package and of the OpenFeature SDKs.
func knownCalls() calls {
	known := calls{}
	add := func(c call, names ...string) {
		for _, name := range names {
			known[name] = append(known[name], c)
		}
	}
	add(call{families: golang | template, position: anyPosition, needs: needsFlags}, "Enabled", "Evaluate", "EvaluateContext")
	kinds := func(format string, kinds ...string) []string {
		names := make([]string, len(kinds))
		for i, kind := range kinds {
			names[i] = fmt.Sprintf(format, kind)
		}
		return names
	}
	goKinds := []string{"Boolean", "String", "Float", "Int", "Object"}
	add(call{families: golang, position: 1, least: 3, needs: needsContext}, kinds("%sValue", goKinds...)...)
	add(call{families: golang, position: 1, least: 3, needs: needsContext}, kinds("%sValueDetails", goKinds...)...)
	add(call{families: golang, position: 1, least: 3, needs: needsContext | needsImport}, goKinds...)

	jsKinds := []string{"Boolean", "String", "Number", "Object"}
	for _, form := range []string{"get%sValue", "get%sDetails"} {
		add(call{families: javascript, least: 2}, kinds(form, jsKinds...)...)
	}
	for _, form := range []string{"use%sFlagValue", "use%sFlagDetails"} {
		add(call{families: javascript, least: 1}, kinds(form, jsKinds...)...)
	}
	add(call{families: javascript, least: 1}, "useFlag", "useSuspenseFlag")
	add(call{families: javascript | template, needs: inTag}, "flagKey")
	add(call{families: config, needs: inConfig}, "flag")

	for _, form := range []string{"get_%s_value", "get_%s_details", "get_%s_value_async", "get_%s_details_async"} {
		add(call{families: python, least: 2}, kinds(form, "boolean", "string", "integer", "float", "object")...)
	}
	for _, form := range []string{"fetch_%s_value", "fetch_%s_details"} {
		add(call{families: ruby, least: 2}, kinds(form, "boolean", "string", "number", "integer", "float", "object")...)
	}
	return known
}

// addOwn adds a function that the user named: NAME or RECEIVER.NAME, and behind
// a colon the place of the key among the arguments, from 1.
func (c calls) addOwn(text string) error {
	name, place, placed := strings.Cut(text, ":")
	own := call{families: ^family(0) &^ config, position: anyPosition, least: 1}
	if placed {
		n, err := strconv.Atoi(place)
		if err != nil || n < 1 || n > maxArguments {
			return fmt.Errorf("%q: the place of the key must be 1 to %d", text, maxArguments)
		}
		own.position = n - 1
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		own.receiver, name = name[strings.LastIndexByte(name[:i], '.')+1:i], name[i+1:]
		if !validName(own.receiver) {
			return fmt.Errorf("%q is not the name of a function", text)
		}
	}
	if !validName(name) {
		return fmt.Errorf("%q is not the name of a function", text)
	}
	c[name] = append(c[name], own)
	return nil
}

func validName(s string) bool {
	s = strings.TrimRight(s, "?!")
	for i := range len(s) {
		if !wordByte(s[i]) {
			return false
		}
	}
	return s != "" && !digit(s[0])
}

// An asked is a key that code asks for.
type asked struct {
	call *token // the name of the function
	arg  []token
	// key is nil when it is computed.
	key *token
}

// find calls found for each key that the tokens ask for by one of the calls.
func (c calls) find(tokens []token, in family, found func(asked)) {
	ours, sdk := false, false
	for i := range tokens {
		switch t := &tokens[i]; t.kind {
		case literal:
			ours = ours || string(t.text) == ourImport
			sdk = sdk || bytes.HasPrefix(t.text, []byte(sdkImport))
		case word:
			for _, call := range c[string(t.text)] {
				if call.families&in == 0 || call.needs&needsImport != 0 && !sdk {
					continue
				}
				if a, ok := call.match(tokens, i, in, ours); ok {
					found(a)
					break
				}
			}
		}
	}
}

// match looks at a call whose name is tokens[i].
func (c call) match(tokens []token, i int, in family, ours bool) (asked, bool) {
	a := asked{call: &tokens[i]}
	if c.needs&inTag != 0 {
		ok := a.inTag(tokens, i)
		return a, ok
	}
	if c.needs&inConfig != 0 {
		a.key = &tokens[i+1] // readYAML gives a name with its value only
		return a, true
	}
	if declared(tokens, i) || c.receiver != "" && !receives(tokens, i, c.receiver) {
		return a, false
	}
	named := flagReceiver(tokens, i)
	if c.needs&needsFlags != 0 && !named && !ours {
		return a, false
	}
	args, ok := arguments(tokens, i+1, in)
	if !ok || len(args) < c.least && !keyword(args, in) || len(args) == 0 {
		return a, false
	}
	arg, ok := c.keyOf(args, in, ours && receives(tokens, i, "flags"))
	if !ok {
		return a, false
	}
	a.arg, a.key = arg, literalIn(arg)
	return a, a.key != nil || c.needs&needsFlags == 0 || named
}

// inTag takes the value of the attribute whose name is tokens[i]: name="key",
// name={"key"} or name={computed}.
func (a *asked) inTag(tokens []token, i int) bool {
	if tokens[i].char != '<' || i+2 >= len(tokens) || tokens[i+1].char != '=' {
		return false
	}
	value := tokens[i+2 : min(i+6, len(tokens))]
	if value[0].kind == literal {
		a.key = &value[0]
		return true
	}
	if value[0].char != '{' || len(value) < 3 {
		return false
	}
	if a.arg = value[1:2]; value[2].char == '}' {
		a.key = literalIn(a.arg)
	} else {
		a.arg = value[1:]
	}
	return true
}

// keyOf is the argument that holds the key. packaged says that the function is
// that of our package, whose first argument is a context by any name.
func (c call) keyOf(args [][]token, in family, packaged bool) ([]token, bool) {
	for _, arg := range args {
		if named, ok := keywordArgument(arg, in); ok {
			return named, true
		}
	}
	position := c.position
	if position == anyPosition {
		position = 0
		if len(args) > 1 && (isContext(args[0]) || packaged && literalIn(args[0]) == nil && literalIn(args[1]) != nil) {
			position = 1
		}
	}
	if position >= len(args) || c.needs&needsContext != 0 && !isContext(args[0]) {
		return nil, false
	}
	return args[position], true
}

// literalIn is the string that an argument consists of, maybe with an assertion
// of TypeScript behind it.
func literalIn(arg []token) *token {
	if len(arg) == 0 || arg[0].kind != literal {
		return nil
	}
	if len(arg) > 1 && arg[1].char != '!' && string(arg[1].text) != "as" && string(arg[1].text) != "satisfies" {
		return nil
	}
	return &arg[0]
}

// keywordArgument is the value of flag_key="k" in Python, flag_key: "k" in Ruby.
func keywordArgument(arg []token, in family) ([]token, bool) {
	if len(arg) < 3 || arg[0].kind != word || in&(python|ruby|elsewhere) == 0 ||
		arg[1].char != '=' && arg[1].char != ':' || arg[2].char == '=' {
		return nil, false
	}
	switch string(arg[0].text) {
	case "flag_key", "flag", "key":
		return arg[2:], true
	}
	return nil, false
}

func keyword(args [][]token, in family) bool {
	for _, arg := range args {
		if _, ok := keywordArgument(arg, in); ok {
			return true
		}
	}
	return false
}

// isContext reports whether an argument looks like a context.Context.
func isContext(arg []token) bool {
	if literalIn(arg) != nil {
		return false
	}
	for i := range arg {
		if text := arg[i].text; arg[i].kind == word && len(text) >= 3 {
			if end := bytes.ToLower(text[max(0, len(text)-7):]); bytes.HasSuffix(end, []byte("ctx")) || string(end) == "context" {
				return true
			}
			if i > 1 && string(arg[i-2].text) == "context" {
				return true // context.Background()
			}
		}
	}
	return false
}
