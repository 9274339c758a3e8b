package redisflags_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/internal/testenv"
)

// patience is what a step may take on a busy machine.
const patience = 30 * time.Second

// options are those that a source asks for. Several addresses are a Cluster.
func options(addrs ...string) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs: addrs, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience,
	}
}

func connect(t testing.TB, o *redis.UniversalOptions) redis.UniversalClient {
	t.Helper()
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newSource(t testing.TB, cfg redisflags.Config) *redisflags.Source {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	s, err := redisflags.New(cfg)
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// definitions are three flags that all carry the number n.
func definitions(n int) []byte {
	var b strings.Builder
	for _, key := range []string{"a", "b", "c"} {
		fmt.Fprintf(&b, "%s: {description: version-%d, rolloutPercentage: 100}\n", key, n)
	}
	return []byte(b.String())
}

func versionOf(n int) string { return flags.VersionOf(definitions(n)) }

func TestNewTellsEveryProblem(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	for _, tc := range []struct {
		rule string
		cfg  redisflags.Config
		want int
	}{
		{"all that can be wrong", redisflags.Config{Timeout: -1, PollInterval: -1, AuditEntries: -1, Namespace: "a b"}, 5},
		{"options that repeat and forget deadlines", redisflags.Config{Client: connect(t, &redis.UniversalOptions{Addrs: []string{"x:1"}})}, 2},
		{"a Ring", redisflags.Config{Client: ring}, 1},
		{"a Cluster", redisflags.Config{Client: connect(t, options("x:1", "y:2"))}, 0},
	} {
		_, err := redisflags.New(tc.cfg)
		n := 0
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			n = len(joined.Unwrap())
		}
		if problem, ok := errors.AsType[*flags.ConfigError](err); n != tc.want || n > 0 && (!ok || !strings.HasPrefix(problem.Field, "redisflags.Config.")) {
			t.Errorf("%s: %d problems: %v", tc.rule, n, err)
		}
	}
}

func TestWriteReplacesWhatItWasMadeToOrNothing(t *testing.T) {
	for name, addrs := range map[string]func() []string{
		"a server":  func() []string { return []string{testenv.Redis(t).Addr()} },
		"a Cluster": func() []string { return testenv.RedisCluster(t).Addrs() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, redisflags.Config{Client: connect(t, options(addrs()...)), Namespace: "shop"})
			doc, err := s.Load(t.Context())
			if !errors.Is(err, redisflags.ErrMissing) || doc.Name != "handrail:{shop:flags}" {
				t.Fatalf("%+v, %v", doc, err)
			}
			if err := s.Write(t.Context(), versionOf(1), definitions(2)); !errors.Is(err, flags.ErrConflict) {
				t.Errorf("a change of nothing: %v", err)
			}
			before := time.Now()
			must(t, s.Write(t.Context(), "", definitions(1)))
			after := time.Now()
			doc, err = s.Load(t.Context())
			must(t, err)
			if !bytes.Equal(doc.Data, definitions(1)) || doc.Name != "handrail:{shop:flags}" {
				t.Errorf("%+v", doc)
			}
			const exact = 100 * time.Millisecond // the way there and back, and milliseconds of the clock
			if doc.Written.Before(before.Add(-exact)) || doc.Written.After(after.Add(exact)) {
				t.Logf("written %v, between %v and %v on a quiet machine", doc.Written, before, after)
			}
			for _, base := range []string{"", versionOf(2)} {
				if err := s.Write(t.Context(), base, definitions(3)); !errors.Is(err, flags.ErrConflict) {
					t.Errorf("base %q: %v", base, err)
				}
			}
			must(t, s.Write(t.Context(), versionOf(1), definitions(2)))
			must(t, s.Write(t.Context(), versionOf(2), definitions(2))) // the same again is a change like any other
			if err := s.Write(t.Context(), versionOf(2), make([]byte, flags.MaxFileBytes+1)); !errors.Is(err, redisflags.ErrTooLarge) {
				t.Errorf("too large: %v", err)
			}
		})
	}
}

