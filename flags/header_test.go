package flags_test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

// member is one of Handrail-Flags as RFC 9651 reads it.
type member struct{ key, variant string }

// structured reads a Handrail-Flags as a list of strings with, at most, the
// parameter v, and holds that it is in the one form that RFC 9651 writes.
func structured(t *testing.T, value string) []member {
	t.Helper()
	list, err := httpsfv.UnmarshalList([]string{value})
	if err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	if canonical, err := httpsfv.Marshal(list); err != nil || canonical != value {
		t.Fatalf("%q is not canonical: %q, %v", value, canonical, err)
	}
	members := make([]member, len(list))
	for i, m := range list {
		item, ok := m.(httpsfv.Item)
		if !ok {
			t.Fatalf("%q: member %d is a %T", value, i, m)
		}
		key, ok := item.Value.(string)
		if !ok {
			t.Fatalf("%q: member %d is a %T", value, i, item.Value)
		}
		members[i].key = key
		for _, name := range item.Params.Names() {
			p, _ := item.Params.Get(name)
			if members[i].variant, ok = p.(string); !ok || name != "v" {
				t.Fatalf("%q: member %d has the parameter %s=%v", value, i, name, p)
			}
		}
	}
	return members
}

// picking is a flag with rules of its own that is on, with one variant.
func picking(key, variant string) flags.Custom {
	return flags.Custom{
		Definition: flags.Definition{
			Key: key, Enabled: true, Inject: true, Variants: []flags.Variant{{Name: variant, Value: "x", Weight: 1}},
		},
		Evaluate: func(flags.EvaluationContext, int64) flags.Decision {
			return flags.Decision{On: true, Value: "x", Variant: variant, Reason: flags.ReasonStatic}
		},
	}
}

