package flagd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

// names is a list of n texts.
func names(n int) []any {
	l := make([]any, n)
	for i := range l {
		l[i] = fmt.Sprint("g", i)
	}
	return l
}

func TestRulesCostLittle(t *testing.T) {
	const (
		loop     = `{"some": [{"var": "a"}, {"in": [{"var": ""}, ["x", "y", "z"]]}]}`
		nested   = `{"some": [{"var": "a"}, {"some": [{"var": "b"}, {"==": [{"var": ""}, 7]}]}]}`
		doubling = `{"reduce": [{"var": "a"}, {"cat": [{"var": "accumulator"}, {"var": "accumulator"}, {"var": "current"}]}, "x"]}`
		joining  = `{"starts_with": [{"reduce": [{"var": "a"}, {"cat": [{"var": "accumulator"}, {"var": "current"}]}, ""]}, "g0g1"]}`
		text     = `{"some": [{"var": "a"}, {"==": [{"substr": [{"var": "b"}, 0, 1]}, "q"]}]}`
	)
	long := strings.Repeat("x", 60<<10)
	twice := `{"merge": [{"var": "a"}, {"var": "a"}]}`
	for range 8 {
		twice = `{"merge": [` + twice + `, ` + twice + `]}`
	}
	for _, tt := range []struct {
		rule, targeting string
		a, b            any
		want            flags.ErrorCode
	}{
		{"a loop over a long list", loop, names(980), "", ""},
		{"a loop over a list too long", loop, names(2000), "", flags.ErrorInvalidContext},
		{"a loop in a loop", nested, names(40), names(40), ""},
		{"a loop in a loop over long lists", nested, names(490), names(490), flags.ErrorInvalidContext},
		{"loops beside one another have one budget", `{"or": [` + strings.Repeat(loop+",", 2) + loop + `]}`, names(980), "", flags.ErrorInvalidContext},
		{"a loop that joins", joining, names(200), "", ""},
		{"a loop that doubles a text", doubling, names(40), "", flags.ErrorParse},
		{"a loop that uses a long text", text, names(400), long, flags.ErrorInvalidContext},
		{"lists that are merged", `{"some": [{"merge": [{"var": "a"}, ["q"]]}, {"==": [{"var": ""}, "q"]}]}`, names(100), "", ""},
		{"lists that are doubled", `{"in": ["q", ` + twice + `]}`, names(400), "", flags.ErrorParse},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			ec := flags.EvaluationContext{Attributes: map[string]any{"a": tt.a, "b": tt.b}}
			if d := parse(t, asks(tt.targeting)).EvaluateContext("f", ec); d.ErrorCode != tt.want {
				t.Errorf("got %+v", d)
			}
		})
	}
}
