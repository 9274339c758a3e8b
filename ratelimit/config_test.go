package ratelimit_test

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
)

// fields lists the Field of every problem in err.
func fields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error %v is not a join", err)
	}
	var out []string
	for _, e := range joined.Unwrap() {
		bad, ok := errors.AsType[*ratelimit.ConfigError](e)
		if !ok {
			t.Fatalf("problem %v is a %T", e, e)
		}
		out = append(out, bad.Field)
	}
	return out
}

func TestEveryProblemOfAConfigAtOnce(t *testing.T) {
	_, err := ratelimit.New(ratelimit.Config{
		Namespace:       "a:b",
		ForwardedHeader: "X-Real-IP",
		TrustedProxies:  []string{"10.0.0.0/33", "nonsense"},
		Policies: []ratelimit.Policy{
			{
				Name: "a b", Methods: []string{"post", ""}, Paths: []string{"login", "/a/*b"},
				Key:        []string{"json:email", "form:", "header:", "cookie:a b", "header:Host", "address"},
				IPv6Prefix: 129, Limit: 513, Window: time.Microsecond,
				OnStoreError: "open", Mode: "dry", RetryAfter: "never", Allow: []string{"x", "y"},
			},
			{Name: "ok", Key: []string{"ip", "ip"}, IPv6Prefix: -1},
			{Name: "ok", Limit: 1, Window: time.Second},
		},
	})
	want := []string{
		"Namespace",
		"Policies[0].Name", "Policies[0].Limit", "Policies[0].Window",
		"Policies[0].Methods[0]", "Policies[0].Methods[1]", "Policies[0].Paths", "Policies[0].Paths",
		"Policies[0].IPv6Prefix",
		"Policies[0].Key[0]", "Policies[0].Key[1]", "Policies[0].Key[2]", "Policies[0].Key[3]", "Policies[0].Key[4]", "Policies[0].Key[5]",
		"Policies[0].Allow", "Policies[0].Allow", "Policies[0].OnStoreError", "Policies[0].Mode", "Policies[0].RetryAfter",
		"Policies[1].Limit", "Policies[1].Window", "Policies[1].IPv6Prefix", "Policies[1].Key[1]",
		"Policies[2].Name",
		"TrustedProxies", "TrustedProxies", "ForwardedHeader",
	}
	if diff := cmp.Diff(want, fields(t, err)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !strings.Contains(err.Error(), `ratelimit: Policies[0].Key[0]: "json:email": must be a JSON pointer to a value, as in json:/email or json:/user/id`) {
		t.Errorf("error %v", err)
	}
}

func TestTrustInEveryoneMustBeMeant(t *testing.T) {
	for _, everyone := range []string{"0.0.0.0/0", "::/0", "::ffff:0:0/96"} {
		cfg := ratelimit.Config{TrustedProxies: []string{"private", everyone}}
		if _, err := ratelimit.New(cfg); !cmp.Equal(fields(t, err), []string{"TrustedProxies"}) {
			t.Errorf("%s: error %v", everyone, err)
		}
		cfg.DangerouslyTrustAllProxies = true
		if _, err := ratelimit.New(cfg); err != nil {
			t.Errorf("%s, meant: %v", everyone, err)
		}
	}
	key := keyOf(t, ratelimit.Config{DangerouslyTrustAllProxies: true}, "ip")
	if key(from("203.0.113.7:1")) != key(with("X-Forwarded-For", "203.0.113.7")) {
		t.Error("DangerouslyTrustAllProxies believes nobody")
	}
}

func TestAuthPolicyIsValidAndOneOfManyMayBeChanged(t *testing.T) {
	p := ratelimit.AuthPolicy()
	p.Paths[0] = "/changed"
	again := ratelimit.AuthPolicy().Paths
	for _, path := range []string{"/login", "/api/*/auth/verify", "/login.*", "/api/auth/callback/credentials.*"} {
		if !slices.Contains(again, path) {
			t.Errorf("%s is missing in %v", path, again)
		}
	}
	if _, err := ratelimit.New(one(ratelimit.AuthPolicy())); err != nil {
		t.Error(err)
	}
}

func TestAuthPolicyCoversEverySuffix(t *testing.T) {
	p := ratelimit.AuthPolicy()
	p.Limit = 1
	for _, path := range []string{
		"/login.json", "/login.html", "/login.xml", "/login.x7", "/login.", "/LOGIN.a.b/", "/login.x;v=1", "/login%2ejson",
		"/api/auth/callback/credentials.js", "/api/v1/auth/verify.x", "/api/x.y/auth/login.z",
	} {
		a := newApp(t, one(p))
		for _, want := range []int{200, 429} {
			if got := a.do(httptest.NewRequest("POST", path, nil)).StatusCode; got != want {
				t.Errorf("%s: %d, want %d", path, got, want)
			}
		}
	}
	a := newApp(t, one(p))
	for _, path := range []string{"/loginx", "/login.json/x", "/x/login.json", "/login.css/../other"} {
		for range 2 {
			if got := a.do(httptest.NewRequest("POST", path, nil)).StatusCode; got != 200 {
				t.Errorf("%s: %d, want 200", path, got)
			}
		}
	}
}

func TestNegativeMaxKeysIsRefused(t *testing.T) {
	m, err := ratelimit.NewMemory(ratelimit.MemoryConfig{MaxKeys: -1})
	if m != nil || !cmp.Equal(fields(t, err), []string{"MaxKeys"}) {
		t.Errorf("%v, %v", m, err)
	}
}
