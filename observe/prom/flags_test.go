package prom_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/observe/prom"
)

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

func TestFlagsInUseAndTheirEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which starts at the beginning of 2000
		m := newMetrics(t, prom.Config{})
		state := prom.Flags{}
		m.CollectFlags(func() prom.Flags { return state })
		want := []string{"handrail_flags_expired 0", "handrail_flags_loaded 0", "handrail_flags_stale 0"}
		if d := cmp.Diff(want, samples(m, "handrail_flag")); d != "" {
			t.Errorf("never loaded: %s", d)
		}
		state = prom.Flags{
			Loaded: 7, LoadedAt: time.UnixMilli(946684799_500), Stale: true,
			Expiries: []prom.FlagExpiry{
				{"old", "payments", day(1999, 12, 1)}, {"now", "", day(2000, 1, 1)}, {"later", "search", day(2000, 1, 1).Add(time.Second)},
			},
		}
		want = []string{
			`handrail_flag_expiry_timestamp_seconds{flag="later",owner="search"} 9.46684801e+08`,
			`handrail_flag_expiry_timestamp_seconds{flag="now",owner=""} 9.466848e+08`,
			`handrail_flag_expiry_timestamp_seconds{flag="old",owner="payments"} 9.440064e+08`,
			`handrail_flags_expired 2`,
			`handrail_flags_last_load_timestamp_seconds 9.466847995e+08`,
			`handrail_flags_loaded 7`,
			`handrail_flags_stale 1`,
		}
		if d := cmp.Diff(want, samples(m, "handrail_flag")); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Second)
		if d := cmp.Diff([]string{"handrail_flags_expired 3"}, samples(m, "handrail_flags_expired")); d != "" {
			t.Errorf("a flag expires without a load: %s", d)
		}
	})
}

func TestEndsOfFlagsStayBounded(t *testing.T) {
	m := newMetrics(t, prom.Config{MaxSeries: 3})
	state := prom.Flags{}
	for i := range 100 { // the last one ends first
		state.Expiries = append(state.Expiries, prom.FlagExpiry{Flag: fmt.Sprint("f", i), Owner: "o", At: time.Unix(int64(1000-i), 0)})
	}
	m.CollectFlags(func() prom.Flags { return state })
	want := []string{
		`handrail_flag_expiry_timestamp_seconds{flag="f97",owner="o"} 903`,
		`handrail_flag_expiry_timestamp_seconds{flag="f98",owner="o"} 902`,
		`handrail_flag_expiry_timestamp_seconds{flag="f99",owner="o"} 901`,
		`handrail_flag_expiry_timestamp_seconds{flag="overflow",owner="overflow"} 904`,
	}
	if d := cmp.Diff(want, samples(m, "handrail_flag_expiry")); d != "" {
		t.Error(d)
	}
	if state.Expiries[0].Flag != "f0" {
		t.Error("the caller's list was sorted")
	}
}

func TestNamesOfFlagsAreMadeFitForLabels(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	long := strings.Repeat("x", 200)
	m.CollectFlags(func() prom.Flags {
		return prom.Flags{Expiries: []prom.FlagExpiry{
			{long + "b", "\xff", time.Unix(2, 0)}, {long + "a", "\xff", time.Unix(1, 0)}, {"a\nb", `"`, time.Unix(3, 0)},
		}}
	})
	want := []string{
		`handrail_flag_expiry_timestamp_seconds{flag="a\nb",owner="\""} 3`,
		`handrail_flag_expiry_timestamp_seconds{flag="` + long[:128] + `",owner="?"} 1`,
	}
	if d := cmp.Diff(want, samples(m, "handrail_flag_expiry")); d != "" {
		t.Error(d)
	}
}

func TestTimeOfAFlagChange(t *testing.T) {
	m := newMetrics(t, prom.Config{})
	if got := samples(m, "handrail_flag_change"); got != nil {
		t.Errorf("before any change: %q", got)
	}
	m.FlagsTaken(600 * time.Millisecond)
	m.FlagsTaken(-time.Hour) // by a clock that is behind
	m.FlagsObeyed(90 * time.Second)
	want := []string{
		`handrail_flag_change_seconds_sum{until="last_decision"} 90`,
		`handrail_flag_change_seconds_sum{until="taken"} 0.6`,
	}
	if d := cmp.Diff(want, samples(m, "handrail_flag_change_seconds_sum")); d != "" {
		t.Error(d)
	}
	want = []string{
		`handrail_flag_change_seconds_bucket{until="taken",le="0.005"} 1`,
		`handrail_flag_change_seconds_bucket{until="taken",le="0.5"} 1`,
		`handrail_flag_change_seconds_bucket{until="taken",le="1"} 2`,
		`handrail_flag_change_seconds_bucket{until="last_decision",le="60"} 0`,
		`handrail_flag_change_seconds_bucket{until="last_decision",le="300"} 1`,
	}
	all := strings.Join(samples(m, "handrail_flag_change_seconds_bucket"), "\n") + "\n"
	for _, line := range want {
		if !strings.Contains(all, line+"\n") {
			t.Errorf("no %s in\n%s", line, all)
		}
	}
}
