package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rule, args, problem string }{
		{"the defaults are fine", "", ""},
		{"a short look", "-rounds 1 -duration 1s -connections 8", ""},
		{"no round", "-rounds 0", "-rounds"},
		{"rounds without end", "-rounds 51", "-rounds"},
		{"less than wrk can do", "-duration 500ms", "-duration"},
		{"more precise than wrk can do", "-duration 1500ms", "-duration"},
		{"no measurement of an hour", "-duration 1h", "-duration"},
		{"no connections", "-connections 0", "-connections"},
		{"a word", "please", "unexpected"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			_, err := parseOptions(strings.Fields(tt.args), io.Discard)
			if (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("got %v, want %q", err, tt.problem)
			}
		})
	}
}

func TestLoadCountsOnlyWhenEveryAnswerIsTheOneToMeasure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule, out string
		ok        bool
	}{
		{"a load", "Running\n" + `{"requests":10,"micros":5,"bytes":1,"p50":2,"p99":3,"refused":0,"broken":0}` + "\n", true},
		{"nothing", "", false},
		{"no answer", `{"requests":0,"micros":5}`, false},
		{"an error", `{"requests":10,"micros":5,"refused":1}`, false},
		{"a broken connection", `{"requests":10,"micros":5,"broken":1}`, false},
		{"no JSON", `{"requests":`, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			l, err := parseLoad([]byte(tt.out))
			if (err == nil) != tt.ok || tt.ok && (l.Requests != 10 || l.P99 != 3) {
				t.Errorf("got %+v, %v", l, err)
			}
		})
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	at := func(subject string, round int, requests int64) sample {
		return sample{Round: round, Subject: subject, Question: "all five flags", Connections: 1, CPU: 10, Load: load{Requests: requests, Micros: 1e6}}
	}
	r := &result{
		Subjects: []string{"handrail", "peer"}, Rounds: 3, connections: []int{1},
		Samples: []sample{at("handrail", 1, 1000), at("peer", 1, 500), at("handrail", 2, 100), at("peer", 2, 100), at("handrail", 3, 900), at("peer", 3, 300)},
	}
	r.Machine = measure.Machine{CPU: "x"}
	r.Started = time.Unix(0, 0)
	page := r.markdown()
	for _, want := range []string{"### All five flags", "| 1 | handrail | 900 (100–1000) |", "| 1 | peer | 300 (100–500) |", "| 2.00 (1.00–3.00) | 1.00 (1.00–1.00) |"} {
		if !strings.Contains(page, want) {
			t.Errorf("without %q:\n%s", want, page)
		}
	}
}

func TestConfigurationsAreThere(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{handrail: "h", relay: "r", flagdcore: "f"}}
	for _, s := range b.subjects() {
		for _, name := range []string{s.config, s.flags} {
			if _, err := conf.ReadFile("conf/" + name); err != nil && name != "" {
				t.Error(err)
			}
		}
	}
}
