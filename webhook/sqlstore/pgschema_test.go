package sqlstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// as is the database as another role sees it.
func as(db *pgx.ConnConfig, role string) *pgx.ConnConfig {
	db = db.Copy()
	db.User = role
	return db
}

func testPostgresRights(t *testing.T, server *testenv.PostgresServer) {
	run(t, parse(t, server.DSN()), "CREATE ROLE app LOGIN")
	const grants = `
GRANT USAGE ON SCHEMA handrail TO app;
GRANT SELECT ON handrail.schema_versions TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON handrail.webhook_deliveries, handrail.webhook_messages TO app;`
	tests := []struct {
		rule, before string
		want         error
	}{
		{"without tables and without the right to make them there is no store", "", sqlstore.ErrNoRights},
		{"tables that were made by another role do", sqlstore.DDL() + grants, nil},
		{"the statements may be run again", sqlstore.DDL() + sqlstore.DDL() + grants, nil},
		{"the right to create schemas is enough", "GRANT CREATE ON DATABASE {db} TO app", nil},
		{"a schema that is there, with the right to create tables in it, is enough", "CREATE SCHEMA handrail; GRANT USAGE, CREATE ON SCHEMA handrail TO app", nil},
		{"a schema that may not be used is none", sqlstore.DDL(), sqlstore.ErrNoRights},
		{"a schema without the right to create tables is none", "CREATE SCHEMA handrail; GRANT USAGE ON SCHEMA handrail TO app", sqlstore.ErrNoRights},
		{"the versions must be readable", sqlstore.DDL() + grants + "REVOKE SELECT ON handrail.schema_versions FROM app", sqlstore.ErrNoRights},
		{"each right on the messages is needed", sqlstore.DDL() + grants + "REVOKE DELETE ON handrail.webhook_messages FROM app", sqlstore.ErrNoRights},
		{"each right on the deliveries is needed", sqlstore.DDL() + grants + "REVOKE DELETE ON handrail.webhook_deliveries FROM app", sqlstore.ErrNoRights},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			db := database(t, server, "")
			run(t, db, strings.ReplaceAll(tt.before, "{db}", db.Database))
			s, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: as(db, "app")})
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err != nil {
				if !strings.Contains(err.Error(), "handrail webhook ddl") {
					t.Errorf("%q does not say what to do", err)
				}
				return
			}
			defer s.Close()
			c, err := s.Claim(t.Context(), "k", claimRequest)
			if err != nil || c.Status != webhook.Claimed {
				t.Fatal(c, err)
			}
			if err := errors.Join(s.Complete(t.Context(), "k", c.Fence, nil), s.Check(t.Context())); err != nil {
				t.Error(err)
			}
			if _, err := s.Purge(t.Context()); err != nil {
				t.Error(err)
			}
			run(t, db, "REVOKE UPDATE ON handrail.webhook_deliveries FROM app, "+owner(t, db))
			if err := s.Check(t.Context()); !errors.Is(err, sqlstore.ErrNoRights) {
				t.Errorf("Check without a right: %v", err)
			}
		})
	}
}

// owner is the role that owns the tables.
func owner(t *testing.T, db *pgx.ConnConfig) string {
	t.Helper()
	return value[string](t, connect(t, db), "SELECT tableowner::text FROM pg_tables WHERE tablename = 'webhook_deliveries'")
}

func testPostgresStoresThatStartTogetherMakeTheTablesOnce(t *testing.T, server *testenv.PostgresServer) {
	for range 20 {
		db := database(t, server, "")
		const n = 4
		errs := make(chan error)
		for range n {
			go func() {
				s, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: db})
				if err == nil {
					_, err = s.Claim(t.Context(), "k", claimRequest)
					err = errors.Join(err, s.Close())
				}
				errs <- err
			}()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
}

func testPostgresNewerSchemaIsRefusedAndLeftAlone(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	run(t, db, "UPDATE handrail.schema_versions SET version = 99")
	if _, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: db}); !errors.Is(err, sqlstore.ErrSchemaNewer) {
		t.Fatalf("error %v, want ErrSchemaNewer", err)
	}
	run(t, db, sqlstore.DDL())
	if v := value[int](t, connect(t, db), "SELECT version FROM handrail.schema_versions"); v != 99 {
		t.Errorf("version %d, want 99", v)
	}
}
