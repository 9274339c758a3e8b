// Command byhand is a webhook handler as people write it who have heard of
// duplicates: stripe-go verifies, and the primary key of a table in PostgreSQL
// decides who was first. It is what bench/webhooks measures the sidecar beside.
//
//	byhand LISTEN APP DATABASE SECRET
//
// What it does not do: the event is marked before it is handled, so when the app
// fails, or this process ends in between, the event is lost, since the provider's
// next attempt is taken for a duplicate. Copies that come while the app is still
// at work are acknowledged, and when it then fails nobody sends the event again.
// There is no lease and no fence, no time limit that fits the provider's, one
// secret at a time, no metrics, and no line in a log.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stripe/stripe-go/v79/webhook"
)

const (
	maxBody = 1 << 20
	// connections to the database: as many as the sidecar opens.
	connections = 8
)

func main() {
	err := errors.New("needs LISTEN APP DATABASE SECRET")
	if len(os.Args) == 5 {
		err = serve(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	}
	fmt.Fprintln(os.Stderr, "byhand:", err)
	os.Exit(1) //nolint:forbidigo // main is where the process may end
}

func serve(listen, app, database, secret string) error {
	ctx := context.Background()
	db := make(chan *pgx.Conn, connections)
	for range connections {
		conn, err := pgx.Connect(ctx, database)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS webhook_events (id text PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
		db <- conn
	}
	h := &handler{
		db: db, app: "http://" + app + "/webhooks/stripe", secret: secret,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}, Timeout: 20 * time.Second},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/stripe", h.webhook)
	mux.HandleFunc("/", h.pass)
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

type handler struct {
	db          chan *pgx.Conn // those that nobody uses
	client      *http.Client
	app, secret string
}

func (h *handler) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "bad body", http.StatusBadRequest)
		return
	}
	event, err := webhook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), h.secret)
	if err != nil {
		http.Error(w, "bad signature", http.StatusBadRequest)
		return
	}
	first, err := h.mark(r.Context(), event.ID)
	if err != nil {
		http.Error(w, "try again", http.StatusInternalServerError)
		return
	}
	if !first {
		w.WriteHeader(http.StatusOK) // a duplicate
		return
	}
	h.call(w, r, body)
}

// mark reports whether nobody has marked the event before.
func (h *handler) mark(ctx context.Context, id string) (bool, error) {
	conn := <-h.db
	defer func() { h.db <- conn }()
	tag, err := conn.Exec(ctx, `INSERT INTO webhook_events (id) VALUES ($1) ON CONFLICT DO NOTHING`, id)
	return tag.RowsAffected() == 1, err
}

// pass is what plain proxying costs this program.
func (h *handler) pass(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "bad body", http.StatusBadRequest)
		return
	}
	h.call(w, r, body)
}

// call is the effect: the same request to the app that the sidecar sends.
func (h *handler) call(w http.ResponseWriter, r *http.Request, body []byte) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, h.app, bytes.NewReader(body))
	if err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	out.Header = r.Header.Clone()
	resp, err := h.client.Do(out) //nolint:gosec // the app of the command line
	if err != nil {
		http.Error(w, "the app is down", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}
