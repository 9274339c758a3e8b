package flags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/internal/strictyaml"
)

// ErrUnknownFlag is returned by [Edit] for a change of a flag that is not
// defined.
var ErrUnknownFlag = errors.New("flags: no such flag")

// An EditError says why a definition file is not changed by [Edit], though the
// change itself is right: its form does not let one flag be changed alone. It
// is changed by hand.
type EditError struct {
	File string
	// Line and Column count from 1; 0 where no place in the file is at fault.
	Line, Column int
	Reason       string
}

// Error has the shape "flags.yaml:3:5: is an alias: change it by hand".
func (e *EditError) Error() string {
	p := strictyaml.Problem{File: e.File, Line: e.Line, Column: e.Column, Message: e.Reason + ": change it by hand"}
	return p.Error()
}

// Change is what [Edit] makes of one flag. Of Delete, Replace with Settings, and
// Settings with Allow, Deny and Remove it is one.
type Change struct {
	// Settings is a JSON object of settings as they stand in a definition file,
	// such as {"rolloutPercentage": 10, "expires": null}. One that is null is
	// taken out; one that is not named stays. Empty: none is named.
	Settings []byte
	// Replace: the flag has these Settings and no other. It may be a new one.
	Replace bool
	// Delete: the flag is not defined any more.
	Delete bool
	// Allow puts targeting keys on the allowList and takes them off the
	// denyList, Deny does the reverse, Remove takes them off both.
	Allow, Deny, Remove []string
}

// Edit changes one flag of a definition file and returns the file. All other
// bytes of it stay as they are: comments, order, quotes and layout, also within
// the flag. A setting that a change does not alter is not touched; what is
// written anew stands in one line. A new flag comes last.
//
// Before it returns, Edit parses the result and makes sure that this flag is
// what the change says, and that every other one is as before. Where that
// cannot be had it returns an *EditError and no file: aliases, anchors and tags
// in the way, or a file that is not UTF-8. Problems of the definitions match
// *DefinitionError; those of the Settings have File "settings" and the place
// in it.
func Edit(name string, data []byte, key string, c Change) ([]byte, error) {
	before, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	old, defined := before.Lookup(key)
	if !defined && (c.Delete || !c.Replace) {
		return nil, fmt.Errorf("%w: %q", ErrUnknownFlag, key)
	}
	want, given, err := c.wanted(name, data, key)
	if err != nil {
		return nil, err
	}
	tree, err := newTree(name, data)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Delete:
		err = tree.remove(key)
	case !defined:
		err = tree.create(key, settingsToAdd(want, given))
	default:
		err = tree.change(key, c.settings(old, want, given))
	}
	if err != nil {
		return nil, err
	}
	after, err := tree.spliced()
	if err != nil {
		return nil, err
	}
	if err := prove(name, before, after, key, want, c.Delete); err != nil {
		return nil, err
	}
	return after, nil
}

// prove makes sure that data holds what was meant, whatever was spliced.
func prove(name string, before *Set, data []byte, key string, want Definition, deleted bool) error {
	if len(data) > MaxFileBytes {
		return &EditError{File: name, Reason: fmt.Sprintf("would be larger than %d bytes", MaxFileBytes)}
	}
	after, err := Parse(name, data)
	if err != nil {
		return &EditError{File: name, Reason: "has a form in which this flag cannot be changed alone"}
	}
	n := before.Len()
	if _, ok := before.byKey[key]; ok {
		n--
	}
	if !deleted {
		n++
		if got, ok := after.Lookup(key); !ok || !bytes.Equal(got.Settings(), want.Settings()) {
			return &EditError{File: name, Reason: "has a form in which this flag cannot be changed"}
		}
	}
	if after.Len() != n {
		return &EditError{File: name, Reason: "has a form in which a change of this flag adds or removes others"}
	}
	for _, f := range before.ordered {
		other, ok := after.byKey[f.def.Key]
		if f.def.Key != key && (!ok || !reflect.DeepEqual(f.def, other.def)) {
			return &EditError{File: name, Reason: "has a form in which a change of this flag changes others"}
		}
	}
	return nil
}

// settingsName stands in the problems of a Change's Settings.
const settingsName = "settings"

