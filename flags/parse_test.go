package flags_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestParseReadsBothRootsAndBothFormats(t *testing.T) {
	full := flags.Definition{
		Key: "new-checkout", Description: "New checkout page", Owner: "payments",
		Enabled: true, RolloutThousandths: 5125, AllowList: []string{"0123", "user-1"}, DenyList: []string{"user-2"},
		Salt: "checkout", Hash: flags.HashFlagd2, Created: day(2026, 11, 1), Expires: day(2027, 1, 31),
		OnExpiry: flags.ExpiryOff, Inject: false,
	}
	bare := flags.Definition{
		Key: "my-flag", Enabled: true, RolloutThousandths: 5000, AllowList: []string{}, DenyList: []string{},
		Salt: "my-flag", Hash: flags.HashFlagd2, OnExpiry: flags.ExpiryKeep, Inject: true,
	}
	for _, c := range []struct{ name, file, text string }{
		{"YAML", "flags.yaml", `
flags:
  new-checkout:
    description: New checkout page
    owner: payments
    enabled: true
    rolloutPercentage: 5.125
    allowList: [user-1, 0123, user-1]
    denyList: [user-2]
    salt: checkout
    hash: flagd2
    created: 2026-11-01
    expires: 2027-01-31
    onExpiry: "off"
    inject: false
  my-flag: {rolloutPercentage: 5, allowList: [], denyList: []}
`},
		{"JSON", "flags.json", `{"flags": {"new-checkout": {"description": "New checkout page", "owner": "payments",
"enabled": true, "rolloutPercentage": 5.125, "allowList": ["user-1", "0123"], "denyList": ["user-2"],
"salt": "checkout", "hash": "flagd2", "created": "2026-11-01", "expires": "2027-01-31", "onExpiry": "off", "inject": false},
"my-flag": {"rolloutPercentage": 5.0, "allowList": [], "denyList": []}}}`},
		{"bare", "flags", `
new-checkout:
  {description: New checkout page, owner: payments, rolloutPercentage: 5.125, allowList: [user-1, "0123"], denyList: [user-2],
   salt: checkout, created: 2026-11-01, expires: 2027-01-31, onExpiry: "off", inject: false}
my-flag: {"rolloutPercentage": 5, "allowList": [], "denyList": []}
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := flags.Parse(c.file, []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []flags.Definition{full, bare} {
				got, _ := set.Lookup(want.Key)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			}
			if set.Len() != 2 || len(set.Warnings()) != 0 || len(set.Version()) != 64 {
				t.Errorf("%d flags, warnings %q, version %q", set.Len(), set.Warnings(), set.Version())
			}
		})
	}
}

func TestParseReportsEveryProblemWithItsPlace(t *testing.T) {
	_, err := flags.Parse("flags.yaml", []byte(`flags:
  a:
    enabled: "yes"
    rolloutPercentage: "5"
    rollout: 5
    allowList: user-1
    created: yesterday
    onExpiry: maybe
  b: {enabled: true}
  b: {enabled: false}
other: 1
`))
	wantError(t, err, `flags.yaml:3:14: flags.a.enabled: expected true or false, got a quoted string
flags.yaml:4:24: flags.a.rolloutPercentage: expected a number, got a quoted string
flags.yaml:5:5: flags.a: unknown key "rollout"`,
		`flags.yaml:6:16: flags.a.allowList: expected a list, got a single value
flags.yaml:7:14: flags.a.created: expected a day such as 2027-01-31
flags.yaml:8:15: flags.a.onExpiry: must be one of keep, on, off
flags.yaml:10:3: flags.b: is already defined in line 9
flags.yaml:11:1: unknown key "other"`)

	_, err = flags.Parse("flags.yaml", []byte(`
-a: {enabled: true}
b c: {enabled: true}
nothing:
high: {rolloutPercentage: 100.001}
low: {rolloutPercentage: -1}
fine: {rolloutPercentage: 0.0001}
hash: {hash: md5}
expiry: {onExpiry: maybe}
dates: {created: 2026-02-01, expires: 2026-01-31}
lists: {allowList: [a, ""], denyList: [`+strings.Repeat("x", 513)+`]}
salt: {salt: `+strings.Repeat("x", 257)+`}
`))
	wantError(t, err, `flags.yaml:2:5: -a: a flag's key is 1 to 256 letters, digits and . _ : / -, starting with a letter or a digit
flags.yaml:3:6: b c: a flag's key is `, `
flags.yaml:4:9: nothing: has no settings
flags.yaml:5:27: high.rolloutPercentage: must be from 0 to 100, with at most three decimals
flags.yaml:6:26: low.rolloutPercentage: must be from 0 to 100, with at most three decimals
flags.yaml:7:27: fine.rolloutPercentage: must be from 0 to 100, with at most three decimals
flags.yaml:8:14: hash.hash: must be one of flagd2, unleash, launchdarkly, growthbook2, posthog
flags.yaml:9:20: expiry.onExpiry: must be one of keep, on, off
flags.yaml:10:39: dates.expires: lies before created
flags.yaml:11:24: lists.allowList[1]: a targeting key is 1 to 512 bytes
flags.yaml:11:40: lists.denyList[0]: a targeting key is 1 to 512 bytes
flags.yaml:12:14: salt.salt: is longer than 256 bytes`)

	var first *flags.DefinitionError
	if !errors.As(err, &first) || first.File != "flags.yaml" || first.Line != 2 || first.Column != 5 || first.Path != "-a" {
		t.Errorf("errors.As found %+v", first)
	}
}

// wantError checks that the error's text holds the parts, in their order.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	rest := err.Error()
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%s\n\nlacks\n\n%s", err, part)
		}
		rest = after
	}
}

func TestParseRefusesWhatHoldsNothing(t *testing.T) {
	for _, text := range []string{"", " \n\t", "# flags:\n", "null", "---\n"} {
		if _, err := flags.Parse("flags.yaml", []byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	for _, text := range []string{"{}", "flags: {}", `{"flags": {}}`} {
		if set, err := flags.Parse("flags.yaml", []byte(text)); err != nil || set.Len() != 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseHoldsItsBounds(t *testing.T) {
	var many strings.Builder
	for i := range flags.MaxFlags + 1 {
		fmt.Fprintf(&many, "f%d: {inject: true}\n", i)
	}
	_, err := flags.Parse("flags.yaml", []byte(many.String()))
	wantError(t, err, "flags.yaml:1:1: holds more than 10000 flags")

	_, err = flags.Parse("flags.yaml", []byte("a: {description: "+strings.Repeat("x", flags.MaxFileBytes)+"}"))
	wantError(t, err, "flags.yaml: is larger than")

	key := strings.Repeat("k", flags.MaxKeyBytes)
	if _, err := flags.Parse("flags.yaml", []byte("? "+key+"\n: {inject: true}\n")); err != nil {
		t.Errorf("a key of %d bytes: %v", len(key), err)
	}
	_, err = flags.Parse("flags.yaml", []byte("? "+key+"k\n: {inject: true}\n"))
	wantError(t, err, "a flag's key is")
}

func TestEveryThousandthIsReadExactly(t *testing.T) {
	for from := 0; from <= flags.FullRollout; from += 9973 {
		var b strings.Builder
		for n := from; n < min(from+100, flags.FullRollout+1); n++ {
			fmt.Fprintf(&b, "p-%d: {rolloutPercentage: %d.%03d}\n", n, n/1000, n%1000)
		}
		set, err := flags.Parse("flags.yaml", []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		for n := from; n < min(from+100, flags.FullRollout+1); n++ {
			if def, _ := set.Lookup(fmt.Sprintf("p-%d", n)); def.RolloutThousandths != n {
				t.Fatalf("%d thousandths were read as %d", n, def.RolloutThousandths)
			}
		}
	}
}

func TestWarningsNameWhatIsHardlyMeant(t *testing.T) {
	set, err := flags.Parse("flags.yaml", []byte(`z:
  allowList: [a, b, c]
  denyList: [c, b]
y: {owner: payments}
x: {salt: "", rolloutPercentage: 5}
w: {onExpiry: "on", rolloutPercentage: 5}
v: {enabled: false}
u: {hash: launchdarkly, rolloutPercentage: 5}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"flags.yaml:2:14: z.allowList: 2 of its entries are in denyList too, which wins",
		"flags.yaml:4:4: y: is off for everyone: it has neither rolloutPercentage nor allowList",
		"flags.yaml:5:11: x.salt: is empty: all flags with an empty salt pick the same users",
		"flags.yaml:6:15: w.onExpiry: has no effect without expires",
		"flags.yaml:8:11: u.hash: LaunchDarkly hashes its flag key and its own salt: give them as salt, with a dot between",
	}
	if diff := cmp.Diff(want, set.Warnings()); diff != "" {
		t.Error(diff)
	}
}

func TestLookupReturnsACopy(t *testing.T) {
	c := client(t, "a: {rolloutPercentage: 0, allowList: [alice]}")
	def, ok := c.Set().Lookup("a")
	if !ok {
		t.Fatal("not found")
	}
	def.AllowList[0] = "eve"
	if again, _ := c.Set().Lookup("a"); again.AllowList[0] != "alice" {
		t.Error("the set was changed through the copy")
	}
	if _, ok := c.Set().Lookup("b"); ok {
		t.Error("found a flag that is not there")
	}
}

func TestDefinitionExpiresWithItsDay(t *testing.T) {
	def := flags.Definition{Expires: day(2026, 1, 31)}
	if def.Expired(lastMoment) || !def.Expired(nextDay) || (flags.Definition{}).Expired(nextDay) {
		t.Error("the last day is not whole")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		ruleDefinitions, `{"my-flag": {"rolloutPercentage": 5, "allowList": [], "denyList": []}}`, "flags: {}",
		"a: &a {inject: true}\nb: *a\n", "a: {allowList: [x, !!binary aGk=], created: 1970-01-01}", "flags:\n  \"a\\\"b\": {enabled: true}\n",
		"? [a]\n: {}\n", "a: {rolloutPercentage: 1e2}", "a[0].b: {salt: 5}",
	} {
		f.Add([]byte(s), "alice")
	}
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		set, err := flags.Parse("flags.yaml", data)
		if err != nil {
			var problem *flags.DefinitionError
			if set != nil || !errors.As(err, &problem) {
				t.Fatalf("set %v, error %v", set, err)
			}
			return
		}
		for _, d := range set.EvaluateAll(key) {
			if !cmp.Equal(d, set.Evaluate(d.Key, key)) || d.On != set.Enabled(d.Key, key) {
				t.Fatalf("%+v is not what Evaluate or Enabled says", d)
			}
			def, _ := set.Lookup(d.Key)
			if def.RolloutThousandths < 0 || def.RolloutThousandths > flags.FullRollout || def.Key != d.Key {
				t.Fatalf("%+v", def)
			}
		}
		if again, err := flags.Parse("flags.yaml", data); err != nil || again.Version() != set.Version() {
			t.Fatal("parsed differently again:", err)
		}
	})
}
