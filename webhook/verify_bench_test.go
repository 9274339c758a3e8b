package webhook_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/webhook"
)

// of2KiB is the message of a provider with a body of 2048 bytes.
func (s signing) of2KiB(t testing.TB) webhook.Message {
	t.Helper()
	body := strings.TrimSuffix(string(s.m.Body), "}")
	if len(body) == len(s.m.Body) { // a form
		body += "&z=" + strings.Repeat("z", 2048-len(body)-3)
	} else {
		pad := `,"pad":"`
		body += pad + strings.Repeat("z", 2048-len(body)-len(pad)-2) + `"}`
	}
	s.m.Body = []byte(body)
	return s.signed(t)
}

func TestVerifyAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has allocations of its own")
	}
	// What a provider's cryptography, or the parsing of a form, takes on top.
	more := map[string]float64{"discord": 1, "standard, ed25519, svix": 1, "sendgrid": 60, "twilio": 40}
	for name, s := range signings() {
		t.Run(name, func(t *testing.T) {
			v, m := newVerifier(t, s.verify), s.of2KiB(t)
			allocs := testing.AllocsPerRun(200, func() {
				if _, err := v.Verify(m); err != nil {
					t.Fatal(err)
				}
			})
			if allocs > 2+more[name] {
				t.Errorf("%v allocations", allocs)
			}
			t.Logf("%v allocations", allocs)
			m.Body = m.Body[1:]
			refusals := testing.AllocsPerRun(200, func() { _, _ = v.Verify(m) })
			if refusals > 2+more[name] {
				t.Errorf("%v allocations for a refusal", refusals)
			}
		})
	}
}

func BenchmarkVerifyEveryProvider2KiB(b *testing.B) {
	all := signings()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.Run(name, func(b *testing.B) {
			v, m := newVerifier(b, all[name].verify), all[name].of2KiB(b)
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Body)))
			for b.Loop() {
				if _, err := v.Verify(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
