package flaglint_test

import (
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/flaglint"
)

// hostile is code that a careless reader reads again and again.
var hostile = map[string]string{
	"calls in one line":           `isOn("x");`,
	"calls in calls":              `isOn(`,
	"calls in calls, with keys":   `isOn(isOn("y"),"x",`,
	"quotes behind backslashes":   `"\`,
	"apostrophes behind a letter": `'\x`,
	"slashes":                     `=/\`,
	"classes":                     `=/[`,
	"braces":                      `{`,
	"templates":                   "`${",
	"elements":                    `=<a `,
	"elements in elements":        `<a><b c={`,
	"unclosed elements":           `(<a>`,
	"delimiters":                  `{{ '`,
	"tags":                        `{% "`,
	"angles":                      `<% '`,
	"comments":                    `/* {#`,
	"marks":                       "/* handrail:ignore */ isOn('x');",
	"marks in lines":              "// handrail:ignore\nisOn('x')\n",
	"heredocs":                    "<<~A + <<-B\n#{",
	"percents":                    `(%q[\]`,
	"words":                       `(%w[a `,
	"f-strings":                   `f"{f'{`,
	"triples":                     `"""'''`,
	"attributes":                  `:a=' b="`,
	"type arguments":              `isOn<<<(`,
	"chains":                      `flag().Enabled.`,
	"flags":                       "{flag: a, ",
	"constants":                   `FLAG_A = "a" FLAG_A`,
}

// TestTimeGrowsWithTheSize: code made to be slow to read is read all the same. A
// reader that takes time by the square of the size does not come to its end here
// before the tests' own limit.
func TestTimeGrowsWithTheSize(t *testing.T) {
	t.Parallel()
	for rule, piece := range hostile {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			code := []byte(strings.Repeat(piece, (flaglint.MaxCodeFileBytes/32)/len(piece)))
			for _, ending := range endings {
				flaglint.ScanCode("handrail"+ending, code, "known", "isOn")
			}
		})
	}
}
