package webhook_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// TestBytesReachTheHandlerAsTheyWereSent posts over a real connection.
func TestBytesReachTheHandlerAsTheyWereSent(t *testing.T) {
	const maxBody = 8192
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(stripeBody))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	exact := `{"id":"evt_1","pad":"` + strings.Repeat("x", maxBody-len(`{"id":"evt_1","pad":""}`)) + `"}`
	for name, tt := range map[string]struct {
		body     string
		encoding string
		status   int
	}{
		"plain JSON":               {body: stripeBody},
		"spaces and newlines":      {body: " {\n\t\"id\" : \"evt_1\" } \r\n\n"},
		"escapes":                  {body: `{"id":"\u0065vt_1","x":"\u00e9\/\ud83d\ude00","n":1.0e+2}`},
		"duplicate keys":           {body: `{"id":"evt_1","a":1,"a":2,"id":"evt_2"}`},
		"invalid UTF-8":            {body: "{\"id\":\"evt_1\",\"x\":\"\xff\xfe\xc3\"}"},
		"a byte order mark":        {body: "\xef\xbb\xbf" + stripeBody},
		"NUL bytes":                {body: "\x00\x00{}\x00"},
		"not JSON":                 {body: "a=1&b=2"},
		"gzip":                     {body: zipped.String(), encoding: "gzip"},
		"gzip in name only":        {body: stripeBody, encoding: "gzip"},
		"no bytes":                 {body: ""},
		"exactly the limit":        {body: exact},
		"one more than the limit":  {body: exact + " ", status: 413},
		"twice the limit and more": {body: strings.Repeat(exact, 3), status: 413},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/chunked=%t", name, chunked), func(t *testing.T) {
				var got []byte
				var seen *http.Request
				m, _ := build(t, func(c *webhook.Config) { c.MaxBodyBytes = maxBody })
				srv := httptest.NewServer(m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					seen = r
					b, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					if d, ok := webhook.DeliveryFrom(r.Context()); !ok || !bytes.Equal(d.Body, b) {
						t.Error("Delivery.Body is not the body")
					}
					got = append([]byte{}, b...)
				})))
				defer srv.Close()
				var body io.Reader = strings.NewReader(tt.body)
				if chunked {
					body = io.MultiReader(body)
				}
				req, err := http.NewRequest(http.MethodPost, srv.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Stripe-Signature", stripeHeader(tt.body, time.Now()))
				if tt.encoding != "" {
					req.Header.Set("Content-Encoding", tt.encoding)
				}
				res, err := srv.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				want := tt.status
				if want == 0 {
					want = 200
				}
				if res.StatusCode != want {
					t.Fatalf("status %d, want %d: %s", res.StatusCode, want, text(t, res))
				}
				if tt.status != 0 {
					if got != nil {
						t.Error("the handler was called")
					}
					return
				}
				if got == nil || sha256.Sum256(got) != sha256.Sum256([]byte(tt.body)) {
					t.Errorf("the handler got %q, sent was %q", got, tt.body)
				}
				if seen.ContentLength != int64(len(tt.body)) || seen.TransferEncoding != nil {
					t.Errorf("length %d, transfer encoding %v", seen.ContentLength, seen.TransferEncoding)
				}
				if e := seen.Header.Get("Content-Encoding"); e != tt.encoding {
					t.Errorf("Content-Encoding %q, want %q", e, tt.encoding)
				}
			})
		}
	}
}

