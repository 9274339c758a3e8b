package webhook_test

import (
	"crypto/hmac"
	"crypto/sha1" // Twilio's
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/webhook"
)

// randomValue is some JSON value, with what might be mistaken for brackets and
// for the ends of strings.
func randomValue(r *rand.Rand, depth int) string {
	var parts []string
	switch kind := r.IntN(8); {
	case depth > 0 && kind < 3:
		for range r.IntN(5) {
			parts = append(parts, randomValue(r, depth-1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case depth > 0 && kind < 6:
		for range r.IntN(5) {
			parts = append(parts, randomText(r)+" : "+randomValue(r, depth-1))
		}
		return "{" + strings.Join(parts, " , ") + "}"
	case kind == 6:
		return []string{"-1.5e+9", "0", "true", "null"}[r.IntN(4)]
	}
	return randomText(r)
}

func randomText(r *rand.Rand) string {
	pieces := []string{"{", "}", "[", "]", ",", ":", "a line of text ", "id", "ü"}
	if r.IntN(4) == 0 {
		pieces = append(pieces, `\"`, `\\`, `\\\"`, `\u0022`, `\n`)
	}
	text := `"`
	for range r.IntN(6) {
		text += pieces[r.IntN(len(pieces))]
	}
	return text + `"`
}

func TestIDBehindAnyValueIsFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		body := fmt.Sprintf(`{"data":%s,"id":"a","more":%s}`, randomValue(r, 6), randomValue(r, 2))
		if !json.Valid([]byte(body)) {
			t.Fatalf("not JSON: %s", body)
		}
		if got := idBy(t, "json:/id", body, nil).ID; got != "a" {
			t.Errorf("id of %s is %q", body, got)
		}
	}
	for name, value := range map[string]string{
		"many brackets, deep":       strings.Repeat("[", 500) + strings.Repeat("]", 500),
		"many brackets, in a row":   "[" + strings.Repeat("[],", 500) + "0]",
		"many brackets, in strings": `["` + strings.Repeat("]", 500) + `"]`,
		"few, then many":            `{"a":"` + strings.Repeat("z", 5000) + `","b":[` + strings.Repeat("{},", 500) + `0]}`,
	} {
		if got := idBy(t, "json:/id", `{"data":`+value+`,"id":"a"}`, nil).ID; got != "a" {
			t.Errorf("%s: id %q", name, got)
		}
	}
}

// twilioSum is Twilio's signature by net/url: the URL, and each parameter of a
// form once, sorted.
func twilioSum(address, form string) (string, error) {
	values, err := url.ParseQuery(form)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha1.New, []byte("secret"))
	mac.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(values[name]))) {
			mac.Write([]byte(name + value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

func FuzzTwilioReadsFormsAsNetURL(f *testing.F) {
	for _, form := range []string{
		"b=2&a=1&b=1", "a=1&a=1", "a=%26&a=+", "a&&=b&b", "a=%zz", "a;b=1", "%61=1&a=0", "a=1=2", "=", "ü=%C3%BC", "a=\x00",
		strings.Repeat("a=1&", 9999), strings.Repeat("a=1&", 10_000),
	} {
		f.Add(form)
	}
	const address = "https://example.com/hook"
	v := newVerifier(f, webhook.VerifierConfig{Provider: "twilio", Secrets: []string{"secret"}, PublicURL: address})
	f.Fuzz(func(t *testing.T, form string) {
		if form == "" {
			return
		}
		sum, formErr := twilioSum(address, form)
		if formErr != nil {
			sum, _ = twilioSum(address, "")
		}
		_, err := v.Verify(webhook.Message{Body: []byte(form), Header: http.Header{
			"X-Twilio-Signature": {sum}, "Content-Type": {"application/x-www-form-urlencoded"},
		}})
		if formErr == nil && err != nil || formErr != nil && !errors.Is(err, webhook.ErrSignatureMismatch) {
			t.Errorf("%q: %v, net/url says %v", form, err, formErr)
		}
	})
}
