package webhooktest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// anyone takes every message as valid, and its body as the id.
type anyone struct{}

func (anyone) Provider() webhook.Provider { return webhook.Provider{Name: "anyone"} }

func (anyone) Verify(m webhook.Message) (webhook.Verified, error) {
	return webhook.Verified{ID: string(m.Body), IDSigned: true}, nil
}

// post sends a body to a handler.
func post(h http.Handler, body string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader([]byte(body)))))
	return w.Result()
}

var throughRules = []Rule{
	rule("of 100 concurrent copies through two middlewares one has its effect", func(d *driver) {
		var effects atomic.Int64
		next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { effects.Add(1) })
		var handlers []http.Handler
		for _, store := range d.handles() {
			m, err := webhook.New(webhook.Config{Route: "r", Verifier: anyone{}, Store: store})
			if err != nil {
				d.failf("%w", err)
				return
			}
			handlers = append(handlers, m.Wrap(next))
		}
		said := make([]string, copies)
		together(copies, func(i int) {
			res := post(handlers[i%len(handlers)], "evt_1")
			said[i] = res.Status + " " + res.Header.Get("Handrail-Webhook")
		})
		counts := make(map[string]int)
		for _, s := range said {
			counts[s]++
		}
		if n := effects.Load(); n != 1 {
			d.failf("%d effects, want 1; the answers are %v", n, counts)
		}
		const processed, duplicate, inFlight = "200 OK processed", "200 OK duplicate", "503 Service Unavailable in-flight"
		if counts[processed] != 1 || counts[duplicate]+counts[inFlight] != copies-1 {
			d.failf("the answers are %v, want one processed, and the others duplicates or in flight", counts)
		}
		for _, h := range handlers {
			if res := post(h, "evt_1"); res.Header.Get("Handrail-Webhook") != "duplicate" {
				d.failf("a copy after all others is answered %s %v", res.Status, res.Header)
			}
		}
		if n := effects.Load(); n != 1 {
			d.failf("%d effects, want 1", n)
		}
	}),
	rule("over HTTP the handler gets the bytes that were sent", func(d *driver) {
		d.sendBodies(func(cfg webhook.Config, next http.Handler) (http.Handler, error) {
			cfg.Store = d.Store
			m, err := webhook.New(cfg)
			if err != nil {
				return nil, err
			}
			return m.Wrap(next), nil
		})
	}),
	rule("through an inbox the handler gets the bytes that were sent", func(d *driver) {
		box, ok := d.Store.(webhook.Inbox)
		if !ok {
			return // the store keeps no messages
		}
		ctx, stop := context.WithCancel(d.ctx)
		ended := make(chan error, 1)
		d.sendBodies(func(cfg webhook.Config, next http.Handler) (http.Handler, error) {
			cfg.Inbox = &webhook.InboxConfig{Store: box}
			m, err := webhook.New(cfg)
			if err != nil {
				return nil, err
			}
			go func() { ended <- m.Deliver(ctx, next) }()
			return m.Wrap(next), nil
		})
		stop()
		if err := <-ended; err != nil {
			d.failf("Deliver: %w", err)
		}
	}),
}

const bodyLimit = 4096

// oddBodies are bodies that suffer when somebody reads and writes them anew. Each
// that is JSON has an id of its own.
func oddBodies() map[string]string {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(stageBody))
	_ = z.Close()
	const head, tail = `{"id":"evt_f","pad":"`, `"}`
	return map[string]string{
		"spaces and newlines": " {\n\t\"id\" : \"evt_a\" } \r\n\n",
		"escapes":             `{"id":"\u0065vt_b","x":"\u00e9\/\ud83d\ude00","n":1.0e+2}`,
		"names twice":         `{"id":"evt_c","a":1,"a":2,"id":"evt_2"}`,
		"names out of order":  `{"type":"z","id":"evt_d","amount":10000000000000000000001}`,
		"invalid UTF-8":       "{\"id\":\"evt_e\",\"x\":\"\xff\xfe\xc3\"}",
		"a byte order mark":   "\xef\xbb\xbf{}",
		"NUL bytes":           "\x00\x00{}\x00",
		"gzip":                zipped.String(),
		"not JSON":            "a=1&b=2",
		"no bytes":            "",
		"exactly the limit":   head + strings.Repeat("x", bodyLimit-len(head+tail)) + tail,
	}
}

