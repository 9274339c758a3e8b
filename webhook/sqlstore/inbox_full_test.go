package sqlstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// fillUp puts messages of random bytes from several goroutines until none fits,
// and returns which were kept.
func fillUp(t *testing.T, s *sqlstore.Store, name string, size int) map[string][]byte {
	t.Helper()
	var mu sync.Mutex
	kept := make(map[string][]byte)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := range 1000 {
				key, body := fmt.Sprintf("r/%s/%d/%d", name, worker, n), make([]byte, 1+rand.IntN(size))
				_, _ = rand.NewChaCha8([32]byte{byte(n), byte(worker)}).Read(body)
				c, err := s.Put(t.Context(), key, webhook.Stored{Route: "r", Body: body}, claimRequest)
				if err != nil {
					if n == 0 && worker == 0 {
						t.Logf("%v", err)
					}
					nothing(t, s, key)
					return
				}
				if c.Status != webhook.Accepted {
					t.Errorf("%q: %v", key, c.Status)
				}
				mu.Lock()
				kept[key] = body
				mu.Unlock()
			}
			t.Error("the disk is not full")
		})
	}
	wg.Wait()
	return kept
}

// nothing wants no trace of key.
func nothing(t *testing.T, s *sqlstore.Store, key string) {
	t.Helper()
	r, err := s.Lookup(t.Context(), key)
	_, messageErr := s.Message(t.Context(), key)
	if err != nil || r.State != webhook.StateAbsent || messageErr == nil {
		t.Errorf("%q is %v, %v; of its message: %v", key, r.State, err, messageErr)
	}
}

// there wants all that was kept, and completes it.
func there(t *testing.T, s *sqlstore.Store, kept map[string][]byte) {
	t.Helper()
	for key, body := range kept {
		if m, err := s.Message(t.Context(), key); err != nil || !bytes.Equal(m.Body, body) {
			t.Errorf("%q: %d bytes, %v; want %d", key, len(m.Body), err, len(body))
		}
	}
	if len(kept) == 0 {
		t.Error("nothing was kept")
	}
}

// whole wants as many messages as there are keys with one, in a sound file.
func whole(t *testing.T, path string, want int) {
	t.Helper()
	db := raw(t, path)
	var check string
	var keys, messages int
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Errorf("the file is %s, %v", check, err)
	}
	err := db.QueryRow("SELECT (SELECT count(*) FROM handrail_deliveries WHERE place IS NOT NULL), (SELECT count(*) FROM handrail_messages)").Scan(&keys, &messages)
	if err != nil || keys != want || messages != want {
		t.Errorf("%d keys, %d messages, %v; want %d", keys, messages, err, want)
	}
}

func TestPutWithoutRoomKeepsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	s := open(t, path)
	if _, err := s.WritePragma(t.Context(), "max_page_count = 100"); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100 << 10, 10 << 10, 100} {
		kept := fillUp(t, s, fmt.Sprint(size), size)
		t.Logf("%d messages of up to %d bytes", len(kept), size)
		for key, body := range kept {
			if m, err := s.Message(t.Context(), key); err != nil || !bytes.Equal(m.Body, body) {
				t.Errorf("%q: %d bytes, %v", key, len(m.Body), err)
			}
		}
	}
	if _, err := s.WritePragma(t.Context(), "max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	c, err := s.Put(t.Context(), "r/after", webhook.Stored{Route: "r", Body: make([]byte, 100<<10)}, claimRequest)
	if err != nil || c.Status != webhook.Accepted {
		t.Errorf("once there is room: %v, %v", c.Status, err)
	}
	all, err := s.Backlog(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	whole(t, path, int(all[0].Waiting))
}

func TestMessageOfMoreThanItsBoundIsAnError(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "d.sqlite"))
	for what, m := range map[string]webhook.Stored{
		"a body":  {Body: make([]byte, 64<<20+1)},
		"headers": {Header: map[string][]string{"A": {strings.Repeat("a", 17<<20)}}},
		"order":   {Order: strings.Repeat("o", 256)},
	} {
		if _, err := s.Put(t.Context(), "r/k", m, claimRequest); err == nil {
			t.Errorf("%s: no error", what)
		}
		nothing(t, s, "r/k")
	}
}
