package health_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/handrail-go/handrail/health"
)

func Example() {
	db := openDatabase() // any *sql.DB
	monitor, err := health.New(health.Config{Checks: []health.Check{
		{Name: "database", Func: db.PingContext, Critical: true},
		{Name: "memory", Func: health.Memory()},
	}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- monitor.Run(ctx) }()

	mux := http.NewServeMux()
	mux.Handle("/health", monitor.Handler())
	mux.Handle("/readyz", monitor.ReadyzHandler())
	// http.Server{Handler: mux} …; once it accepts connections:
	monitor.SetReady()

	// On SIGTERM, before the server shuts down:
	monitor.SetDraining()
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	fmt.Println(w.Code, w.Header().Get("Retry-After"))

	cancel()
	<-stopped
	// Output: 503 5
}

func openDatabase() *sql.DB { return sql.OpenDB(driver{}) }
