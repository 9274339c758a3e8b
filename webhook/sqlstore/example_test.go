package sqlstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

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
