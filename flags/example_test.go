package flags_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/handrail-go/handrail/flags"
)

func Example() {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("flags-%d.yaml", os.Getpid()))
	defer os.Remove(path)
	definitions := "new-checkout: {rolloutPercentage: 25, allowList: [user-1], denyList: [user-2]}\n"
	if err := os.WriteFile(path, []byte(definitions), 0o600); err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	client, err := flags.New(ctx, flags.Config{Source: flags.File(path)})
	if err != nil {
		log.Fatal(err)
	}
	followed := make(chan error)
	go func() { followed <- client.Run(ctx) }() // until stop
	defer func() { stop(); <-followed }()

	middleware, err := flags.NewMiddleware(flags.MiddlewareConfig{
		Client:       client,
		TargetingKey: flags.CookieKey("uid"),
		Vary:         "Cookie",
	})
	if err != nil {
		log.Fatal(err)
	}
	checkout := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private")
		if flags.Enabled(r.Context(), "new-checkout") {
			io.WriteString(w, "the new checkout")
			return
		}
		io.WriteString(w, "the old checkout")
	})
	handler := middleware.Wrap(checkout)

	for _, user := range []string{"user-1", "user-2"} {
		r := httptest.NewRequest("GET", "/checkout", nil)
		r.AddCookie(&http.Cookie{Name: "uid", Value: user})
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(user, "gets", w.Body)
	}
	// Output:
	// user-1 gets the new checkout
	// user-2 gets the old checkout
}
