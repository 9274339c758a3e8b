package webhook_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// unread is a body that must be left alone.
type unread struct{ t *testing.T }

func (b unread) Read([]byte) (int, error) {
	b.t.Error("the body was read")
	return 0, io.EOF
}
func (unread) Close() error { return nil }

func TestWithoutASignatureTheBodyIsNotRead(t *testing.T) {
	for name, tt := range map[string]struct {
		length  int64
		header  []string
		status  int
		outcome webhook.Outcome
	}{
		"no header":                      {100, nil, 400, webhook.OutcomeInvalidSignature},
		"an empty header":                {100, []string{""}, 400, webhook.OutcomeInvalidSignature},
		"no header, of unknown length":   {-1, nil, 400, webhook.OutcomeInvalidSignature},
		"no header, and announced above": {4097, nil, 413, webhook.OutcomeBodyTooLarge},
	} {
		m, ev := build(t, func(c *webhook.Config) { c.MaxBodyBytes, c.Store = 4096, untouchable{t: t} })
		r := httptest.NewRequest(http.MethodPost, "/hook", nil)
		r.Body, r.ContentLength = unread{t}, tt.length
		if tt.header != nil {
			r.Header["Stripe-Signature"] = tt.header
		}
		res := serve(m.Wrap(answering(200)), r)
		if res.StatusCode != tt.status || ev.last(t).Outcome != tt.outcome {
			t.Errorf("%s: answer %d, event %+v", name, res.StatusCode, ev.last(t))
		}
	}
}

// drip gives a byte a second.
type drip struct{}

func (drip) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	p[0] = 'x'
	return 1, nil
}
func (drip) Close() error { return nil }

func TestBodyThatDripsIsCutAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ev := build(t, func(c *webhook.Config) { c.Store = untouchable{t: t} })
		r := stripeRequest(stripeBody)
		r.Body, r.ContentLength = drip{}, 1000
		start := time.Now()
		answerIs(t, serve(m.Wrap(answering(200)), r), 408, `{"error":"incomplete_body"}`, "")
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("took %v, want the timeout", took)
		}
		if e := ev.last(t); e.Outcome != webhook.OutcomeBodyIncomplete || e.Err == nil {
			t.Errorf("event %+v", e)
		}
	})
}

// patient sets a deadline of its own before each Read.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b patient) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(time.Hour))
	return b.ReadCloser.Read(p)
}

func TestBodyThatStallsIsCutAfterTheTimeout(t *testing.T) {
	m, ev := build(t, func(c *webhook.Config) { c.Timeout, c.Store = 50*time.Millisecond, untouchable{t: t} })
	h := m.Wrap(answering(200))
	for name, handler := range map[string]http.HandlerFunc{
		"as the server has it": h.ServeHTTP,
		"below deadlines of each read": func(w http.ResponseWriter, r *http.Request) {
			inner := *r
			inner.Body = patient{r.Body, http.NewResponseController(w)}
			h.ServeHTTP(w, &inner)
		},
	} {
		srv := httptest.NewServer(handler)
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /hook HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=00\r\nContent-Length: 1000\r\n\r\nhalf")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answerIs(t, res, 408, `{"error":"incomplete_body"}`, "")
		if name != "below deadlines of each read" && !res.Close {
			t.Errorf("%s: the connection goes on", name)
		}
		_ = res.Body.Close()
		_ = conn.Close()
		srv.Close()
		if e := ev.last(t); e.Outcome != webhook.OutcomeBodyIncomplete {
			t.Errorf("%s: event %+v", name, e)
		}
	}
}

// deaf is a connection that takes the first deadline back, as one does whose
// reader extends it in the same moment.
type deaf struct {
	*httptest.ResponseRecorder
	asked int
	woken chan struct{}
}

func (c *deaf) SetReadDeadline(time.Time) error {
	if c.asked++; c.asked == 2 {
		close(c.woken)
	}
	return nil
}

func (c *deaf) Read([]byte) (int, error) {
	<-c.woken
	return 0, os.ErrDeadlineExceeded
}
func (*deaf) Close() error { return nil }

func TestBodyThatStallsIsCutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := build(t, func(c *webhook.Config) { c.Store = untouchable{t: t} })
		conn := &deaf{ResponseRecorder: httptest.NewRecorder(), woken: make(chan struct{})}
		r := stripeRequest(stripeBody)
		r.Body = conn
		start := time.Now()
		m.Wrap(answering(200)).ServeHTTP(conn, r)
		answerIs(t, conn.Result(), 408, `{"error":"incomplete_body"}`, "")
		if took := time.Since(start); took != 21*time.Second {
			t.Errorf("took %v, want the timeout and a second", took)
		}
		time.Sleep(time.Minute)
		if conn.asked != 2 {
			t.Errorf("%d deadlines were set, the last ones after the answer", conn.asked)
		}
	})
}

// pad is an event of n bytes.
func pad(id string, n int) string {
	body := `{"id":"` + id + `"}`
	return body + strings.Repeat(" ", n-len(body))
}

func TestBodiesOfAllDeliveriesHoldABoundedAmount(t *testing.T) {
	const maxBody = 64 << 10
	m, ev := build(t, func(c *webhook.Config) { c.MaxBodyBytes, c.MaxBufferedBytes = maxBody, maxBody })
	entered, leave := make(chan struct{}), make(chan struct{})
	h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if d, _ := webhook.DeliveryFrom(r.Context()); d.Event.ID == "evt_slow" {
			close(entered)
			<-leave
		}
	}))
	ended := make(chan *http.Response)
	go func() { ended <- serve(h, stripeRequest(pad("evt_slow", maxBody-1000))) }()
	<-entered
	second := stripeRequest(pad("evt_2", 2000))
	answerIs(t, serve(h, second), 503, `{"error":"overloaded"}`, "")
	if e := ev.last(t); e.Outcome != webhook.OutcomeOverloaded || e.EventID != "" {
		t.Errorf("event %+v", e)
	}
	if rest, _ := io.ReadAll(second.Body); len(rest) != 2000 {
		t.Errorf("%d bytes were left, want all", len(rest))
	}
	answerIs(t, serve(h, stripeRequest(pad("evt_3", 900))), 200, "*", "processed")
	close(leave)
	answerIs(t, <-ended, 200, "*", "processed")
	answerIs(t, serve(h, stripeRequest(pad("evt_2", 2000))), 200, "*", "processed")
}

// TestWhatADeliveryHeldIsLetGo ends deliveries in every way, as often as would
// fill what is there.
func TestWhatADeliveryHeldIsLetGo(t *testing.T) {
	const maxBody = 64 << 10
	m, ev := build(t, func(c *webhook.Config) { c.MaxBodyBytes, c.MaxBufferedBytes = maxBody, maxBody })
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, _ := webhook.DeliveryFrom(r.Context())
		switch kind, _, _ := strings.Cut(d.Event.ID, "."); kind {
		case "panics":
			panic(http.ErrAbortHandler)
		case "fails":
			w.WriteHeader(500)
		}
	}))
	chunked := func(r *http.Request) *http.Request { r.ContentLength = -1; return r }
	for round := range 3 {
		event := func(kind string, n int) *http.Request {
			return stripeRequest(pad(fmt.Sprintf("%s.%d", kind, round), n))
		}
		forged, broken := event("forged", maxBody), event("broken", maxBody)
		forged.Header.Set("Stripe-Signature", stripeHeader("x", time.Now()))
		broken.Body = io.NopCloser(io.MultiReader(strings.NewReader(pad("x", maxBody/2)), failingBody{}))
		for _, r := range []*http.Request{
			forged, broken, chunked(event("large", maxBody+1)), chunked(event("chunked", maxBody)),
			event("panics", maxBody), event("fails", maxBody), event("good", maxBody), event("good", maxBody),
		} {
			serve(h, r)
		}
	}
	got := ev.outcomes()
	slices.Sort(got)
	want := []webhook.Outcome{"body_incomplete", "body_too_large", "duplicate", "invalid_signature", "no_answer", "processed", "retry"}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
}
