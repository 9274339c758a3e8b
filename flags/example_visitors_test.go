package flags_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/handrail-go/handrail/flags"
)

// Visitors who are not logged in are recognized by a cookie of ours.
func ExampleAnonymousCookie() {
	client, err := flags.New(context.Background(), flags.Config{
		Source: flags.Static("flags.yaml", []byte("new-home: {rolloutPercentage: 50}")),
	})
	if err != nil {
		panic(err)
	}
	https, err := flags.ForwardedHTTPS([]string{"private"}) // the load balancer's address
	if err != nil {
		panic(err)
	}
	visitors, err := flags.NewMiddleware(flags.MiddlewareConfig{
		Client:       client,
		TargetingKey: flags.CookieKey("uid"), // who is logged in
		Vary:         "Cookie",
		Anonymous:    &flags.AnonymousCookie{Name: "visitor", HTTPS: https},
	})
	if err != nil {
		panic(err)
	}
	home := visitors.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Vary", "Cookie") // the answer depends on who asks
		if flags.Enabled(r.Context(), "new-home") {
			_, _ = fmt.Fprintln(w, "The new page.")
			return
		}
		_, _ = fmt.Fprintln(w, "The old page.")
	}))

	first := httptest.NewRecorder()
	home.ServeHTTP(first, httptest.NewRequest("GET", "/", nil))
	cookie := first.Result().Cookies()[0]
	fmt.Println(cookie.Name, cookie.HttpOnly, first.Header()["Cache-Control"])

	again := httptest.NewRequest("GET", "/", nil)
	again.AddCookie(cookie)
	second := httptest.NewRecorder()
	home.ServeHTTP(second, again)
	fmt.Println(len(second.Result().Cookies()), second.Header()["Cache-Control"], second.Body.String() == first.Body.String())
	// Output:
	// visitor true [max-age=60, private]
	// 0 [public, max-age=60] true
}
