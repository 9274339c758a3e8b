package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

func ExampleOpenSQLite() {
	dir, err := os.MkdirTemp("", "handrail")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	store, err := sqlstore.OpenSQLite(ctx, filepath.Join(dir, "deliveries.sqlite"))
	if err != nil {
		panic(err)
	}
	purging := make(chan struct{})
	go func() {
		defer close(purging)
		store.Run(ctx, time.Hour, nil)
	}()

	// As the Store of a webhook.Config; here its steps by hand.
	claim, err := store.Claim(ctx, "stripe/evt_1", webhook.ClaimRequest{Lease: 30 * time.Second, Retention: 168 * time.Hour})
	if err != nil {
		panic(err)
	}
	fmt.Println(claim.Status, claim.Fence)
	if err := store.Complete(ctx, "stripe/evt_1", claim.Fence, nil); err != nil {
		panic(err)
	}
	record, err := store.Lookup(ctx, "stripe/evt_1")
	if err != nil {
		panic(err)
	}
	fmt.Println(record.State)

	stop()
	<-purging
	if err := store.Close(); err != nil {
		panic(err)
	}
	// Output:
	// claimed 1
	// done
}

// The tables are made at start, by the role of the service or, where that may
// not, by what DDL returns.
func ExampleOpenPostgres() {
	ctx := context.Background()
	conn, err := pgx.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	store, err := sqlstore.OpenPostgres(ctx, sqlstore.PostgresConfig{Conn: conn, MaxConns: 4})
	if errors.Is(err, sqlstore.ErrNoRights) {
		panic("run first:\n" + sqlstore.DDL())
	}
	if err != nil {
		panic(err)
	}
	defer store.Close()
	_ = webhook.Config{Store: store}
}

// A payment is booked once, whatever fails: the row in payments and the mark
// that the event was handled are there together, or neither is.
func ExampleClaimTx() {
	var db *pgx.Conn // or a pgxpool.Pool
	book := func(w http.ResponseWriter, r *http.Request) error {
		delivery, _ := webhook.DeliveryFrom(r.Context())
		tx, err := db.Begin(r.Context())
		if err != nil {
			return err
		}
		defer tx.Rollback(r.Context()) // does nothing after Commit
		mine, err := sqlstore.ClaimTx(r.Context(), tx, delivery.IdempotencyKey, 30*24*time.Hour)
		if err != nil {
			return err
		}
		if !mine {
			w.WriteHeader(http.StatusNoContent) // booked before
			return nil
		}
		if _, err := tx.Exec(r.Context(), "INSERT INTO payments (event) VALUES ($1)", delivery.Event.ID); err != nil {
			return err
		}
		return tx.Commit(r.Context())
	}
	// As the handler that a webhook.Middleware wraps.
	_ = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := book(w, r); err != nil {
			http.Error(w, "not booked", http.StatusInternalServerError) // it is delivered again
		}
	})
}
