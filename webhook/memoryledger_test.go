package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/handrail-go/handrail/webhook"
)

var _ webhook.Ledger = (*webhook.Memory)(nil)

func TestMemoryListsByPages(t *testing.T) {
	m := memory(t)
	for i := range 25 {
		settleDone(t, m, fmt.Sprintf("a/%02d", i), nil)
	}
	settleDone(t, m, "", nil)
	settleDone(t, m, "b/1", nil)
	for _, tt := range []struct {
		route              string
		limit, pages, keys int
	}{{"", 27, 1, 27}, {"", 26, 2, 27}, {"", 1, 27, 27}, {"a", 10, 3, 25}, {"b", 10, 1, 1}, {"c", 10, 1, 0}} {
		pages, last := 0, ""
		seen := map[string]bool{}
		for after := ""; pages == 0 || after != ""; pages++ {
			page, next, err := m.List(t.Context(), webhook.Query{Route: tt.route, Limit: tt.limit, After: after})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if len(seen) > 0 && e.Key <= last {
					t.Errorf("%q after %q", e.Key, last)
				}
				last, seen[e.Key] = e.Key, true
			}
			after = next
		}
		if pages != tt.pages || len(seen) != tt.keys {
			t.Errorf("%+v: %d pages, %d keys", tt, pages, len(seen))
		}
	}
}

func TestMemoryRefusesQueriesThatAreNone(t *testing.T) {
	m := memory(t)
	for _, q := range []webhook.Query{{}, {Limit: -1}, {Limit: 1001}} {
		_, _, err := m.List(t.Context(), q)
		if problem, ok := errors.AsType[*webhook.ConfigError](err); !ok || problem.Field != "Query.Limit" {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, _, err := m.List(t.Context(), webhook.Query{Limit: 1, After: "another store's"}); err == nil {
		t.Error("a foreign After is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := m.List(ctx, webhook.Query{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