// custom is a Client on flags with rules of their own.
func custom(t *testing.T, list ...flags.Custom) *flags.Client {
	t.Helper()
	c, err := flags.New(t.Context(), flags.Config{
		Source: flags.Static("custom", nil),
		Parse:  func(string, []byte) (*flags.Set, error) { return flags.NewSet("1", nil, list) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHeaderIsAListOfStringsWithVariants(t *testing.T) {
	c := client(t, `
off: {rolloutPercentage: 0}
on: {rolloutPercentage: 100}
secret: {rolloutPercentage: 100, inject: false}
color: {rolloutPercentage: 100, variants: [{name: red}]}
boolean: {rolloutPercentage: 100, variants: [{name: "yes", value: true}]}
number: {rolloutPercentage: 100, variants: [{name: one, value: 1}], offVariant: one}
a/b:c.d_e-f: {rolloutPercentage: 100}
`)
	header, _ := c.For("").AppendHeader(nil)
	want := []member{{"a/b:c.d_e-f", ""}, {"boolean", ""}, {"color", "red"}, {"number", "one"}, {"on", ""}}
	if got := structured(t, string(header)); !slices.Equal(want, got) {
		t.Errorf("%q is %v, want %v", header, got, want)
	}
	for range 10 {
		if again, _ := c.For("").AppendHeader(nil); !bytes.Equal(again, header) {
			t.Errorf("%q, then %q", header, again)
		}
	}
}

func TestHeaderQuotesWhatOtherFormatsAllow(t *testing.T) {
	for _, tc := range []struct {
		rule, key, variant string
		want               []member
	}{
		{"quotes and backslashes", `a"b\`, `\"`, []member{{`a"b\`, `\"`}}},
		{"commas, semicolons and equals signs", `a", "b;v=1`, `x;v="y"`, []member{{`a", "b;v=1`, `x;v="y"`}}},
		{"blanks", " a ", " ", []member{{" a ", " "}}},
		{"an empty variant", "a", "", []member{{"a", ""}}},
		{"a key beyond ASCII never stands there", "ключ", "x", nil},
		{"nor one with a control byte", "a\r\nSet-Cookie: b", "x", nil},
		{"nor with DEL", "a\x7f", "x", nil},
		{"a variant that cannot is left out", "a", "рыба\n", []member{{"a", ""}}},
	} {
		header, dropped := custom(t, picking(tc.key, tc.variant)).For("").AppendHeader(nil)
		if tc.want == nil {
			if len(header) != 0 || dropped != 0 {
				t.Errorf("%s: %q, %d dropped", tc.rule, header, dropped)
			}
			continue
		}
		if got := structured(t, string(header)); !slices.Equal(tc.want, got) {
			t.Errorf("%s: %q is %v", tc.rule, header, got)
		}
	}
}

func TestHeaderHasRoomForWhatFitsExactly(t *testing.T) {
	// 31 members of 256 bytes with their quotes, and 2 bytes between two.
	for _, tc := range []struct {
		rule          string
		last          int // bytes of the last key
		members, lost int
	}{
		{"8192 bytes", 192, 32, 0},
		{"8193 bytes", 193, 31, 1},
	} {
		var list []flags.Custom
		for i := range 31 {
			list = append(list, picking(fmt.Sprintf("%02d%s", i, strings.Repeat("x", 252)), "\n"))
		}
		list = append(list, picking("z"+strings.Repeat("x", tc.last-1), "\n"))
		header, dropped := custom(t, list...).For("").AppendHeader(nil)
		if got := structured(t, string(header)); len(got) != tc.members || dropped != tc.lost || len(header) > flags.MaxHeaderBytes {
			t.Errorf("%s: %d bytes, %d members, %d dropped", tc.rule, len(header), len(got), dropped)
		}
	}
}

func TestOneFlagLargerThanTheHeaderIsDropped(t *testing.T) {
	header, dropped := custom(t, picking("a", strings.Repeat(`"`, flags.MaxHeaderBytes)), picking("b", "x")).For("").AppendHeader(nil)
	if len(header) != 0 || dropped != 2 {
		t.Errorf("%d bytes, %d dropped", len(header), dropped)
	}
}

// FuzzHeaderOfCustomFlags holds that whatever another format calls its flags and
// variants, the header can be read by RFC 9651 and says the same.
func FuzzHeaderOfCustomFlags(f *testing.F) {
	for _, s := range [][3]string{{"a", "red", "b"}, {`a"`, `\`, `\"`}, {"a\r\nX: y", "\x00", "é"}, {" ", "", "~"}, {"\xff", "\xff", "a"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, first, variant, second string) {
		set, err := flags.NewSet("1", nil, []flags.Custom{picking(first, variant), picking(second, variant)})
		if err != nil {
			return
		}
		c, err := flags.New(t.Context(), flags.Config{
			Source: flags.Static("custom", nil),
			Parse:  func(string, []byte) (*flags.Set, error) { return set, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		header, dropped := c.For("").AppendHeader(nil)
		if len(header) > flags.MaxHeaderBytes || strings.ContainsFunc(string(header), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q", header)
		}
		var want []member
		for _, key := range set.Keys() {
			if m := (member{key, variant}); graphic(key) {
				if !graphic(variant) {
					m.variant = ""
				}
				want = append(want, m)
			}
		}
		if want = want[:len(want)-dropped]; len(want) == 0 {
			if len(header) != 0 {
				t.Fatalf("%q", header)
			}
			return
		}
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(structured(t, string(header)))); diff != "" {
			t.Fatalf("%q: %s", header, diff)
		}
	})
}

func graphic(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func TestHeaderTellsTheSameAsTheContext(t *testing.T) {
	m := middleware(t, anonymousConfig())
	for i := range 200 {
		v := visiting(m, httptest.NewRequest("GET", "/", nil), nil)
		var want []string
		for _, d := range flags.FromContext(v.got.Context()).EvaluateAll() {
			if d.On && d.Key != "secret" {
				want = append(want, d.Key)
			}
		}
		var got []string
		for _, m := range structured(t, v.got.Header.Get(flags.HeaderName)) {
			got = append(got, m.key)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("visitor %d: the header tells %v, the context %v", i, got, want)
		}
	}
}
