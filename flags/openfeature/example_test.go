package openfeature_test

import (
	"context"
	"fmt"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/openfeature"
	of "github.com/open-feature/go-sdk/openfeature"
)

func Example() {
	ctx := context.Background()
	// A service reads a file: flags.File("flags.yaml").
	client, err := flags.New(ctx, flags.Config{Source: flags.Static("flags.yaml", []byte(`
flags:
  new-checkout: {rolloutPercentage: 5, allowList: [user-1]}
  button-color:
    rolloutPercentage: 100
    variants: [{name: blue, value: "#00f"}]
`))})
	if err != nil {
		fmt.Println(err)
		return
	}
	provider, err := openfeature.NewProvider(client, openfeature.Config{Run: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := of.SetNamedProviderAndWait("shop", provider); err != nil {
		fmt.Println(err)
		return
	}
	defer provider.Shutdown() // or of.Shutdown(), for all providers

	shop := of.NewClient("shop")
	user := of.NewEvaluationContext("user-1", nil)
	fmt.Println(shop.Boolean(ctx, "new-checkout", false, user))
	fmt.Println(shop.String(ctx, "button-color", "#888", user))
	fmt.Println(shop.Int(ctx, "no-such-flag", 3, user))
	// Output:
	// true
	// #00f
	// 3
}
