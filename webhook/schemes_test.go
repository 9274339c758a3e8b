package webhook_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

func TestSecretsHaveAForm(t *testing.T) {
	seed := strings.Repeat("ab", 32)
	const p384 = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEqofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3NhfeSpYmLG9dnpi/kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f"
	for name, tt := range map[string]struct {
		provider, secret, signing string
	}{
		"standard: no prefix":                 {"standard", "c2VjcmV0", "c2VjcmV0"},
		"standard: nothing after the prefix":  {"standard", "whsec_", "whsec_"},
		"standard: not base64":                {"standard", "whsec_not base64", "whsk_%"},
		"standard: a public key of 31 bytes":  {"standard", "whpk_" + strings.Repeat("A", 41), "whsk_" + strings.Repeat("A", 41)},
		"standard: the other half of the key": {"standard", "whsk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="},
		"standard: a key of another seed":     {"standard", "whpk_", "whsk_" + strings.Repeat("A", 86)},
		"gitlab: a signing token, not base64": {"gitlab", "whsec_***", "whsec_***"},
		"discord: not hexadecimal":            {"discord", strings.Repeat("xy", 32), strings.Repeat("xy", 32)},
		"discord: half a key":                 {"discord", seed[:32], seed[:32]},
		"discord: a seed and a foreign key":   {"discord", seed + seed, seed + seed},
		"sendgrid: not base64":                {"sendgrid", "?", "?"},
		"sendgrid: not DER":                   {"sendgrid", "AAAA", "AAAA"},
		"sendgrid: another curve":             {"sendgrid", p384, p384},
	} {
		t.Run(name, func(t *testing.T) {
			for _, secret := range []string{tt.secret, tt.signing} {
				cfg := webhook.VerifierConfig{Provider: tt.provider, Secrets: []string{secret}}
				var err error
				if secret == tt.secret {
					_, err = webhook.NewVerifier(cfg)
				} else {
					_, err = webhook.NewSigner(cfg)
				}
				if err == nil {
					t.Fatalf("%q is taken", secret)
				}
				if got := fieldsOf(t, err); !slices.Equal(got, []string{"Secrets[0]"}) {
					t.Errorf("problems in %v", got)
				}
				if strings.Contains(err.Error(), secret) && secret != "whsec_" && secret != "whpk_" && secret != "?" {
					t.Errorf("%q holds the secret", err)
				}
			}
		})
	}
}

