package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/bench/measure"
)

func TestRatioPairsRounds(t *testing.T) {
	t.Parallel()
	all := samples{
		{Peer: bare, Round: 1, Connections: 32, PerSecond: 20, Allocations: 31},
		{Peer: nginx, Round: 1, Connections: 32, PerSecond: 10},
		{Peer: nginx, Round: 2, Connections: 32, PerSecond: 40},
		{Peer: bare, Round: 2, Connections: 32, PerSecond: 80, Failure: "does not count"},
		{Peer: bare, Round: 3, Connections: 32, PerSecond: 4},
		{Peer: nginx, Round: 3, Connections: 32, PerSecond: 1},
		{Peer: bare, Round: 1, Connections: 128, PerSecond: 7},
	}
	if got := all.ratio(bare, nginx, 32, perSecond); got != (measure.Spread{Median: 3, Low: 2, High: 4, Count: 2}) {
		t.Errorf("ratio %+v", got)
	}
	if got := all.ratio(bare, nginx, 128, perSecond); got.Count != 0 {
		t.Errorf("without the other peer: %+v", got)
	}
	for _, g := range goals() {
		want := map[string]string{
			"requests/s: handrail ÷ nginx":       "yes: 3.00 (2.00–4.00)",
			"requests/s: handrail ÷ caddy":       "",
			"allocations a request: handrail":    "yes: 15.5 (0.0–31.0)",
			"peak MiB: handrail":                 "",
			"CPU: handrail ÷ nginx":              "",
			"requests/s: handrail-denied ÷ deny": "",
		}
		if w, ok := want[g.what]; ok {
			if got := g.verdict(all, 32); got != w {
				t.Errorf("%s: %q, want %q", g.what, got, w)
			}
		}
	}
}

func TestParseLoad(t *testing.T) {
	t.Parallel()
	const line = `{"requests":1000,"micros":2000000,"bytes":5,"p50":10,"p90":20,"p99":30,"max":40,"refused":0,"connect":0,"read":0,"write":0,"timeout":0}`
	got, err := parseLoad([]byte("Running 2s test @ http://127.0.0.1:1/\n  {odd} report\n\n" + line + "\n"))
	want := load{Requests: 1000, Micros: 2000000, Bytes: 5, P50: 10, P90: 20, P99: 30, Max: 40}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(load{})); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, out := range []string{"", "unable to connect", "{", strings.Replace(line, "1000", "0", 1)} {
		if _, err := parseLoad([]byte(out)); err == nil {
			t.Errorf("%q: no error", out)
		}
	}
}

func TestLoadCounts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule   string
		load   load
		status int
		counts bool
	}{
		{"all answers are good", load{Requests: 9}, 200, true},
		{"one is not", load{Requests: 9, Refused: 1}, 200, false},
		{"all are refused, as they shall be", load{Requests: 9, Refused: 9}, 429, true},
		{"one is not refused", load{Requests: 9, Refused: 8}, 429, false},
		{"a connection broke", load{Requests: 9, Read: 1}, 200, false},
		{"an answer did not come", load{Requests: 9, Timeout: 1}, 200, false},
	}
	for _, tt := range tests {
		if err := tt.load.check(tt.status); (err == nil) != tt.counts {
			t.Errorf("%s: %v", tt.rule, err)
		}
	}
}
