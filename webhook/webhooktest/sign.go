package webhooktest

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"testing"

	"github.com/handrail-go/handrail/webhook"
)

// Sign adds to a request what makes it one of the provider's, sent now. cfg is
// that of the [webhook.Signer]: its secrets are the signing ones. An id that
// stands in a header is taken from r, and made from the body when r has none.
func Sign(t testing.TB, cfg webhook.VerifierConfig, r *http.Request) {
	t.Helper()
	signer, err := webhook.NewSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	header, err := signer.Sign(webhook.Message{Header: r.Header, Body: body, RawQuery: r.URL.RawQuery})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
}
