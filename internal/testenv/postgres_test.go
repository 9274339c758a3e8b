package testenv_test

import (
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/jackc/pgx/v5"
)

// query runs one statement on a connection of its own and returns its one value.
func query(t *testing.T, s *testenv.PostgresServer, sql string) (value int, err error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		return 0, err
	}
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), sql).Scan(&value)
	return value, err
}

func TestPostgresEndings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule string
		end  func(*testenv.PostgresServer)
	}{
		{"Stop keeps what was committed", (*testenv.PostgresServer).Stop},
		{"Kill keeps what was committed", (*testenv.PostgresServer).Kill},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			s, other := testenv.Postgres(t), testenv.Postgres(t)
			conn, err := pgx.Connect(t.Context(), s.DSN())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n"); err != nil {
				t.Fatal(err)
			}
			tt.end(s)
			if err := conn.Ping(t.Context()); err == nil {
				t.Error("a session outlived its server")
			}
			awaitRefused(t, s.Addr())
			if n, err := query(t, other, "SELECT 1"); n != 1 || err != nil {
				t.Errorf("another test's server: %d, %v", n, err)
			}
			s.Start()
			if n, err := query(t, s, "SELECT n FROM kept"); n != 7 || err != nil {
				t.Errorf("after Start: %d, %v; want 7", n, err)
			}
			if n, err := query(t, other, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'"); n != 0 || err != nil {
				t.Errorf("the table shows in another test's database: %d, %v", n, err)
			}
		})
	}
}

func TestPostgresKilledAtTheEnd(t *testing.T) {
	t.Parallel()
	s := testenv.Postgres(t)
	s.Kill()
	awaitRefused(t, s.Addr())
}