func TestHeadersOfTheHandlersRequest(t *testing.T) {
	forged := http.Header{
		"Idempotency-Key":                 {"mine", "mine too"},
		"Handrail-Webhook-Fence":          {"99"},
		"Handrail-Webhook-Attempt":        {"99"},
		"Handrail-Request-Verified":       {"other"},
		"Handrail-Webhook-Mayb-Processed": {"true"},
		"Handrail-Flags":                  {`"x"`},
		"Handrail_webhook_fence":          {"99"},
		"handrail-raw":                    {"1"},
		"Idempotency_key":                 {"mine"},
	}
	provider := http.Header{
		"X-Provider":   {"a", "b"},
		"User-Agent":   {"Stripe/1.0 (+https://stripe.com/docs/webhooks)"},
		"Content-Type": {"application/json; charset=utf-8"},
		"Cookie":       {"a=b"},
	}
	r := stripeRequest(stripeBody)
	signature := r.Header["Stripe-Signature"]
	for _, h := range []http.Header{forged, provider} {
		maps.Copy(r.Header, h)
	}
	before := r.Header.Clone()
	var got http.Header
	m, _ := build(t, nil)
	serve(m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header })), r)
	want := provider.Clone()
	want["Stripe-Signature"] = signature
	want["Idempotency-Key"] = []string{"stripe/evt_1"}
	want["Handrail-Request-Verified"] = []string{"stripe"}
	want["Handrail-Webhook-Attempt"] = []string{"1"}
	want["Handrail-Webhook-Fence"] = []string{"1"}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("headers %v, want %v", got, want)
	}
	if len(r.Header) != len(before) {
		t.Error("the caller's request was changed")
	}
}

func TestHeadersOfTheAnswer(t *testing.T) {
	m, _ := build(t, nil)
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "from outside")
	m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("X-App", "1")
		h.Set("Content-Type", "text/plain")
		h.Set("Handrail-Webhook", "duplicate")
		h.Set("Handrail-Outcome", "success")
		h.Set("Connection", "close")
		h.Set("Content-Length", "2")
		h.Set(http.TrailerPrefix+"X-Trailer", "1")
		_, _ = io.WriteString(w, "ok")
		h.Set("X-Late", "1")
		w.(http.Flusher).Flush()
	})).ServeHTTP(w, stripeRequest(stripeBody))
	want := http.Header{
		"X-App": {"1"}, "Content-Type": {"text/plain"}, "Content-Length": {"2"},
		"Handrail-Webhook": {"processed"}, "X-Request-Id": {"from outside"},
	}
	got := w.Result().Header
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("headers %v, want %v", got, want)
	}
}

func TestEventKeys(t *testing.T) {
	long := strings.Repeat("x", 255)
	for id, want := range map[string]string{
		"evt_1":        "hook/evt_1",
		"a/../b?c#d":   "hook/a/../b?c#d",
		long:           "hook/" + long,
		long + "x":     "hook/" + digestID(long+"x"),
		"with space":   "hook/" + digestID("with space"),
		"new\nline":    "hook/" + digestID("new\nline"),
		"ümlaut":       "hook/" + digestID("ümlaut"),
		"sha256:abcde": "hook/" + digestID("sha256:abcde"),
	} {
		store := memory(t)
		var header string
		m, ev := build(t, func(c *webhook.Config) { c.Route, c.Verifier, c.Store = "hook", fixedID(id), store })
		serve(m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header.Get("Idempotency-Key") })),
			httptest.NewRequest(http.MethodPost, "/", nil))
		if header != want {
			t.Errorf("%q: Idempotency-Key %q, want %q", id, header, want)
		}
		recordIs(t, store, want, webhook.StateDone, 1, false)
		if e := ev.last(t); "hook/"+e.EventID != want {
			t.Errorf("%q: event id %q", id, e.EventID)
		}
	}
}

func digestID(id string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(id))) }

// fixedID accepts everything as the one event.
type fixedID string

func (fixedID) Provider() webhook.Provider { return webhook.Provider{Name: "fixed"} }

func (id fixedID) Verify(webhook.Message) (webhook.Verified, error) {
	return webhook.Verified{ID: string(id), IDSigned: true, Type: strings.Repeat("t", 256), APIVersion: "a\nb"}, nil
}

func TestWordsOfTheMessageAreBoundedInEvents(t *testing.T) {
	m, ev := build(t, func(c *webhook.Config) { c.Verifier = fixedID("1") })
	serve(m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), httptest.NewRequest(http.MethodPost, "/", nil))
	if e := ev.last(t); e.EventType != "" || e.APIVersion != "" {
		t.Errorf("event %+v", e)
	}
}
