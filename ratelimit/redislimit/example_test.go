package redislimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// Nobody listens at this address, so the policy goes on in memory.
func Example() {
	options, err := redislimit.Options("redis://127.0.0.1:1")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := redis.NewUniversalClient(options)
	defer client.Close()
	limiter, err := redislimit.New(redislimit.Config{Client: client})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := ratelimit.New(ratelimit.Config{
		Limiter:  limiter,
		Policies: []ratelimit.Policy{{Name: "login", Limit: 2, Window: 10 * time.Minute}},
		OnEvent:  func(e ratelimit.Event) { fmt.Println(e.Outcome, e.Local) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 3 {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil))
	}
	// Output:
	// store_error false
	// degraded false
	// allowed true
	// store_error false
	// allowed true
	// store_error false
	// denied true
}
