package flags_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
)

func TestRolloutHoldsForItsShareAndTheSameUsersAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.yaml")
	write(t, path, "flags: {new-checkout: {rolloutPercentage: 25}}\n")
	const ids = 100_000
	pick := func() []string {
		c, err := flags.New(t.Context(), flags.Config{Source: flags.File(path)})
		if err != nil {
			t.Fatal(err)
		}
		var on []string
		for i := range ids {
			if id := fmt.Sprintf("user-%d", i); c.Enabled("new-checkout", id) {
				on = append(on, id)
			}
		}
		return on
	}
	first, second := pick(), pick()
	if share := 100 * float64(len(first)) / ids; math.Abs(share-25) > 0.5 {
		t.Errorf("25 %% holds for %.3f %% of %d ids", share, ids)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error("other users after a restart:", diff)
	}
}

// TestFlagdFractionalScenarios runs flagd's published scenarios for weighted
// variants. Native flags of one salt at the weights' running sums tell the
// variant: it is the first whose flag is on.
func TestFlagdFractionalScenarios(t *testing.T) {
	corpus := filepath.Join("..", "..", "shared", "corpus", "flagd", "gherkin", "fractional.feature")
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Skip("the flagd corpus is not here:", err)
	}
	suits := []string{"clubs", "diamonds", "hearts", "spades"}
	layouts := map[string]struct {
		salt     string
		variants []string
	}{
		"fractional-flag":               {"fractional-flag", suits},
		"fractional-flag-A-shared-seed": {"shared-seed", suits},
		"fractional-flag-B-shared-seed": {"shared-seed", []string{"ace-of-clubs", "ace-of-diamonds", "ace-of-hearts", "ace-of-spades"}},
		"fractional-flag-shorthand":     {"fractional-flag-shorthand", []string{"heads", "tails"}},
		"fractional-hash-edge-flag":     {"", []string{"lower", "upper"}},
	}
	ran := 0
	for _, sc := range fractionalScenarios(string(text)) {
		layout, ok := layouts[sc.flag]
		if !ok {
			continue // nested expressions and broken weights: not in native definitions
		}
		var b strings.Builder
		for i := range layout.variants {
			fmt.Fprintf(&b, "v-%d: {salt: %q, rolloutPercentage: %d}\n", i, layout.salt, 100*(i+1)/len(layout.variants))
		}
		set, err := flags.Parse("flags.yaml", []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, d := range set.EvaluateAll(sc.key) {
			if d.On {
				got = layout.variants[i]
				break
			}
		}
		if got != sc.want {
			t.Errorf("%s, %s: got %s, want %s", sc.flag, sc.key, got, sc.want)
		}
		ran++
	}
	if want := 5 + 2 + 4 + 4 + 5; ran != want {
		t.Errorf("%d scenarios ran, want %d", ran, want)
	}
}

type fractionalScenario struct{ flag, key, want string }

// fractionalScenarios reads the example tables of a feature file, without those
// of the older bucketing, tagged v1.
func fractionalScenarios(text string) []fractionalScenario {
	var all []fractionalScenario
	var flag string
	old, rows := false, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Scenario"):
			old = false
		case strings.HasPrefix(line, "@fractional-v"):
			old = line == "@fractional-v1"
		case strings.HasPrefix(line, "Examples:"):
			rows = 0
		case strings.Contains(line, "-flag with key "):
			flag = strings.Split(line, `"`)[1]
		case strings.HasPrefix(line, "|"):
			if rows++; rows == 1 || old {
				continue
			}
			cells := strings.Split(strings.Trim(line, "| "), "|")
			if len(cells) == 2 {
				all = append(all, fractionalScenario{flag, strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])})
			}
		}
	}
	return all
}
