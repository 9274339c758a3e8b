package stripehook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"os"
	"slices"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"

	"github.com/handrail-go/handrail/webhook"
)

// TestCostBesideABareHMAC takes turns, so that whatever else runs slows all
// alike, and compares medians. It is run by hand, since a busy machine proves
// nothing: HANDRAIL_TEST_COST=1 go test -run Cost -v ./webhook/stripehook
func TestCostBesideABareHMAC(t *testing.T) {
	if os.Getenv("HANDRAIL_TEST_COST") == "" {
		t.Skip("HANDRAIL_TEST_COST is not set: times are compared on a quiet machine only")
	}
	body := []byte(event2KiB())
	at := time.Now()
	header := sign(string(body), secretA, at)
	v := verifier(t, secretA)
	good := webhook.Message{Header: message("", header).Header, Body: body, Now: at}
	forged := good
	forged.Header = message("", sign("another body", secretA, at)).Header
	contenders := []struct {
		name string
		run  func() bool
	}{
		{"bare HMAC", func() bool {
			mac := hmac.New(sha256.New, []byte(secretA))
			mac.Write(body)
			return len(mac.Sum(nil)) == sha256.Size
		}},
		{"Verify", func() bool { _, err := v.Verify(good); return err == nil }},
		{"Verify, forged", func() bool { _, err := v.Verify(forged); return err != nil }},
		{"stripe-go ValidatePayload", func() bool { return stripe.ValidatePayload(body, header, secretA) == nil }},
		{"stripe-go ConstructEvent", func() bool { _, err := stripe.ConstructEvent(body, header, secretA); return err == nil }},
	}
	times := make([][]time.Duration, len(contenders))
	for range 500 {
		for i, c := range contenders {
			start := time.Now()
			for range 50 {
				if !c.run() {
					t.Fatal(c.name)
				}
			}
			times[i] = append(times[i], time.Since(start)/50)
		}
	}
	var bare time.Duration
	for i, c := range contenders {
		slices.Sort(times[i])
		median := times[i][len(times[i])/2]
		if i == 0 {
			bare = median
		}
		ratio := float64(median) / float64(bare)
		t.Logf("%-26s %8v  %5.2f × bare", c.name, median, ratio)
		if c.name == "Verify" && ratio > 1.1 {
			t.Errorf("Verify takes %.2f times a bare HMAC, at most 1.1 is promised", ratio)
		}
	}
}
