package flags_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
)

const commented = `# all of our flags
flags:
  # the new page
  new-checkout:            # see the plan
    description: 'New checkout page'
    enabled:   true
    rolloutPercentage: 5   # of all users
    allowList:
      - user-1   # Ada
      # the next one is on leave
      - "user-2"
    denyList: [a, 'b', "c"]
    # expires: 2027-01-31

  beta: {enabled: false, rolloutPercentage: 10} # old
  "last":
      rolloutPercentage: 1
# the end
`

func TestEditChangesNothingButWhatItShould(t *testing.T) {
	for _, c := range []struct {
		name, file, key string
		change          flags.Change
		old, now        string // what is replaced in the file
	}{
		{"a number", commented, "new-checkout", set(`{"rolloutPercentage": 12.5}`), "rolloutPercentage: 5 ", "rolloutPercentage: 12.5 "},
		{"a boolean", commented, "new-checkout", set(`{"enabled": false}`), "enabled:   true", "enabled:   false"},
		{"text", commented, "new-checkout", set(`{"description": "a # b: \"c\"\n"}`), "'New checkout page'", `"a # b: \"c\"\n"`},
		{"a new setting", commented, "last", set(`{"expires": "2027-01-31", "onExpiry": "off"}`), "Percentage: 1\n",
			"Percentage: 1\n      expires: 2027-01-31\n      onExpiry: \"off\"\n"},
		{"several", commented, "new-checkout", set(`{"owner": "me", "enabled": false, "description": null}`),
			commented[strings.Index(commented, "    description"):strings.Index(commented, "    rollout")] + "    rolloutPercentage: 5   # of all users\n    allowList:\n      - user-1   # Ada\n      # the next one is on leave\n      - \"user-2\"\n    denyList: [a, 'b', \"c\"]\n",
			"    enabled:   false\n    rolloutPercentage: 5   # of all users\n    allowList:\n      - user-1   # Ada\n      # the next one is on leave\n      - \"user-2\"\n    denyList: [a, 'b', \"c\"]\n    owner: me\n"},
		{"what is so already", commented, "new-checkout", set(`{"rolloutPercentage": 5.0, "enabled": true, "inject": true}`), "", ""},
		{"in braces", commented, "beta", set(`{"rolloutPercentage": 20}`), "rolloutPercentage: 10", "rolloutPercentage: 20"},
		{"more in braces", commented, "beta", set(`{"owner": "me"}`), "10}", "10, owner: me}"},
		{"less in braces", commented, "beta", set(`{"enabled": null}`), "{enabled: false, ", "{"},
		{"other in braces", commented, "beta", replace(`{"owner": "me", "rolloutPercentage": 3}`), "{enabled: false, rolloutPercentage: 10}", "{rolloutPercentage: 3, owner: me}"},
		{"allowed", commented, "new-checkout", flags.Change{Allow: []string{"user-3", "user-1"}}, "\"user-2\"\n", "\"user-2\"\n      - user-3\n"},
		{"allowed, who was denied", commented, "new-checkout", flags.Change{Allow: []string{"b"}}, "\"user-2\"\n    denyList: [a, 'b'", "\"user-2\"\n      - b\n    denyList: [a"},
		{"allowed in a new list", commented, "last", flags.Change{Allow: []string{"7", "x"}}, "Percentage: 1\n", "Percentage: 1\n      allowList: [\"7\", x]\n"},
		{"denied", commented, "new-checkout", flags.Change{Deny: []string{"d"}}, `"c"]`, `"c", d]`},
		{"removed from lines", commented, "new-checkout", flags.Change{Remove: []string{"user-1"}}, "      - user-1   # Ada\n", ""},
		{"removed from brackets", commented, "new-checkout", flags.Change{Remove: []string{"a", "c"}}, `[a, 'b', "c"]`, `['b']`},
		{"all removed", commented, "new-checkout", flags.Change{Remove: []string{"a", "b", "c"}}, `[a, 'b', "c"]`, `[]`},
		{"all removed from lines", commented, "new-checkout", flags.Change{Remove: []string{"user-1", "user-2"}},
			"\n      - user-1   # Ada\n      # the next one is on leave\n      - \"user-2\"", " []"},
		{"a list taken out", commented, "new-checkout", set(`{"denyList": null}`), "    denyList: [a, 'b', \"c\"]\n", ""},
		{"a flag less", commented, "new-checkout", flags.Change{Delete: true},
			commented[strings.Index(commented, "  new-"):strings.Index(commented, "\n  beta")], ""},
		{"the last flag less", commented, "last", flags.Change{Delete: true}, "  \"last\":\n      rolloutPercentage: 1\n", ""},
		{"a flag more", commented, "a/b:c", replace(`{"rolloutPercentage": 0, "metadata": {"team": "x y", "n": 1.50}}`),
			"Percentage: 1\n", "Percentage: 1\n  \"a/b:c\":\n      rolloutPercentage: 0\n      metadata: {\"n\": 1.50, team: x y}\n"},
		{"the first flag", "flags: # none yet\n# end\n", "a", replace(`{"enabled": false}`), "yet\n", "yet\n  a:\n    enabled: false\n"},
		{"the first flag in braces", "flags: {}\n", "a", replace(`{"enabled": false}`), "{}", "{a: {enabled: false}}"},
		{"no end of line at the end", "a:\n  enabled: true", "a", set(`{"owner": "me"}`), "true", "true\n  owner: me"},
		{"a flag without an end of line", "a:\n  enabled: true", "b", replace(`{"enabled": true}`), "true", "true\nb:\n  enabled: true"},
		{"CRLF", "flags:\r\n  a:\r\n    enabled: true # x\r\n    allowList:\r\n    - u\r\n", "a", flags.Change{Settings: []byte(`{"enabled": false, "owner": "o"}`), Allow: []string{"v"}},
			"true # x\r\n    allowList:\r\n    - u\r\n", "false # x\r\n    allowList:\r\n    - u\r\n    - v\r\n    owner: o\r\n"},
		{"a byte order mark", "\xef\xbb\xbfa: {enabled: true}\n", "a", set(`{"enabled": false}`), "true", "false"},
		{"characters of several bytes", "a: {description: \"é🙂\", enabled: true} # ü\n", "a", set(`{"enabled": false}`), "true", "false"},
		{"text of several lines", "a:\n  description: |\n    one\n     two\n\n  owner: >-\n   x\n   y\n  enabled: true\n", "a", set(`{"description": "x", "enabled": false}`),
			"|\n    one\n     two\n\n  owner: >-\n   x\n   y\n  enabled: true", "x\n\n  owner: >-\n   x\n   y\n  enabled: false"},
		{"an alias elsewhere", "x: &x {enabled: true}\ny: *x\na: {enabled: true}\n", "a", set(`{"enabled": false}`), "a: {enabled: true}", "a: {enabled: false}"},
		{"variants in lines", "a:\n  enabled: true\n  variants:\n    - name: x\n    - name: y\n  offVariant: x\n", "a", set(`{"variants": [{"name": "x"}, {"name": "z", "weight": 2}]}`),
			"variants:\n    - name: x\n    - name: y\n", "variants: [{name: x}, {name: z, weight: 2}]\n"},
		{"compact JSON", `{"a":{"enabled":true},"b":{"enabled":true}}`, "a", set(`{"rolloutPercentage": 10}`), `{"a":{"enabled":true`, `{"a":{"enabled":true,"rolloutPercentage":10`},
		{"a flag more in compact JSON", `{"a":{"enabled":true}}`, "b", replace(`{"enabled": true, "owner": "o"}`), `true}}`, `true},"b":{"owner":"o","enabled":true}}`},
		{"JSON with tabs", "{\n\t\"flags\": {\n\t\t\"a\": {\n\t\t\t\"enabled\": true,\n\t\t\t\"allowList\": [\"u\"]\n\t\t}\n\t}\n}\n", "a",
			flags.Change{Settings: []byte(`{"owner":"o"}`), Allow: []string{"v"}}, "[\"u\"]\n", "[\"u\", \"v\"],\n\t\t\t\"owner\": \"o\"\n"},
		{"a flag more in JSON", "{\n\t\"flags\": {\n\t\t\"a\": {\n\t\t\t\"enabled\": true\n\t\t}\n\t}\n}\n", "b", replace(`{"enabled":true,"owner":"o"}`),
			"true\n\t\t}", "true\n\t\t},\n\t\t\"b\": {\n\t\t\t\"owner\": \"o\",\n\t\t\t\"enabled\": true\n\t\t}"},
		{"a flag less in JSON", "{\n  \"a\": {\"enabled\": true},\n  \"b\": {\"enabled\": true}\n}", "b", flags.Change{Delete: true}, ",\n  \"b\": {\"enabled\": true}", ""},
		{"the first one less in JSON", "{\n  \"a\": {\"enabled\": true},\n  \"b\": {\"enabled\": true}\n}", "a", flags.Change{Delete: true}, "\"a\": {\"enabled\": true},\n  ", ""},
		{"the first flag in JSON", `{"flags": null}`, "a", replace(`{"enabled":true}`), "null", `{"a": {"enabled": true}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := strings.Replace(c.file, c.old, c.now, 1)
			if !strings.Contains(c.file, c.old) {
				t.Fatal("the test is wrong")
			}
			got, err := flags.Edit("flags", []byte(c.file), c.key, c.change)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func set(settings string) flags.Change { return flags.Change{Settings: []byte(settings)} }

func replace(settings string) flags.Change {
	return flags.Change{Settings: []byte(settings), Replace: true}
}

func TestEditRefusesWhatCannotBeChangedAlone(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"an alias", "x: &x {enabled: true}\na: *x\n", "flags:2:4: is an alias: change it by hand"},
		{"an anchor", "a: &x {enabled: true}\ny: *x\n", "flags:1:4: has an anchor or a tag: change it by hand"},
		{"an alias for a setting", "x: {enabled: &t true}\na: {enabled: *t}\n", "flags:2:14: is an alias: change it by hand"},
		{"a tag", "a: {enabled: !!bool true}\n", "flags:1:14: has an anchor or a tag: change it by hand"},
		{"another separator of lines", "a: {enabled: true, owner: \"x\u2028y\"}\n", "flags: holds a separator of lines that is not CR or LF: change it by hand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := flags.Edit("flags", []byte(c.file), "a", set(`{"enabled": false}`))
			if e, ok := errors.AsType[*flags.EditError](err); !ok || e.Error() != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestEditTellsWhatIsWrongWithAChange(t *testing.T) {
	for _, c := range []struct {
		name, settings, want string
	}{
		{"every problem", "{\"rolloutPercentage\": 101,\n \"enabled\": \"no\", \"x\": 1}",
			"settings:1:23: rolloutPercentage: must be from 0 to 100, with at most three decimals\n" +
				"settings:2:13: enabled: expected true or false, got a quoted string\n" +
				`settings:2:19: unknown key "x"; known keys: `},
		{"no JSON", `{"enabled": false`, "settings:1:18: is not valid JSON: unexpected end of file"},
		{"no object", `[1]`, "settings:1:1: expected a mapping, got a list"},
		{"twice", `{"enabled": false, "enabled": true}`, "settings:1:20: enabled: is already defined in line 1"},
		{"against what stays", `{"expires": "2026-01-01"}`, "settings:1:13: expires: lies before created"},
		{"what stays against it", `{"created": "2028-01-01"}`, "settings:1:1: expires: lies before created"},
		{"nothing", ` `, "settings: is empty"},
		{"an entry of a list", `{"allowList": ["a", ""]}`, "settings:1:21: allowList[1]: a targeting key is 1 to 512 bytes"},
		{"more decimals", `{"rolloutPercentage": 10.0005}`, "settings:1:23: rolloutPercentage: must be from 0 to 100, with at most three decimals"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := flags.Edit("flags", []byte("a: {created: 2026-11-01, expires: 2027-01-31}"), "a", set(c.settings))
			e, ok := errors.AsType[*flags.DefinitionError](err)
			if !ok || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%v (%v), want %s", err, e, c.want)
			}
		})
	}
	for _, change := range []flags.Change{{Delete: true}, set(`{"enabled": true}`), {Allow: []string{"x"}}} {
		if _, err := flags.Edit("flags", []byte("a: {enabled: true}"), "b", change); !errors.Is(err, flags.ErrUnknownFlag) {
			t.Errorf("a change of no flag: %v", err)
		}
	}
	if _, err := flags.Edit("flags", []byte("a: {enabled: true}"), "b b", replace(`{"enabled": true}`)); err == nil || !strings.Contains(err.Error(), "a flag's key is") {
		t.Errorf("a key that is none: %v", err)
	}
	if _, err := flags.Edit("flags", []byte("a: {enabled: maybe}"), "a", set(`{"enabled": true}`)); err == nil || !strings.HasPrefix(err.Error(), "flags:1:14") {
		t.Errorf("a file with a mistake: %v", err)
	}
}

// Settings say all of a definition.
func TestSettingsMakeTheSameDefinition(t *testing.T) {
	set, err := flags.Parse("flags", []byte(`
a: {rolloutPercentage: 0.125, description: "<é\u0001>", owner: o, allowList: [b, a], denyList: [c], salt: "", hash: unleash,
    created: 2026-11-01, expires: 2027-01-31, onExpiry: "off", inject: false, public: true, metadata: {n: 1.5, s: x, b: true}}
b: {enabled: false, variants: [{name: x, weight: 0, value: {k: [1, null, "y"]}}, {name: y, value: {}}], offVariant: x, variantSalt: z}
c: {rolloutPercentage: 100, salt: s, variants: [{name: x}], variantSalt: s/variants}
`))
	must(t, err)
	for _, key := range set.Keys() {
		want, _ := set.Lookup(key)
		again, err := flags.Parse("flags", []byte(`{"`+key+`": `+string(want.Settings())+`}`))
		must(t, err)
		got, _ := again.Lookup(key)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", want.Settings(), diff)
		}
	}
}

func ExampleEdit() {
	file := []byte(`flags:
  new-checkout:
    rolloutPercentage: 5   # to 10 on Monday
    allowList:
      - user-1   # Ada
`)
	file, err := flags.Edit("flags.yaml", file, "new-checkout", flags.Change{
		Settings: []byte(`{"rolloutPercentage": 10}`), Allow: []string{"user-2"},
	})
	if err != nil {
		panic(err)
	}
	fmt.Print(string(file))
	// Output:
	// flags:
	//   new-checkout:
	//     rolloutPercentage: 10   # to 10 on Monday
	//     allowList:
	//       - user-1   # Ada
	//       - user-2
}
