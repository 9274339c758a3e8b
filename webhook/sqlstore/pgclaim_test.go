package sqlstore_test

import (
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// A row that was locked, or written, says so.
func testPostgresDuplicatesLockNothing(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	other := claimRequest
	other.BodyDigest, other.SameBody = [32]byte{1}, true
	tests := []struct {
		rule   string
		before func(key string) error
		req    webhook.ClaimRequest
		want   webhook.Status
	}{
		{"in flight", func(string) error { return nil }, claimRequest, webhook.InFlight},
		{"done", func(key string) error { return s.Complete(t.Context(), key, 1, nil) }, claimRequest, webhook.Done},
		{"dead", func(key string) error { return s.Kill(t.Context(), key, 1) }, claimRequest, webhook.Dead},
		{"with another body", func(key string) error { return s.Release(t.Context(), key, 1, false) }, other, webhook.OtherBody},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			const version = "SELECT ctid::text || ' ' || xmin || ' ' || xmax FROM handrail.webhook_deliveries WHERE event_key = $1"
			c, err := s.Claim(t.Context(), tt.rule, claimRequest)
			if err != nil || c.Status != webhook.Claimed {
				t.Fatal(c, err)
			}
			noError(t, tt.before(tt.rule))
			before := value[string](t, conn, version, sqlstore.Escape(tt.rule))
			if c, err := s.Claim(t.Context(), tt.rule, tt.req); err != nil || c.Status != tt.want {
				t.Errorf("a copy: %+v, %v", c, err)
			}
			if after := value[string](t, conn, version, sqlstore.Escape(tt.rule)); after != before {
				t.Errorf("the row was %s, and is %s", before, after)
			}
		})
	}
}

// While a table is small, to read all of it is planned, and would go on to be done
// when it has grown.
func testPostgresStatementsArePlannedAnew(t *testing.T, server *testenv.PostgresServer) {
	w, db := newWire(t, database(t, server, ""))
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	look := func() {
		t.Helper()
		_, err := s.Lookup(t.Context(), "k")
		noError(t, err)
	}
	look()
	look()
	if sent := w.sent(); sent['P'] != 1 || sent['E'] < 2 {
		t.Errorf("%d statements were prepared, and %d run", sent['P'], sent['E'])
	}
	sqlstore.AgeConnections(s, time.Minute)
	look()
	if sent := w.sent(); sent['P'] != 2 {
		t.Errorf("after a minute %d statements were prepared in all, want 2", sent['P'])
	}
}
