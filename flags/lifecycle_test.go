package flags_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

const datedDefinitions = `
forever: {rolloutPercentage: 100}
later: {rolloutPercentage: 5, expires: 2027-03-01, owner: search}
z-soon: {rolloutPercentage: 5, expires: 2027-01-31, onExpiry: off}
a-soon: {enabled: false, expires: 2027-01-31, owner: payments, onExpiry: on}
`

func keysOf(list []flags.Expiry) []string {
	keys := []string{}
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	return keys
}

func TestExpiriesAreTheFlagsWithAnEndTheEarliestFirst(t *testing.T) {
	day := func(month time.Month, d int) time.Time { return time.Date(2027, month, d, 0, 0, 0, 0, time.UTC) }
	want := []flags.Expiry{
		{Key: "a-soon", Owner: "payments", Day: day(1, 31), At: day(2, 1), OnExpiry: flags.ExpiryOn},
		{Key: "z-soon", Day: day(1, 31), At: day(2, 1), OnExpiry: flags.ExpiryOff},
		{Key: "later", Owner: "search", Day: day(3, 1), At: day(3, 2), OnExpiry: flags.ExpiryKeep},
	}
	if diff := cmp.Diff(want, client(t, datedDefinitions).Set().Expiries()); diff != "" {
		t.Error(diff)
	}
}

func TestExpiredFlags(t *testing.T) {
	set := client(t, datedDefinitions).Set()
	for _, tc := range []struct {
		rule, now string
		expired   []string
	}{
		{"long before", "2027-01-01T00:00:00Z", []string{}},
		{"the last day counts", "2027-01-31T23:59:59Z", []string{}},
		{"the day has ended", "2027-02-01T00:00:00Z", []string{"a-soon", "z-soon"}},
		{"elsewhere it has not begun", "2027-02-01T00:59:59+01:00", []string{}},
		{"some and others", "2027-02-10T00:00:00Z", []string{"a-soon", "z-soon"}},
		{"all", "2028-01-01T00:00:00Z", []string{"a-soon", "z-soon", "later"}},
	} {
		now, err := time.Parse(time.RFC3339, tc.now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.expired, keysOf(set.Expired(now))); diff != "" {
			t.Errorf("%s: expired: %s", tc.rule, diff)
		}
		for _, e := range set.Expiries() {
			if def, _ := set.Lookup(e.Key); def.Expired(now) != e.Expired(now) {
				t.Errorf("%s: %s: the definition says %t", tc.rule, e.Key, def.Expired(now))
			}
		}
	}
}

func TestFlagsWithRulesOfTheirOwnHaveAnEndToo(t *testing.T) {
	end := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	set, err := flags.NewSet("1", nil, []flags.Custom{{
		Definition: flags.Definition{Key: "a", Owner: "search", Expires: end},
		Evaluate:   func(flags.EvaluationContext, int64) flags.Decision { return flags.Decision{} },
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []flags.Expiry{{Key: "a", Owner: "search", Day: end, At: end.AddDate(0, 0, 1)}}
	if diff := cmp.Diff(want, set.Expired(end.AddDate(1, 0, 0))); diff != "" {
		t.Error(diff)
	}
}
