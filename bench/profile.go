package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// profiles loads each sidecar once more with the profiler on. A failure is
// told and costs the profile alone.
func (b *bench) profiles(ctx context.Context, peers []peer) {
	for _, p := range peers {
		if p.sidecar && b.skipped[p.Name] == "" {
			if err := b.profileOf(ctx, p); err != nil {
				fmt.Fprintf(b.progress, "%s: no profile: %v\n", p.Name, err)
			}
		}
	}
}

func (b *bench) profileOf(ctx context.Context, p peer) error {
	s, err := b.stage(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = s.end() }()
	kept := make(chan error, 1)
	go func() {
		seconds := strconv.Itoa(int(b.Duration / time.Second))
		kept <- s.keepProfile(ctx, b.out, "cpu", "/debug/pprof/profile?seconds="+seconds)
	}()
	_, err = b.wrk.run(ctx, s.place.Listen, p.clients, b.Connections[0], b.Duration+time.Second)
	if err := errors.Join(err, <-kept); err != nil {
		return err
	}
	return s.keepProfile(ctx, b.out, "allocs", "/debug/pprof/allocs")
}

func (s *stage) keepProfile(ctx context.Context, dir, kind, path string) error {
	status, text, err := get(ctx, "unix", s.place.Admin, path)
	if err != nil || status != 200 {
		return fmt.Errorf("%s: status %d: %w", path, status, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, s.peer.Name+"."+kind+".pprof"), []byte(text), 0o600)
}
