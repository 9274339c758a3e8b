package redisstore_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/redisstore"
)

const done = "delivery 3 1 0 1795187946205 604800000 2xk9 "

var digest = strings.Repeat("0f", 32)

func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	for _, answer := range []string{" ", "x", "200", "200 ", "200 1 ", "200 x text", "200 -1 text", "200 4294967295 text", "99999999999999999999 0 "} {
		must(t, client.Set(t.Context(), s.Key("k"), done+digest+"\n"+answer, 0).Err())
		_, claimErr := s.Claim(t.Context(), "k", request)
		_, lookupErr := s.Lookup(t.Context(), "k")
		if claimErr == nil || lookupErr == nil {
			t.Errorf("%q: %v, %v; want errors", answer, claimErr, lookupErr)
		}
	}
}

func TestAClaimOfNoTimeIsAnError(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newStore(t, client)
	for _, req := range []webhook.ClaimRequest{{Lease: 1, Retention: 1e9}, {Lease: 1e9, Retention: 1}, {Lease: -1e9, Retention: 1e9}, {Lease: 1e9, Retention: -1e9}} {
		if c, err := s.Claim(t.Context(), "k", req); err == nil {
			t.Errorf("%+v: %+v, want an error", req, c)
		}
	}
	if n := client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys", n)
	}
}

func FuzzReadDelivery(f *testing.F) {
	f.Add("")
	f.Add(done + digest + "\n")
	f.Add(done + digest + "\n200 10 text/plain\x00\n")
	f.Add(done + digest + "\n200 9999 text/plain")
	f.Add("delivery 1 1 1 1 1 1 zz\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = redisstore.ReadDelivery(text)
		kept := &webhook.Answer{Status: len(text), ContentType: text[:len(text)/2]}
		if len(text) > 0 {
			kept.Body = []byte(text[len(text)/2:])
		}
		r, err := redisstore.ReadDelivery(done + digest + "\n" + redisstore.WriteAnswer(kept))
		if err != nil || !cmp.Equal(r.Answer, kept) {
			t.Errorf("%+v, %v; want %+v", r.Answer, err, kept)
		}
	})
}
