package ratelimit_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
)

// An item of a structured field is a policy's name with its numbers.
type item struct {
	name    string
	numbers map[string]int64
}

// items reads a field as a list of structured fields (RFC 9651). The ones here
// are strings with integers as parameters.
func items(t *testing.T, h http.Header, field string) []item {
	t.Helper()
	if len(h[http.CanonicalHeaderKey(field)]) == 0 {
		return nil
	}
	list, err := httpsfv.UnmarshalList(h[http.CanonicalHeaderKey(field)])
	if err != nil {
		t.Fatalf("%s: %q: %v", field, h.Values(field), err)
	}
	var out []item
	for _, member := range list {
		found, ok := member.(httpsfv.Item)
		if !ok {
			t.Fatalf("%s: %q has a member that is no item", field, h.Values(field))
		}
		name, ok := found.Value.(string)
		if !ok {
			t.Fatalf("%s: %v is no string", field, found.Value)
		}
		next := item{name, map[string]int64{}}
		for _, key := range found.Params.Names() {
			value, _ := found.Params.Get(key)
			if next.numbers[key], ok = value.(int64); !ok {
				t.Fatalf("%s: %s=%v is no integer", field, key, value)
			}
		}
		out = append(out, next)
	}
	return out
}

func TestQuotaFieldsAreStructured(t *testing.T) {
	by := func(name string, limit int, window time.Duration, key ...string) ratelimit.Policy {
		return ratelimit.Policy{Name: name, Key: key, Limit: limit, Window: window}
	}
	numbers := func(name string, pairs ...any) item {
		it := item{name, map[string]int64{}}
		for i := 0; i < len(pairs); i += 2 {
			it.numbers[pairs[i].(string)] = int64(pairs[i+1].(int))
		}
		return it
	}
	for _, c := range []struct {
		rule           string
		policies       []ratelimit.Policy
		quota, current []item
		wait           int
	}{
		{
			"one policy by ip", []ratelimit.Policy{by("auth", 2, 10*time.Minute)},
			[]item{numbers("auth", "q", 2, "w", 600)}, []item{numbers("auth", "r", 0, "t", 600)}, 600,
		},
		{
			"times are whole seconds, rounded up", []ratelimit.Policy{by("a.B_c-1", 2, 1500*time.Millisecond)},
			[]item{numbers("a.B_c-1", "q", 2, "w", 2)}, []item{numbers("a.B_c-1", "r", 0, "t", 2)}, 2,
		},
		{
			"several policies by ip, of which two refuse",
			[]ratelimit.Policy{by("minute", 2, time.Minute), by("hour", 2, time.Hour), by("day", 3, 24*time.Hour)},
			[]item{numbers("minute", "q", 2, "w", 60), numbers("hour", "q", 2, "w", 3600)},
			[]item{numbers("minute", "r", 0, "t", 60), numbers("hour", "r", 0, "t", 3600)}, 3600,
		},
		{
			"that of an account stays untold",
			[]ratelimit.Policy{
				by("ip", 2, time.Minute), by("account", 2, time.Hour, "cookie:sid"), by("both", 2, time.Hour, "ip", "header:X-Account"),
			},
			[]item{numbers("ip", "q", 2, "w", 60)}, []item{numbers("ip", "r", 0, "t", 60)}, 3600,
		},
		{"no policy by ip refuses", []ratelimit.Policy{by("account", 2, time.Hour, "cookie:sid")}, nil, nil, 3600},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a := newApp(t, one(c.policies...))
			a.want(http.StatusOK, 2, asJSON(`{}`))
			resp := a.do(login(asJSON(`{}`)))
			if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != strconv.Itoa(c.wait) {
				t.Errorf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
			}
			for field, want := range map[string][]item{"RateLimit-Policy": c.quota, "RateLimit": c.current} {
				if diff := cmp.Diff(want, items(t, resp.Header, field), cmp.AllowUnexported(item{})); diff != "" {
					t.Errorf("%s: -want +got\n%s", field, diff)
				}
			}
		})
	}
}
