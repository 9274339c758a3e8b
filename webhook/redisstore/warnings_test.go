package redisstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
)

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		rule   string
		args   []string
		rights string   // of a user; empty: all
		want   []string // parts of the warnings
	}{
		{"none", []string{"--appendonly", "yes"}, "", nil},
		{"nor with snapshots besides", []string{"--appendonly", "yes", "--save", "60 1"}, "", nil},
		{"nothing is kept", nil, "", []string{"keeps nothing"}},
		{"snapshots only", []string{"--save", "60 1"}, "", []string{"snapshots only"}},
		{"keys are evicted", []string{"--appendonly", "yes", "--maxmemory-policy", "volatile-ttl"}, "", []string{"volatile-ttl"}},
		{"both", []string{"--maxmemory-policy", "allkeys-lru"}, "", []string{"allkeys-lru", "keeps nothing"}},
		{"INFO stands in for CONFIG", []string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lfu"}, "-config", []string{"allkeys-lfu"}},
		{"INFO does not know of snapshots", nil, "-config", []string{"not tell whether it keeps"}},
		{"neither is allowed", []string{"--appendonly", "yes"}, "-config -info", []string{"not tell its maxmemory-policy", "not tell whether it keeps"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			server := testenv.Redis(t, testenv.RedisArgs(c.args...))
			o := options(server.Addr())
			if c.rights != "" {
				o.Username, o.Password = user(t, server, "~* +@all "+c.rights), "password"
			}
			wantWarnings(t, connect(t, o), c.want)
		})
	}
}

func TestWarningsOfAClusterAreSaidOnce(t *testing.T) {
	cluster := testenv.RedisCluster(t)
	client := connect(t, options(cluster.Addrs()...))
	one := connect(t, options(cluster.Master(1).Addr()))
	must(t, one.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	wantWarnings(t, client, []string{"allkeys-lru", "keeps nothing"})
}

func wantWarnings(t *testing.T, client redis.UniversalClient, want []string) {
	t.Helper()
	got, err := newStore(t, client).Warnings(t.Context())
	must(t, err)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.Contains(got[i], want[i]) {
			t.Fatalf("warnings %q, want %q", got, want)
		}
	}
}

// user makes one with these rights and returns its name.
func user(t *testing.T, server *testenv.RedisServer, rights string) string {
	t.Helper()
	args := []any{"acl", "setuser", "handrail", "on", ">password"}
	for right := range strings.FieldsSeq(rights) {
		args = append(args, right)
	}
	must(t, connect(t, options(server.Addr())).Do(t.Context(), args...).Err())
	return "handrail"
}

func TestTheRightsThatAreDocumentedAreEnough(t *testing.T) {
	server := testenv.Redis(t, testenv.RedisArgs("--appendonly", "yes"))
	o := options(server.Addr())
	o.Username, o.Password = user(t, server, "~handrail:* +evalsha +eval +time +get +set +pexpireat +ping +hello +auth +scan +info"), "password"
	s := newStore(t, connect(t, o))
	must(t, s.Check(t.Context()))
	for i, step := range []func(key string, fence int64) error{
		func(key string, fence int64) error { return s.Release(t.Context(), key, fence, true) },
		func(key string, fence int64) error { return s.Kill(t.Context(), key, fence) },
		func(key string, fence int64) error {
			return s.Complete(t.Context(), key, fence, &webhook.Answer{Status: 200, Body: []byte("ok")})
		},
	} {
		key := fmt.Sprint(i)
		must(t, step(key, claim(t, s, key, webhook.Claimed).Fence))
		if _, err := s.Lookup(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	claim(t, s, "2", webhook.Done)
	must(t, s.Revive(t.Context(), "1"))
	must(t, s.Discard(t.Context(), "1"))
	if page, _, err := s.List(t.Context(), webhook.Query{Limit: 10}); err != nil || len(page) != 3 {
		t.Errorf("%d listed, %v; want 3", len(page), err)
	}
	if _, err := s.Warnings(t.Context()); err != nil {
		t.Error(err)
	}
}
