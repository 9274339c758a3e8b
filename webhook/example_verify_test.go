package webhook_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// A provider that is not known by name: its signature is described.
func ExampleNewVerifier() {
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{
		Provider: "hmac",
		Secrets:  []string{"the new secret", "the old secret"},
		ID:       "json:/data/object/id",
		HMAC: webhook.HMACConfig{
			Header: "X-Acme-Signature", Algorithm: "sha256", Encoding: "hex", Prefix: "v1=",
			Signed: "{timestamp:X-Acme-Time}.{body}",
		},
	})
	if err != nil {
		panic(err)
	}
	verified, err := verifier.Verify(webhook.Message{
		Header: http.Header{
			"X-Acme-Time":      {"1795161600"},
			"X-Acme-Signature": {"v1=9488c73b4d912e05d94cf47e76efe0b9aecf1d89c3b54f95513a9b1390a8cbca"},
		},
		Body: []byte(`{"data":{"object":{"id":"pi_1"}}}`),
		Now:  time.Unix(1795161630, 0),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(verified.ID, verified.IDSigned, "by secret", verified.SecretIndex)
	// Output: pi_1 true by secret 1
}

// What a provider would send, for a test or to try a route out.
func ExampleSigner() {
	signer, err := webhook.NewSigner(webhook.VerifierConfig{Provider: "github", Secrets: []string{"It's a Secret to Everybody"}})
	if err != nil {
		panic(err)
	}
	header, err := signer.Sign(webhook.Message{
		Header: http.Header{"X-Github-Delivery": {"72d3162e-cc78-11e3-81ab-4c9367dc0958"}},
		Body:   []byte("Hello, World!"),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(header.Get("X-Hub-Signature-256"))
	// Output: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17
}
