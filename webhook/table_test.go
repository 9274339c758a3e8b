package webhook_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/webhook"
)

// providerLine is a provider's line in the documentation of the package.
func providerLine(p webhook.Provider) string {
	known := func(v fmt.Stringer, zero bool) string {
		if zero {
			return "-"
		}
		return strings.Replace(strings.Replace(v.String(), "m0s", "m", 1), "h0m", "h", 1)
	}
	covered := "no"
	if p.IDSigned {
		covered = "yes"
	}
	id := p.IDSource
	if id == "" {
		id, covered = "as configured", "by what it is"
	}
	retries := known(p.RetryHorizon, p.RetryHorizon == 0)
	if p.NeverRetries {
		retries = "never"
	}
	return strings.TrimRight(fmt.Sprintf("//\t%-9s %-34s %-13s %-8s %-8s %-8s %s", p.Name, id, covered,
		known(p.Deadline, p.Deadline == 0), known(p.Timeout, false), known(p.Tolerance, p.Tolerance == 0), retries), " ")
}

func TestTheDocumentedTableIsTheTable(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range webhook.Providers() {
		if line := providerLine(p); !strings.Contains(string(doc), line+"\n") {
			t.Errorf("doc.go has no line\n%s", line)
		}
	}
}
