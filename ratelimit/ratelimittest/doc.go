// Package ratelimittest is the suite that every ratelimit.Limiter passes, for
// every algorithm. Its cases are named by the rule that they check:
//
//	P1   no half-open window holds more admissions than the limit; under GCRA
//	     than burst + count − 1
//	P2   nothing is refused while fewer are in the window; under SlidingCounter
//	     in the window and one part of it
//	P3   after RetryAfter the call is admitted, one tick earlier it is not
//	P4   a refusal says a wait of more than nothing, unless it is for ever
//	P5   a refusal writes nothing
//	P6   an admission of age exactly the window no longer counts
//	P7   a backward step of the clock neither admits more nor blocks beyond window + step
//	P8   every key of the store ends by itself
//	P9   the limit can be 1, and be raised and lowered at any time
//	P10  a store that forgets its scripts goes on as before
//	P11  concurrent calls admit exactly the limit
//
//	func TestSuite(t *testing.T) {
//		ratelimittest.Run(t, func(t *testing.T) ratelimittest.Target {
//			clock := ratelimittest.NewClock()
//			limiter := ... // by clock.Now
//			return ratelimittest.Target{Limiter: limiter, Now: clock.Now, Advance: clock.Advance, Tick: 1}
//		})
//	}
//
// Random schedules print their seed; HANDRAIL_TEST_SEED repeats one.
package ratelimittest
