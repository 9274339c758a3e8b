package sqlstore_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// manyRows are a dead delivery before, and one after, 25,000 that are done.
const manyRows = ` (event_key, state, fence, attempt, maybe_processed, body_digest, lease_until, retention_ms, expires_at, updated_at)
SELECT CASE i WHEN 0 THEN 'a/first' WHEN 25001 THEN 'z/last' ELSE 'm/' || i END,
       CASE WHEN i IN (0, 25001) THEN 4 ELSE 3 END, 1, 1, 0, 'd', 0, 0, 9999999999999, 0 FROM `

// pageIsBounded lists the two among many: no page looks at more than 10,000.
func pageIsBounded(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	q := webhook.Query{States: []webhook.State{webhook.StateDead}, Limit: 10}
	var found []string
	pages := 0
	for {
		page, after, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			found = append(found, e.Key)
		}
		pages++
		if q.After = after; after == "" {
			break
		}
	}
	if pages != 3 || !slices.Equal(found, []string{"a/first", "z/last"}) {
		t.Errorf("found %q on %d pages, want 3", found, pages)
	}
	if page, after, err := s.List(t.Context(), webhook.Query{Route: "z", Limit: 10}); err != nil || len(page) != 1 || after != "" {
		t.Errorf("of a route: %v, %q, %v", page, after, err)
	}
}

func TestPageLooksAtNoMoreThanItMay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	s := open(t, path)
	_, err := raw(t, path).Exec("WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 25001) INSERT INTO handrail_deliveries" +
		strings.Replace(manyRows, "'d'", "x'00'", 1) + "c")
	noError(t, err)
	pageIsBounded(t, s)
}

func testPostgresPageLooksAtNoMoreThanItMay(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	run(t, db, "INSERT INTO handrail.webhook_deliveries"+manyRows+"generate_series(0, 25001) AS i")
	// Those of ClaimTx stand in between, and are passed over at once.
	run(t, db, "INSERT INTO handrail.webhook_deliveries SELECT '\\tx/' || i, 3, 1, 1, 0, '', 0, 0, 9999999999999, 0 FROM generate_series(1, 30000) AS i")
	run(t, db, "DELETE FROM handrail.webhook_deliveries WHERE event_key > 'm/10000' AND event_key < 'm/2'")
	q, seen := webhook.Query{Limit: 1000}, 0
	pages := 0
	for ; ; pages++ {
		page, after, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if strings.Contains(e.Key, "tx") {
				t.Fatalf("listed %q", e.Key)
			}
		}
		seen += len(page)
		if q.After = after; after == "" {
			break
		}
	}
	want := value[int](t, connect(t, db), `SELECT count(*) FROM handrail.webhook_deliveries WHERE NOT starts_with(event_key, '\tx/')`)
	if seen != want || pages > want/1000+5 {
		t.Errorf("%d listed on %d pages, want %d", seen, pages, want)
	}
}

func TestAfterThatIsNotOfAPageIsAnError(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "d.sqlite"))
	for _, after := range []string{"x", "k", "xr/1", "ar/\x00", "fé", "\x00"} {
		if _, _, err := s.List(t.Context(), webhook.Query{After: after, Limit: 1}); err == nil {
			t.Errorf("%q: no error", after)
		}
	}
}

// Keys are listed by their bytes, so that those of a route stand together.
func testPostgresListsInAnyCollation(t *testing.T, server *testenv.PostgresServer) {
	for _, options := range []string{"", "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-u-ka-shifted' LOCALE 'C'"} {
		db := database(t, server, options)
		s := openPostgres(t, sqlstore.PostgresConfig{Conn: db})
		keys := []string{"a-b/1", "a/1", "a/2", "A/1", "a0/1", "ab/1", "a.b/1", "a/\xff"}
		for _, key := range keys {
			_, err := s.Claim(t.Context(), key, claimRequest)
			noError(t, err)
		}
		for route, want := range map[string]int{"": len(keys), "a": 3, "a-b": 1, "ab": 1, "A": 1} {
			n := 0
			q := webhook.Query{Route: route, Limit: 1}
			for {
				page, after, err := s.List(t.Context(), q)
				noError(t, err)
				n += len(page)
				if q.After = after; after == "" || n > len(keys) {
					break
				}
			}
			if n != want {
				t.Errorf("%q: %d of route %q, want %d", options, n, route, want)
			}
		}
	}
}

func testPostgresListGoesByTheIndex(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	run(t, db, `INSERT INTO handrail.webhook_deliveries SELECT 'm/' || i, 3, 1, 1, 0, '', 0, 0, 9999999999999, 0 FROM generate_series(1, 50000) AS i`)
	for i := range 50 {
		_, err := s.Put(t.Context(), fmt.Sprint("r/", i), webhook.Stored{Route: "r", Order: fmt.Sprint(i % 5)}, claimRequest)
		noError(t, err)
	}
	run(t, db, "ANALYZE handrail.webhook_deliveries")
	for name, query := range map[string]struct {
		sql  string
		args []any
	}{
		"list":    {sqlstore.PostgresQuery("list"), []any{"m/", "m0", -1, 10}},
		"window":  {sqlstore.PostgresQuery("window"), []any{"m/", "m0", 100}},
		"due":     {sqlstore.PostgresQuery("due"), []any{"r", 10}},
		"take":    {sqlstore.PostgresQuery("take"), []any{"r", 10, 1000, 1 << 20}},
		"backlog": {sqlstore.PostgresQuery("backlog"), nil},
		"promote": {sqlstore.PostgresQuery("promote"), []any{"r", "1"}},
	} {
		rows, err := conn.Query(t.Context(), "EXPLAIN "+query.sql, append([]any{pgx.QueryExecModeSimpleProtocol}, query.args...)...)
		noError(t, err)
		var plan strings.Builder
		for rows.Next() {
			var line string
			noError(t, rows.Scan(&line))
			plan.WriteString(line + "\n")
		}
		noError(t, rows.Err())
		if strings.Contains(plan.String(), "Seq Scan on webhook_deliveries") {
			t.Errorf("%s reads the whole table:\n%s", name, &plan)
		}
	}
}
