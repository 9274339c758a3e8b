package sentryobs_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/handrail-go/handrail/observe"
	"github.com/handrail-go/handrail/observe/sentryobs"
)

func Example() {
	reporter, err := sentryobs.New(sentryobs.Config{
		DSN:         "https://key@sentry.example/1",
		Environment: "development", // nothing is sent
	})
	if err != nil {
		log.Fatal(err)
	}
	m, err := observe.New(observe.Config{
		Routes:    []string{"/users/{id}"},
		OnStart:   reporter.OnStart,
		OnRequest: reporter.OnRequest,
		OnPanic:   reporter.OnPanic,
	})
	if err != nil {
		log.Fatal(err)
	}
	app := m.Wrap(http.NotFoundHandler())
	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/users/7", nil))

	// Before the process ends:
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	fmt.Println(reporter.Close(ctx), reporter.Dropped())
	// Output: <nil> map[development:1]
}
