package redisstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
)

// A server that is killed while it writes finds a file that ends anywhere, goes
// on from there, and reads what came of it the next time.
func TestAStepThatWasWrittenInPartHappensWhollyOrNot(t *testing.T) {
	dir := t.TempDir()
	server := testenv.Redis(t, testenv.Persistent(), testenv.RedisArgs("--dir", dir))
	client := connect(t, options(server.Addr()))
	s := newStore(t, client)
	claim(t, s, "before", webhook.Claimed)
	path := appendOnlyFile(t, dir)
	size := func() int {
		info, err := os.Stat(path)
		must(t, err)
		return int(info.Size())
	}
	from := size()
	claim(t, s, "k", webhook.Claimed)
	server.Kill()
	whole, err := os.ReadFile(path)
	must(t, err)
	for cut := from; cut <= len(whole); cut += 1 + (len(whole)-from)/24 {
		must(t, os.WriteFile(path, whole[:cut], 0o600))
		server.Start()
		claim(t, s, "after", webhook.Claimed)
		if c, err := s.Claim(t.Context(), "k", request); err != nil || c.Fence != 1 || c.MaybeProcessed {
			t.Errorf("cut at %d: %+v, %v; want fence 1, unmarked", cut-from, c, err)
		}
		must(t, s.Complete(t.Context(), "k", 1, nil))
		server.Kill()
		server.Start()
		if c := claim(t, s, "k", webhook.Done); c.Fence != 1 || c.MaybeProcessed {
			t.Errorf("cut at %d: %+v, want fence 1, unmarked", cut-from, c)
		}
		claim(t, s, "after", webhook.InFlight)
		for _, key := range client.Keys(t.Context(), "*").Val() {
			if left, err := client.PTTL(t.Context(), key).Result(); err != nil || left <= 0 {
				t.Errorf("cut at %d: %q ends in %v, %v", cut-from, key, left, err)
			}
		}
		server.Kill()
	}
}

// appendOnlyFile is the one that grows: Redis has a folder of them since 7.
func appendOnlyFile(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	must(t, err)
	if len(found) == 1 {
		return found[0]
	}
	return filepath.Join(dir, "appendonly.aof")
}

// Others on the server run scripts that are written in part, too.
func TestStepsAfterAnothersThatWasWrittenInPartAreKept(t *testing.T) {
	dir := t.TempDir()
	server := testenv.Redis(t, testenv.Persistent(), testenv.RedisArgs("--dir", dir))
	s := newStore(t, connect(t, options(server.Addr())))
	claim(t, s, "before", webhook.Claimed)
	server.Kill()
	path := appendOnlyFile(t, dir)
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = file.WriteString("*1\r\n$5\r\nMULTI\r\n*3\r\n$5\r\nLPUSH\r\n$5\r\nother\r\n$1\r\n1\r\n*3\r\n$9\r\nPEXPI")
	must(t, err)
	must(t, file.Close())
	server.Start()
	must(t, s.Complete(t.Context(), "before", 1, nil))
	claim(t, s, "after", webhook.Claimed)
	server.Kill()
	server.Start()
	claim(t, s, "before", webhook.Done)
	claim(t, s, "after", webhook.InFlight)
}
