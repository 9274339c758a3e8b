package webhook_test

import (
	"fmt"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// A framework parsed the body and wrote it anew before it was verified.
func ExampleExplain() {
	cfg := webhook.VerifierConfig{Provider: "stripe", Secrets: []string{"whsec_test"}}
	sent := webhook.Message{
		Body: []byte("{\n  \"id\": \"evt_1\"\n}"),
		Now:  time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC),
	}
	signer, err := webhook.NewSigner(cfg)
	if err != nil {
		panic(err)
	}
	header, err := signer.Sign(sent)
	if err != nil {
		panic(err)
	}

	why, err := webhook.Explain(cfg, webhook.Message{
		Header: header, Body: []byte(`{"id":"evt_1"}`), Now: sent.Now,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(why.Valid)
	for _, f := range why.Findings {
		fmt.Println(f.Code, "-", f.Text)
	}
	// Output:
	// false
	// json_reserialised - The body was parsed and written anew: the signature is valid for the same JSON, indented by 2.
}
