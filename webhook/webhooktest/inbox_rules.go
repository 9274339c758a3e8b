package webhooktest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var inboxPutRules = []Rule{
	inboxRule("a message is kept as it was put, whatever bytes it holds", func(d inboxDriver) {
		var every strings.Builder
		for b := range 256 {
			every.WriteByte(byte(b))
		}
		odd := every.String() + "é😀" + `\x41"'\`
		for i, body := range [][]byte{nil, {}, []byte(odd), make([]byte, 1<<20)} {
			key := fmt.Sprintf("r/%d%s", i, odd)
			m := webhook.Stored{
				Route: "r", Order: strings.Repeat("\xff", 255), Target: "/a%2f" + odd, Host: odd, RemoteAddr: odd, Body: body,
				Event:  webhook.Verified{ID: odd, NotDeduplicated: true, IDSigned: true, Type: odd, APIVersion: odd, SecretIndex: 3},
				Header: http.Header{odd: {odd, "", odd}, "Empty": {""}, "None": {}},
			}
			if c, err := d.box.Put(d.ctx, key, m, request); err != nil || c.Status != webhook.Accepted {
				d.failf("Put: %v, %w", c.Status, err)
			}
			if got, err := d.box.Message(d.ctx, key); err != nil || !same(got, m) {
				d.failf("Message = %+v, %w, want %+v", got, err, m)
			}
			got := d.take("r", 10)
			if d.err == nil && (len(got) != 1 || got[0].Key != key || !same(got[0].Message, m)) {
				d.failf("Take = %+v, want %+v", got, m)
			}
			d.settle(key, 1, complete(nil))
		}
	}),
	inboxRule("a message that is put waits, due at once, and changes no more", func(d inboxDriver) {
		d.accepts("o", "k")
		for range 2 {
			d.record("r/k", waiting0)
			if e := d.keeps("k", "o"); d.err == nil && !about(e.Kept.Due.Sub(e.Kept.Received), 0) {
				d.failf("received at %v, due at %v", e.Kept.Received, e.Kept.Due)
			}
			d.put("k", "o", webhook.Claim{Status: webhook.Waiting})
			d.want("r/k", request, webhook.Claim{Status: webhook.Waiting})
			changed := request
			changed.BodyDigest = otherBody
			d.want("r/k", changed, webhook.Claim{Status: webhook.Waiting, BodyChanged: true})
			d.want("r/k", strict(otherBody), webhook.Claim{Status: webhook.OtherBody, BodyChanged: true})
		}
		d.takes(first("k")...)
	}),
	inboxRule("a put keeps nothing under a key that is claimed, done or dead", func(d inboxDriver) {
		d.bring("r/claimed", webhook.StateClaimed)
		d.bring("r/dead", webhook.StateDead)
		d.bring("r/done", webhook.StateClaimed)
		d.settle("r/done", 1, complete(answer))
		d.put("claimed", "", webhook.Claim{Status: webhook.InFlight, Fence: 1, Attempt: 1})
		d.put("dead", "", webhook.Claim{Status: webhook.Dead, Fence: 1, Attempt: 1})
		d.put("done", "", webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1, Answer: answer})
		c, err := d.box.Put(d.ctx, "r/done", message("done", ""), strict(otherBody))
		if err != nil || c.Status != webhook.OtherBody {
			d.failf("Put of another body: %v, %w", c.Status, err)
		}
		for _, name := range []string{"claimed", "done", "dead"} {
			d.lacks(name)
		}
		d.takes()
		d.settle("r/claimed", 1, complete(nil))
	}),
	inboxRule("a key to retry gets the message, and keeps its fence, attempts and mark", func(d inboxDriver) {
		d.bring("r/k", webhook.StateClaimed)
		d.settle("r/k", 1, release(true))
		d.put("k", "", webhook.Claim{Status: webhook.Accepted, Fence: 1, Attempt: 1, MaybeProcessed: true})
		d.record("r/k", webhook.Record{State: webhook.StateRetry, Fence: 1, Attempt: 1, MaybeProcessed: true, BodyDigest: body})
		d.stale("r/k", 1, complete(nil))
		d.takes(taken{"k", 2, 1, true})
		d.record("r/k", webhook.Record{State: webhook.StateClaimed, Fence: 2, Attempt: 2, MaybeProcessed: true, BodyDigest: body})
	}),
	inboxRule("a claim whose lease has ended makes room for the message, marked", func(d inboxDriver) {
		d.bring("r/k", webhook.StateClaimed)
		d.Advance(pastLease)
		d.put("k", "", webhook.Claim{Status: webhook.Accepted, Fence: 1, Attempt: 1, MaybeProcessed: true})
		d.takes(taken{"k", 2, 1, true})
	}),
	inboxRule("past its retention a key is absent, with its message", func(d inboxDriver) {
		for _, purged := range []bool{false, true} {
			names := []string{fmt.Sprint("put ", purged), fmt.Sprint("claim ", purged)}
			d.accepts("o"+names[0], names...)
			for _, name := range names {
				d.takes(first(name)...)
				d.fails(name, 1, never)
				d.keeps(name, "o"+names[0])
			}
			d.Advance(pastRetention)
			if purged {
				d.purge()
			}
			for _, name := range names {
				d.lacks(name)
				d.record("r/"+name, webhook.Record{})
			}
			d.backlog()
			d.accepts("", names[0])
			d.takes(first(names[0])...)
			d.want("r/"+names[1], request, webhook.Claim{Status: webhook.Claimed, Fence: 1, Attempt: 1})
			d.settle("r/"+names[1], 1, kill())
			d.lacks(names[1])
			d.settle("r/"+names[0], 1, complete(nil))
			d.lacks(names[0])
		}
	}),
	inboxRule("an order or a reason that is too long is an error, and keeps nothing", func(d inboxDriver) {
		if _, err := d.box.Put(d.ctx, "r/k", message("k", strings.Repeat("o", 256)), request); err == nil {
			d.failf("Put with an order of 256 bytes: no error")
		}
		d.record("r/k", webhook.Record{})
		d.accepts("", "k")
		d.takes(first("k")...)
		if err := d.box.Fail(d.ctx, "r/k", 1, webhook.Failure{Then: webhook.StateRetry, Reason: strings.Repeat("r", 256)}); err == nil {
			d.failf("Fail with a reason of 256 bytes: no error")
		}
		d.settle("r/k", 1, complete(nil))
	}),
	inboxRule("the steps of an inbox end with their context", func(d inboxDriver) {
		d.accepts("", "k")
		ctx, cancel := context.WithCancel(d.ctx)
		cancel()
		_, putErr := d.box.Put(ctx, "r/other", message("other", ""), request)
		_, takeErr := d.box.Take(ctx, "r", 1, lease)
		_, messageErr := d.box.Message(ctx, "r/k")
		_, backlogErr := d.box.Backlog(ctx)
		for name, err := range map[string]error{"Put": putErr, "Take": takeErr, "Message": messageErr, "Backlog": backlogErr} {
			if err == nil {
				d.failf("%s: no error", name)
			}
		}
		d.takes(first("k")...)
		if d.box.Fail(ctx, "r/k", 1, never) == nil {
			d.failf("Fail: no error")
		}
		d.settle("r/k", 1, complete(nil))
	}),
}

var inboxTakeRules = []Rule{
	inboxRule("what is taken is claimed, and nobody else's until its lease ends", func(d inboxDriver) {
		d.accepts("", "k")
		d.takes(first("k")...)
		for range 3 {
			d.takes()
			d.put("k", "", webhook.Claim{Status: webhook.Waiting, Fence: 1, Attempt: 1})
			d.want("r/k", request, webhook.Claim{Status: webhook.Waiting, Fence: 1, Attempt: 1})
			d.Advance(10 * time.Second)
		}
		d.record("r/k", webhook.Record{State: webhook.StateClaimed, Fence: 1, Attempt: 1, BodyDigest: body})
		d.Advance(10 * time.Second)
		d.want("r/k", request, webhook.Claim{Status: webhook.Waiting, Fence: 1, Attempt: 1})
		d.takes(taken{"k", 2, 2, true})
		d.takes()
		for _, s := range []step{complete(nil), release(false), kill(), fail(again), fail(unknown), fail(never)} {
			d.stale("r/k", 1, s)
		}
		d.settle("r/k", 2, complete(nil))
	}),
	inboxRule("a message whose lease has ended can be settled until it is taken again", func(d inboxDriver) {
		for name, s := range map[string]step{"complete": complete(nil), "kill": kill(), "fail": fail(never)} {
			d.accepts("", name)
			d.takes(first(name)...)
			d.Advance(pastLease)
			d.settle("r/"+name, 1, s)
			d.takes()
		}
	}),
	inboxRule("a message that is completed is done, and gone", func(d inboxDriver) {
		d.accepts("", "k")
		d.takes(first("k")...)
		d.keeps("k", "")
		d.settle("r/k", 1, complete(answer))
		for range 2 {
			d.lacks("k")
			d.put("k", "", webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1, Answer: answer})
			d.want("r/k", request, webhook.Claim{Status: webhook.Done, Fence: 1, Attempt: 1, Answer: answer})
			d.settle("r/k", 1, complete(nil)) // said before
			d.takes()
		}
		d.backlog()
		d.Advance(pastRetention)
		d.accepts("", "k")
	}),
	inboxRule("messages are taken for their route, those due longest first, and no more than asked for", func(d inboxDriver) {
		for _, name := range []string{"3", "1", "2"} {
			d.accepts("", name)
			d.Advance(10 * time.Second)
		}
		if got := d.take("s", 10); len(got) != 0 {
			d.failf("Take of another route: %+v", got)
		}
		for _, name := range []string{"3", "1"} {
			got := d.take("r", 1)
			if d.err == nil && (len(got) != 1 || got[0].Key != "r/"+name) {
				d.failf("Take = %+v, want %q", got, name)
			}
		}
		d.takes(first("2")...)
	}),
	inboxRule("a message that waits is kept without end, and knows its age", func(d inboxDriver) {
		d.accepts("", "k")
		d.accepts("o", "taken", "held")
		d.takes(first("k", "taken")...)
		d.fails("k", 1, atOnce)
		for range 3 {
			d.Advance(pastRetention)
			d.purge()
		}
		d.backlog(webhook.Backlog{Route: "r", Waiting: 3, Oldest: 3 * pastRetention})
		for _, got := range d.takes(taken{"k", 2, 2, false}, taken{"taken", 2, 2, true}) {
			if !d.aged(got.Age, 3*pastRetention) {
				d.failf("%q has an age of %v, want %v", got.Key, got.Age, 3*pastRetention)
			}
		}
		d.settle("r/taken", 2, complete(nil))
		d.takes(first("held")...)
	}),
}
