package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

func testPostgresWarnings(t *testing.T, server *testenv.PostgresServer) {
	for setting, names := range map[string][]string{
		"on":           {"fsync"}, // the servers of tests do not sync
		"local":        {"fsync"},
		"remote_write": {"fsync"},
		"off":          {"fsync", "synchronous_commit"},
	} {
		t.Run(setting, func(t *testing.T) {
			db := database(t, server, "")
			run(t, db, "ALTER DATABASE "+db.Database+" SET synchronous_commit = "+setting)
			got, err := openPostgres(t, sqlstore.PostgresConfig{Conn: db}).Warnings(t.Context())
			if err != nil || len(got) != len(names) {
				t.Fatalf("%q, %v; want those of %v", got, err, names)
			}
			for i, name := range names {
				if !strings.HasPrefix(got[i], name+" is off in PostgreSQL: ") {
					t.Errorf("%q is not of %s", got[i], name)
				}
			}
		})
	}
}

func TestSQLiteHasNoWarnings(t *testing.T) {
	if got, err := open(t, t.TempDir()+"/d.sqlite").Warnings(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}
