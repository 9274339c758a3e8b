package httpx_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
)

// quietServer serves handler; what the server logs of its mistakes is meant.
func quietServer(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// panicking is a source that aborts its handler.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic(http.ErrAbortHandler) }

// failing ends with an error of the connection.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// plain hides what its writer can do beyond http.ResponseWriter.
type plain struct{ http.ResponseWriter }

// unwrapping leads to the writer that it hides.
type unwrapping struct {
	http.ResponseWriter
	below http.ResponseWriter
}

func (u unwrapping) Unwrap() http.ResponseWriter { return u.below }

// brokenFlush writes the header and loses the connection.
type brokenFlush struct{ http.ResponseWriter }

func (b brokenFlush) FlushError() error {
	b.WriteHeader(http.StatusOK)
	return errors.New("broken pipe")
}
