package ratelimittest_test

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

// plain is a Limiter of the simplest kind, with one flaw at will.
type plain struct {
	mu    sync.Mutex
	clock *ratelimittest.Clock
	epoch time.Time
	flaw  string
	keys  map[string]*record
}

// record is all that is known of a key.
type record struct {
	algorithm ratelimit.Algorithm
	window    time.Duration
	calls     []call        // of the windows
	full      time.Duration // of GCRA: when all is earned back
}

type call struct {
	at   time.Duration
	cost int
}

const notYet = -1 << 62

func newPlain(flaw string) (*plain, ratelimittest.Target) {
	clock := ratelimittest.NewClock()
	p := &plain{clock: clock, epoch: clock.Now(), flaw: flaw, keys: map[string]*record{}}
	return p, ratelimittest.Target{
		Limiter: p, Now: clock.Now, Advance: clock.Advance, Tick: 1,
		State: func(key string) string {
			if rec := p.keys[key]; rec != nil {
				return fmt.Sprint(*rec)
			}
			return ""
		},
		Ends: func(key string) bool { return p.flaw != "keeps keys for ever" || p.keys[key] == nil },
		ForgetScripts: func() {
			if p.flaw == "forgets all with its scripts" {
				clear(p.keys)
			}
		},
	}
}

