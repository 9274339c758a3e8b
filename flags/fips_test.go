package flags_test

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// SHA-1 is not approved; as a hash for buckets it needs no approval.
func TestEveryHashWorksWhereOnlyFIPS140IsAllowed(t *testing.T) {
	const variable = "HANDRAIL_TEST_FIPS140_ONLY"
	if os.Getenv(variable) != "" {
		if !fips140.Enforced() {
			t.Skip("this Go has no fips140=only")
		}
		TestLaunchDarklyMatchesItsSDKs(t)
		TestPostHogMatchesItsLibraries(t)
		TestUnleashMatchesItsClients(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", variable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := string(out); strings.Contains(text, "--- SKIP") {
		t.Skip(text)
	}
}
