package flags_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
)

var (
	compare  = flag.Bool("compare", false, "measure both evaluators in turn and print how they compare")
	rounds   = flag.Int("rounds", 7, "how often each is measured")
	duration = flag.Duration("duration", 100*time.Millisecond, "how long each time")
)

// A rule is one case of the comparison: a flag of its own.
type rule struct{ name, targeting string }

var rules = []rule{
	{"no targeting", `{}`},
	{"fractional of the targeting key", `{"fractional": [["a", 50], ["b", 50]]}`},
	{"fractional of cat", `{"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}, ["a", 25], ["b", 25], ["c", 50]]}`},
	{"if ends_with", `{"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "a", "b"]}`},
	{"if sem_ver, else if", `{"if": [{"sem_ver": [{"var": "version"}, "<", "1.0.0"]}, "a", {"sem_ver": [{"var": "version"}, "^", "2.0.0"]}, "b", "c"]}`},
	{"in a list of 5", `{"if": [{"in": [{"var": "country"}, ["de", "fr", "it", "es", "pl"]]}, "a", "b"]}`},
	{"in a list of 1,000", `{"if": [{"in": [{"var": "targetingKey"}, ` + thousand() + `]}, "a", "b"]}`},
	{"$ref, and, fractional", `{"if": [{"and": [{"$ref": "staff"}, {">=": [{"var": "age"}, 18]}]}, "a", {"fractional": [["b", 10], ["c", 90]]}]}`},
	{"some (left to the library)", `{"if": [{"some": [{"var": "groups"}, {"==": [{"var": ""}, "beta"]}]}, "a", "b"]}`},
}

func thousand() string {
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprint("user-", i)
	}
	list, _ := json.Marshal(ids)
	return string(list)
}

func ruleKey(i int) string { return fmt.Sprint("flag-", i) }

// definitions hold all rules, and flags without any beside them.
func definitions() []byte {
	var b strings.Builder
	b.WriteString(`{"$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@example.com"]}}, "flags": {`)
	for i, r := range rules {
		fmt.Fprintf(&b, `%q: {"state": "ENABLED", "variants": {"a": "A", "b": "B", "c": "C"}, "defaultVariant": "a", "targeting": %s},`, ruleKey(i), r.targeting)
	}
	for i := range 90 {
		fmt.Fprintf(&b, `"other-%d": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"},`, i)
	}
	return []byte(strings.TrimSuffix(b.String(), ",") + "}}")
}

// asker is the context that all are asked about.
var asker = flags.EvaluationContext{TargetingKey: "user-8d1f", Attributes: map[string]any{
	"email": "somebody@example.com", "version": "2.4.1", "country": "pl", "age": 41.0, "groups": []any{"alpha", "beta"}, "plan": "pro",
}}

// evaluators are both, by name.
func evaluators(t testing.TB) (ours, theirs func(i int) outcome) {
	t.Helper()
	data := definitions()
	set, err := flagd.Parse("flags.json", data)
	if err != nil {
		t.Fatal(err)
	}
	c, attributes := newCore(t, data), withKey(asker)
	ours = func(i int) outcome { return outcomeOf(set.EvaluateContext(ruleKey(i), asker)) }
	theirs = func(i int) outcome { return c.decide(t.Context(), ruleKey(i), attributes) }
	return ours, theirs
}

func TestBothGiveTheSame(t *testing.T) {
	ours, theirs := evaluators(t)
	for i, r := range rules {
		if got, want := ours(i), theirs(i); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, flagd has %+v", r.name, got, want)
		}
	}
}

// stint is one measurement.
type stint struct{ nanoseconds, allocations float64 }

func measure(d time.Duration, work func()) stint {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start, n := time.Now(), 0
	for time.Since(start) < d {
		for range 100 {
			work()
		}
		n += 100
	}
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	return stint{float64(elapsed.Nanoseconds()) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)}
}

// TestCompare prints a table in Markdown. Within a round both have their turn at
// a rule, in an order that the seed decides; ratios are taken round by round.
func TestCompare(t *testing.T) {
	if !*compare {
		t.Skip("measures: asked for by -compare")
	}
	r := random(t)
	data := definitions()
	set, err := flagd.Parse("flags.json", data)
	if err != nil {
		t.Fatal(err)
	}
	c, attributes := newCore(t, data), withKey(asker)
	fmt.Printf("%s\n\n%d rounds of %v.\n\n", machine(), *rounds, *duration)
	fmt.Println("| rule | × flagd | flags/flagd ns | allocations | flagd ns | allocations |\n| --- | --- | --- | --- | --- | --- |")
	for i, rule := range rules {
		key := ruleKey(i)
		work := []func(){
			func() { set.EvaluateContext(key, asker) },
			func() { c.ResolveAsAnyValue(t.Context(), "", key, attributes) },
		}
		stints := make([][]stint, 2)
		for range *rounds {
			for _, which := range r.Perm(2) {
				stints[which] = append(stints[which], measure(*duration, work[which]))
			}
		}
		printRow(os.Stdout, rule.name, stints[0], stints[1])
	}
}

func printRow(w io.Writer, name string, ours, theirs []stint) {
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, theirs[i].nanoseconds/ours[i].nanoseconds)
	}
	column := func(stints []stint, value func(stint) float64) []float64 {
		var all []float64
		for _, s := range stints {
			all = append(all, value(s))
		}
		return all
	}
	ns, allocs := func(s stint) float64 { return s.nanoseconds }, func(s stint) float64 { return s.allocations }
	fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", name, spread(ratios),
		spread(column(ours, ns)), spread(column(ours, allocs)),
		spread(column(theirs, ns)), spread(column(theirs, allocs)))
}

// spread is the median, and the least and the greatest unless all look the same.
func spread(values []float64) string {
	slices.Sort(values)
	n := len(values)
	median := fmt.Sprintf("%.0f", (values[(n-1)/2]+values[n/2])/2)
	least, greatest := fmt.Sprintf("%.0f", values[0]), fmt.Sprintf("%.0f", values[n-1])
	if least == greatest {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, least, greatest)
}

// machine says what was measured, and where.
func machine() string {
	model := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(info); found != nil {
			model = string(found[1])
		}
	}
	lines := []string{fmt.Sprintf("%s, %d processors, %s/%s, %s.", model, runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, runtime.Version())}
	if mod, err := os.ReadFile("go.mod"); err == nil {
		for _, m := range regexp.MustCompile(`(?m)^\t(\S*(?:flagd/core|jsonlogic/v3|murmur3) \S*)`).FindAllSubmatch(mod, -1) {
			lines = append(lines, string(m[1])+".")
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		before, _, _ := strings.Cut(string(load), " ")
		lines = append(lines, "Load before: "+before+".")
	}
	return strings.Join(lines, "\n")
}

func BenchmarkEvaluate(b *testing.B) {
	data := definitions()
	set, err := flagd.Parse("flags.json", data)
	if err != nil {
		b.Fatal(err)
	}
	c, attributes := newCore(b, data), withKey(asker)
	for i, r := range rules {
		key := ruleKey(i)
		b.Run(r.name+"/handrail", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.EvaluateContext(key, asker)
			}
		})
		b.Run(r.name+"/flagd", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.ResolveAsAnyValue(b.Context(), "", key, attributes)
			}
		})
	}
}
