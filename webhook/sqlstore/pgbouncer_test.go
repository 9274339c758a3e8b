package sqlstore_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// pgBouncer starts one in transaction mode, with three connections to the server
// in turn, and returns the database through it.
func pgBouncer(t *testing.T, db *pgx.ConnConfig, more string) *pgx.ConnConfig {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("PgBouncer is not installed (no pgbouncer on PATH): imitations of poolers are tested all the same")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	through := db.Copy()
	through.Port = uint16(listener.Addr().(*net.TCPAddr).Port)
	noError(t, listener.Close())
	config := filepath.Join(t.TempDir(), "pgbouncer.ini")
	text := fmt.Sprintf(`
[databases]
* = host=127.0.0.1 port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
%s
`, db.Port, through.Port, more)
	if os.Geteuid() == 0 {
		text += "user = nobody\n" // it refuses to run as root
	}
	noError(t, os.WriteFile(config, []byte(text), 0o600))
	var log strings.Builder
	cmd := exec.Command(program, config)
	cmd.Stdout, cmd.Stderr = &log, &log
	noError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		<-ended
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // polls; decides nothing
		conn, err := pgx.ConnectConfig(t.Context(), through)
		if err == nil {
			noError(t, conn.Close(context.Background()))
			return through
		}
		if len(ended) > 0 || time.Now().After(until) {
			t.Fatalf("PgBouncer: %v", err)
		}
	}
}

func testPostgresThroughPgBouncer(t *testing.T, server *testenv.PostgresServer) {
	direct := database(t, server, "")
	db := pgBouncer(t, direct, "")
	for i := range 2 {
		throughPooler(t, openPostgres(t, sqlstore.PostgresConfig{Conn: db}), fmt.Sprint(i))
	}
	throughPooler(t, openPostgres(t, sqlstore.PostgresConfig{Conn: simple(db)}), "simple")
	webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
		run(t, direct, "DROP SCHEMA IF EXISTS handrail CASCADE")
		s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, direct)
		return webhooktest.Fixture{
			Store:   s,
			Another: func() webhook.Store { return openPostgres(t, sqlstore.PostgresConfig{Conn: db}) },
			Advance: func(d time.Duration) { agePostgres(t, conn, d) },
		}
	})
}
