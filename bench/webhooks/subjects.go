package main

import (
	_ "embed"
	"slices"
	"strings"
	"text/template"
)

// A subject is one way of having webhooks delivered.
type subject struct {
	Name  string
	About string

	byHand   bool     // not a sidecar but the program byhand
	store    string   // of the sidecar
	mode     string   // of the sidecar
	redis    []string // settings of a server of its own; nil for none
	postgres bool     // needs a server of its own
	// durable is how many steps are on disk before the answer, 0 when nothing
	// has to be.
	durable int
}

func (s subject) inbox() bool { return s.mode == "inbox" }

const byHand = "by-hand"

func allSubjects() []subject {
	redis := func(appendfsync string) []string {
		return []string{"--appendonly", "yes", "--appendfsync", appendfsync}
	}
	return []subject{
		{Name: "memory", About: "`store: memory`: nothing is on disk", store: "memory", mode: "sync"},
		{Name: "sqlite", About: "`store: sqlite`", store: "sqlite", mode: "sync", durable: 2},
		{
			Name: "redis-always", About: "`store: redis`; the server has `appendonly yes` and `appendfsync always`",
			store: "redis", mode: "sync", redis: redis("always"), durable: 2,
		},
		{
			Name: "redis-everysec", About: "`store: redis`; the server has `appendonly yes` and `appendfsync everysec`, and may lose the last second",
			store: "redis", mode: "sync", redis: redis("everysec"),
		},
		{Name: "postgres", About: "`store: postgres`; the server as it comes: `fsync` and `synchronous_commit` are on", store: "postgres", mode: "sync", postgres: true, durable: 2},
		{Name: "inbox-sqlite", About: "`mode: inbox`, `store: sqlite`: the answer comes before the app is called", store: "sqlite", mode: "inbox", durable: 1},
		{Name: "inbox-postgres", About: "`mode: inbox`, `store: postgres`", store: "postgres", mode: "inbox", postgres: true, durable: 1},
		{
			Name: byHand, About: "[byhand](byhand/main.go): a handler with stripe-go's `ConstructEvent` and `INSERT … ON CONFLICT DO NOTHING` in PostgreSQL",
			byHand: true, postgres: true, durable: 1,
		},
	}
}

func names(subjects []subject) []string {
	out := make([]string, len(subjects))
	for i, s := range subjects {
		out[i] = s.Name
	}
	return out
}

// choose returns the subjects that are asked for, in the order of the table.
func choose(wanted []string) []subject {
	return slices.DeleteFunc(allSubjects(), func(s subject) bool { return wanted != nil && !slices.Contains(wanted, s.Name) })
}

// A place is where a subject runs.
type place struct {
	Dir, Listen, App, Admin string
	Secret                  string
	Store, Mode             string
	Redis, Database         string // URLs, "" without a server
}

//go:embed handrail.yaml
var sidecarConfig string

// config is the sidecar's configuration.
func (p place) config() (string, error) {
	t, err := template.New("handrail.yaml").Parse(sidecarConfig)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, p)
	return b.String(), err
}
