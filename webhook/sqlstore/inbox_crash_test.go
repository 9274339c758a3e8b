package sqlstore_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// inboxVariable says which inbox a process fills and empties until it is killed;
// inboxEvents is what its messages are called.
const (
	inboxVariable = "HANDRAIL_TEST_INBOX"
	inboxEvents   = "HANDRAIL_TEST_INBOX_EVENTS"
)

// openInbox opens the database of a URL, or the file of a path.
func openInbox(t testing.TB, where string) *sqlstore.Store {
	t.Helper()
	if strings.HasPrefix(where, "postgres:") {
		return openPostgres(t, sqlstore.PostgresConfig{Conn: parse(t, where)})
	}
	return open(t, where)
}

// crashOrders is how many orders there are; messages of the first have none.
const crashOrders = 4

func crashMessage(name string, order int) webhook.Stored {
	m := webhook.Stored{Route: "r", Event: webhook.Verified{ID: name}, Body: []byte(strings.Repeat(name, 100))}
	if order > 0 {
		m.Order = fmt.Sprint(order)
	}
	return m
}

// TestInboxProcess is no test: it is the process that gets killed.
func TestInboxProcess(t *testing.T) {
	where := os.Getenv(inboxVariable)
	if where == "" {
		t.Skip("runs as a process of another test")
	}
	s, ctx := openInbox(t, where), context.Background()
	var wg sync.WaitGroup
	for worker := range crashOrders {
		wg.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s/%d/%d", os.Getenv(inboxEvents), worker, n)
				c, err := s.Put(ctx, "r/"+name, crashMessage(name, worker), claimRequest)
				if err != nil || c.Status != webhook.Accepted {
					t.Errorf("%s: %v, %v", name, c.Status, err)
					return
				}
				fmt.Printf("put %s\n", name)
			}
		})
		wg.Go(func() {
			for n := 0; ; n++ {
				taken, err := s.Take(ctx, "r", 4, time.Minute)
				if err != nil {
					t.Errorf("take: %v", err)
					return
				}
				for _, got := range taken {
					n++
					said := "done"
					switch n % 5 {
					case 0:
						said, err = "failed", s.Fail(ctx, got.Key, got.Fence, webhook.Failure{Then: webhook.StateRetry})
					case 1:
						said, err = "dead", s.Kill(ctx, got.Key, got.Fence)
					default:
						err = s.Complete(ctx, got.Key, got.Fence, nil)
					}
					if err != nil {
						t.Errorf("%s of %s: %v", said, got.Key, err)
						return
					}
					fmt.Printf("%s %s\n", said, got.Message.Event.ID)
				}
			}
		})
	}
	wg.Wait()
}

// said is what processes said of messages before they died.
type saidOf struct {
	mu   sync.Mutex
	last map[string]string
}

// fillUntilKilled runs a process, and kills it when it has said so many things.
func (s *saidOf) fillUntilKilled(t *testing.T, where, events string, until int) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInboxProcess$")
	cmd.Env = append(os.Environ(), inboxVariable+"="+where, inboxEvents+"="+events)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ { // also what it said before it died
		what, name, found := strings.Cut(lines.Text(), " ")
		if !found || strings.Contains(name, " ") {
			t.Error(lines.Text())
			continue
		}
		s.mu.Lock()
		if what != "put" || s.last[name] == "" { // another may have taken it before we heard of the put
			s.last[name] = what
		}
		s.mu.Unlock()
		if n == until {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait()
}

// killed kills processes at random points, and looks each time that nothing of
// what they said is lost.
func killed(t *testing.T, where string, rounds int, endLeases func()) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	said := saidOf{last: make(map[string]string)}
	for round := range rounds {
		var wg sync.WaitGroup
		for p := range 1 + round%2 {
			until := random.IntN(400)
			wg.Go(func() { said.fillUntilKilled(t, where, fmt.Sprintf("%d/%d", round, p), until) })
		}
		wg.Wait()
		s := openInbox(t, where)
		for name, what := range said.last {
			said.check(t, s, name, what)
		}
		endLeases()
	}
	// What is left goes its way.
	s := openInbox(t, where)
	left, places := 0, make(map[string]int)
	for {
		taken, err := s.Take(t.Context(), "r", 100, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(taken) == 0 {
			break
		}
		for _, got := range taken {
			var round, p, worker, n int
			if _, err := fmt.Sscanf(got.Message.Event.ID, "%d/%d/%d/%d", &round, &p, &worker, &n); err != nil {
				t.Fatal(err)
			}
			putter := fmt.Sprint(round, p, worker)
			if worker > 0 && n < places[putter] {
				t.Errorf("%s comes after %d", got.Key, places[putter])
			}
			left, places[putter] = left+1, n
			if err := s.Complete(t.Context(), got.Key, got.Fence, nil); err != nil {
				t.Error(err)
			}
		}
	}
	if all, err := s.Backlog(t.Context()); err != nil || len(all) > 0 && all[0].Waiting > 0 {
		t.Errorf("left: %+v, %v", all, err)
	}
	t.Logf("%d messages, %d of them left at the end", len(said.last), left)
}

// check looks for a message that a process said something of.
func (s *saidOf) check(t *testing.T, store *sqlstore.Store, name, what string) {
	t.Helper()
	r, err := store.Lookup(t.Context(), "r/"+name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := store.Message(t.Context(), "r/"+name)
	kept := err == nil && bytes.Equal(m.Body, crashMessage(name, 0).Body)
	done := r.State == webhook.StateDone && !kept
	switch {
	case what == "done" && !done, what == "dead" && (r.State != webhook.StateDead || !kept), !done && !kept:
		t.Errorf("%q was said to be %s, and is %v, kept %t (%v)", name, what, r.State, kept, err)
	}
}

func TestWhatAnInboxSaidIsThereAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	open(t, path)
	db := raw(t, path)
	killed(t, path, 6, func() { age(t, db, 2*time.Minute) })
	var whole string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&whole); err != nil || whole != "ok" {
		t.Errorf("the file is %s, %v", whole, err)
	}
	var odd int
	if err := db.QueryRow(`SELECT count(*) FROM handrail_deliveries AS d FULL JOIN handrail_messages AS m USING (event_key)
		WHERE (d.place IS NULL) <> (m.head IS NULL)`).Scan(&odd); err != nil || odd != 0 {
		t.Errorf("%d keys without their message, or messages without a key, %v", odd, err)
	}
}

func testPostgresInboxThroughKills(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	conn := connect(t, db)
	killed(t, strings.Replace(server.DSN(), "/postgres?", "/"+db.Database+"?", 1), 4, func() { agePostgres(t, conn, 2*time.Minute) })
	if odd := value[int](t, conn, `SELECT count(*) FROM handrail.webhook_deliveries AS d FULL JOIN handrail.webhook_messages AS m USING (event_key)
		WHERE (d.place IS NULL) <> (m.head IS NULL)`); odd != 0 {
		t.Errorf("%d keys without their message, or messages without a key", odd)
	}
}
