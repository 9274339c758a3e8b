package ratelimit

import (
	"net/http"
	"slices"
	"time"
)

// OnStoreError says what happens to a request when the Limiter fails.
type OnStoreError string

// What a failing store leads to.
const (
	Local OnStoreError = "local" // Config.Fallback decides
	Deny  OnStoreError = "deny"  // 503
	Pass  OnStoreError = "allow" // the request passes uncounted
)

// Mode says whether a policy refuses.
type Mode string

// The modes of a Policy.
const (
	Enforce Mode = "enforce"
	Shadow  Mode = "shadow" // counts and tells, never refuses
)

// CountMode says which requests take a place for good.
type CountMode string

// What a Policy counts.
const (
	// Requests counts every request.
	Requests CountMode = "requests"

	// Failures counts what did not succeed. A place is taken before the handler
	// runs, so that no burst gets through while its answers are on their way, and
	// given back when the answer is a success: its status is one of
	// Policy.SuccessStatuses, or the handler said so by ReportSuccess or by the
	// response header Handrail-Outcome: success. That header is removed. Failure,
	// said in one of these ways, wins over all else. A status of 500 or more, a
	// handler that panics and a client that leaves keep the place taken.
	Failures CountMode = "failures"
)

// RetryAfterForm says what a refused client is told.
type RetryAfterForm string

// What Retry-After holds.
const (
	RetryExact RetryAfterForm = "exact" // the time until the next admission
	RetryFixed RetryAfterForm = "fixed" // always the window: tells nothing about earlier requests
)

// A Policy limits the requests that it matches, by subject.
type Policy struct {
	Name  string   // unique; 1 to 64 of A–Z a–z 0–9 . _ -; part of the store's key
	Paths []string // patterns with *, {name}, ** and name.*; empty means every path
	Exact bool     // match Paths case-sensitively, with trailing slash and ;params

	// Methods are in upper case, as in "POST"; empty means every method. GET is
	// HEAD as well. They match in any letter case, and a request matches as well whose
	// X-HTTP-Method-Override, X-HTTP-Method or X-Method-Override names one. A
	// _method in a form or a query is not looked at.
	Methods []string

	// Key is what a subject is made of: "ip", "header:NAME", "cookie:NAME",
	// "json:/POINTER" (RFC 6901, into a JSON body) and "form:FIELD" (of an
	// urlencoded or multipart form); several make one composite key, but for a
	// json: and a form: entry, which are one value. Empty means "ip" alone. A
	// header or cookie that is absent, empty or sent more than once counts as the
	// empty value, so that leaving it out or repeating it leads to one shared
	// subject, never past the limit. So does what frameworks may read differently,
	// in a cookie or a body: see the package's Bodies. Anybody can fill that
	// subject: see its Subjects. Cookie values are compared percent-decoded.
	Key        []string
	IPv6Prefix int // bits of an IPv6 address that make a subject; 0 means 64

	// MaxBodyBytes bounds what is read ahead of a body for a json or form key: 1
	// to 1 MiB; 0 means
	// DefaultMaxBodyBytes. A longer body is not refused, it counts as the
	// empty value. Each request may hold as much memory while it is served.
	MaxBodyBytes int64

	// Limit, Window, Algorithm and Burst are those of the Limit of this name, and
	// Lockout are its tiers.
	Limit     int           // 1 to MaxCount; 1 to MaxLargeCount by other algorithms
	Window    time.Duration // MinWindow to MaxWindow
	Algorithm Algorithm     // "" means SlidingWindow
	Burst     int           // of GCRA; 0 means Limit
	Lockout   []Tier        // of SlidingWindow, from mild to severe

	// Cost is how many admissions a request takes; less than 1 counts as 1. One
	// that costs more than the limit ever has is refused without Retry-After. Nil
	// means 1 each.
	Cost func(*http.Request) int

	Count           CountMode // "" means Requests
	SuccessStatuses []int     // with Failures at least one, from 200 to 399

	OnStoreError OnStoreError   // "" means Local
	Mode         Mode           // "" means Enforce
	RetryAfter   RetryAfterForm // "" means RetryExact

	// Allow lists networks (CIDR, address, "private", "loopback") whose clients
	// are neither counted nor refused, Deny those whose clients are always
	// refused, with 403. Deny wins.
	Allow []string
	Deny  []string
}

// AuthPolicy is the policy for credential endpoints: 8 POST requests in 10
// minutes by ip, on the paths where sign-in usually lives. Each path counts with
// any suffix too, as in /login.json: Rails and older Spring serve it by the same
// action, whatever it is.
func AuthPolicy() Policy {
	paths := []string{
		"/login", "/signin", "/sign-in",
		"/auth/login", "/auth/verify",
		"/api/login", "/api/auth/login", "/api/auth/verify",
		"/api/auth/callback/credentials",
		"/api/*/auth/login", "/api/*/auth/verify",
	}
	for _, path := range slices.Clip(paths) {
		paths = append(paths, path+".*")
	}
	return Policy{
		Name:    "auth",
		Methods: []string{http.MethodPost},
		Paths:   paths,
		Key:     []string{"ip"},
		Limit:   8,
		Window:  10 * time.Minute,
	}
}

// Config makes a Middleware.
type Config struct {
	Policies []Policy // every one that matches a request is applied; none means no limit

	// Limiter counts; nil means a Memory of its own. What it refuses is
	// remembered by a Cached, unless it is a Memory or a Cached itself.
	Limiter Limiter

	// Fallback decides for policies with OnStoreError Local while Limiter
	// fails. Every decision of Limiter is mirrored into it, so that it starts
	// warm: it adds at most Policy.Limit admissions of this instance to a
	// window, as long as it has not had to drive the subject out. Nil means a
	// Memory of its own; pass one to keep it across a change of configuration.
	// It is not used when Limiter is a Memory.
	Fallback *Memory

	// Replicas is how many instances share the Limiter. While it fails, each
	// admits its share of a limit only, rounded up. 0 means 1: each admits the
	// whole of it.
	Replicas int

	// Watch is told of the subjects that come and of those that are refused. Nil
	// means one of its own; pass one to keep it across a change of configuration.
	Watch *Watch

	// TrustedProxies are the networks (CIDR, address, "private", "loopback")
	// whose ForwardedHeader is believed. Empty means none: the peer's address
	// counts. A network that holds every address is refused.
	TrustedProxies []string

	// DangerouslyTrustAllProxies believes ForwardedHeader from anyone: every
	// client can then choose its own address, and with it its own limit.
	DangerouslyTrustAllProxies bool

	ForwardedHeader string // "X-Forwarded-For" or "Forwarded"; "" means X-Forwarded-For

	// KeySecret keys the digest of subjects (HMAC-SHA-256), so that a reader of
	// the store cannot test guesses against it. Empty means plain SHA-256. All
	// instances on one store need the same; a change starts every count anew.
	KeySecret []byte

	Namespace string // keeps services on one store apart, charset as Policy.Name; "" means "default"

	// OnEvent is told every outcome, on the request's goroutine; of a refund for
	// which the request does not wait, on another one. It must be safe for
	// concurrent use and must not block. Nil means nobody is told.
	OnEvent func(Event)

	// Now is the clock of a Memory or a Cached made here; nil means the
	// monotonic one of package time.
	Now func() time.Time
}
