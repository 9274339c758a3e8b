package flags_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// Without Config.Now the time is read in steps of half a second.
func TestAnExpiryIsSeenWithinHalfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = "2000-01-01" // on which every bubble's clock begins
		c := client(t, "{a: {rolloutPercentage: 100, expires: "+day+", onExpiry: off}}")
		end := time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)
		for _, tc := range []struct {
			at   time.Time
			want bool
		}{
			{time.Now(), true}, {time.Now().Add(time.Hour), true},
			{end.Add(-time.Second), true}, {end.Add(-time.Nanosecond), true}, {end.Add(500 * time.Millisecond), false},
		} {
			time.Sleep(time.Until(tc.at))
			for range 2 {
				if got := c.Enabled("a", "alice"); got != tc.want {
					t.Errorf("at %s: %t", tc.at, got)
				}
			}
		}
	})
}

// A set that was read long before it is asked looks at the clock at once.
func TestTheFirstDecisionReadsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, "{a: {rolloutPercentage: 100, expires: 2000-01-01, onExpiry: off}}")
		time.Sleep(25 * time.Hour)
		if c.Enabled("a", "alice") {
			t.Error("expired an hour ago")
		}
	})
}

// One who read the time of day long ago, and stores it only now, gives nobody
// that time.
func TestARenewalThatIsHeldUpTurnsNoClockBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, "{a: {rolloutPercentage: 100, expires: 2000-01-01, onExpiry: off}}")
		if !c.Enabled("a", "alice") {
			t.Fatal("off on its last day")
		}
		early := c.Set().Renewal()
		time.Sleep(25 * time.Hour)
		if c.Enabled("a", "alice") {
			t.Fatal("expired an hour ago")
		}
		c.Set().RenewLate(early)
		if c.Enabled("a", "alice") {
			t.Error("on again")
		}
	})
}
