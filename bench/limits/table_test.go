package limits_test

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// results are the stints of the peers, by round.
type results struct {
	names  []string
	stints map[string][]stint
}

func newResults(peers []peer) *results {
	r := &results{stints: map[string][]stint{}}
	for _, p := range peers {
		r.names = append(r.names, p.name)
	}
	return r
}

func (r *results) add(name string, s stint) { r.stints[name] = append(r.stints[name], s) }

// A column of a table.
type column struct {
	title, format string
	value         func(stint) float64
}

var (
	perSecond   = column{"decisions/s", "%.0f", stint.perSecond}
	nanoseconds = column{"ns", "%.0f", stint.nanoseconds}
	cpuNanos    = column{"CPU ns", "%.0f", func(s stint) float64 { return 1000 * s.cpuMicros() }}
	allocations = column{"allocations", "%.1f", stint.allocations}
	clientCPU   = column{"client CPU µs", "%.2f", stint.cpuMicros}
	redisCPU    = column{"Redis CPU µs", "%.2f", stint.serverMicros}
	bytesPerKey = column{"bytes a key", "%.0f", func(s stint) float64 { return s.bytesPerKey }}
)

// print writes a row for each peer: the columns, and how many times the
// decisions of each reference it makes in the same time, taken round by round.
func (r *results) print(w io.Writer, references []string, columns []column) {
	head := []string{"limiter"}
	for _, ref := range references {
		head = append(head, "× "+ref)
	}
	for _, c := range columns {
		head = append(head, c.title)
	}
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
	for _, name := range r.names {
		row := []string{name}
		for _, ref := range references {
			var ratios []float64
			for i, s := range r.stints[name] {
				ratios = append(ratios, s.perSecond()/r.stints[ref][i].perSecond())
			}
			row = append(row, spread("%.2f", ratios))
		}
		for _, c := range columns {
			var values []float64
			for _, s := range r.stints[name] {
				values = append(values, c.value(s))
			}
			row = append(row, spread(c.format, values))
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// spread is the median, and the least and the greatest unless all look the same.
func spread(format string, values []float64) string {
	slices.Sort(values)
	n := len(values)
	median := fmt.Sprintf(format, (values[(n-1)/2]+values[n/2])/2)
	least, greatest := fmt.Sprintf(format, values[0]), fmt.Sprintf(format, values[n-1])
	if least == greatest {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, least, greatest)
}

func TestSpread(t *testing.T) {
	tests := []struct {
		rule   string
		values []float64
		want   string
	}{
		{"one value", []float64{1}, "1.0"},
		{"values that look the same", []float64{1.01, 1.04}, "1.0"},
		{"the middle of three", []float64{9, 1, 2}, "2.0 (1.0–9.0)"},
		{"between the two in the middle", []float64{4, 1, 2, 9}, "3.0 (1.0–9.0)"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if got := spread("%.1f", tt.values); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// machine says what was measured, and where.
func machine(t testing.TB, server *redis.Client) string {
	t.Helper()
	info, err := server.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	model := first(`model name\s*: (.*)`, readFile("/proc/cpuinfo"), runtime.GOARCH)
	load, _, _ := strings.Cut(readFile("/proc/loadavg"), " ")
	lines := []string{
		fmt.Sprintf("%d × %s, %s, %s, Redis %s on loopback, load %s at the start.",
			runtime.NumCPU(), model, runtime.GOOS, runtime.Version(), first(`redis_version:(\S+)`, info, "?"), load),
	}
	var versions []string
	for _, match := range regexp.MustCompile(`(?m)^\tgithub\.com/(\S+) (v\S+)$`).FindAllStringSubmatch(readFile("go.mod"), -1) {
		if match[1] != "handrail-go/handrail" {
			versions = append(versions, match[1]+" "+match[2])
		}
	}
	return strings.Join(append(lines, strings.Join(versions, ", ")+"."), "\n")
}

func first(pattern, text, otherwise string) string {
	if match := regexp.MustCompile(pattern).FindStringSubmatch(text); match != nil {
		return match[1]
	}
	return otherwise
}

func readFile(name string) string {
	text, _ := os.ReadFile(name) // absent elsewhere than on Linux
	return string(text)
}
