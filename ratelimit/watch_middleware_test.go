package ratelimit_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/handrail-go/handrail/ratelimit"
)

// TestMiddlewareTellsItsWatchOfAccounts sends a request from each of 40 networks.
func TestMiddlewareTellsItsWatchOfAccounts(t *testing.T) {
	account := func(i int) func(*http.Request) { return with("X-Account", fmt.Sprint("account ", i)) }
	same := func(int) func(*http.Request) { return account(1) }
	tests := []struct {
		rule     string
		key      []string
		edit     func(i int) func(*http.Request) // of the request from network i
		networks int                             // of an account; 0 when there is none
	}{
		{"an account that all try", []string{"ip", "header:X-Account"}, same, 40},
		{"an account that all try, under a policy without addresses", []string{"header:X-Account"}, same, 40},
		{"one of two fields that name an account", []string{"header:X-Other", "header:X-Account"}, same, 40},
		{"an account of each", []string{"ip", "header:X-Account"}, account, 1},
		{"requests that name no account try none", []string{"ip", "header:X-Account"}, func(int) func(*http.Request) { return with("X-Account", "") }, 0},
		{"nor do those without a field for it", []string{"header:X-Account"}, func(int) func(*http.Request) { return with("X-Other", "1") }, 0},
		{"an address is no account", []string{"ip"}, account, 0},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			watch, err := ratelimit.NewWatch(ratelimit.WatchConfig{})
			if err != nil {
				t.Fatal(err)
			}
			cfg := one(policy(func(p *ratelimit.Policy) { p.Name, p.Key = "auth", tt.key }))
			cfg.Watch = watch
			a := newApp(t, cfg)
			for i := range 40 {
				a.do(login(from(fmt.Sprintf("192.0.%d.1:4711", i)), tt.edit(i)))
			}
			if list := watch.Spray(); tt.networks == 0 {
				if len(list) != 0 {
					t.Errorf("got %+v, want no account", list)
				}
			} else if len(list) != 1 || list[0].AccountsPerNetwork != 1 || !near(list[0].NetworksPerAccount, tt.networks) {
				t.Errorf("got %+v, want about %d networks of an account", list, tt.networks)
			}
		})
	}
}
