// Command flagdcore answers OFREP from flagd's own library: its evaluator, its
// store, and the requests and answers of its service, behind the plainest
// net/http server. flagd itself puts its router, CORS, metrics and traces around
// that; none of it is here.
//
//	flagdcore 127.0.0.1:8016 flags.json
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/service/ofrep"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: flagdcore ADDRESS FILE")
		os.Exit(64)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "flagdcore:", err)
		os.Exit(1)
	}
}

func serve(addr, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	log := logger.NewLogger(zap.NewNop(), false)
	flags, err := store.NewStore(log, []string{file})
	if err != nil {
		return err
	}
	e := evaluator.NewJSON(log, flags)
	if err := e.SetState(sync.DataSync{FlagData: string(text), Source: file}); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ofrep/v1/evaluate/flags/{key}", func(w http.ResponseWriter, r *http.Request) {
		if ec, ok := read(w, r); ok {
			value := e.ResolveAsAnyValue(r.Context(), "", r.PathValue("key"), ec)
			if value.Error != nil {
				status, body := ofrep.EvaluationErrorResponseFrom(value)
				write(w, status, body)
				return
			}
			write(w, http.StatusOK, ofrep.SuccessResponseFrom(value))
		}
	})
	mux.HandleFunc("POST /ofrep/v1/evaluate/flags", func(w http.ResponseWriter, r *http.Request) {
		if ec, ok := read(w, r); ok {
			values, metadata, err := e.ResolveAllValues(context.WithoutCancel(r.Context()), "", ec)
			if err != nil {
				write(w, http.StatusInternalServerError, ofrep.InternalError{})
				return
			}
			write(w, http.StatusOK, ofrep.BulkEvaluationResponseFrom(values, metadata))
		}
	})
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

func read(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	var request ofrep.Request
	err := json.NewDecoder(r.Body).Decode(&request)
	ec, ok := request.Context.(map[string]any)
	if err != nil || !ok {
		write(w, http.StatusBadRequest, ofrep.BulkEvaluationContextError())
		return nil, false
	}
	return ec, true
}

func write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
