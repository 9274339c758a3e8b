package webhooktest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// A test calls Run. Rules can be checked one by one too.
func ExampleRules() {
	broken := 0
	for _, rule := range webhooktest.Rules() {
		c := &clock{now: time.Now()}
		store, err := webhook.NewMemory(webhook.MemoryConfig{Now: c.Now})
		if err != nil {
			panic(err)
		}
		if err := rule.Check(context.Background(), webhooktest.Fixture{Store: store, Advance: c.Advance, Seed: 1}); err != nil {
			broken++
			fmt.Println(rule.Name, err)
		}
	}
	fmt.Println("rules broken:", broken)
	// Output: rules broken: 0
}
