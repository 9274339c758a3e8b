package ratelimit

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
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
	var quotas, states []string
	for i := range list {
		res := &list[i]
		if res.outcome != Denied {
			continue
		}
		wait := res.decision.RetryAfter
		if res.policy.fixed {
			wait = res.policy.limit.Window
		}
		longest = max(longest, wait)
		if res.policy.ipOnly {
			quotas = append(quotas, res.policy.quota)
			states = append(states, fmt.Sprintf("%q;r=0;t=%d", res.policy.name, httpx.RetryAfterSeconds(wait)))
		}
	}
	if len(quotas) > 0 {
		w.Header().Set("RateLimit-Policy", strings.Join(quotas, ", "))
		w.Header().Set("RateLimit", strings.Join(states, ", "))
	}
	setRetryAfter(w, longest)
	httpx.WriteError(w, r, http.StatusTooManyRequests, "rate_limited")
}

func answerUnavailable(w http.ResponseWriter, r *http.Request) {
	setRetryAfter(w, unavailableRetry)
	httpx.WriteError(w, r, http.StatusServiceUnavailable, "rate_limiter_unavailable")
}

func setRetryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(httpx.RetryAfterSeconds(d)))
}
