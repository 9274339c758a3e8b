package webhooktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var inboxTogetherRules = []Rule{
	inboxRule("of 100 concurrent copies one is kept", func(d inboxDriver) {
		boxes := d.boxes()
		for round := range 3 {
			name := fmt.Sprint(round)
			claims, errs := make([]webhook.Claim, copies), make([]error, copies)
			together(copies, func(i int) {
				claims[i], errs[i] = boxes[i%len(boxes)].Put(d.ctx, "r/"+name, message(name, "o"), request)
			})
			accepted := 0
			for i, c := range claims {
				switch {
				case errs[i] != nil:
					d.failf("Put: %w", errs[i])
				case c.Status == webhook.Accepted:
					accepted++
				case c.Status != webhook.Waiting:
					d.failf("Put: %v", c.Status)
				}
			}
			if accepted != 1 {
				d.failf("%d of %d copies were kept, want 1", accepted, copies)
			}
			d.takes(first(name)...)
			d.settle("r/"+name, 1, complete(nil))
		}
	}),
	inboxRule("of a claim and a put at once one gets the key", func(d inboxDriver) {
		for round := range 20 {
			name := fmt.Sprint(round)
			var put, claim webhook.Claim
			var putErr, claimErr error
			together(2, func(i int) {
				if i == 0 {
					put, putErr = d.box.Put(d.ctx, "r/"+name, message(name, ""), request)
				} else {
					claim, claimErr = d.Store.Claim(d.ctx, "r/"+name, request)
				}
			})
			switch {
			case putErr != nil || claimErr != nil:
				d.failf("Put: %w, Claim: %w", putErr, claimErr)
			case put.Status == webhook.Accepted && claim.Status == webhook.Waiting:
				d.takes(first(name)...)
				d.settle("r/"+name, 1, complete(nil))
			case put.Status == webhook.InFlight && claim.Status == webhook.Claimed:
				d.takes()
			default:
				d.failf("Put says %v and Claim %v", put.Status, claim.Status)
			}
		}
	}),
	inboxRule("a step that is said many times at once succeeds each time", func(d inboxDriver) {
		boxes := d.boxes()
		for i, s := range []step{complete(nil), kill(), release(true), fail(again), fail(untried), fail(unknown), fail(never)} {
			for _, order := range []string{"", s.name} {
				name := fmt.Sprint(i, order)
				d.accepts(order, name)
				d.takes(first(name)...)
				if d.err != nil {
					return
				}
				errs := make([]error, 10)
				together(len(errs), func(i int) { errs[i] = s.call(d.ctx, boxes[i%len(boxes)], "r/"+name, 1) })
				for _, err := range errs {
					if err != nil {
						d.failf("%s at once: %w", s.name, err)
					}
				}
				if s.to == webhook.StateRetry {
					d.does("Discard", d.Discard, "r/"+name)
				}
			}
		}
	}),
	inboxRule("a message that is put while another of its order is put, or ends, is neither early nor forgotten", func(d inboxDriver) {
		boxes := d.boxes()
		for round := range 20 {
			order := fmt.Sprint(round)
			names := []string{order + " a", order + " b", order + " c"}
			put := func(i int) error {
				_, err := boxes[i%len(boxes)].Put(d.ctx, "r/"+names[i], message(names[i], order), request)
				return err
			}
			errs := make([]error, 3)
			together(2, func(i int) { errs[i] = put(i) })
			for n := range names {
				got := d.take("r", 10)
				if err := errors.Join(errs...); err != nil || len(got) != 1 {
					d.failf("of one order were taken %d, want 1: %w", len(got), err)
					return
				}
				together(2, func(i int) {
					if i == 0 {
						errs[i] = d.Store.Complete(d.ctx, got[0].Key, 1, nil)
					} else if n == 1 { // as the last one ends
						errs[2] = put(2)
					}
				})
			}
		}
	}),
	inboxRule("each message is taken by one of many takers", func(d inboxDriver) {
		const messages, takers = 60, 8
		for i := range messages {
			d.accepts("", fmt.Sprint(i))
		}
		if d.err != nil {
			return
		}
		boxes := d.boxes()
		var mu sync.Mutex
		by := make(map[string]int)
		together(takers, func(i int) {
			box := boxes[i%len(boxes)]
			for misses := 0; misses < 3; {
				got, err := box.Take(d.ctx, "r", 1+i%3, lease)
				mu.Lock()
				if err != nil {
					d.failf("Take: %w", err)
				}
				if len(got) == 0 {
					misses++
				}
				for _, t := range got {
					by[t.Key]++
					if t.Fence != 1 || t.MaybeProcessed {
						d.failf("%q was taken with fence %d", t.Key, t.Fence)
					}
				}
				mu.Unlock()
			}
		})
		d.takes() // what was passed over would be left
		for key, n := range by {
			if n != 1 {
				d.failf("%q was taken %d times", key, n)
			}
		}
		if len(by) != messages {
			d.failf("%d of %d messages were taken", len(by), messages)
		}
	}),
	inboxRule("many that put and take on several handles get all done, in order and one of an order at a time", func(d inboxDriver) {
		f := &flow{d: d, boxes: d.boxes(), under: make(map[string]string), left: flowOrders * flowPutters * flowEach}
		ctx, cancel := context.WithTimeout(d.ctx, 2*time.Minute)
		defer cancel()
		const takers = 6
		together(flowOrders*flowPutters+takers, func(i int) {
			if i < flowOrders*flowPutters {
				f.putAll(ctx, i)
			} else {
				f.takeAll(ctx, i, rand.New(rand.NewPCG(d.Seed, uint64(i))))
			}
		})
		f.judge()
	}),
}

