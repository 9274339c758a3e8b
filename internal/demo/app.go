package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"
)

const (
	secret  = "whsec_demo_0123456789abcdef" //nolint:gosec // of the demo alone
	payload = `{"id":"evt_demo","object":"event","type":"payment_intent.succeeded","data":{"object":{"amount":100}}}`
)

// app is a service in need of safeguards: it checks no password, no signature
// and no limit.
type app struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{}
	payments atomic.Int64
}

func startApp() (*app, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &app{listener: ln, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("GET /v2/checkout", a.checkout)
	mux.HandleFunc("POST /webhooks/stripe", a.stripe)
	mux.HandleFunc("GET /demo/signature", a.signature)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(ln)
	}()
	return a, nil
}

func (a *app) url() string { return "http://" + a.listener.Addr().String() }

func (a *app) close() error {
	err := a.server.Close()
	<-a.done
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	//nolint:gosec // by its first words it is served as text/plain
	fmt.Fprintf(w, "Hello from the app.\nX-Request-Id: %s\nX-Forwarded-For: %s\nHandrail-Flags: %s\n",
		r.Header.Get("X-Request-Id"), r.Header.Get("X-Forwarded-For"), r.Header.Get("Handrail-Flags"))
}

func (a *app) login(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "Welcome.")
}

func (a *app) checkout(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "The new checkout.")
}

func (a *app) stripe(w http.ResponseWriter, r *http.Request) {
	var event struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&event); err != nil {
		http.Error(w, "not an event", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"received": event.ID, "payments": a.payments.Add(1)})
}

// signature plays Stripe: it signs the demo's event as of now.
func (a *app) signature(w http.ResponseWriter, _ *http.Request) {
	signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(payload), Secret: secret})
	fmt.Fprint(w, signed.Header)
}
