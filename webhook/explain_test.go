package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

func TestExplainNamesWhatWasDone(t *testing.T) {
	for what, d := range damages() {
		t.Run(what, func(t *testing.T) {
			n := 0
			for name, s := range signings() {
				if s.verify.Provider == "twilio" && d.sent != "" && strings.Contains(d.code, "form") || s.verify.Provider == "linear" && strings.Contains(d.sent, "=") {
					continue
				}
				m, cfg := s.sent(t, d.sent), s.verify
				cfg.Secrets, m.Header = slices.Clone(cfg.Secrets), m.Header.Clone()
				if !d.do(s, &cfg, &m) {
					continue
				}
				n++
				before := maps.Clone(m.Header)
				got, err := webhook.Explain(cfg, m)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if !has(got, d.code) || got.Valid != has(got, "valid") || len(got.Findings) == 0 {
					t.Errorf("%s: %+v", name, got)
				}
				if !maps.EqualFunc(before, m.Header, slices.Equal) {
					t.Errorf("%s: the message was changed", name)
				}
				tellsNothing(t, got, s, cfg, m)
			}
			if n == 0 {
				t.Error("applies to no provider")
			}
		})
	}
}

func has(e webhook.Explanation, code string) bool {
	return slices.ContainsFunc(e.Findings, func(f webhook.Finding) bool { return f.Code == code })
}

// tellsNothing holds an explanation to what it may say.
func tellsNothing(t *testing.T, e webhook.Explanation, s signing, cfg webhook.VerifierConfig, m webhook.Message) {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	secrets := slices.Concat(cfg.Secrets, s.sign.Secrets, m.Header[s.signature])
	for _, v := range secrets {
		v = strings.TrimSpace(v)
		if len(v) > 8 && strings.Contains(string(data), v[:8]) && !strings.HasPrefix(v, "https://") || len(v) > 3 && v != "secret" && v != "other" && strings.Contains(string(data), v) {
			t.Errorf("%s tells of %q", data, v)
		}
	}
	for _, piece := range []string{"Grü", "i-1", "e-1", "🙂", "webhookTimestamp\"", "1795161600"} {
		if strings.Contains(string(data), piece) {
			t.Errorf("%s tells %q of the message", data, piece)
		}
	}
}