// sendBodies sends each of oddBodies, and one that is a byte too long, over HTTP
// to what wrap makes of next.
func (d *driver) sendBodies(wrap func(cfg webhook.Config, next http.Handler) (http.Handler, error)) {
	secret := webhook.VerifierConfig{
		Provider: "hmac", Secrets: []string{"secret"}, ID: "header:X-Id",
		HMAC: webhook.HMACConfig{Header: "X-Sig", Algorithm: "sha256", Encoding: "hex", Signed: "{header:X-Id}.{body}"},
	}
	verifier, err1 := webhook.NewVerifier(secret)
	signer, err2 := webhook.NewSigner(secret)
	c := collector{make(chan got, 100)}
	handler, err3 := wrap(webhook.Config{Route: "r", Verifier: verifier, MaxBodyBytes: bodyLimit}, c)
	if err := errors.Join(err1, err2, err3); err != nil {
		d.failf("%w", err)
		return
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	bodies := oddBodies()
	bodies["a byte more than the limit"] = bodies["exactly the limit"] + " "
	for what, body := range bodies {
		for _, chunked := range []bool{false, true} {
			id := fmt.Sprintf("%s, chunked: %t", what, chunked)
			r, err := bodyRequest(d.ctx, server.URL, signer, id, body, chunked)
			if err != nil {
				d.failf("%w", err)
				return
			}
			res, err := client.Do(r)
			if err != nil {
				d.failf("%s: %w", id, err)
				return
			}
			_ = res.Body.Close()
			if len(body) > bodyLimit {
				if res.StatusCode != http.StatusRequestEntityTooLarge {
					d.failf("%s: the answer is %s", id, res.Status)
				}
				continue
			}
			if res.StatusCode != http.StatusOK {
				d.failf("%s: the answer is %s", id, res.Status)
				return
			}
			d.arrived(c, id, body)
		}
	}
	if n := len(c.got); n > 0 {
		d.failf("the handler got %d bodies more", n)
	}
}

// bodyRequest is a signed message with a body.
func bodyRequest(ctx context.Context, url string, signer *webhook.Signer, id, body string, chunked bool) (*http.Request, error) {
	var reader io.Reader = strings.NewReader(body)
	if chunked {
		reader = io.MultiReader(reader) // of which net/http does not know the length
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, reader)
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Id", id)
	signed, err := signer.Sign(webhook.Message{Header: r.Header, Body: []byte(body)})
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Sig", signed.Get("X-Sig"))
	if strings.HasPrefix(id, "gzip") {
		r.Header.Set("Content-Encoding", "gzip")
	}
	return r, nil
}

// got is what a handler got: whose id, and which bytes.
type got struct {
	id, encoding string
	length       int64
	sum          webhook.Digest
	err          error
}

// collector is a handler that tells what it gets.
type collector struct{ got chan got }

func (c collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	c.got <- got{r.Header.Get("X-Id"), r.Header.Get("Content-Encoding"), r.ContentLength, sha256.Sum256(body), err}
}

// arrived wants a body to be what the handler gets next.
func (d *driver) arrived(c collector, id, body string) {
	want := got{id: id, length: int64(len(body)), sum: sha256.Sum256([]byte(body))}
	if strings.HasPrefix(id, "gzip") {
		want.encoding = "gzip"
	}
	select {
	case g := <-c.got:
		if g != want {
			d.failf("the handler got %+v, want %+v", g, want)
		}
	case <-time.After(time.Minute):
		d.failf("%s: the handler was not called", id)
	}
}
