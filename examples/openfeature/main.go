// Command openfeature asks for a flag through OpenFeature's SDK for Go, with
// definitions in a file beside it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	of "github.com/open-feature/go-sdk/openfeature"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/openfeature"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	source, err := flags.New(ctx, flags.Config{Source: flags.File("flags.yaml")})
	if err != nil {
		return err
	}
	provider, err := openfeature.NewProvider(source, openfeature.Config{Run: true})
	if err != nil {
		return err
	}
	if err := of.SetProviderAndWait(provider); err != nil {
		return err
	}
	defer of.Shutdown()
	user := of.NewEvaluationContext("user-1", nil)
	on, err := of.NewDefaultClient().BooleanValue(ctx, "new-checkout", false, user)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, on)
	return nil
}
