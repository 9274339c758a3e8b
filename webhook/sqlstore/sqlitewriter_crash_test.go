package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// writersVariable names the file of a process that writes until it is killed;
// writersEvents is what its events are called.
const (
	writersVariable = "HANDRAIL_TEST_WRITERS_FILE"
	writersEvents   = "HANDRAIL_TEST_WRITERS_EVENTS"
)

// TestWritersProcess is no test: it is the process that gets killed.
func TestWritersProcess(t *testing.T) {
	path := os.Getenv(writersVariable)
	if path == "" {
		t.Skip("runs as a process of another test")
	}
	s, err := sqlstore.OpenSQLite(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%s/%d/%d", os.Getenv(writersEvents), worker, n)
				c, err := s.Claim(context.Background(), key, claimRequest)
				if err != nil || c.Status != webhook.Claimed {
					t.Errorf("%s: %v, %v", key, c.Status, err)
					return
				}
				fmt.Printf("claimed %s\n", key)
				if err := s.Complete(context.Background(), key, c.Fence, nil); err != nil {
					t.Errorf("%s: %v", key, err)
					return
				}
				fmt.Printf("done %s\n", key)
			}
		})
	}
	wg.Wait()
}

// writers is a process that writes, and what it says.
func writers(t *testing.T, path, events string) (kill func(), says *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWritersProcess$")
	cmd.Env = append(os.Environ(), writersVariable+"="+path, writersEvents+"="+events)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	return func() {
		if err := cmd.Process.Kill(); err != nil { // SIGKILL
			t.Error(err)
		}
	}, bufio.NewScanner(out)
}

func TestWhatWasSaidIsThereAfterAKill(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "d.sqlite")
	said := make(map[string]webhook.State)
	for round := range 6 {
		processes := 1 + round%2 // of two, each waits for the other
		var wg sync.WaitGroup
		var mu sync.Mutex
		for p := range processes {
			kill, says := writers(t, path, fmt.Sprintf("%d/%d", round, p))
			until := 1 + random.IntN(500)
			wg.Go(func() {
				for n := 0; says.Scan(); n++ { // also what it said before it died
					what, key, _ := strings.Cut(says.Text(), " ")
					state, known := map[string]webhook.State{"claimed": webhook.StateClaimed, "done": webhook.StateDone}[what]
					if !known {
						t.Error(says.Text())
						continue
					}
					mu.Lock()
					said[key] = state
					mu.Unlock()
					if n == until {
						kill()
					}
				}
			})
		}
		wg.Wait()
		s := open(t, path)
		for key, want := range said {
			r, err := s.Lookup(t.Context(), key)
			if err != nil || r.State < want || r.Fence != 1 {
				t.Errorf("%s is %v at fence %d, %v; the process said %v", key, r.State, r.Fence, err, want)
			}
		}
	}
	var whole string
	if err := raw(t, path).QueryRow("PRAGMA integrity_check").Scan(&whole); err != nil || whole != "ok" {
		t.Errorf("the file is %s, %v", whole, err)
	}
	t.Logf("%d events", len(said))
}

// Callers come and go: each ends with what it did, or with an error.
func TestCallersThatComeAndGo(t *testing.T) {
	f := newFile(t)
	var (
		mu    sync.Mutex
		kept  = make(map[string]bool) // by name: whether it must be there
		wg    sync.WaitGroup
		wrong = errors.New("wrong")
	)
	for worker := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for n := range 100 {
				name := fmt.Sprintf("%d/%d", worker, n)
				ctx, leave := context.WithCancel(t.Context())
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					if random.IntN(2) == 0 {
						leave()
					}
				}()
				step := insert(name)
				if n%5 == 4 {
					step = func(ctx context.Context, tx *sql.Tx) error { return errors.Join(insert(name)(ctx, tx), wrong) }
				}
				err := f.Write(ctx, step)
				<-gone
				leave()
				mu.Lock()
				switch {
				case err == nil:
					kept[name] = true
				case errors.Is(err, wrong), errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "commit"):
					kept[name] = false
				case !errors.Is(err, context.Canceled):
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	stored := make(map[string]bool)
	for name := range strings.FieldsSeq(f.names(t)) {
		stored[name] = true
	}
	for name, want := range kept {
		if stored[name] != want {
			t.Errorf("%s: stored %v, its caller was told %v", name, stored[name], want)
		}
	}
}
