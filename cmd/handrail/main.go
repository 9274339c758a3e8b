// Command handrail is the sidecar: a reverse proxy that gives an app in any
// language rate limits, verified webhooks, feature flags, health and logs.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}
