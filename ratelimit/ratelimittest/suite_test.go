package ratelimittest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

// plain is a sliding log of the simplest kind, with one flaw at will.
type plain struct {
	mu    sync.Mutex
	clock *ratelimittest.Clock
	epoch time.Time
	flaw  string
	times map[string][]time.Duration
}

func (p *plain) AllowN(_ context.Context, key string, limit ratelimit.Limit, _ int) (ratelimit.Decision, error) {
	if err := limit.Validate(); err != nil && p.flaw != "takes any limit" {
		return ratelimit.Decision{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now().Sub(p.epoch)
	times := p.times[key]
	at := now
	switch {
	case p.flaw == "does not count what lies ahead of the clock":
		times = slices.DeleteFunc(slices.Clone(times), func(t time.Duration) bool { return t > now })
	case len(times) > 0:
		at = max(at, times[len(times)-1])
	}
	end := func() time.Duration { return times[len(times)-limit.Count] + limit.Window }
	blocked := len(times) >= limit.Count && at < end()
	switch p.flaw {
	case "starts anew with every bucket":
		blocked = blocked && end()-limit.Window >= at.Truncate(limit.Window)
	case "keeps what is exactly as old as the window":
		blocked = len(times) >= limit.Count && at <= end()
	case "counts refusals":
		if blocked {
			p.times[key] = append(times, at)
		}
	case "refuses one too early":
		blocked = blocked || len(times) == limit.Count-1 && limit.Count > 1
	}
	if blocked {
		wait := time.Minute
		if len(times) >= limit.Count {
			wait = max(end()-now, 1)
		}
		if p.flaw == "says the window" {
			wait = limit.Window
		}
		return ratelimit.Decision{RetryAfter: wait}, nil
	}
	p.times[key] = append(times, at)
	return ratelimit.Decision{Allowed: true, Token: int64(at)}, nil
}

func (p *plain) Reset(_ context.Context, key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.times, key)
	return nil
}

func (p *plain) Refund(_ context.Context, key string, _ ratelimit.Limit, d ratelimit.Decision) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.times[key], time.Duration(d.Token)); d.Allowed && i >= 0 && p.flaw != "refunds nothing" {
		p.times[key] = slices.Delete(p.times[key], i, i+1)
	}
	return nil
}

const flawEnv = "HANDRAIL_TEST_LIMIT_FLAW"

// TestPlain passes as it is. As a child process of TestTheSuiteFindsEveryFlaw
// it has a flaw.
func TestPlain(t *testing.T) {
	ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target {
		clock := ratelimittest.NewClock()
		p := &plain{clock: clock, epoch: clock.Now(), flaw: os.Getenv(flawEnv), times: map[string][]time.Duration{}}
		return ratelimittest.Target{Limiter: p, Now: clock.Now, Advance: clock.Advance, Tick: 1}
	})
}

func TestTheSuiteFindsEveryFlaw(t *testing.T) {
	for flaw, rule := range map[string]string{
		"starts anew with every bucket":               "P1_eight_at_the_end",
		"keeps what is exactly as old as the window":  "P6_",
		"counts refusals":                             "P5_",
		"does not count what lies ahead of the clock": "P7_a_backward_step",
		"refuses one too early":                       "P9_a_limit_raised",
		"says the window":                             "P3_",
		"refunds nothing":                             "a_refund_makes_room",
		"takes any limit":                             "a_limit_out_of_bounds",
	} {
		t.Run(flaw, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPlain$")
			cmd.Env = append(os.Environ(), flawEnv+"="+flaw)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestPlain/"+rule) {
				t.Errorf("no failure of %s: %v\n%s", rule, err, out)
			}
		})
	}
}
