package webhook_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestInboxConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*webhook.Config)
		want   []string
	}{
		"nothing but a store":                {func(*webhook.Config) {}, nil},
		"no store":                           {func(c *webhook.Config) { c.Inbox.Store = nil }, []string{"Inbox.Store"}},
		"no verifier either":                 {func(c *webhook.Config) { c.Inbox.Store, c.Verifier = nil, nil }, []string{"Verifier", "Inbox.Store"}},
		"an order by the body's digest":      {func(c *webhook.Config) { c.Inbox.Order = "body" }, []string{"Inbox.Order"}},
		"an order from nowhere":              {func(c *webhook.Config) { c.Inbox.Order = "header:" }, []string{"Inbox.Order"}},
		"fewer attempts than one":            {func(c *webhook.Config) { c.Inbox.MaxAttempts = -1 }, []string{"Inbox.MaxAttempts"}},
		"attempts without end":               {func(c *webhook.Config) { c.Inbox.MaxAttempts = 100_001 }, []string{"Inbox.MaxAttempts"}},
		"an age below a second":              {func(c *webhook.Config) { c.Inbox.MaxAge = time.Millisecond }, []string{"Inbox.MaxAge"}},
		"an age of years":                    {func(c *webhook.Config) { c.Inbox.MaxAge = 8761 * time.Hour }, []string{"Inbox.MaxAge"}},
		"a negative pause":                   {func(c *webhook.Config) { c.Inbox.FirstRetry = -1 }, []string{"Inbox.FirstRetry"}},
		"pauses that get shorter":            {func(c *webhook.Config) { c.Inbox.FirstRetry, c.Inbox.LongestRetry = time.Minute, time.Second }, []string{"Inbox.LongestRetry"}},
		"a first pause above the usual last": {func(c *webhook.Config) { c.Inbox.FirstRetry = 2 * time.Hour }, nil},
		"pauses of days":                     {func(c *webhook.Config) { c.Inbox.LongestRetry = 25 * time.Hour }, []string{"Inbox.LongestRetry"}},
		"nobody at work":                     {func(c *webhook.Config) { c.Inbox.Concurrency = -1 }, []string{"Inbox.Concurrency"}},
		"too many at work":                   {func(c *webhook.Config) { c.Inbox.Concurrency = 1001 }, []string{"Inbox.Concurrency"}},
		"a timeout of hours":                 {func(c *webhook.Config) { c.Inbox.Timeout = 2 * time.Hour }, []string{"Inbox.Timeout"}},
		"a timeout above the provider's deadline, which is not that of an attempt": {func(c *webhook.Config) {
			c.Verifier, c.Inbox.Timeout = newVerifier(t, webhook.VerifierConfig{Provider: "slack", Secrets: []string{"s"}}), time.Minute
		}, nil},
		"Discord, whose every answer is used": {func(c *webhook.Config) { c.Verifier = newVerifier(t, signings()["discord"].verify) }, []string{"Inbox"}},
		"several problems at once": {func(c *webhook.Config) {
			c.Route, c.Inbox.Order, c.Inbox.MaxAge, c.Inbox.Concurrency = "", "x", -1, -1
		}, []string{"Route", "Inbox.Order", "Inbox.MaxAge", "Inbox.Concurrency"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := webhook.Config{Route: "stripe", Verifier: stripeVerifier(t), Inbox: &webhook.InboxConfig{Store: newFakeInbox()}}
			tt.change(&cfg)
			_, err := webhook.New(cfg)
			if err == nil && tt.want == nil {
				return
			}
			if got := fieldsOf(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("problems in %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAnAttemptMayTakeLongerThanTheProviderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := signings()["slack"]
		m, inbox, _ := inboxed(t, func(c *webhook.Config) {
			c.Route, c.Verifier = "slack", newVerifier(t, s.verify)
			c.Now = func() time.Time { return time.Unix(1795161600, 0) }
		})
		s.m.Now = time.Unix(1795161600, 0)
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(string(s.m.Body)))
		r.Header = signedMessage(t, s.sign, s.m).Header
		answerIs(t, serve(m.Wrap(uncalled(t)), r), 200, `{"status":"accepted"}`, "accepted")
		stop := delivering(t, m, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			deadline, ok := r.Context().Deadline()
			if left := time.Until(deadline); !ok || left != 20*time.Second {
				t.Errorf("%v left", left)
			}
			time.Sleep(15 * time.Second)
		}))
		time.Sleep(20 * time.Second)
		stop()
		recordIs(t, inbox, "slack/e-1", webhook.StateDone, 1, false)
	})
}

