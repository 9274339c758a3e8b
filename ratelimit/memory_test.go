package ratelimit_test

import (
	"testing"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

func TestMemorySuite(t *testing.T) {
	ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target {
		clock := ratelimittest.NewClock()
		m, err := ratelimit.NewMemory(ratelimit.MemoryConfig{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return ratelimittest.Target{Limiter: m, Now: clock.Now, Advance: clock.Advance, Tick: 1}
	})
}
