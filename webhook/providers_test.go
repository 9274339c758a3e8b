package webhook_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

func refused(t *testing.T, v webhook.Verifier, m webhook.Message, want ...error) {
	t.Helper()
	got, err := v.Verify(m)
	if got != (webhook.Verified{}) || !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		t.Errorf("Verify = %+v, %v; want %v", got, err, want)
	}
	if err == nil {
		return
	}
	if strings.Contains(err.Error(), "secret") || len(err.Error()) > 80 {
		t.Errorf("error %q tells too much", err)
	}
}

func (s signing) signed(t testing.TB) webhook.Message {
	t.Helper()
	return signedMessage(t, s.sign, s.m)
}

// at is the message signed at another time.
func (s signing) at(t testing.TB, d time.Duration) webhook.Message {
	t.Helper()
	s.m.Now = signedAt.Add(d)
	m := s.signed(t)
	if s.verify.Provider == "linear" { // its time is the body's: the clock moves instead
		m.Now = signedAt.Add(-d)
	}
	return m
}

func TestEveryProvider(t *testing.T) {
	for name, s := range signings() {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, s.verify)
			header := func(change func(http.Header)) webhook.Message {
				m := s.signed(t)
				change(m.Header)
				return m
			}
			t.Run("takes what its signer signs", func(t *testing.T) {
				got, err := v.Verify(s.signed(t))
				if s.verify.Provider == "sendgrid" && strings.HasPrefix(got.ID, "body-") {
					got.ID = ""
				}
				if err != nil || got != s.want {
					t.Errorf("Verify = %+v, %v; want %+v", got, err, s.want)
				}
			})
			t.Run("knows which secret it was", func(t *testing.T) {
				cfg := s.verify
				cfg.Secrets = []string{s.other, s.verify.Secrets[0]}
				got, err := newVerifier(t, cfg).Verify(s.signed(t))
				if err != nil || got.SecretIndex != 1 {
					t.Errorf("Verify = %+v, %v", got, err)
				}
			})
			t.Run("refuses another secret", func(t *testing.T) {
				cfg := s.verify
				cfg.Secrets = []string{s.other}
				refused(t, newVerifier(t, cfg), s.signed(t), webhook.ErrSignatureMismatch)
			})
			t.Run("refuses another body", func(t *testing.T) {
				if s.signature == "X-Gitlab-Token" {
					t.Skip("a token covers no body")
				}
				for at := range s.m.Body {
					m := s.signed(t)
					m.Body = slices.Clone(m.Body)
					m.Body[at] ^= 1
					if _, err := v.Verify(m); err == nil {
						t.Errorf("byte %d changed", at)
					}
				}
				for _, body := range [][]byte{nil, s.m.Body[:len(s.m.Body)-1], append(slices.Clone(s.m.Body), '\n')} {
					m := s.signed(t)
					m.Body = body
					refused(t, v, m, webhook.ErrSignatureMismatch)
				}
			})
			t.Run("takes an empty body", func(t *testing.T) {
				if s.verify.Provider == "linear" {
					t.Skip("its time stands in the body")
				}
				s := s
				s.m.Body = nil
				if _, err := v.Verify(s.signed(t)); err != nil {
					t.Error(err)
				}
			})
			t.Run("refuses a missing signature", func(t *testing.T) {
				refused(t, v, header(func(h http.Header) { delete(h, s.signature) }), webhook.ErrNoSignature)
				refused(t, v, header(func(h http.Header) { h[s.signature] = []string{""} }), webhook.ErrNoSignature)
				refused(t, v, webhook.Message{Body: s.m.Body, Now: signedAt}, webhook.ErrNoSignature)
			})
			t.Run("refuses two headers", func(t *testing.T) {
				refused(t, v, header(func(h http.Header) { h[s.signature] = append(h[s.signature], h[s.signature][0]) }), webhook.ErrMalformedSignature)
			})
			t.Run("refuses every shorter signature", func(t *testing.T) {
				whole := s.signed(t).Header.Get(s.signature)
				for n := range whole {
					m := header(func(h http.Header) { h[s.signature] = []string{whole[:n]} })
					if _, err := v.Verify(m); err == nil && strings.TrimRight(whole, "=") != whole[:n] {
						t.Errorf("%q is enough of %q", whole[:n], whole)
					}
				}
			})
			t.Run("refuses every other signature", func(t *testing.T) {
				whole := strings.TrimRight(s.signed(t).Header.Get(s.signature), "=")
				for at := range len(whole) - 1 { // the last digit of base64 may have bits to spare
					other := []byte(whole)
					other[at] ^= 1
					m := header(func(h http.Header) { h[s.signature] = []string{string(other)} })
					if _, err := v.Verify(m); err == nil {
						t.Errorf("%q passes for %q", other, whole)
					}
				}
			})
			t.Run("refuses what is no signature", func(t *testing.T) {
				for _, text := range []string{"x", "sha256=zz", "v0=", "v1,", "v1a,AAAA", ",", " ", "=", "\x00", strings.Repeat("A", 88), strings.Repeat("f", 128), strings.Repeat("é", 22), strings.Repeat("x", 5000), strings.Repeat("v1,", 1000)} {
					refused(t, v, header(func(h http.Header) { h[s.signature] = []string{text} }), webhook.ErrMalformedSignature, webhook.ErrSignatureMismatch, webhook.ErrNoSignature)
				}
			})
			t.Run("refuses headers of any length", func(t *testing.T) {
				refused(t, v, header(func(h http.Header) { h[s.signature][0] += strings.Repeat(" ", 4096) }), webhook.ErrMalformedSignature)
			})
			if s.dated {
				s.testTimes(t, v)
			}
		})
	}
}

