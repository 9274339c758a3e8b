package webhooktest_test

import (
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestHistoriesAreJudged(t *testing.T) {
	type call = webhooktest.Call
	claims := func(fence, began, end int64) call {
		return call{What: "claim", Status: webhook.Claimed, Fence: fence, Began: began, End: end}
	}
	tests := []struct {
		rule  string
		calls []call
		sound bool
	}{
		{"one claim", []call{claims(1, 1, 2)}, true},
		{"two claims of one fence are not", []call{claims(1, 1, 4), claims(1, 2, 3)}, false},
		{"two calls at once may have either order", []call{
			{What: "look", State: webhook.StateClaimed, Fence: 1, Began: 1, End: 4},
			claims(1, 2, 3),
		}, true},
		{"a call that ended does not come later", []call{
			{What: "look", State: webhook.StateClaimed, Fence: 1, Began: 1, End: 2},
			claims(1, 3, 4),
		}, false},
		{"an answer that was lost may be of a call that happened", []call{
			{What: "claim", Began: 1},
			{What: "claim", Status: webhook.InFlight, Fence: 1, Began: 2, End: 3},
		}, true},
		{"or of one that did not", []call{{What: "claim", Began: 1}, claims(1, 2, 3)}, true},
		{"but not of one that began later", []call{
			{What: "claim", Status: webhook.InFlight, Fence: 1, Began: 1, End: 2},
			{What: "claim", Began: 3},
		}, false},
		{"done does not revert", []call{
			claims(1, 1, 2),
			{What: "done", With: 1, Began: 3, End: 4},
			claims(2, 5, 6),
		}, false},
		{"a lease that has ended lets another claim, maybe processed", []call{
			claims(1, 1, 2),
			{What: "expire", Began: 3, End: 4},
			{What: "claim", Status: webhook.Claimed, Fence: 2, Maybe: true, Began: 5, End: 6},
			{What: "done", With: 1, Stale: true, Began: 7, End: 8},
		}, true},
		{"one that has not does not", []call{
			claims(1, 1, 2),
			{What: "claim", Status: webhook.Claimed, Fence: 2, Maybe: true, Began: 3, End: 5},
			{What: "expire", Began: 6, End: 7},
		}, false},
		{"a stale fence that settles is found by what follows", []call{
			claims(1, 1, 2),
			{What: "expire", Began: 3, End: 4},
			{What: "claim", Status: webhook.Claimed, Fence: 2, Maybe: true, Began: 5, End: 6},
			{What: "retry", With: 1, Began: 7, End: 8},
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if err := webhooktest.CheckHistory(tt.calls); (err == nil) != tt.sound {
				t.Errorf("got %v", err)
			}
		})
	}
}