func explain(t testing.TB, cfg webhook.VerifierConfig, m webhook.Message) webhook.Explanation {
	t.Helper()
	got, err := webhook.Explain(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestExplainSaysWhichSecret(t *testing.T) {
	for name, s := range signings() {
		cfg := s.verify
		cfg.Secrets = []string{s.other, s.verify.Secrets[0]}
		if got := explain(t, cfg, s.signed(t)); !got.Valid || got.SecretIndex != 1 || !has(got, "secret_not_first") {
			t.Errorf("%s: %+v", name, got)
		}
		if got := explain(t, s.verify, s.signed(t)); !got.Valid || got.SecretIndex != 0 || len(got.Findings) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestExplainFindsTwoChanges(t *testing.T) {
	all := signings()
	stripe, square, twilio := all["stripe"], all["square"], all["twilio"]
	quoted := stripe.verify
	quoted.Secrets = []string{"other", `"secret"`}
	m := stripe.signed(t)
	m.Body = append(bytes.Clone(m.Body), '\n')
	if got := explain(t, quoted, m); !has(got, "secret_quoted") || !has(got, "body_newline") || got.SecretIndex != 1 {
		t.Errorf("secret and body: %+v", got)
	}
	m = stripe.sent(t, indentedJSON)
	m.Body = []byte(plainJSON)
	m.Header.Set("Stripe-Signature", `"`+m.Header.Get("Stripe-Signature")+`"`)
	if got := explain(t, stripe.verify, m); !has(got, "header_value_changed") || !has(got, "json_reserialised") {
		t.Errorf("header and body: %+v", got)
	}
	cfg, m := square.verify, square.signed(t)
	cfg.PublicURL = "http://example.com/hook/"
	if got := explain(t, cfg, m); !has(got, "url_scheme") || !has(got, "url_slash") {
		t.Errorf("two parts of the URL: %+v", got)
	}
	cfg.PublicURL = "http://example.com/hook"
	m.Body = append(bytes.Clone(m.Body), '\n')
	if got := explain(t, cfg, m); !has(got, "url_scheme") || !has(got, "body_newline") {
		t.Errorf("URL and body: %+v", got)
	}
	cfg.Secrets, m.Body = []string{`"secret"`}, square.m.Body
	if got := explain(t, cfg, m); !has(got, "url_scheme") || !has(got, "secret_quoted") {
		t.Errorf("URL and secret: %+v", got)
	}
	twilio.m.Body = []byte("b=2&a=1+2")
	m = twilio.signed(t)
	m.Header.Set("Content-Type", "application/json")
	if got := explain(t, twilio.verify, m); !has(got, "content_type") {
		t.Errorf("a form that is called JSON: %+v", got)
	}
	m.Body = []byte(`{"b":"2","a":"1 2"}`)
	if got := explain(t, twilio.verify, m); !has(got, "form_parsed") {
		t.Errorf("a form that became JSON: %+v", got)
	}
	m = twilio.sent(t, plainJSON)
	m.RawQuery = ""
	if got := explain(t, twilio.verify, m); !has(got, "url_query") {
		t.Errorf("a digest that was dropped: %+v", got)
	}
}

func TestExplainKnowsOtherProviders(t *testing.T) {
	all := signings()
	for sent, from := range all {
		for configured, to := range all {
			if from.verify.Provider == to.verify.Provider || from.signature == "X-Sig" || from.signature == to.signature {
				continue
			}
			got := explain(t, to.verify, from.signed(t))
			want := "This looks like " + from.verify.Provider + "'s " + from.signature
			if from.signature == "Webhook-Signature" || from.signature == "Svix-Signature" {
				want = "This looks like standard's "
			}
			switch {
			case to.verify.Provider == "gitlab" && from.signature == "Webhook-Signature", to.verify.Provider == "standard" && strings.HasPrefix(sent, "gitlab, signing"):
			case got.Valid, !has(got, "other_provider"), !strings.HasPrefix(strings.ToLower(got.Findings[0].Text), strings.ToLower(want)):
				t.Errorf("%s to %s: %+v", sent, configured, got)
			}
		}
	}
}

func TestExplainKnowsKindsOfSecrets(t *testing.T) {
	all := signings()
	shared, public := all["standard"], all["standard, ed25519, svix"]
	token, signed := all["gitlab, secret token"], all["gitlab, signing token"]
	for name, tt := range map[string]struct{ from, to signing }{
		"a shared secret for a public key": {shared, public}, "a public key for a shared secret": {public, shared},
		"a token for a signature": {token, signed}, "a signature for a token": {signed, token},
	} {
		if got := explain(t, tt.to.verify, tt.from.signed(t)); !has(got, "secret_kind") || got.Valid {
			t.Errorf("%s: %+v", name, got)
		}
	}
	m := shared.signed(t)
	m.Header.Set("Svix-Signature", m.Header.Get("Webhook-Signature"))
	if got := explain(t, shared.verify, m); !has(got, "header_repeated") {
		t.Errorf("two families: %+v", got)
	}
	m = shared.signed(t)
	m.Header["Svix-Id"] = m.Header["Webhook-Id"]
	delete(m.Header, "Webhook-Id")
	if got := explain(t, shared.verify, m); !has(got, "header_renamed") {
		t.Errorf("a mixture: %+v", got)
	}
	m = shared.signed(t)
	m.Header.Set("Webhook-Id", "a.b")
	if got := explain(t, shared.verify, m); !has(got, "header_malformed") {
		t.Errorf("a full stop: %+v", got)
	}
	shared.m.Header = http.Header{"Webhook-Id": {"i-1"}}
	m = shared.signed(t)
	m.Header.Set("Webhook-Id", "req-1")
	if got := explain(t, shared.verify, m); !has(got, "header_value_changed") {
		t.Errorf("another id: %+v", got)
	}
}

func TestExplainTellsOfTimes(t *testing.T) {
	s := signings()["stripe"]
	for _, tt := range []struct {
		off        time.Duration
		code, says string
	}{
		{-5*time.Minute - 12*time.Second, "timestamp_in_future", "signed 5m12s after"},
		{8*time.Minute + 12*time.Second, "timestamp_too_old", "signed 8m12s before"},
		{2 * time.Hour, "timestamp_too_old", "off by whole hours"},
	} {
		m := s.signed(t)
		m.Now = signedAt.Add(tt.off)
		got := explain(t, s.verify, m)
		if f := got.Findings[0]; f.Code != tt.code || !strings.Contains(f.Text+f.Remedy, tt.says) || got.SecretIndex != 0 {
			t.Errorf("%v: %+v", tt.off, got)
		}
	}
	linear := signings()["linear"]
	for body, code := range map[string]string{
		`{"webhookTimestamp":1795161600}`:    "timestamp_unit", // seconds
		`{"webhookTimestamp":1795161600000}`: "valid",
		`{"webhookTimestamp":"x"}`:           "timestamp_missing",
	} {
		if got := explain(t, linear.verify, linear.sent(t, body)); !has(got, code) {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestExplainMissesTheID(t *testing.T) {
	s := signings()["github"]
	m := s.signed(t)
	m.Header.Del("X-Github-Delivery")
	if got := explain(t, s.verify, m); got.Valid || !has(got, "no_event_id") || got.SecretIndex != 0 {
		t.Errorf("%+v", got)
	}
	cfg := stripeBy("json:/data/object/id")
	m = signings()["stripe"].sent(t, plainJSON)
	cfg.Secrets = []string{"secret"}
	if got := explain(t, cfg, m); got.Valid || !has(got, "no_event_id") {
		t.Errorf("%+v", got)
	}
}

func TestExplainSaysWhatItTried(t *testing.T) {
	for name, s := range signings() {
		cfg := s.verify
		cfg.Secrets = []string{s.other}
		got := explain(t, cfg, s.signed(t))
		if got.Valid || got.SecretIndex != -1 || len(got.Tried) == 0 || got.Incomplete {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestExplainRefusesWhatAVerifierRefuses(t *testing.T) {
	if _, err := webhook.Explain(webhook.VerifierConfig{Provider: "stripe"}, webhook.Message{}); err == nil {
		t.Error("no secret is taken")
	} else if got := fieldsOf(t, err); !slices.Equal(got, []string{"Secrets"}) {
		t.Errorf("problems in %v", got)
	}
	cfg := webhook.VerifierConfig{Provider: "stripe", Secrets: []string{"secret"}}
	if _, err := webhook.Explain(cfg, webhook.Message{Body: make([]byte, 64<<20+1)}); !errors.Is(err, webhook.ErrMessageTooLarge) {
		t.Errorf("a byte too many: %v", err)
	}
	many := http.Header{}
	for i := range 40_000 {
		many["X-"+strconv.Itoa(i)] = []string{"x"}
	}
	for _, m := range []webhook.Message{{Header: many}, {RawQuery: strings.Repeat("x", 256<<10+1)}} {
		if _, err := webhook.Explain(cfg, m); !errors.Is(err, webhook.ErrMessageTooLarge) {
			t.Errorf("header or query without end: %v", err)
		}
	}
}

// Whatever a body is, an explanation costs so much and no more.
func TestExplainIsBounded(t *testing.T) {
	size, bomb := 1<<20, 96<<20
	if raceEnabled {
		size, bomb = 1<<15, 1<<20 // the race detector slows each byte down
	}
	s := signings()["github"]
	cfg := s.verify
	cfg.Secrets = []string{"a", "b"}
	for name, body := range map[string][]byte{
		"text":            bytes.Repeat([]byte("x"), size),
		"line ends":       bytes.Repeat([]byte("\n"), size),
		"brackets":        slices.Concat(bytes.Repeat([]byte("["), 9000), bytes.Repeat([]byte("1,"), size/2), []byte("1"), bytes.Repeat([]byte("]"), 9000)),
		"no brackets":     bytes.Repeat([]byte("["), size),
		"elements":        []byte("[" + strings.Repeat("1,", size/2) + "1]"),
		"escapes":         []byte(`["` + strings.Repeat("é", size/2) + `"]`),
		"quotes":          bytes.Repeat([]byte(`"`), size),
		"a bomb":          []byte(zipped(strings.Repeat("\x00", bomb))),
		"base64":          bytes.Repeat([]byte("A"), size),
		"a form":          bytes.Repeat([]byte("a=b&"), size/8),
		"bytes above 127": bytes.Repeat([]byte{0xE9}, size),
	} {
		m := s.signed(t)
		m.Body = body
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		got := explain(t, cfg, m)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if got.Valid || !has(got, "unexplained") {
			t.Errorf("%s: %+v", name, got)
		}
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("%-16s %8v, %5d MiB allocated, incomplete: %t", name, took.Round(time.Millisecond), allocated>>20, got.Incomplete)
		most := uint64(160 * size)
		if name == "a bomb" {
			most = uint64(6 * bomb)
		}
		if allocated > most && !raceEnabled { // which makes pools forget
			t.Errorf("%s: %d MiB were allocated", name, allocated>>20)
		}
	}
}

func FuzzExplain(f *testing.F) {
	all := signings()
	names := slices.Sorted(maps.Keys(all))
	for i := range names {
		f.Add(i, []byte(plainJSON), "1795161600", "a=b", "/x?y")
	}
	f.Add(0, []byte(`"{\"a\":1}"`), `"t=1,v1=x"`, "", "")
	f.Add(1, []byte("payload=%7B"), "sha256=00", "%", "host=a;host=b")
	f.Add(2, []byte(zipped("{}")), "v1,AAAA v1a,BBBB", "?x", "")
	f.Add(3, []byte(`[["\ud800",1e400,{"a":{"b":[]}}]]`), " ", "", "[::1]:443")
	f.Fuzz(func(t *testing.T, which int, body []byte, value, query, hint string) {
		s := all[names[max(which%len(names), 0)]]
		m := webhook.Message{Header: http.Header{}, Body: body, RawQuery: query, Now: signedAt}
		for _, name := range append(companions(s, http.Header{}), s.signature, "Content-Length", "Content-Encoding", "content-type") {
			m.Header[name] = []string{value}
		}
		for _, name := range []string{"X-Forwarded-Host", "Forwarded", "X-Original-Url", "X-Forwarded-Prefix", "X-Forwarded-Port"} {
			m.Header[name] = []string{hint}
		}
		copied := bytes.Clone(body)
		got, err := webhook.Explain(s.verify, m)
		if err != nil || len(got.Findings) == 0 || !bytes.Equal(copied, body) {
			t.Fatalf("%+v, %v", got, err)
		}
		verified, err := newVerifier(t, s.verify).Verify(m)
		if accepted := err == nil && (verified.ID != "" || verified.NotDeduplicated); accepted != got.Valid && m.Header.Get("content-type") == value {
			t.Fatalf("valid is %t, and Verify says %+v, %v", got.Valid, verified, err)
		}
	})
}
