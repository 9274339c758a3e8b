package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// A faultProvider is whose events are delivered.
type faultProvider struct {
	name, secret, other string
	timed               bool // it signs the time
	replays             bool // somebody else sends its messages again, under other ids
}

var faultProviders = []faultProvider{
	{"stripe", "whsec_ThisIsTheSecretOfStripe", "whsec_another", true, false},
	{"github", "It's a Secret to Everybody", "another", false, true},
	{"standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", true, false},
}

// A faultEvent is sent, with some copies, until it is acknowledged.
type faultEvent struct {
	run    *faultRun
	rnd    *rand.Rand // of the goroutine that delivers
	id     string
	body   []byte
	sum    [sha256.Size]byte
	begins time.Duration
	// customer decides on the order; see faultRun.order.
	customer int
	twin     *faultEvent // the same message under another id; nil when there is none
	client   *http.Client

	mu    sync.Mutex
	first time.Duration // when it was sent first; 0 before
	acked time.Duration // when it was acknowledged first; 0 before
	marks map[string]int
	sent  int
}

func (r *faultRun) newEvent(n int) *faultEvent {
	e := &faultEvent{
		run: r, rnd: rand.New(rand.NewPCG(r.seed, uint64(100+n))), id: fmt.Sprintf("evt_%d", n),
		begins: time.Duration(r.rnd.Int64N(int64(200 * time.Millisecond))), marks: map[string]int{},
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2*r.timeout + 200*time.Millisecond},
	}
	e.customer = n % 2
	e.body, e.sum = e.draw(e.id)
	return e
}

func (e *faultEvent) draw(id string) ([]byte, [sha256.Size]byte) {
	fill := e.rnd.IntN(4 << 10)
	if e.rnd.IntN(10) == 0 {
		fill = e.rnd.IntN(200 << 10)
	}
	body := fmt.Appendf(nil, `{"id":%q, "type":"charge.succeeded","customer":"cus_%d","note":"\u00e9 é","a":1,"a":2,"fill":%q}`+"\n", id, e.customer, strings.Repeat("x", fill))
	return body, sha256.Sum256(body)
}

func (e *faultEvent) key() string { return e.run.route + "/" + e.id }

// signedFor is what the provider posts at a time.
func (e *faultEvent) signedFor(id string, body []byte, secret string, at time.Time) http.Header {
	signer, err := webhook.NewSigner(webhook.VerifierConfig{Provider: e.run.provider.name, Secrets: []string{secret}})
	if err != nil {
		panic(err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	switch e.run.provider.name {
	case "github":
		header.Set("X-GitHub-Delivery", id)
		header.Set("X-GitHub-Event", "push")
	case "standard":
		header.Set("Webhook-Id", id)
	}
	added, err := signer.Sign(webhook.Message{Header: header, Body: body, Now: at})
	if err != nil {
		panic(err)
	}
	maps.Copy(header, added)
	return header
}

// deliver sends the event until it is acknowledged. A provider gives up in the
// end; here that is long after all is well again, and an error.
func (e *faultEvent) deliver() {
	r := e.run
	r.pause(nil, e.begins)
	if e.rnd.IntN(4) == 0 {
		e.forge()
	}
	for e.acknowledged() == 0 {
		copies := 1
		if e.rnd.IntN(4) == 0 {
			copies = 2 + e.rnd.IntN(2)
		}
		var wg sync.WaitGroup
		for range copies {
			sidecar := e.rnd.IntN(len(r.sidecars))
			hangUp := time.Duration(0)
			if e.rnd.IntN(8) == 0 {
				hangUp = 1 + time.Duration(e.rnd.Int64N(int64(20*time.Millisecond)))
			}
			wg.Go(func() { e.sendOnce(sidecar, hangUp) })
		}
		wg.Wait()
		if e.acknowledged() > 0 {
			return
		}
		select {
		case <-r.over:
			return
		default:
		}
		r.pause(nil, 5*time.Millisecond+time.Duration(e.rnd.Int64N(int64(50*time.Millisecond))))
	}
}

func (e *faultEvent) acknowledged() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.acked
}

// sendOnce sends a copy, and hangs up after a time if that is not 0.
func (e *faultEvent) sendOnce(sidecar int, hangUp time.Duration) {
	e.mu.Lock()
	if e.first == 0 {
		e.first = e.run.now()
	}
	e.mu.Unlock()
	e.run.soon("send", sidecar)
	status, mark := e.post(sidecar, hangUp, e.body, e.signedFor(e.id, e.body, e.run.provider.secret, time.Now()))
	if status/100 == 2 {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.acked == 0 {
			e.acked = e.run.now()
		}
		e.marks[mark]++
		return
	}
	switch status {
	case 0, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	case http.StatusRequestTimeout: // a sidecar that was stopped while it read
	default:
		e.run.t.Errorf("%s: a true event was answered %d %s", e.id, status, mark)
	}
}

// post returns status 0 when there was no answer.
func (e *faultEvent) post(sidecar int, hangUp time.Duration, body []byte, header http.Header) (status int, mark string) {
	r := e.run
	url := r.sidecars[sidecar].url()
	if url == "" {
		r.count("not sent: no sidecar was there")
		return 0, ""
	}
	ctx := r.t.Context()
	if hangUp > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, hangUp)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header = header
	e.mu.Lock()
	e.sent++
	e.mu.Unlock()
	r.count("sent")
	resp, err := e.client.Do(req)
	if err != nil {
		if hangUp > 0 && ctx.Err() != nil {
			r.count("fault: the provider hangs up")
			r.count("faults")
		}
		r.note("provider: %s to sidecar %d: %v", e.id, sidecar, err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	mark = resp.Header.Get("Handrail-Webhook")
	r.note("provider: %s to sidecar %d: %d %s %s", e.id, sidecar, resp.StatusCode, mark, bytes.TrimSpace(text))
	r.count(strings.TrimSpace(fmt.Sprint("answered ", resp.StatusCode, " ", mark)))
	return resp.StatusCode, mark
}

// forge sends what is to be refused: an old message or one from the future, one
// that another has signed, and one that was changed.
func (e *faultEvent) forge() {
	r := e.run
	id := "forged_" + e.id
	body, _ := e.draw(id)
	at, secret := time.Now(), r.provider.secret
	kinds := []string{"secret", "body"}
	if r.provider.timed {
		kinds = append(kinds, "time, old", "time, future")
	}
	kind := kinds[e.rnd.IntN(len(kinds))]
	switch kind {
	case "secret":
		secret = r.provider.other
	case "time, old":
		at = at.Add(-10*time.Minute + time.Duration(e.rnd.Int64N(int64(4*time.Minute))))
	case "time, future":
		at = at.Add(10*time.Minute - time.Duration(e.rnd.Int64N(int64(4*time.Minute))))
	}
	header := e.signedFor(id, body, secret, at)
	if kind == "body" {
		body[len(body)-1] = ' '
	}
	status, mark := e.post(e.rnd.IntN(len(r.sidecars)), 0, body, header)
	switch status {
	case 0, http.StatusRequestTimeout:
	case http.StatusBadRequest:
		r.count("refused, wrong " + kind)
	default:
		r.t.Errorf("a message that is to be refused (%s) was answered %d %s", kind, status, mark)
	}
}
