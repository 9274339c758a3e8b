package sqlstore_test

import (
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestSQLiteLedger(t *testing.T) { webhooktest.RunLedger(t, sqliteFixture) }

func TestSQLiteInbox(t *testing.T) { webhooktest.RunInbox(t, sqliteFixture) }

func testPostgresLedger(t *testing.T, server *testenv.PostgresServer) {
	withPostgres(t, server, webhooktest.RunLedger)
}

func testPostgresInbox(t *testing.T, server *testenv.PostgresServer) {
	withPostgres(t, server, webhooktest.RunInbox)
}
