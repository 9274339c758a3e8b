package ratelimit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/ratelimit"
)

// limited returns a middleware in front of nothing, and what answers.
func limited(t *testing.T, cfg ratelimit.Config) (*ratelimit.Middleware, func(status int, edit ...func(*http.Request))) {
	t.Helper()
	m, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return m, func(status int, edit ...func(*http.Request)) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, login(edit...))
		if w.Code != status {
			t.Fatalf("status %d, want %d", w.Code, status)
		}
	}
}

func sending(contentType, text string) func(*http.Request) {
	return func(r *http.Request) {
		b := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
		r.Body, r.ContentLength = b.Body, b.ContentLength
		r.Header.Set("Content-Type", contentType)
	}
}

func TestASubjectIsUnblockedByWhatItIsMadeOf(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		key     []string
		request []func(*http.Request)
		parts   map[string]string
	}{
		{"an address", []string{"ip"}, nil, map[string]string{"ip": "192.0.2.1"}},
		{"an IPv4 address in IPv6", []string{"ip"}, nil, map[string]string{"ip": "::ffff:192.0.2.1"}},
		{
			"an IPv6 address, whatever its last bits and its zone",
			[]string{"ip"},
			[]func(*http.Request){from("[2001:db8::1]:1")},
			map[string]string{"ip": "2001:db8::ffff%eth0"},
		},
		{
			"a header in another letter case, with blanks",
			[]string{"header:x-account"},
			[]func(*http.Request){with("X-Account", "Alice")},
			map[string]string{"header:x-account": " Alice\t"},
		},
		{"no header", []string{"header:X-Account"}, nil, map[string]string{"header:X-Account": ""}},
		{
			"a cookie, decoded",
			[]string{"cookie:session"},
			[]func(*http.Request){with("Cookie", "session=a%20b")},
			map[string]string{"cookie:session": "a b"},
		},
		{
			"a JSON value, in any letter case",
			[]string{"json:/email"},
			[]func(*http.Request){sending("application/json", `{"email":"Alice@example.com"}`)},
			map[string]string{"json:/email": "alice@EXAMPLE.com "},
		},
		{
			"a field of a form",
			[]string{"form:email"},
			[]func(*http.Request){sending("application/x-www-form-urlencoded", "email=alice%40example.com")},
			map[string]string{"form:email": "alice@example.com"},
		},
		{
			"a value of JSON or a form, by the name of the other",
			[]string{"json:/email", "form:user"},
			[]func(*http.Request){sending("application/json", `{"email":"alice"}`)},
			map[string]string{"form:user": "alice"},
		},
		{
			"a value of JSON or a form, by both names",
			[]string{"form:user", "json:/email"},
			[]func(*http.Request){sending("application/x-www-form-urlencoded", "user=alice")},
			map[string]string{"form:user": "alice", "json:/email": "ALICE"},
		},
		{
			"a value of JSON or a form, the other being empty",
			[]string{"ip", "json:/email", "form:user"},
			[]func(*http.Request){sending("application/json", `{"email":"alice"}`)},
			map[string]string{"ip": "192.0.2.1", "form:user": "", "json:/email": "alice"},
		},
		{
			"no value of JSON or a form",
			[]string{"json:/email", "form:user"},
			nil,
			map[string]string{"json:/email": ""},
		},
		{
			"several, in whatever order the key has them",
			[]string{"json:/email", "ip"},
			[]func(*http.Request){sending("application/json", `{"email":"alice"}`)},
			map[string]string{"ip": "192.0.2.1", "json:/email": "alice"},
		},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			watch, err := ratelimit.NewWatch(ratelimit.WatchConfig{})
			if err != nil {
				t.Fatal(err)
			}
			f := newFailing(t)
			for _, cfg := range []ratelimit.Config{
				{Limiter: f},
				{},
			} {
				cfg.Policies = []ratelimit.Policy{keyed("p", 1, tt.key...)}
				cfg.KeySecret, cfg.Watch = []byte("0123456789abcdef"), watch
				m, want := limited(t, cfg)
				want(200, tt.request...)
				want(429, tt.request...)
				id, err := m.SubjectID("p", tt.parts)
				if err != nil {
					t.Fatal(err)
				}
				if blocked := watch.Refused(); len(blocked) != 1 || blocked[0].ID != id {
					t.Errorf("listed %+v, want the ID %s", blocked, id)
				}
				if err := m.Unblock(t.Context(), "p", id); err != nil {
					t.Fatal(err)
				}
				if blocked := watch.Refused(); len(blocked) != 0 {
					t.Errorf("still listed: %+v", blocked)
				}
				want(200, tt.request...)
				want(429, tt.request...)
				_ = m.Unblock(t.Context(), "p", id)
			}
		})
	}
}

func TestWhatNamesNoSubject(t *testing.T) {
	m, _ := limited(t, one(keyed("p", 1, "ip", "header:X-Account")))
	both := map[string]string{"ip": "192.0.2.1", "header:X-Account": "a"}
	if _, err := m.SubjectID("q", both); !errors.Is(err, ratelimit.ErrNoPolicy) {
		t.Errorf("another policy: %v", err)
	}
	if err := m.Unblock(t.Context(), "q", strings.Repeat("a", 43)); !errors.Is(err, ratelimit.ErrNoPolicy) {
		t.Errorf("another policy: %v", err)
	}
	for rule, parts := range map[string]map[string]string{
		"nothing":                {},
		"a part is missing":      {"ip": "192.0.2.1"},
		"a part is too many":     {"ip": "192.0.2.1", "header:X-Account": "a", "header:X-Other": "b"},
		"an address that is not": {"ip": "nowhere", "header:X-Account": "a"},
	} {
		if _, err := m.SubjectID("p", parts); err == nil {
			t.Errorf("%s: taken", rule)
		} else if _, ok := errors.AsType[*ratelimit.SubjectError](err); !ok {
			t.Errorf("%s: %v", rule, err)
		}
	}
	m, _ = limited(t, one(keyed("p", 1, "json:/email", "form:user")))
	for rule, parts := range map[string]map[string]string{
		"nothing of a pair": {},
		"two values":        {"json:/email": "a", "form:user": "b"},
		"a part is no part": {"json:/email": "a", "form:email": "a"},
	} {
		if _, err := m.SubjectID("p", parts); err == nil {
			t.Errorf("%s: taken", rule)
		} else if _, ok := errors.AsType[*ratelimit.SubjectError](err); !ok || !strings.Contains(err.Error(), "json:/email or form:user") && len(parts) != 2 {
			t.Errorf("%s: %v", rule, err)
		}
	}
	for _, id := range []string{"", "short", strings.Repeat("a", 44), strings.Repeat("a", 42) + "}", strings.Repeat("a", 42) + "é"} {
		if _, ok := errors.AsType[*ratelimit.SubjectError](m.Unblock(t.Context(), "p", id)); !ok {
			t.Errorf("ID %q was taken", id)
		}
	}
}

func TestUnblockSaysWhenTheStoreDidNotHear(t *testing.T) {
	f := newFailing(t)
	cfg := one(keyed("p", 1, "ip"))
	cfg.Limiter = unresettable{f}
	m, want := limited(t, cfg)
	want(200)
	want(429)
	id, err := m.SubjectID("p", map[string]string{"ip": "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Unblock(t.Context(), "p", id); !errors.Is(err, errDown) {
		t.Errorf("error %v", err)
	}
	want(429)
}

type unresettable struct{ *failing }

func (unresettable) Reset(context.Context, string) error { return errDown }
