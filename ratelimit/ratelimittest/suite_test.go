package ratelimittest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

const flawEnv = "HANDRAIL_TEST_LIMIT_FLAW"

// TestPlain passes as it is. As a child process of TestTheSuiteFindsEveryFlaw
// it has a flaw.
func TestPlain(t *testing.T) {
	ratelimittest.Run(t, func(*testing.T) ratelimittest.Target {
		_, target := newPlain(os.Getenv(flawEnv))
		return target
	})
}

func TestTheSuiteFindsEveryFlaw(t *testing.T) {
	for _, tt := range []struct{ flaw, rule string }{
		{"starts anew with every bucket", "sliding_window/P1_eight_at_the_end"},
		{"starts anew with every bucket", "sliding_counter/P1_eight_at_the_end"},
		{"keeps what is exactly as old as the window", "sliding_window/P6_"},
		{"counts refusals", "sliding_window/P5_"},
		{"counts refusals", "sliding_counter/P5_"},
		{"counts refusals", "gcra/P5_"},
		{"does not count what lies ahead of the clock", "sliding_window/P7_a_backward_step"},
		{"does not count what lies ahead of the clock", "sliding_counter/P7_a_backward_step"},
		{"refuses one too early", "sliding_window/P9_a_limit_raised"},
		{"refuses one too early", "sliding_window/P2_"},
		{"refuses one too early", "sliding_counter/P2_"},
		{"says the window", "sliding_window/P3_"},
		{"says the window", "sliding_counter/P3_"},
		{"says the window", "gcra/P3_"},
		{"says no wait", "sliding_window/P9_a_limit_of_one"},
		{"takes any limit", "a_limit_or_a_cost_out_of_bounds"},

		{"lets a part go as its beginning leaves", "sliding_counter/P1_no_window"},
		{"lets a part go as its beginning leaves", "sliding_counter/P6_a_part"},
		{"keeps a part for another part", "sliding_counter/P2_"},
		{"forgets all when the window changes", "sliding_window/P9_a_changed_window"},
		{"forgets all when the window changes", "sliding_counter/P9_a_changed_window"},

		{"saves up what is not used", "gcra/P6_every_interval"},
		{"saves up what is not used", "gcra/P1_no_window"},
		{"lets one more through at once", "gcra/P1_a_burst_and_one_less"},
		{"takes the count for the burst", "gcra/P1_a_burst_and_one_less"},

		{"counts every cost as one", "sliding_window/a_cost_of_the_whole"},
		{"admits what costs more than the limit", "gcra/a_cost_above"},
		{"tells a wait for what is never admitted", "sliding_counter/a_cost_above"},
		{"takes what is left when it refuses", "sliding_window/a_cost_of_the_whole"},
		{"takes what is left when it refuses", "sliding_counter/a_cost_of_the_whole"},

		{"refunds nothing", "sliding_window/a_refund_makes_room"},
		{"refunds nothing", "gcra/a_refund_makes_room"},
		{"refunds one of a cost", "sliding_counter/a_refund_makes_room"},
		{"refunds refusals", "sliding_window/a_refund_of_what_is_not"},
		{"refunds one for another", "sliding_window/a_refund_of_what_was_admitted_before"},
		{"refunds one for another", "sliding_counter/a_refund_of_what_was_admitted_before"},
		{"resets nothing", "gcra/a_reset"},
		{"resets every key", "sliding_window/a_reset"},
		{"keeps what another algorithm counted", "sliding_window/another_algorithm"},

		{"knows no lockout", "sliding_window/a_lockout_escalates"},
		{"blocks from the first of a tier", "sliding_window/a_lockout_makes_every_decision"},
		{"forgets what has left the window", "sliding_window/P8_every_key_of_a_lockout"},

		{"keeps keys for ever", "sliding_window/P8_every_key_ends"},
		{"forgets all with its scripts", "sliding_counter/P10_"},
		{"decides and records apart", "sliding_window/P11_2000"},
		{"decides and records apart", "gcra/P11_concurrent"},
	} {
		t.Run(tt.flaw+" "+tt.rule, func(t *testing.T) {
			pattern := "^TestPlain$"
			for name := range strings.SplitSeq(tt.rule, "/") {
				pattern += "/^" + name
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern)
			cmd.Env = append(os.Environ(), flawEnv+"="+tt.flaw)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestPlain/"+tt.rule) {
				t.Errorf("no failure of %s: %v\n%s", tt.rule, err, out)
			}
		})
	}
}
