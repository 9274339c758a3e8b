package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheExampleAsksForAFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("flags.yaml", []byte("new-checkout: {allowList: [user-1]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil || out.String() != "true\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
