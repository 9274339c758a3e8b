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
	answer, err := ofrep.New(ofrep.Config{Client: s.flags, PublicOnly: true, Tokens: l.Flags.OFREP.Tokens})
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
// X-API-Key, and whether it is one that lets in for flags.
func (s *Sidecar) ofrepToken(r *http.Request, adminToken string) (sent, right bool) {
	if !isOFREP(r.URL.Path) {
		return false, false
	}
	token, sent := bearerToken(r)
	if keys := r.Header["X-Api-Key"]; !sent && len(keys) == 1 {
		token, sent = keys[0], true
	}
	right = sameToken(token, adminToken)
	for _, t := range s.current.Load().loaded.Flags.OFREP.Tokens {
		right = sameToken(token, t) || right
	}
	return sent, sent && right
}
