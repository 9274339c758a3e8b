package flags_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

// A list that was written as one line must not cost more than its length: the
// kill switch of another flag is in the same file.
func BenchmarkEditBesideALongLine(b *testing.B) {
	for _, ids := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("%d_ids", ids), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("kill: {rolloutPercentage: 100}\nlisted:\n  allowList: [u")
			for i := range ids {
				fmt.Fprintf(&text, ", user-%d", i)
			}
			text.WriteString("]\n")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := flags.Edit("flags.yaml", []byte(text.String()), "kill", flags.Change{Settings: []byte(`{"enabled": false}`)}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(ids), "ns/id")
		})
	}
}
