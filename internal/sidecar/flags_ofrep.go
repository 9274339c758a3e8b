package sidecar

import (
	"net/http"
	"strings"

	"github.com/handrail-go/handrail/flags/ofrep"
	"github.com/handrail-go/handrail/internal/httpx"
)

// Flags by the OpenFeature Remote Evaluation Protocol: all of them on the admin
// listener, and those marked public on the public one where that is configured.

func isOFREP(path string) bool {
	return path == ofrep.Path || strings.HasPrefix(path, ofrep.Path+"/")
}

// withOFREP answers in front of the app.
func (s *Sidecar) withOFREP(l *Loaded, next http.Handler) (http.Handler, error) {
	if s.flags == nil || !l.Flags.OFREP.Public {
		return next, nil
	}
	answer, err := ofrep.New(ofrep.Config{Client: s.flags, PublicOnly: true, Tokens: l.Flags.OFREP.PublicTokens})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOFREP(r.URL.Path) {
			answer.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

// adminOFREP answers operators' programs. Who may ask was decided before.
func (s *Sidecar) adminOFREP() http.Handler {
	if s.flags == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			httpx.WriteError(w, r, http.StatusNotFound, "no_flags")
		})
	}
	answer, err := ofrep.New(ofrep.Config{Client: s.flags})
	if err != nil {
		panic(err) // the client is there, and there is nothing else
	}
	return answer
}

// ofrepToken reports whether a request for flags brings a token, as bearer or
// X-API-Key, and whether one that it brings lets in for flags.
func (s *Sidecar) ofrepToken(r *http.Request, adminToken string) (sent, right bool) {
	if !isOFREP(r.URL.Path) {
		return false, false
	}
	known := append([]string{adminToken}, s.current.Load().loaded.Flags.OFREP.Tokens...)
	judge := func(token string) {
		sent = true
		for _, k := range known {
			right = sameToken(token, k) || right
		}
	}
	if token, ok := bearerToken(r); ok {
		judge(token)
	}
	for _, key := range r.Header["X-Api-Key"] {
		judge(key)
	}
	return sent, right
}

// fromPage reports whether a page in a browser asks, which is no program of an
// operator's.
func fromPage(r *http.Request) bool { return r.Header["Origin"] != nil }
