package observe_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/handrail-go/handrail/observe"
)

func Example() {
	logFile := io.Discard // os.Stdout, as a rule
	m, err := observe.New(observe.Config{
		Log:            slog.New(slog.NewJSONHandler(logFile, nil)),
		Routes:         []string{"/users/{id}"},
		TrustedProxies: []string{"private"},
		OnRequest: func(ev observe.RequestEvent) {
			fmt.Println(ev.Method, ev.Route, ev.Status, ev.Outcome)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	handler := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		panic("a bug")
	}))

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/users/7?token=x", nil))
	fmt.Print(w.Body)
	// Output:
	// GET /users/{id} 500 panicked
	// {"error":"internal"}
}