// wanted is the definition that the change leads to, judged as one in a file,
// and the settings that it names; a nil one is to be taken out.
func (c *Change) wanted(name string, data []byte, key string) (want Definition, given map[string]json.RawMessage, err error) {
	if c.Delete {
		return Definition{}, nil, nil
	}
	f := fileFlag{}
	if !c.Replace {
		if f, err = readFlag(name, data, key); err != nil {
			return Definition{}, nil, err
		}
	}
	settings := c.Settings
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	doc, err := strictyaml.Parse(settingsName+".json", settings)
	if err != nil {
		return Definition{}, nil, definitionErrors(inSettings(err, "", 0))
	}
	var problems strictyaml.Problems
	errors.As(doc.Decode(&f, nil), &problems)
	_ = json.Unmarshal(settings, &given) // what is no object is among the problems
	fields := settingFields(&f)
	for setting, value := range given {
		if field, ok := fields[setting]; ok && isJSONNull(value) {
			given[setting] = nil
			field.SetZero()
			problems = slices.DeleteFunc(problems, func(p *strictyaml.Problem) bool { return p.Path == setting })
		}
	}
	c.lists(&f)
	want, found := judge(key, settings, &f, problems)
	all := append(inSettings(problems.Err(), "", 0), inSettings(found.Err(), key, 1)...)
	if err := all.Err(); err != nil {
		return Definition{}, nil, definitionErrors(err)
	}
	return want, given, nil
}

// readFlag is a flag as a good file has it.
func readFlag(name string, data []byte, key string) (fileFlag, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return fileFlag{}, definitionErrors(err)
	}
	var root struct {
		Flags map[string]fileFlag `yaml:"flags"`
	}
	if doc.Has("flags") {
		err = doc.Decode(&root, nil)
	} else {
		err = doc.Decode(&root.Flags, nil)
	}
	return root.Flags[key], err
}

// judge finds what is wrong with f but for what known says. Its problems lead to
// the settings within an object of one flag that begins in a line of its own.
func judge(key string, settings []byte, f *fileFlag, known strictyaml.Problems) (Definition, strictyaml.Problems) {
	name, _ := json.Marshal(key)
	doc, err := strictyaml.Parse(settingsName+".json", slices.Concat([]byte("{"), name, []byte(":\n"), settings, []byte("\n}")))
	if found, ok := errors.AsType[strictyaml.Problems](err); ok {
		return Definition{}, found // they are nested too deeply, by one
	}
	p := parser{doc: doc}
	prefixed := make(strictyaml.Problems, 0, len(known))
	for _, k := range known {
		prefixed = append(prefixed, &strictyaml.Problem{Path: key + "." + k.Path})
	}
	p.unread(prefixed)
	p.problems = nil
	if len(known) > 0 && f.bare() {
		return Definition{}, nil // nothing of it could be read
	}
	return p.definition(key, key, f), p.problems
}

// inSettings are problems with the place that they have in the settings alone,
// without the key and the lines before.
func inSettings(err error, key string, lines int) strictyaml.Problems {
	var problems strictyaml.Problems
	errors.As(err, &problems)
	told := make(strictyaml.Problems, len(problems))
	for i, p := range problems {
		q := *p
		q.File = settingsName
		if q.Path == key {
			q.Path = ""
		}
		q.Path = strings.TrimPrefix(q.Path, key+".")
		if p.Line > 0 && p.Line <= lines {
			q.Column = 1
		}
		q.Line = max(p.Line-lines, min(p.Line, 1))
		told[i] = &q
	}
	return told
}

func isJSONNull(value json.RawMessage) bool { return string(bytes.TrimSpace(value)) == "null" }

// lists makes Allow, Deny and Remove of f.
func (c *Change) lists(f *fileFlag) {
	off := setOf(slices.Concat(c.Allow, c.Deny, c.Remove))
	isOff := func(id string) bool { _, ok := off[id]; return ok }
	f.AllowList, f.DenyList = slices.DeleteFunc(f.AllowList, isOff), slices.DeleteFunc(f.DenyList, isOff)
	f.AllowList, f.DenyList = append(f.AllowList, c.Allow...), append(f.DenyList, c.Deny...)
}
