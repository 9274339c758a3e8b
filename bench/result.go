package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/handrail-go/handrail/bench/measure"
)

// A result is all that a run found out, as it is written.
type result struct {
	measure.Setting
	Options options           `json:"options"`
	Peers   map[string]string `json:"peers"`   // name → how it is set up
	Missing map[string]string `json:"missing"` // name → why
	Samples samples           `json:"samples"`

	order    []string
	sidecars map[string]bool // that answer from the app
}

func newResult(ctx context.Context, b *bench, peers []peer) *result {
	r := &result{
		Setting: measure.NewSetting(ctx, "go run ./bench", map[string][]string{
			"nginx": {"-v"}, "haproxy": {"-v"}, "caddy": {"version"}, "redis-server": {"--version"}, "wrk": {"-v"},
		}),
		Options: b.options, Peers: map[string]string{}, Missing: b.skipped, order: names(peers), sidecars: map[string]bool{},
	}
	for _, p := range peers {
		r.Peers[p.Name] = p.About
		r.sidecars[p.Name] = p.sidecar && p.status == http.StatusOK
	}
	return r
}

// write puts the result into dir, as JSON and as Markdown, and the latter on
// stdout as well.
func (r *result) write(dir string, stdout io.Writer) error {
	return errors.Join(r.Keep(dir, "", r, r.markdown(), stdout), r.measuredSidecar())
}

// measuredSidecar is an error when what the run is about is not in it. Other
// peers may be missing.
func (r *result) measuredSidecar() error {
	if slices.Contains(r.order, bare) && !slices.ContainsFunc(r.Samples, func(s sample) bool { return s.Peer == bare && s.Failure == "" }) {
		return errors.New("no measurement of the sidecar counts")
	}
	return nil
}
