package ofrep_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/ofrep"
)

func Example() {
	definitions := "new-checkout: {rolloutPercentage: 25, allowList: [user-1]}\n"
	client, err := flags.New(context.Background(), flags.Config{Source: flags.Static("flags.yaml", []byte(definitions))})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := ofrep.New(ofrep.Config{Client: client, Tokens: []string{"of-the-shop"}})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(ofrep.Path, handler)
	mux.Handle(ofrep.Path+"/", handler)

	// What an OFREP provider sends.
	r := httptest.NewRequest("POST", "/ofrep/v1/evaluate/flags/new-checkout", strings.NewReader(`{"context":{"targetingKey":"user-1"}}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer of-the-shop")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	answer, _ := io.ReadAll(w.Body)
	fmt.Printf("%d %s\n", w.Code, answer)
	// Output:
	// 200 {"key":"new-checkout","value":true,"reason":"TARGETING_MATCH","variant":"on"}
}
