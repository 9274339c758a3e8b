package ratelimittest

import (
	"testing"

	"github.com/handrail-go/handrail/ratelimit"
)

// rule is one case, of one algorithm or of all.
type rule struct {
	name string
	test func(run)
	only ratelimit.Algorithm
}

var rules = []rule{
	{"P1 no window holds more than the bound whatever the schedule", windows, ""},
	{"P1 P2 P3 P9 every decision is that of the model, with refunds", refundModel, ""},
	{"P1 P2 P3 P7 P9 every decision is that of the model, with backward steps", backwardModel, ""},
	{"P1 P2 P3 P9 every decision is that of the model, with costs and refunds", costModel, ""},
	{"P1 P2 P3 P7 P9 every decision is that of the model, with costs and backward steps", costBackModel, ""},
	{"P1 eight at the end of a fixed bucket leave none for the next", bucketEdge, ""},
	{"P1 a burst and then a steady flow stay within the bound", burstThenSteady, ""},
	{"P3 the wait is exact to one tick", exactWait, ""},
	{"P5 a refusal writes nothing", refusalWritesNothing, ""},
	{"P8 every key ends by itself", keysEnd, ""},
	{"P9 a limit of one admits one", limitOfOne, ""},
	{"P10 scripts forgotten in the middle change nothing", forgottenScripts, ""},
	{"P11 2000 concurrent calls at 100 admit 100", concurrent, ""},
	{"P11 concurrent calls of any cost admit 100 in all", concurrentCosts, ""},
	{"a cost of the whole limit takes all of it", wholeCost, ""},
	{"a cost above the limit is refused for ever and writes nothing", impossibleCost, ""},
	{"a refund makes room for exactly what it was", refundOne, ""},
	{"a refund of what is not recorded changes nothing", refundNothing, ""},
	{"a reset forgets the key alone", resetForgets, ""},
	{"another algorithm begins anew", otherAlgorithm, ""},
	{"keys do not touch each other", keysApart, ""},

	{"P2 nothing is refused while there is room", room, ratelimit.SlidingWindow},
	{"P6 age exactly the window admits and is recorded", exactAge, ratelimit.SlidingWindow},
	{"P7 a backward step neither admits more nor blocks beyond window plus step", backwardStep, ratelimit.SlidingWindow},
	{"P9 a limit raised or lowered counts what is there", liveChange, ratelimit.SlidingWindow},
	{"P9 a changed window forgets nothing that it had to keep", windowChange, ratelimit.SlidingWindow},
	{"a refund takes out its own admission", refundOwn, ratelimit.SlidingWindow},
	{"a refund of what was admitted before a reset changes nothing", refundAfterReset, ratelimit.SlidingWindow},
	{"a lockout makes every decision of the model", tierModel, ratelimit.SlidingWindow},
	{"a lockout makes every decision of the model, with backward steps", tierBackModel, ratelimit.SlidingWindow},
	{"a lockout escalates", lockoutEscalates, ratelimit.SlidingWindow},
	{"P8 every key of a lockout ends by itself", lockoutsEnd, ratelimit.SlidingWindow},

	{"P2 nothing is refused while there is room, but for a part of the window", room, ratelimit.SlidingCounter},
	{"P6 a part counts until all of it has left the window", partAge, ratelimit.SlidingCounter},
	{"P7 a backward step neither admits more nor blocks beyond window plus step", counterStep, ratelimit.SlidingCounter},
	{"P9 a changed window forgets nothing that it had to keep", windowChange, ratelimit.SlidingCounter},
	{"a refund of what was admitted before a reset changes nothing", refundAfterReset, ratelimit.SlidingCounter},

	{"P1 a burst and one less than the count is what a window can hold", tightBound, ratelimit.GCRA},
	{"P6 every interval earns one", intervals, ratelimit.GCRA},
}

// Run checks every rule. Each case opens a Target of its own.
func Run(t *testing.T, open func(t *testing.T) Target) {
	for _, algorithm := range []ratelimit.Algorithm{ratelimit.SlidingWindow, ratelimit.SlidingCounter, ratelimit.GCRA} {
		t.Run(string(algorithm), func(t *testing.T) {
			for _, c := range rules {
				if c.only == "" || c.only == algorithm {
					t.Run(c.name, func(t *testing.T) { c.test(newRun(t, open(t), algorithm)) })
				}
			}
		})
	}
	t.Run("a limit or a cost out of bounds is a ConfigError", func(t *testing.T) {
		badLimits(newRun(t, open(t), ratelimit.SlidingWindow))
	})
}
