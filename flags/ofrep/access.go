package ofrep

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// admits reports whether r may ask. The comparison takes as long for any token
// of the same length.
func (h *Handler) admits(r *http.Request) bool {
	if len(h.tokens) == 0 {
		return true
	}
	scheme, bearer, _ := strings.Cut(lone(r.Header["Authorization"]), " ")
	if !strings.EqualFold(scheme, "bearer") {
		bearer = ""
	}
	return h.knows(strings.TrimSpace(bearer))|h.knows(lone(r.Header["X-Api-Key"])) == 1
}

// knows returns 1 for one of the tokens and 0 for anything else.
func (h *Handler) knows(token string) int {
	known, sum := 0, sha256.Sum256([]byte(token))
	for i := range h.tokens {
		known |= subtle.ConstantTimeCompare(sum[:], h.tokens[i][:])
	}
	return known
}

// lone is the value of a header that is there once.
func lone(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}
