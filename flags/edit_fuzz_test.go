package flags_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
)

// For any file and any change: an error, or the change and nothing else.
func FuzzEdit(f *testing.F) {
	for _, file := range []string{
		commented, `{"a":{"enabled":true},"b":{"enabled":true}}`, "flags:\r\n  a: {allowList: [u, # x\r\n v,\r\n]}\r\n",
		"a:\n  enabled: true\n  description: |+\n    x\n\n  allowList:\n  - u\n  # c\n  - v", "flags: {}", "flags: # none\n# c\n",
		"x: &x {enabled: true}\ny: *x\na: {enabled: true}\n", "{\n\t\"flags\": {\n\t\t\"a\": {\"enabled\": true}\n\t}\n}\n",
		"? a\n: {enabled: true}\n", "a: {\"enabled\":true,variants: [name: x]}", "a: {owner: x\n y, enabled: true, metadata: {a, b}}", "a:\n  !x\n  enabled: true\n",
	} {
		for kind := range byte(6) {
			f.Add([]byte(file), "a", kind, `{"rolloutPercentage": 5, "owner": "x", "expires": null}`, "u")
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, key string, kind byte, settings, id string) {
		change := []flags.Change{
			{Settings: []byte(settings)}, {Settings: []byte(settings), Replace: true}, {Delete: true},
			{Allow: []string{id}}, {Deny: []string{id}}, {Settings: []byte(settings), Remove: []string{id}},
		}[kind%6]
		before, err := flags.Parse("f", file)
		if err != nil {
			return
		}
		out, err := flags.Edit("f", file, key, change)
		if err != nil {
			return
		}
		after, err := flags.Parse("f", out)
		if err != nil {
			t.Fatalf("%q is not a good file: %v", out, err)
		}
		_, was := before.Lookup(key)
		now, is := after.Lookup(key)
		if is == change.Delete || was == is && before.Len() != after.Len() {
			t.Fatalf("%q holds %v", out, after.Keys())
		}
		for _, other := range before.Keys() {
			a, _ := before.Lookup(other)
			b, _ := after.Lookup(other)
			if diff := cmp.Diff(a, b); other != key && diff != "" {
				t.Fatalf("%q changes %q: %s", out, other, diff)
			}
		}
		switch {
		case len(change.Allow) > 0 && !slices.Contains(now.AllowList, id), slices.Contains(now.DenyList, id) && len(change.Deny) == 0 && len(change.Settings) == 0,
			len(change.Deny) > 0 && !slices.Contains(now.DenyList, id), len(change.Remove) > 0 && slices.Contains(slices.Concat(now.AllowList, now.DenyList), id):
			t.Fatalf("lists of %q: %q, %q", out, now.AllowList, now.DenyList)
		case change.Delete:
			return
		}
		again, err := flags.Edit("f", out, key, change)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("once more: %q becomes %q, %v", out, again, err)
		}
	})
}

// Files as people write them can be changed in every way.
func TestEditOfManyFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		file, keys := someFile(random)
		key := keys[random.IntN(len(keys))]
		change := flags.Change{Settings: fmt.Appendf(nil, `{"rolloutPercentage": %d, "owner": "o"}`, random.IntN(101)), Replace: random.IntN(2) == 0}
		switch random.IntN(4) {
		case 0:
			change = flags.Change{Allow: []string{"new"}, Remove: []string{"u1", "u0"}}
		case 1:
			key, change.Replace = "created", true
		case 2:
			change = flags.Change{Delete: len(keys) > 1, Deny: []string{"x"}}
		}
		out, err := flags.Edit("f", []byte(file), key, change)
		if err != nil {
			t.Fatalf("%s\n%s %+v: %v", file, key, change, err)
		}
		for line := range strings.Lines(file) {
			if at := strings.Index(line, "# keep"); at >= 0 && !strings.Contains(string(out), strings.TrimSpace(line[at:])) {
				t.Fatalf("%s\n%s %+v: lost %q in\n%s", file, key, change, line[at:], out)
			}
		}
	}
}

// someFile is one in a random layout. The comments "# keep" are not within what
// a change may take out.
func someFile(random *rand.Rand) (file string, keys []string) {
	pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	var b strings.Builder
	eol, indent, step := pick("\n", "\r\n"), "", pick("  ", "    ", " ")
	if b.WriteString("# keep 0" + eol); random.IntN(2) == 0 {
		b.WriteString("flags:" + pick("", " # keep 1") + eol)
		indent = step
	}
	for i := range 1 + random.IntN(4) {
		keys = append(keys, fmt.Sprintf("flag-%d", i))
		b.WriteString(pick("", eol) + indent + fmt.Sprintf("# keep %d", 2+i) + eol + indent + pick(`"flag-%d"`, "flag-%d", "'flag-%d'"))
		name := fmt.Sprintf(b.String(), i)
		b.Reset()
		b.WriteString(name)
		if random.IntN(3) == 0 {
			b.WriteString(": " + pick("{", "{ ") + "rolloutPercentage: 7" + pick("", ", allowList: [u1, u2]", ",\n    denyList: [ u1 ]") + pick("}", " }", ",}") + eol)
			continue
		}
		in := indent + step
		b.WriteString(":" + eol + in + "rolloutPercentage: 7 " + pick("", "# note") + eol)
		b.WriteString(pick("", in+"allowList:"+eol+in+"- u1"+eol+in+"- u2 # note"+eol, in+"allowList: [u1, # note"+eol+in+"  u2]"+eol))
		b.WriteString(pick("", in+"description: >-"+eol+in+"  some"+eol+eol+in+"  text"+eol, in+"# note"+eol))
	}
	b.WriteString(pick("", "# keep end", "# keep end"+eol))
	return b.String(), keys
}