const (
	flowOrders, flowPutters, flowEach = 4, 3, 8
)

// flow is many messages on their way through an inbox.
type flow struct {
	d     inboxDriver
	boxes []webhook.Inbox

	mu    sync.Mutex // over what follows and d.err, never across the store
	clock int
	put   []flowPut
	done  []string          // in the order in which they were
	under map[string]string // by order, what is being delivered
	left  int
}

// flowPut is a Put from before it was called until after it returned.
type flowPut struct {
	order, name string
	began, told int
}

func (f *flow) tick() int {
	f.clock++
	return f.clock
}

func (f *flow) box(i int) webhook.Inbox {
	return f.boxes[i%len(f.boxes)]
}

func (f *flow) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.d.err != nil
}

func (f *flow) putAll(ctx context.Context, i int) {
	order := fmt.Sprint("o", i%flowOrders)
	for n := range flowEach {
		p := flowPut{order: order, name: fmt.Sprintf("%s-%d-%d", order, i, n)}
		f.mu.Lock()
		p.began = f.tick()
		f.mu.Unlock()
		c, err := f.box(i+n).Put(ctx, "r/"+p.name, message(p.name, order), request)
		f.mu.Lock()
		p.told = f.tick()
		f.put = append(f.put, p)
		if err != nil || c.Status != webhook.Accepted {
			f.d.failf("Put(%q): %v, %w", p.name, c.Status, err)
		}
		f.mu.Unlock()
	}
}

// takeAll delivers until all is done. Some attempts fail.
func (f *flow) takeAll(ctx context.Context, i int, rng *rand.Rand) {
	for {
		f.mu.Lock()
		ended := f.left == 0 || f.d.err != nil
		f.mu.Unlock()
		if ended {
			return
		}
		got, err := f.box(i).Take(ctx, "r", 1+rng.IntN(5), lease)
		f.mu.Lock()
		if err != nil {
			f.d.failf("Take: %w", err)
		}
		for _, t := range got {
			if other := f.under[t.Message.Order]; other != "" {
				f.d.failf("%q was taken while %q of its order was under way", t.Key, other)
			}
			f.under[t.Message.Order] = t.Key
		}
		f.mu.Unlock()
		for _, t := range got {
			if f.failed() || !f.end(ctx, i, t, rng.IntN(4)) {
				return
			}
		}
	}
}

// end settles the attempt; false when that is not possible.
func (f *flow) end(ctx context.Context, i int, t webhook.Taken, how int) bool {
	f.mu.Lock()
	delete(f.under, t.Message.Order) // from here on another may have it
	if how > 1 {
		f.done = append(f.done, t.Message.Event.ID)
	}
	f.mu.Unlock()
	var err error
	switch how {
	case 0:
		err = f.box(i).Fail(ctx, t.Key, t.Fence, atOnce)
	case 1:
		err = f.box(i).Release(ctx, t.Key, t.Fence, true)
	default:
		err = f.box(i).Complete(ctx, t.Key, t.Fence, nil)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.d.failf("%q at fence %d: %w", t.Key, t.Fence, err)
	}
	if how > 1 {
		f.left--
	}
	return err == nil
}

// judge looks whether what was put before another was put was done before it.
func (f *flow) judge() {
	if errors.Is(f.d.ctx.Err(), context.Canceled) || f.d.err != nil {
		return
	}
	if f.left != 0 {
		f.d.failf("%d messages were not done", f.left)
	}
	at := make(map[string]int)
	for i, name := range f.done {
		at[name] = i
	}
	for _, a := range f.put {
		for _, b := range f.put {
			if a.order == b.order && a.told < b.began && at[a.name] > at[b.name] {
				f.d.failf("%q was put before %q, and done after it", a.name, b.name)
			}
		}
	}
	f.d.backlog()
}
