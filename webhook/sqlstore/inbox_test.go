package sqlstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestSQLiteLedger(t *testing.T) {
	webhooktest.RunLedger(t, func(t *testing.T) webhooktest.Fixture {
		path := filepath.Join(t.TempDir(), "d.sqlite")
		s, db := open(t, path), raw(t, path)
		return webhooktest.Fixture{Store: s, Advance: func(d time.Duration) { age(t, db, d) }}
	})
}

func testPostgresLedger(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	webhooktest.RunLedger(t, func(t *testing.T) webhooktest.Fixture {
		run(t, db, "DROP SCHEMA IF EXISTS handrail CASCADE")
		s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
		return webhooktest.Fixture{Store: s, Advance: func(d time.Duration) { agePostgres(t, conn, d) }}
	})
}