func (s signing) testTimes(t *testing.T, v webhook.Verifier) {
	t.Helper()
	tolerance := v.Provider().Tolerance
	if s.verify.Provider != "hmac" {
		p, _ := webhook.ProviderNamed(s.verify.Provider)
		if p.Tolerance != tolerance {
			t.Errorf("tolerance %v, in the table %v", tolerance, p.Tolerance)
		}
	}
	t.Run("takes what is exactly as old, or as far ahead, as tolerated", func(t *testing.T) {
		for _, d := range []time.Duration{-tolerance, tolerance} {
			if _, err := v.Verify(s.at(t, d)); err != nil {
				t.Errorf("%v: %v", d, err)
			}
		}
	})
	t.Run("refuses stale and future times", func(t *testing.T) {
		refused(t, v, s.at(t, -tolerance-time.Second), webhook.ErrTimestampTooOld)
		refused(t, v, s.at(t, tolerance+time.Second), webhook.ErrTimestampInFuture)
	})
	t.Run("judges the signature before the age", func(t *testing.T) {
		cfg := s.verify
		cfg.Secrets = []string{s.other}
		refused(t, newVerifier(t, cfg), s.at(t, -48*time.Hour), webhook.ErrSignatureMismatch)
	})
	t.Run("has a tolerance that can be set", func(t *testing.T) {
		cfg := s.verify
		cfg.Tolerance = 2 * time.Hour
		v := newVerifier(t, cfg)
		if _, err := v.Verify(s.at(t, -2*time.Hour)); err != nil {
			t.Error(err)
		}
		refused(t, v, s.at(t, -2*time.Hour-time.Second), webhook.ErrTimestampTooOld)
	})
	t.Run("takes the clock when it is told no time", func(t *testing.T) {
		m := s.signed(t)
		m.Now = time.Time{}
		if _, err := v.Verify(m); time.Since(signedAt).Abs() > 25*time.Hour && !errors.Is(err, webhook.ErrTimestamp) {
			t.Error(err)
		}
	})
	if s.verify.Provider == "linear" || s.signature == "Stripe-Signature" || s.signature == "Paddle-Signature" {
		return // the time is part of the body, or of the signature's header
	}
	t.Run("refuses a time that is missing, doubled or changed", func(t *testing.T) {
		m := s.signed(t)
		name := ""
		for n, values := range m.Header {
			if n != s.signature && values[0] == "1795161600" {
				name = n
			}
		}
		for _, values := range [][]string{nil, {""}, {"1795161600", "1795161600"}, {"1795161601"}, {"01795161600"}, {"+1795161600"}, {"1795161600 "}, {"1795161600.0"}, {"-1"}, {"0"}, {"x"}, {"99999999999999999999"}} {
			m.Header[name] = values
			refused(t, v, m, webhook.ErrMalformedSignature, webhook.ErrSignatureMismatch)
		}
	})
}

func TestTheTableOfProviders(t *testing.T) {
	all := webhook.Providers()
	tested := map[string]bool{}
	for _, s := range signings() {
		tested[s.verify.Provider] = true
	}
	for _, p := range all {
		if !tested[p.Name] {
			t.Errorf("%s has no test", p.Name)
		}
		if p.Timeout <= 0 || p.Deadline > 0 && p.Timeout >= p.Deadline {
			t.Errorf("%s: timeout %v is not below its deadline %v", p.Name, p.Timeout, p.Deadline)
		}
		if p.RetryHorizon > 168*time.Hour {
			t.Errorf("%s: the default retention is below %v", p.Name, p.RetryHorizon)
		}
		if p.Signed == "" || p.Name != "hmac" && !strings.HasPrefix(p.Docs, "https://") {
			t.Errorf("%s: signed %q, documented at %q", p.Name, p.Signed, p.Docs)
		}
		if got, ok := webhook.ProviderNamed(p.Name); !ok || got != p {
			t.Errorf("ProviderNamed(%q) = %+v", p.Name, got)
		}
	}
	if len(all) != 13 || len(tested) != len(all) {
		t.Errorf("%d providers, %v tested", len(all), slices.Sorted(maps.Keys(tested)))
	}
	if _, ok := webhook.ProviderNamed("nobody"); ok {
		t.Error("nobody is a provider")
	}
}
