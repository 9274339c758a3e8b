package sidecar_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/sidecar"
)

// TestTheContentTellsTheFormat asks each definition about "a", which only the
// parser of its format reads.
func TestTheContentTellsTheFormat(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, data string
		reason     flags.Reason
		bad        string // what the parser of the right format complains of
	}{
		{"native", "flags: {a: {rolloutPercentage: 100}}", flags.ReasonStatic, ""},
		{"native without a root", `{"a": {"rolloutPercentage": 100}}`, flags.ReasonStatic, ""},
		{"native with variants", "a: {rolloutPercentage: 100, variants: [{name: x}]}", flags.ReasonStatic, ""},
		{"native flags may be called as keys of flagd's", "state: {enabled: false}\ntargeting: {enabled: false}\na: {enabled: false}", flags.ReasonDisabled, ""},
		{"native text may speak of flagd", "a: {enabled: false, description: 'state of flagd'}", flags.ReasonDisabled, ""},
		{"flagd's", `{"flags": {"a": {"state": "DISABLED", "variants": {"on": true}}}}`, flags.ReasonDisabled, ""},
		{"flagd's in YAML", "flags: {a: {state: DISABLED, variants: {on: true}}}", flags.ReasonDisabled, ""},
		{"flagd's as a list", `{"flags": [{"key": "a", "state": "DISABLED", "variants": {"on": true}}]}`, flags.ReasonDisabled, ""},
		{"flagd's that is empty", `{"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {}}`, flags.ReasonError, ""},
		{"flagd's with a mistake", `{"flags": {"a": {"state": "OFF", "variants": {"on": true}}}}`, "", "f:1:27: flags.a.state: must be ENABLED or DISABLED"},
		{"native with a mistake", "flags: {a: {salt: [x], enabled: false}}", "", "f:1:19: flags.a.salt: expected a string, got a list"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			set, err := sidecar.ParseFlags("f", []byte(tt.data))
			if tt.bad != "" {
				if err == nil || err.Error() != tt.bad {
					t.Fatalf("error %v, want %s", err, tt.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := set.Evaluate("a", "id").Reason; got != tt.reason {
				t.Errorf("reason %s, want %s", got, tt.reason)
			}
		})
	}
}

func TestWhichFileFlagsComeFrom(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, config string
		want         string // "": none
	}{
		{"the one that is named", "flags: {source: f.yaml}", "f.yaml"},
		{"the default one, where it is", "listen: ':80'", "flags.yaml"},
		{"what else is wrong does not matter", "listen: 7\nupstream: {url: '${NONE}'}\nflags: {source: f.yaml}", "f.yaml"},
		{"none where flags are not in a file", "flags: {source: redis}", ""},
		{"none where flags are elsewhere", "flags: {source: 'https://flags.example/x'}", ""},
		{"none where there shall be none", "flags: {source: ''}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range map[string]string{"handrail.yaml": tt.config, "flags.yaml": "{}"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := sidecar.LoadFlagFile(sidecar.Options{File: filepath.Join(dir, "handrail.yaml"), Getenv: func(string) string { return "" }})
			if tt.want == "" {
				if !errors.Is(err, sidecar.ErrNoFlagFile) {
					t.Fatalf("%q, %v; want ErrNoFlagFile", got, err)
				}
				return
			}
			if err != nil || got != filepath.Join(dir, tt.want) {
				t.Errorf("%q, %v; want %s", got, err, tt.want)
			}
		})
	}
}