func TestOfConcurrentWritesExactlyOneWins(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	must(t, newSource(t, redisflags.Config{Client: client}).Write(t.Context(), "", definitions(0)))
	for round := range 20 {
		var wins atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s := newSource(t, redisflags.Config{Client: client})
				err := s.WriteAudited(t.Context(), versionOf(round), definitions(round+1), []byte("line"))
				switch {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, flags.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("round %d: %d won", round, wins.Load())
		}
	}
	entries, err := newSource(t, redisflags.Config{Client: client}).Audit(t.Context(), "", 1000)
	if err != nil || len(entries) != 20 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

// cut loses the answer to one call of a script with that many keys.
type cut struct {
	redis.Hook
	keys int
	lost atomic.Int32
}

func (c *cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); err == nil && len(args) > 2 && args[2] == c.keys && c.lost.Add(1) == 1 {
			err = errors.New("connection reset by peer")
			cmd.SetErr(err)
		}
		return err
	}
}

func (c *cut) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *cut) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAWriteWhoseAnswerIsLostHappensOnce(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newSource(t, redisflags.Config{Client: client})
	lossy := &cut{keys: 2}
	client.AddHook(lossy)
	must(t, s.WriteAudited(t.Context(), "", definitions(1), []byte("line")))
	if lossy.lost.Load() < 2 {
		t.Error("no answer was lost")
	}
	if entries, err := s.Audit(t.Context(), "", 10); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestTheAuditLog(t *testing.T) {
	server := testenv.Redis(t)
	client := connect(t, options(server.Addr()))
	s := newSource(t, redisflags.Config{Client: client, AuditEntries: 200})
	if entries, err := s.Audit(t.Context(), "", 10); err != nil || len(entries) != 0 {
		t.Errorf("at first: %v, %v", entries, err)
	}
	must(t, s.WriteAudited(t.Context(), "", definitions(1), []byte("first"), []byte("second")))
	if err := s.WriteAudited(t.Context(), "", definitions(1), []byte("not")); !errors.Is(err, flags.ErrConflict) {
		t.Error(err)
	}
	must(t, s.Append(t.Context(), []byte("third")))
	must(t, s.Append(t.Context()))
	long := make([]byte, redisflags.MaxAuditLineBytes+1)
	if err := s.WriteAudited(t.Context(), versionOf(1), definitions(2), long); !errors.Is(err, redisflags.ErrTooLarge) {
		t.Error(err)
	}
	var got []string
	before := ""
	for {
		page, err := s.Audit(t.Context(), before, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got, before = append(got, string(e.Line)), e.ID
			if e.At.IsZero() {
				t.Errorf("%+v", e)
			}
		}
	}
	if diff := cmp.Diff([]string{"third", "second", "first"}, got); diff != "" {
		t.Error(diff)
	}
	for range 1000 {
		must(t, s.Append(t.Context(), []byte("line")))
	}
	if n, err := client.XLen(t.Context(), s.Key()+":audit").Result(); err != nil || n < 200 || n > 400 {
		t.Errorf("%d entries, %v", n, err)
	}
	for _, bad := range []struct {
		before string
		limit  int
	}{{"", 0}, {"", 1001}, {"-", 1}, {"1-1 COUNT 5", 1}} {
		if _, err := s.Audit(t.Context(), bad.before, bad.limit); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	// A log that cannot be written keeps the definitions from changing.
	must(t, client.Set(t.Context(), s.Key()+":audit", "x", 0).Err())
	if err := s.WriteAudited(t.Context(), versionOf(1), definitions(2), []byte("line")); err == nil {
		t.Error("no error")
	}
	if doc, err := s.Load(t.Context()); err != nil || flags.VersionOf(doc.Data) != versionOf(1) {
		t.Errorf("%+v, %v", doc, err)
	}
}

func TestWhatIsNotOursIsAnErrorAndStays(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newSource(t, redisflags.Config{Client: client})
	for _, tc := range []struct {
		rule string
		make func() error
		want error // nil: any
	}{
		{"a string", func() error { return client.Set(t.Context(), s.Key(), "x", 0).Err() }, nil},
		{"another hash", func() error { return client.HSet(t.Context(), s.Key(), "x", "y").Err() }, redisflags.ErrDamaged},
		{"another's definitions", func() error { return client.HSet(t.Context(), s.Key(), "data", "a: {}", "version", "1").Err() }, redisflags.ErrDamaged},
		{"changed by hand", func() error {
			if err := s.Write(t.Context(), "", definitions(1)); err != nil {
				return err
			}
			return client.HSet(t.Context(), s.Key(), "data", "a: {}").Err()
		}, redisflags.ErrDamaged},
		{"too large", func() error {
			return client.HSet(t.Context(), s.Key(), "version", "1", "data", make([]byte, flags.MaxFileBytes+1)).Err()
		}, redisflags.ErrTooLarge},
	} {
		must(t, client.Del(t.Context(), s.Key()).Err())
		must(t, tc.make())
		doc, err := s.Load(t.Context())
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) || doc.Data != nil || doc.Name != s.Key() {
			t.Errorf("%s: %+v, %v", tc.rule, doc, err)
		}
		if err := s.Write(t.Context(), "", definitions(1)); err == nil {
			t.Errorf("%s: was overwritten", tc.rule)
		}
	}
}

func TestAFullServerChangesNothingAndGoesOnToTell(t *testing.T) {
	client := connect(t, options(testenv.Redis(t).Addr()))
	s := newSource(t, redisflags.Config{Client: client})
	must(t, s.WriteAudited(t.Context(), "", definitions(1), []byte("line")))
	must(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	for _, lines := range [][][]byte{nil, {[]byte("line")}} {
		if err := s.WriteAudited(t.Context(), versionOf(1), definitions(2), lines...); !redis.HasErrorPrefix(err, "OOM") {
			t.Errorf("%d lines: %v", len(lines), err)
		}
	}
	if doc, err := s.Load(t.Context()); err != nil || flags.VersionOf(doc.Data) != versionOf(1) {
		t.Errorf("%+v, %v", doc, err)
	}
	if entries, err := s.Audit(t.Context(), "", 10); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	must(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	must(t, s.Write(t.Context(), versionOf(1), definitions(2)))
}

func TestWrittenIsByTheServersClock(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	version, data := versionOf(1), string(definitions(1))
	for _, tc := range []struct {
		rule, serverNow, written string
		want                     time.Time
	}{
		{"a clock that is decades behind", "1000000060000000", "1000000000000000", now.Add(-time.Minute)},
		{"later than now", "1000000000000000", "1000000060000000", now},
		{"not known", "1000000060000000", "", time.Time{}},
		{"nonsense", "1000000060000000", "x", time.Time{}},
		{"overflow", "9223372036854775807", "1", now.Add(-100 * 365 * 24 * time.Hour)},
	} {
		_, _, got, err := redisflags.ReadReply([]any{tc.serverNow, version, tc.written, data}, "", now)
		if err != nil || !got.Equal(tc.want) {
			t.Errorf("%s: %v, %v, want %v", tc.rule, got, err, tc.want)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add("1", "missing", "", "", byte(2), "")
	f.Add("1795188363055000", versionOf(1), "1795188333055000", string(definitions(1)), byte(4), "")
	f.Add("1", "v", "1", "", byte(3), "v")
	f.Fuzz(func(t *testing.T, a, b, c, d string, n byte, known string) {
		raw := []any{a, b, c, d, int64(1)}[:min(n, 5)]
		now := time.Unix(2_000_000_000, 0)
		version, data, written, err := redisflags.ReadReply(raw, known, now)
		switch {
		case err != nil && (data != nil || version != ""):
			t.Fatal("an error, and definitions")
		case err == nil && data == nil && (version != known || known == ""):
			t.Fatal("nothing, to one who knows another version")
		case err == nil && data != nil && flags.VersionOf(data) != version:
			t.Fatal("definitions of another version")
		case written.After(now):
			t.Fatal("written in the future")
		}
		entries, err := redisflags.ReadEntries(raw)
		if err == nil && len(entries) != len(raw)/2 {
			t.Fatal("entries are lost")
		}
	})
}
