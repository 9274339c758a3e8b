package sidecar_test

import (
	"slices"
	"strings"
	"testing"
)

// What works, and will be regretted, is told at the start.
func TestWarningsOfWebhooks(t *testing.T) {
	t.Parallel()
	route := func(keys string) string { return "webhooks: [{name: a, path: /a, secrets: [x], " + keys + "}]\n" }
	tests := []struct {
		name, config string
		env          env
		want         string // a part of the only warning; "" for none
	}{
		{"a provider that tries again", route("provider: stripe"), nil, ""},
		{"a provider that never does, in mode sync", route("provider: github"), nil, "github does not send a failed delivery again"},
		{"a provider that never does, in mode inbox", route("provider: github, mode: inbox"), nil, ""},
		{"SQLite for one instance", route("provider: stripe, store: sqlite"), nil, ""},
		{"SQLite for several instances", "replicas: 3\n" + route("provider: stripe"), nil, "SQLite, which is for one machine, and replicas is 3"},
		{"SQLite for several inboxes, beside Redis", "replicas: 3\nnamespace: a\n" + route("provider: github, mode: inbox"),
			env{"REDIS_URL": "redis://127.0.0.1:1"}, "SQLite, which is for one machine"},
		{"PostgreSQL for several instances", "replicas: 3\n" + route("provider: stripe"), env{"DATABASE_URL": "postgres://127.0.0.1:1/a"}, ""},
		{"Redis for several instances", "replicas: 3\nnamespace: a\n" + route("provider: stripe"), env{"REDIS_URL": "redis://127.0.0.1:1"}, ""},
		{"memory in production", route("provider: stripe, store: memory"), nil, "a restart forgets"},
		{"memory elsewhere", "environment: test\n" + route("provider: stripe, store: memory"), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := mustLoad(t, "trusted_proxies: []\n"+quietConfig+tt.config, tt.env).Warnings
			if tt.want == "" && len(got) > 0 {
				t.Errorf("warnings %q, want none", got)
			}
			if tt.want != "" && (len(got) != 1 || !slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, tt.want) })) {
				t.Errorf("warnings %q, want one with %q", got, tt.want)
			}
		})
	}
}
