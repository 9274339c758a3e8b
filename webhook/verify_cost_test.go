package webhook_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // Twilio's
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"hash"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// bare judges a message's body by the provider's cryptography alone: a MAC under
// a secret that is at hand, or one signature. It parses, compares and reads
// nothing.
func (s signing) bare(t testing.TB) func(m webhook.Message) {
	t.Helper()
	mac := func(newHash func() hash.Hash) func(m webhook.Message) {
		return func(m webhook.Message) {
			h := hmac.New(newHash, []byte("secret"))
			h.Write(m.Body)
			h.Sum(nil)
		}
	}
	switch {
	case s.verify.Provider == "sendgrid":
		der, err := base64.StdEncoding.DecodeString(s.sign.Secrets[0])
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.ParseECPrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(s.m.Body)
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return func(m webhook.Message) {
			digest := sha256.Sum256(m.Body)
			ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature)
		}
	case s.verify.Provider == "discord" || s.signature == "Svix-Signature":
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signature := ed25519.Sign(private, nil)
		return func(m webhook.Message) { ed25519.Verify(public, m.Body, signature) }
	case s.verify.Provider == "twilio" || s.verify.HMAC.Algorithm == "sha1":
		return mac(sha1.New)
	case s.verify.HMAC.Algorithm == "sha512":
		return mac(sha512.New)
	}
	return mac(sha256.New)
}

// stripeEvents are events of 2 KiB whose id stands where few put it.
func stripeEvents(t testing.TB) map[string]signing {
	t.Helper()
	const line = `{"id":"il_1NG8Du2eZvKYlo2CUI79vXWy","object":"line_item","amount":1999,"currency":"usd","description":"1 × Gold plan (at $19.99 / month)","discountable":true,"livemode":false,"metadata":{},"period":{"end":1688681970,"start":1686089970},"plan":null,"proration":false,"quantity":1,"tax_rates":[],"type":"subscription"}`
	object := `{"object":"invoice","lines":[` + strings.Repeat(line+",", 4) + line + `]}`
	all := make(map[string]signing)
	for name, form := range map[string]string{
		"stripe, the id after a large object":    `{"data":%s,"id":"i-1","type":"t","pad":"%s"}`,
		"stripe, the type before a large object": `{"id":"i-1","type":"t","data":%s,"pad":"%s"}`,
	} {
		s := signings()["stripe"]
		s.m.Body = fmt.Appendf(nil, form, object, strings.Repeat("z", 2048-len(fmt.Sprintf(form, object, ""))))
		all[name] = s
	}
	return all
}

// TestCostBesideBareCryptography takes turns, so that whatever else runs slows all
// alike, and compares medians. It is run by hand, since a busy machine proves
// nothing: HANDRAIL_TEST_COST=1 go test -run CostBeside -v ./webhook
func TestCostBesideBareCryptography(t *testing.T) {
	if os.Getenv("HANDRAIL_TEST_COST") == "" {
		t.Skip("HANDRAIL_TEST_COST is not set: times are compared on a quiet machine only")
	}
	type contender struct {
		name        string
		bare, whole func()
		times       [2][]time.Duration
	}
	var all []*contender
	add := func(name string, s signing, m webhook.Message) {
		v, bare := newVerifier(t, s.verify), s.bare(t)
		all = append(all, &contender{name: name, bare: func() { bare(m) }, whole: func() {
			if _, err := v.Verify(m); err != nil {
				t.Fatal(err)
			}
		}})
	}
	for name, s := range signings() {
		add(name, s, s.of2KiB(t))
	}
	for name, s := range stripeEvents(t) {
		add(name, s, s.signed(t))
	}
	slices.SortFunc(all, func(a, b *contender) int { return strings.Compare(a.name, b.name) })
	const each = 20
	for range 300 {
		for _, c := range all {
			for i, run := range []func(){c.bare, c.whole} {
				began := time.Now()
				for range each {
					run()
				}
				c.times[i] = append(c.times[i], time.Since(began)/each)
			}
		}
	}
	for _, c := range all {
		for i := range c.times {
			slices.Sort(c.times[i])
		}
		median, quarter := len(c.times[0])/2, len(c.times[0])/4
		bare, whole := c.times[0][median], c.times[1][median]
		t.Logf("%-40s bare %8v  Verify %8v (%v–%v)  %.2f ×  %v allocations", c.name, bare, whole, c.times[1][quarter], c.times[1][3*quarter],
			float64(whole)/float64(bare), testing.AllocsPerRun(100, c.whole))
	}
}
