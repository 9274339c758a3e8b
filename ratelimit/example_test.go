package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

func Example() {
	m, err := ratelimit.New(ratelimit.Config{
		Policies: []ratelimit.Policy{{
			Name:    "login",
			Methods: []string{http.MethodPost},
			Paths:   []string{"/login"},
			Key:     []string{"ip"},
			Limit:   2,
			Window:  10 * time.Minute,
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") })
	handler := m.Wrap(app)

	for range 3 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/login", nil))
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 welcome
	// 200 welcome
	// 429 {"error":"rate_limited"}
}

func ExampleNew_incorrect() {
	_, err := ratelimit.New(ratelimit.Config{
		TrustedProxies: []string{"0.0.0.0/0"}, // anyone may say who they are
		Policies:       []ratelimit.Policy{{Name: "login", Key: []string{"json:email"}, Limit: 8}},
	})
	fmt.Println(err)
	// Output:
	// ratelimit: Policies[0].Window: "0s": must be between 1ms and 8784h0m0s
	// ratelimit: Policies[0].Key[0]: "json:email": must be a JSON pointer to a value, as in json:/email or json:/user/id
	// ratelimit: TrustedProxies: "0.0.0.0/0": trusts every address: any client could forge its own; DangerouslyTrustAllProxies says that this is meant
}