// What has no id, such as a command of Slack, is answered by the handler itself.
func TestWhatCannotWaitIsPassedThrough(t *testing.T) {
	for name, body := range map[string]string{
		"a command":   "command=%2Fdeploy",
		"a challenge": `{"type":"url_verification","challenge":"abc"}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := signings()["slack"]
			m, inbox, ev := inboxed(t, func(c *webhook.Config) { c.Route, c.Verifier = "slack", newVerifier(t, s.verify) })
			for range 2 {
				r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
				webhooktest.Sign(t, s.sign, r)
				answerIs(t, serve(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("abc")) })), r), 200, "abc", "processed")
			}
			if inbox.puts != 0 || ev.last(t).Outcome != webhook.OutcomeProcessed || ev.last(t).Inbox {
				t.Errorf("%d puts, event %+v", inbox.puts, ev.last(t))
			}
		})
	}
}

// TestSignaturesAreMadeAnew delivers two days late, to a handler that verifies
// again.
func TestSignaturesAreMadeAnew(t *testing.T) {
	signedAt := time.Unix(1795161600, 0)
	for name, s := range signings() {
		for mode, fresh := range map[string]bool{"fresh": true, "forward": false} {
			t.Run(name+", "+mode, func(t *testing.T) {
				if s.verify.Provider == "discord" || fresh && webhook.CanSignFresh(s.verify) != nil {
					t.Skip("not for this provider, see TestWhoCannotBeSignedAnew")
				}
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					now := func() time.Time { return signedAt.Add(time.Since(start)) }
					verifier := newVerifier(t, s.verify)
					m, inbox, _ := inboxed(t, func(c *webhook.Config) {
						c.Route, c.Verifier, c.Now = "hook", verifier, now
						if fresh {
							var err error
							if c.Inbox.Signer, err = webhook.NewSigner(s.verify); err != nil {
								t.Fatal(err)
							}
						}
					})
					s.m.Now = signedAt
					signed := signedMessage(t, s.sign, s.m)
					r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(string(signed.Body)))
					r.Header = signed.Header.Clone()
					answerIs(t, serve(m.Wrap(uncalled(t)), r), 200, `{"status":"accepted"}`, "accepted")
					for _, kept := range inbox.all {
						if kept.message != nil && fresh && kept.message.Header.Get("X-Gitlab-Token") != "" {
							t.Error("the secret token is kept")
						}
					}
					time.Sleep(48 * time.Hour)
					calls := 0
					stop := delivering(t, m, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						calls++
						got, err := verifier.Verify(webhook.Message{Header: r.Header, Body: s.m.Body, RawQuery: r.URL.RawQuery, Now: now()})
						switch {
						case s.dated && !fresh:
							if !errors.Is(err, webhook.ErrTimestampTooOld) {
								t.Errorf("%v, want too old", err)
							}
						case err != nil:
							t.Errorf("%v with %v", err, r.Header)
						case s.want.ID != "" && got.ID != s.want.ID && name != "gitlab, secret token":
							t.Errorf("id %q, want %q", got.ID, s.want.ID)
						}
						extra := r.Header.Clone()
						maps.DeleteFunc(extra, func(name string, _ []string) bool {
							_, ok := signed.Header[name]
							return ok || name == "Idempotency-Key" || strings.HasPrefix(name, "Handrail-")
						})
						if len(extra) > 0 {
							t.Errorf("headers that the provider did not send: %v", extra)
						}
					}))
					synctest.Wait()
					stop()
					if calls != 1 {
						t.Errorf("%d calls", calls)
					}
				})
			})
		}
	}
}

// A message that turns out not to be signable was never written.
func TestWhatCannotBeSignedIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, err := webhook.NewSigner(signings()["twilio"].sign)
		if err != nil {
			t.Fatal(err)
		}
		m, inbox, ev := inboxed(t, func(c *webhook.Config) { c.Inbox.Signer = signer })
		put(t, m, stripeBody)
		stop := delivering(t, m, uncalled(t))
		synctest.Wait()
		stop()
		if r := inbox.stripe(); r.State != webhook.StateRetry || r.MaybeProcessed || r.failure.Reason != "upstream_unreachable" {
			t.Errorf("%+v after %+v", r.Record, r.failure)
		}
		if e := ev.last(t); e.Outcome != webhook.OutcomeNotWritten || !errors.Is(e.Err, webhook.ErrNotSignable) {
			t.Errorf("event %+v", e)
		}
	})
}

func TestAMessageOfSvixIsSignedAsOne(t *testing.T) {
	cfg := signings()["standard"].sign
	m := signedMessage(t, cfg, webhook.Message{Body: []byte("{}"), Header: http.Header{"Svix-Id": {"h-1"}}})
	if got := slices.Sorted(maps.Keys(m.Header)); !slices.Equal(got, []string{"Svix-Id", "Svix-Signature", "Svix-Timestamp"}) {
		t.Errorf("headers %v", got)
	}
	if got, err := newVerifier(t, cfg).Verify(m); err != nil || got.ID != "h-1" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhoCannotBeSignedAnew(t *testing.T) {
	const public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	for name, tt := range map[string]struct {
		cfg   webhook.VerifierConfig
		field string
	}{
		"discord signs with a key of its own":   {signings()["discord"].verify, "Provider"},
		"sendgrid too":                          {signings()["sendgrid"].verify, "Provider"},
		"linear says its time in the body":      {signings()["linear"].verify, "Provider"},
		"a public key of Standard Webhooks":     {signings()["standard, ed25519, svix"].verify, "Secrets[0]"},
		"such a key beside a secret":            {webhook.VerifierConfig{Provider: "standard", Secrets: []string{"whsec_c2VjcmV0", public}}, "Secrets[1]"},
		"a secret of Standard Webhooks is fine": {signings()["standard"].verify, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := webhook.CanSignFresh(tt.cfg)
			var ce *webhook.ConfigError
			if errors.As(err, &ce) != (tt.field != "") || ce != nil && (ce.Field != tt.field || strings.Contains(err.Error(), public)) {
				t.Errorf("%v, want a problem in %q", err, tt.field)
			}
		})
	}
	for name, s := range signings() {
		// Whoever verifies with a public key is found: it is not what signs.
		if asymmetric := !slices.Equal(s.verify.Secrets, s.sign.Secrets); asymmetric && webhook.CanSignFresh(s.verify) == nil {
			t.Errorf("%s can be signed anew with a public key", name)
		}
	}
}