func TestHMACConfig(t *testing.T) {
	good := webhook.HMACConfig{Header: "X-Sig", Algorithm: "sha256", Encoding: "hex"}
	for name, tt := range map[string]struct {
		change func(*webhook.HMACConfig)
		want   string
	}{
		"no header":                         {func(h *webhook.HMACConfig) { h.Header = "" }, "HMAC.Header"},
		"a header that is no token":         {func(h *webhook.HMACConfig) { h.Header = "X Sig" }, "HMAC.Header"},
		"no algorithm":                      {func(h *webhook.HMACConfig) { h.Algorithm = "" }, "HMAC.Algorithm"},
		"a broken algorithm":                {func(h *webhook.HMACConfig) { h.Algorithm = "md5" }, "HMAC.Algorithm"},
		"no encoding":                       {func(h *webhook.HMACConfig) { h.Encoding = "" }, "HMAC.Encoding"},
		"a prefix with a comma":             {func(h *webhook.HMACConfig) { h.Prefix = "v1," }, "HMAC.Prefix"},
		"no body":                           {func(h *webhook.HMACConfig) { h.Signed = "{timestamp:X-T}" }, "HMAC.Signed"},
		"the body twice":                    {func(h *webhook.HMACConfig) { h.Signed = "{body}.{body}" }, "HMAC.Signed"},
		"two timestamps":                    {func(h *webhook.HMACConfig) { h.Signed = "{timestamp:A}.{timestamp:B}.{body}" }, "HMAC.Signed"},
		"a header next to the body":         {func(h *webhook.HMACConfig) { h.Signed = "{header:X-Id}{body}" }, "HMAC.Signed"},
		"a header next to a time":           {func(h *webhook.HMACConfig) { h.Signed = "{body}.{timestamp:T}{header:X-Id}" }, "HMAC.Signed"},
		"the body next to a header":         {func(h *webhook.HMACConfig) { h.Signed = "{body}{header:X-Id}" }, "HMAC.Signed"},
		"a placeholder that is not known":   {func(h *webhook.HMACConfig) { h.Signed = "{body}{host}" }, "HMAC.Signed"},
		"a placeholder that does not end":   {func(h *webhook.HMACConfig) { h.Signed = "{body" }, "HMAC.Signed"},
		"a brace too many":                  {func(h *webhook.HMACConfig) { h.Signed = "{body}}{timestamp:T}" }, "HMAC.Signed"},
		"a header without a name":           {func(h *webhook.HMACConfig) { h.Signed = "{header:}.{body}" }, "HMAC.Signed"},
		"the URL, which needs a public one": {func(h *webhook.HMACConfig) { h.Signed = "{url}{body}" }, "HMAC.Signed"},
		"more parts than anybody needs":     {func(h *webhook.HMACConfig) { h.Signed = "{body}" + strings.Repeat(".{header:A}", 40) }, "HMAC.Signed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := good
			tt.change(&h)
			_, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: "hmac", Secrets: []string{"s"}, ID: "body", HMAC: h})
			if err == nil {
				t.Fatal("taken")
			}
			if got := fieldsOf(t, err); !slices.Equal(got, []string{tt.want}) {
				t.Errorf("problems in %v, want %s", got, tt.want)
			}
		})
	}
	_, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: "hmac", Secrets: []string{"s"}})
	if got := fieldsOf(t, err); !slices.Equal(got, []string{"ID", "HMAC.Header", "HMAC.Algorithm", "HMAC.Encoding"}) {
		t.Errorf("of an empty one: %v", got)
	}
	_, err = webhook.NewVerifier(webhook.VerifierConfig{Provider: "github", Secrets: []string{"s"}, HMAC: good, Tolerance: time.Minute})
	if got := fieldsOf(t, err); !slices.Equal(got, []string{"Tolerance", "HMAC"}) {
		t.Errorf("of another provider's: %v", got)
	}
}

