package ratelimit

import (
	"net/http"
	"strconv"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

// unavailableRetry is how long a client is told to wait for the store.
const unavailableRetry = time.Second

// answerDenied answers 429 with the longest wait among the refusing policies.
// Quota is shown for policies by ip alone: that of an account's bucket would
// tell whether the account exists.
func answerDenied(w http.ResponseWriter, r *http.Request, list []reservation) {
	var longest time.Duration
	var quota string
	never := false
	var buf [128]byte
	state := buf[:0]
	for i := range list {
		res := &list[i]
		if res.outcome != Denied {
			continue
		}
		wait := res.decision.RetryAfter
		switch {
		case wait == 0: // it costs more than there ever is
			never = true
			continue
		case res.policy.fixed:
			wait = res.policy.limit.Window
		}
		longest = max(longest, wait)
		if !res.policy.ipOnly {
			continue
		}
		if quota == "" {
			quota = res.policy.quota
		} else {
			quota += ", " + res.policy.quota
			state = append(state, ", "...)
		}
		state = append(state, res.policy.state...)
		state = strconv.AppendInt(state, int64(httpx.RetryAfterSeconds(wait)), 10)
	}
	values := make([]string, 3) // one allocation for the values of all headers
	h := w.Header()
	if quota != "" {
		values[0], values[1] = quota, string(state)
		h["Ratelimit-Policy"], h["Ratelimit"] = values[0:1:1], values[1:2:2]
	}
	if !never {
		values[2] = strconv.Itoa(httpx.RetryAfterSeconds(longest))
		h["Retry-After"] = values[2:]
	}
	httpx.WriteError(w, r, http.StatusTooManyRequests, "rate_limited")
}

func answerDenyListed(w http.ResponseWriter, r *http.Request) {
	httpx.WriteError(w, r, http.StatusForbidden, "address_denied")
}

func answerUnavailable(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", strconv.Itoa(httpx.RetryAfterSeconds(unavailableRetry)))
	httpx.WriteError(w, r, http.StatusServiceUnavailable, "rate_limiter_unavailable")
}
