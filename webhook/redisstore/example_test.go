package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
)

// Nobody listens at this address, so the event is left to its provider.
func Example() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true, MaxRetries: -1,
	})
	defer client.Close()
	store, err := redisstore.New(redisstore.Config{
		Client: client, Namespace: "shop", Timeout: 100 * time.Millisecond,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// As the Store of a webhook.Config; here a step by hand.
	_, err = store.Claim(context.Background(), "stripe/evt_1", webhook.ClaimRequest{
		Lease: 30 * time.Second, Retention: 168 * time.Hour,
	})
	fmt.Println(err != nil)
	// Output: true
}