func TestHMACTimesAreWrittenInThreeWays(t *testing.T) {
	cfg := webhook.VerifierConfig{
		Provider: "hmac", Secrets: []string{"s"}, ID: "body",
		HMAC: webhook.HMACConfig{Header: "X-Sig", Algorithm: "sha256", Encoding: "hex", Signed: "{header:X-Time}|{body}"},
	}
	dated := cfg
	dated.HMAC.Signed = "{timestamp:X-Time}|{body}"
	v := newVerifier(t, dated)
	for text, want := range map[string]error{
		"1795161600": nil, "1795161600000": nil, "1795161600999": nil,
		"2026-11-20T08:00:00Z": nil, "2026-11-20T09:00:00.5+01:00": nil,
		"1795165201": webhook.ErrTimestampInFuture, "1795161000000": webhook.ErrTimestampTooOld, "2026-11-20T08:00:00+01:00": webhook.ErrTimestampTooOld,
		"179516160": webhook.ErrMalformedSignature, "17951616000": webhook.ErrMalformedSignature, "0": webhook.ErrMalformedSignature,
		"2026-11-20 08:00:00": webhook.ErrMalformedSignature, "0001-01-01T00:00:00Z": webhook.ErrMalformedSignature,
	} {
		m := signedMessage(t, cfg, webhook.Message{Body: []byte("{}"), Header: http.Header{"X-Time": {text}}})
		if _, err := v.Verify(m); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// A part of a body must not pass for a header, nor the other way round.
func TestNothingMovesBetweenWhatIsSigned(t *testing.T) {
	cfg := webhook.VerifierConfig{
		Provider: "hmac", Secrets: []string{"s"}, ID: "header:X-Id",
		HMAC: webhook.HMACConfig{Header: "X-Sig", Algorithm: "sha256", Encoding: "hex", Signed: "{header:X-Id}.{body}"},
	}
	m := signedMessage(t, cfg, webhook.Message{Body: []byte("b.c"), Header: http.Header{"X-Id": {"a"}}})
	v := newVerifier(t, cfg)
	if got, err := v.Verify(m); err != nil || got.ID != "a" || !got.IDSigned {
		t.Errorf("%+v, %v; want a signed id", got, err)
	}
	m.Header["X-Id"], m.Body = []string{"a.b"}, []byte("c")
	refused(t, v, m, webhook.ErrMalformedSignature)

	standard := webhook.VerifierConfig{Provider: "standard", Secrets: []string{"whsec_c2VjcmV0"}}
	m = signedMessage(t, standard, webhook.Message{Body: []byte("x.1795161600.{}"), Header: http.Header{"Webhook-Id": {"a"}}})
	v = newVerifier(t, standard)
	if _, err := v.Verify(m); err != nil {
		t.Error(err)
	}
	m.Header["Webhook-Id"], m.Body = []string{"a.1795161600.x"}, []byte("{}")
	refused(t, v, m, webhook.ErrMalformedSignature)
	s, err := webhook.NewSigner(standard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(m); !errors.Is(err, webhook.ErrNotSignable) {
		t.Error(err)
	}
}

func TestStandardTakesOneFamilyOfHeaders(t *testing.T) {
	cfg := webhook.VerifierConfig{Provider: "standard", Secrets: []string{"whsec_c2VjcmV0"}}
	v := newVerifier(t, cfg)
	m := signedMessage(t, cfg, webhook.Message{Body: []byte("{}"), Header: http.Header{"Webhook-Id": {"a"}}})
	signature := m.Header.Get("Webhook-Signature")
	for _, list := range []string{"v1,AAAA " + signature, signature + " v2,x", "v1a,zz  " + signature, strings.Repeat("v9,x ", 20) + signature} {
		m.Header.Set("Webhook-Signature", list)
		if got, err := v.Verify(m); err != nil || got.ID != "a" {
			t.Errorf("%q: %v", list, err)
		}
	}
	m.Header.Set("Webhook-Signature", strings.Repeat(signature+" ", 17))
	refused(t, v, m, webhook.ErrMalformedSignature)
	m.Header.Set("Webhook-Signature", signature)
	// The id of the other family must not count.
	m.Header.Set("Svix-Id", "b")
	if got, err := v.Verify(m); err != nil || got.ID != "a" {
		t.Errorf("%+v, %v", got, err)
	}
	both := signedMessage(t, cfg, webhook.Message{Body: []byte("{}"), Header: http.Header{"Svix-Id": {"b"}}})
	maps.Copy(both.Header, m.Header)
	both.Header.Set("Svix-Id", "b")
	refused(t, v, both, webhook.ErrMalformedSignature)
	both.Header.Del("Webhook-Signature")
	if got, err := v.Verify(both); err != nil || got.ID != "b" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAsymmetricSignaturesAreFew(t *testing.T) {
	s := signings()["standard, ed25519, svix"]
	m := s.signed(t)
	one := m.Header.Get("Svix-Signature")
	m.Header.Set("Svix-Signature", one+" "+one+" "+one+" "+one)
	if _, err := newVerifier(t, s.verify).Verify(m); err != nil {
		t.Error(err)
	}
	m.Header.Set("Svix-Signature", m.Header.Get("Svix-Signature")+" "+one)
	refused(t, newVerifier(t, s.verify), m, webhook.ErrMalformedSignature)
}

func TestAConfiguredIDWinsOverASignedHeader(t *testing.T) {
	s := signings()["standard"]
	s.verify.ID = "json:/data/id"
	if got, err := newVerifier(t, s.verify).Verify(s.signed(t)); err != nil || got.ID != "d" || !got.IDSigned {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSignerChangesNothingOfTheMessage(t *testing.T) {
	for name, s := range signings() {
		signer, err := webhook.NewSigner(s.sign)
		if err != nil {
			t.Fatal(err)
		}
		before := s.m.Header.Clone()
		if _, err := signer.Sign(s.m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !maps.EqualFunc(before, s.m.Header, slices.Equal) {
			t.Errorf("%s: header %v was %v", name, s.m.Header, before)
		}
	}
}

func TestTwilioSortsParametersAndDropsRepetitions(t *testing.T) {
	s := signings()["twilio"]
	s.m.Body = []byte("b=2&a=1&b=1&b=2&c=")
	mac := hmac.New(sha1.New, []byte("secret"))
	mac.Write([]byte("https://example.com/hook" + "a1" + "b1" + "b2" + "c"))
	if got, want := s.signed(t).Header.Get("X-Twilio-Signature"), base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
}

func TestTwoQueriesAreTwoEvents(t *testing.T) {
	s := signings()["twilio"]
	v := newVerifier(t, s.verify)
	ids := map[string]bool{}
	for _, query := range []string{"", "a=1", "a=2"} {
		s.m.RawQuery = query
		m := s.signed(t)
		m.Header.Del("I-Twilio-Idempotency-Token")
		got, err := v.Verify(m)
		if err != nil {
			t.Error(err)
		}
		ids[got.ID] = true
	}
	if len(ids) != 3 {
		t.Errorf("ids %v", ids)
	}
}

func TestGitLabsSignatureNeverFallsBackToItsToken(t *testing.T) {
	both := webhook.VerifierConfig{Provider: "gitlab", Secrets: []string{"token", "whsec_c2VjcmV0"}}
	v := newVerifier(t, both)
	signed := webhook.VerifierConfig{Provider: "gitlab", Secrets: []string{"whsec_c2VjcmV0"}}
	m := signedMessage(t, signed, webhook.Message{Body: []byte("{}"), Header: http.Header{"Idempotency-Key": {"a"}}})
	m.Header.Set("X-Gitlab-Token", "token")
	if got, err := v.Verify(m); err != nil || got.SecretIndex != 1 || got.ID != "a" || !got.IDSigned {
		t.Errorf("%+v, %v", got, err)
	}
	m.Body = []byte("{ }")
	refused(t, v, m, webhook.ErrSignatureMismatch)
	m.Header.Del("Webhook-Signature")
	if got, err := v.Verify(m); err != nil || got.SecretIndex != 0 || got.ID != "a" || got.IDSigned {
		t.Errorf("%+v, %v", got, err)
	}
	m.Header.Del("X-Gitlab-Token")
	refused(t, v, m, webhook.ErrNoSignature)
	refused(t, newVerifier(t, signed), m, webhook.ErrNoSignature)
}

func TestWhatHasNoID(t *testing.T) {
	all := signings()
	for name, tt := range map[string]struct {
		signing, body string
		drop          string
		want          webhook.Verified
		digest        bool
	}{
		"a Slack command is not deduplicated":            {"slack", "command=%2Fx&text=", "", webhook.Verified{NotDeduplicated: true}, false},
		"Slack's challenge is not deduplicated":          {"slack", `{"type":"url_verification","challenge":"c"}`, "", webhook.Verified{NotDeduplicated: true, Type: "url_verification"}, false},
		"Discord's webhook events are not deduplicated":  {"discord", `{"version":1,"type":1,"event":{"type":"E"}}`, "", webhook.Verified{NotDeduplicated: true, Type: "E"}, false},
		"a delivery of GitHub without its id is refused": {"github", `{}`, "X-Github-Delivery", webhook.Verified{Type: "push"}, false},
		"one of Shopify, too":                            {"shopify", `{}`, "X-Shopify-Webhook-Id", webhook.Verified{Type: "orders/create", APIVersion: "2026-10"}, false},
		"Paddle's events have one":                       {"paddle", `{}`, "", webhook.Verified{IDSigned: true}, false},
		"Twilio's are told by their bytes":               {"twilio", `a=1`, "I-Twilio-Idempotency-Token", webhook.Verified{IDSigned: true}, true},
		"an older GitLab's are told by their bytes":      {"gitlab, secret token", `{}`, "Idempotency-Key", webhook.Verified{Type: "Push Hook"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := all[tt.signing]
			s.m.Body = []byte(tt.body)
			m := s.signed(t)
			m.Header.Del(tt.drop)
			got, err := newVerifier(t, s.verify).Verify(m)
			if tt.digest && strings.HasPrefix(got.ID, "body-") {
				got.ID = ""
			}
			if err != nil || got != tt.want {
				t.Errorf("Verify = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestTwilioJudgesTheBodyByItsKind(t *testing.T) {
	s := signings()["twilio"]
	v := newVerifier(t, s.verify)
	contentType := func(value string) webhook.Message {
		m := s.signed(t)
		m.Header.Set("Content-Type", value)
		return m
	}
	refused(t, v, contentType("application/json"), webhook.ErrSignatureMismatch)
	refused(t, v, contentType(""), webhook.ErrSignatureMismatch)
	if _, err := v.Verify(contentType("application/x-www-form-urlencoded; charset=UTF-8")); err != nil {
		t.Error(err)
	}
	m := s.signed(t)
	m.RawQuery = "x=1"
	refused(t, v, m, webhook.ErrSignatureMismatch)
	m.Body = []byte("b=2&a=1&b=1&c=%zz")
	refused(t, v, m, webhook.ErrSignatureMismatch)
	// A body of another kind needs its digest in the query.
	signer, err := webhook.NewSigner(s.sign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(webhook.Message{Body: []byte("{}")}); !errors.Is(err, webhook.ErrNotSignable) {
		t.Error(err)
	}
	const empty = "bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
	m = signedMessage(t, s.sign, webhook.Message{Body: []byte("{}"), RawQuery: empty})
	if got, err := v.Verify(m); err != nil || got.ID == "" {
		t.Errorf("%+v, %v", got, err)
	}
	m.Body = []byte("{ }")
	refused(t, v, m, webhook.ErrSignatureMismatch)
}

func TestPublicURLIsRequiredWhereItIsSigned(t *testing.T) {
	for _, provider := range []string{"square", "twilio"} {
		for _, public := range []string{"", "example.com/hook", "ftp://example.com/", "https:///hook", "https://example.com/hook?a=b", "https://example.com/#x", "https://exa mple.com/"} {
			_, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: provider, Secrets: []string{"s"}, PublicURL: public})
			if err == nil {
				t.Errorf("%s: %q is taken", provider, public)
			} else if got := fieldsOf(t, err); !slices.Equal(got, []string{"PublicURL"}) {
				t.Errorf("%s: %q: problems in %v", provider, public, got)
			}
		}
	}
}

func TestTheQueryOfTheRequestIsPartOfTheURL(t *testing.T) {
	s := signings()["square"]
	v := newVerifier(t, s.verify)
	s.m.RawQuery = "a=b"
	m := s.signed(t)
	if _, err := v.Verify(m); err != nil {
		t.Error(err)
	}
	m.RawQuery = ""
	refused(t, v, m, webhook.ErrSignatureMismatch)
}

// FuzzHeaders gives each provider headers and bodies that its signer did not
// make: none is valid, and none breaks anything.
func FuzzHeaders(f *testing.F) {
	all := signings()
	names := []string{}
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		m := all[name].signed(f)
		f.Add(uint8(i), m.Header.Get(all[name].signature), "1795161600", "a=b", m.Body[1:])
		f.Add(uint8(i), "t=1795161600,v1="+strings.Repeat("f", 64), "2026-11-20T08:00:00Z", "bodySHA256=", []byte("{"))
		f.Add(uint8(i), "v1,"+strings.Repeat("A", 43)+"= v1a,"+strings.Repeat("A", 88), "x", "%", []byte(nil))
		f.Add(uint8(i), "ts=1795161600;h1="+strings.Repeat("0", 64), "", ";", []byte("[]"))
	}
	f.Fuzz(func(t *testing.T, which uint8, signature, other, query string, body []byte) {
		s := all[names[int(which)%len(names)]]
		m := webhook.Message{Header: http.Header{s.signature: {signature}}, Body: body, RawQuery: query, Now: signedAt}
		for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Svix-Id", "Svix-Timestamp", "X-Time", "X-Id", "X-Slack-Request-Timestamp", "X-Signature-Timestamp", "X-Twilio-Email-Event-Webhook-Timestamp", "Content-Type"} {
			m.Header[name] = []string{other}
		}
		if got, err := newVerifier(t, s.verify).Verify(m); err == nil && s.signature != "X-Gitlab-Token" {
			valid := s.signed(t)
			if !slices.Equal(valid.Body, body) {
				t.Errorf("accepted: %+v", got)
			}
		}
	})
}

func TestLinearsBodiesSayTheirTime(t *testing.T) {
	s := signings()["linear"]
	v := newVerifier(t, s.verify)
	for _, body := range []string{``, `{}`, `[]`, `{"webhookTimestamp":"x"}`, `{"webhookTimestamp":-1795161600000}`, `{"webhookTimestamp":1.7951616e12}`, `{"webhookTimestamp":999999999999999999}`, `{"data":{"webhookTimestamp":1795161600000}}`} {
		s.m.Body = []byte(body)
		refused(t, v, s.signed(t), webhook.ErrTimestamp)
	}
}
