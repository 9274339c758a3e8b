package sqlstore_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func testPostgresHistoriesAreLinearizableThoughConnectionsAreLost(t *testing.T, server *testenv.PostgresServer) {
	t.Run("prepared", func(t *testing.T) { historiesThoughConnectionsAreLost(t, database(t, server, "")) })
	t.Run("simple", func(t *testing.T) { historiesThoughConnectionsAreLost(t, simple(database(t, server, ""))) })
}

func historiesThoughConnectionsAreLost(t *testing.T, direct *pgx.ConnConfig) {
	t.Helper()
	w, wired := newWire(t, direct)
	openPostgres(t, sqlstore.PostgresConfig{Conn: direct}) // makes the tables
	conn := connect(t, direct)
	seed := rand.Uint64()
	if s := os.Getenv(webhooktest.SeedVariable); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	lost, err := webhooktest.Histories(t.Context(), webhooktest.Fixture{
		Store:   openPostgres(t, sqlstore.PostgresConfig{Conn: wired}),
		Another: func() webhook.Store { return openPostgres(t, sqlstore.PostgresConfig{Conn: wired}) },
		Advance: func(d time.Duration) { agePostgres(t, conn, d) },
		Seed:    seed,
	}, func() {
		if rng.IntN(10) == 0 {
			w.set([...]fate{cutBefore, cutAfter}[rng.IntN(2)])
		}
	})
	t.Logf("%d steps without an answer", lost)
	if err != nil {
		t.Error(err)
	}
}