func (p *plain) AllowN(_ context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	if err := cmp.Or(limit.Validate(), limit.CheckCost(cost)); err != nil && p.flaw != "takes any limit" {
		return ratelimit.Decision{}, err
	}
	switch {
	case p.flaw == "counts every cost as one":
		cost = 1
	case cost <= limit.Capacity() || p.flaw == "admits what costs more than the limit":
	case p.flaw == "tells a wait for what is never admitted":
		return ratelimit.Decision{RetryAfter: limit.Window}, nil
	default:
		return ratelimit.Decision{}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	rec := p.record(key, limit)
	now := p.clock.Now().Sub(p.epoch)
	at := p.standstill(rec, now)
	wait := p.wait(rec, at, now, limit, cost)
	if p.flaw == "decides and records apart" {
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
	if wait > 0 {
		switch p.flaw {
		case "counts refusals":
			rec.calls, rec.full = append(rec.calls, call{at, cost}), rec.full+1
		case "takes what is left when it refuses":
			if wait := p.wait(rec, at, now, limit, 1); wait <= 0 {
				rec.calls = append(rec.calls, call{at, 1})
			}
		case "says the window":
			wait = limit.Window
		case "says no wait":
			wait = 0
		}
		return ratelimit.Decision{RetryAfter: wait}, nil
	}
	if limit.Algorithm == ratelimit.GCRA {
		rec.full = p.owed(rec, now) + earn(limit, cost)
		return ratelimit.Decision{Allowed: true, Cost: cost, Token: int64(rec.full)}, nil
	}
	rec.calls = append(rec.calls, call{at, cost})
	return ratelimit.Decision{Allowed: true, Cost: cost, Token: int64(at)}, nil
}

func earn(limit ratelimit.Limit, n int) time.Duration {
	return time.Duration(float64(limit.Window) / float64(limit.Count) * float64(n))
}

func (p *plain) record(key string, limit ratelimit.Limit) *record {
	algorithm := cmp.Or(limit.Algorithm, ratelimit.SlidingWindow)
	rec := p.keys[key]
	if rec == nil || rec.algorithm != algorithm && p.flaw != "keeps what another algorithm counted" {
		rec = &record{algorithm: algorithm, full: notYet}
		p.keys[key] = rec
	}
	if rec.window != limit.Window {
		rec.window = limit.Window
		if p.flaw == "forgets all when the window changes" {
			rec.calls = nil
		}
	}
	return rec
}

// standstill is the time that rec lives in.
func (p *plain) standstill(rec *record, now time.Duration) time.Duration {
	if p.flaw == "does not count what lies ahead of the clock" {
		rec.calls = slices.DeleteFunc(rec.calls, func(c call) bool { return c.at > now })
	}
	if len(rec.calls) == 0 {
		return now
	}
	return max(now, rec.calls[len(rec.calls)-1].at)
}

// end is when a call ceases to count.
func (p *plain) end(c call, limit ratelimit.Limit) time.Duration {
	if p.flaw == "starts anew with every bucket" {
		return c.at.Truncate(limit.Window) + limit.Window
	}
	if limit.Algorithm == ratelimit.SlidingCounter {
		part := (limit.Window + ratelimit.CounterBuckets - 1) / ratelimit.CounterBuckets
		begin := c.at - (c.at%part+part)%part
		switch p.flaw {
		case "lets a part go as its beginning leaves":
			return begin + limit.Window
		case "keeps a part for another part":
			return begin + 2*part + limit.Window
		}
		return begin + part + limit.Window
	}
	if p.flaw == "keeps what is exactly as old as the window" {
		return c.at + limit.Window + 1
	}
	return c.at + limit.Window
}

func (p *plain) wait(rec *record, at, now time.Duration, limit ratelimit.Limit, cost int) time.Duration {
	if limit.Algorithm == ratelimit.GCRA {
		return p.earnWait(rec, now, limit, cost)
	}
	count := limit.Count
	if p.flaw == "refuses one too early" && count > 1 {
		count = max(count-1, cost)
	}
	until := at
	for {
		sum, next := cost, time.Duration(1<<62)
		for _, c := range rec.calls {
			if end := p.end(c, limit); end > until {
				sum += c.cost
				next = min(next, end)
			}
		}
		if sum <= count {
			break
		}
		until = next
	}
	if limit.Lockout != nil {
		until = max(until, p.lockedUntil(rec, limit, cost))
	}
	if until <= at {
		return 0
	}
	return until - now
}

func (p *plain) lockedUntil(rec *record, limit ratelimit.Limit, cost int) (until time.Duration) {
	if p.flaw == "knows no lockout" || len(rec.calls) == 0 {
		return notYet
	}
	until = notYet
	last := rec.calls[len(rec.calls)-1].at
	if p.flaw == "forgets what has left the window" {
		rec.calls = slices.DeleteFunc(rec.calls, func(c call) bool { return last-c.at >= limit.Window })
	}
	for _, tier := range limit.Lockout.Tiers {
		sum, from := cost, last
		for _, c := range rec.calls {
			if last-c.at < tier.Window {
				sum += c.cost
				from = min(from, c.at)
			}
		}
		if p.flaw != "blocks from the first of a tier" {
			from = last
		}
		if sum > tier.Count {
			until = max(until, from+tier.Block)
		}
	}
	return until
}

func (p *plain) earnWait(rec *record, now time.Duration, limit ratelimit.Limit, cost int) time.Duration {
	full, burst := p.owed(rec, now), limit.Capacity()
	switch p.flaw {
	case "takes the count for the burst":
		burst = limit.Count
	case "lets one more through at once":
		burst++
	}
	return full + earn(limit, cost) - earn(limit, burst) - now
}

// owed is when all is earned back, now at the earliest.
func (p *plain) owed(rec *record, now time.Duration) time.Duration {
	if p.flaw == "saves up what is not used" && rec.full != notYet {
		return rec.full
	}
	return max(rec.full, now)
}

func (p *plain) Refund(_ context.Context, key string, limit ratelimit.Limit, d ratelimit.Decision) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	rec := p.keys[key]
	if p.flaw == "refunds refusals" {
		d.Allowed, d.Cost = true, max(d.Cost, 1)
	}
	if rec == nil || !d.Allowed || p.flaw == "refunds nothing" {
		return nil
	}
	if limit.Algorithm == ratelimit.GCRA {
		if now := p.clock.Now().Sub(p.epoch); d.Token > int64(now) {
			rec.full = max(rec.full-earn(limit, d.Cost), now)
		}
		return nil
	}
	i := slices.Index(rec.calls, call{time.Duration(d.Token), d.Cost})
	if i < 0 && p.flaw == "refunds one for another" {
		i = slices.IndexFunc(rec.calls, func(c call) bool { return c.cost == d.Cost })
	}
	switch {
	case i < 0:
	case p.flaw == "refunds one of a cost" && d.Cost > 1:
		rec.calls[i].cost--
	default:
		rec.calls = slices.Delete(rec.calls, i, i+1)
	}
	return nil
}

func (p *plain) Reset(_ context.Context, key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.flaw {
	case "resets nothing":
	case "resets every key":
		clear(p.keys)
	default:
		delete(p.keys, key)
	}
	return nil
}
