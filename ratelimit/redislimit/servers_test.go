package redislimit_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

// clientWith has the patience of patientClient, and what else edit says.
func clientWith(t *testing.T, url string, edit func(*redis.UniversalOptions)) redis.UniversalClient {
	t.Helper()
	o, err := redislimit.Options(url)
	if err != nil {
		t.Fatal(err)
	}
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.DialTimeout = patience, patience, patience, patience
	edit(o)
	client := redis.NewUniversalClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// decides takes a decision of each kind, and gives one back.
func decides(t *testing.T, l ratelimit.Limiter) {
	t.Helper()
	for name, limit := range ofEach(2, time.Hour) {
		key := "handrail:{default:auth:" + name + "}"
		d := allow(t, l, key, limit)
		if !d.Allowed || !allow(t, l, key, limit).Allowed || allow(t, l, key, limit).Allowed {
			t.Errorf("%s: not two admitted of three", name)
		}
		if err := l.Refund(t.Context(), key, limit, d); err != nil {
			t.Error(err)
		}
		if !allow(t, l, key, limit).Allowed {
			t.Errorf("%s: refused after a refund", name)
		}
		if err := l.Reset(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

func TestTLSWithAPrivateCA(t *testing.T) {
	ca := testenv.NewCA(t)
	server := testenv.Redis(t, testenv.TLS(ca))
	decides(t, newLimiter(t, clientWith(t, server.URL(), func(o *redis.UniversalOptions) { o.TLSConfig.RootCAs = ca.Roots })))

	unknown := newLimiter(t, clientWith(t, server.URL(), func(*redis.UniversalOptions) {}))
	_, err := unknown.Allow(t.Context(), "k", hourly(1))
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("error %v, want that the certificate is of an unknown authority", err)
	}
	plain := newLimiter(t, clientWith(t, "redis://"+server.Addr(), func(*redis.UniversalOptions) {}))
	if _, err := plain.Allow(t.Context(), "k", hourly(1)); err == nil {
		t.Error("a decision without TLS")
	}
}

const tlsEnv = "HANDRAIL_TEST_TLS_SERVER"

// The options need no edit when the system knows the authority.
func TestSSLCertFileNamesAPrivateCA(t *testing.T) {
	if url := os.Getenv(tlsEnv); url != "" {
		decides(t, newLimiter(t, patientClient(t, url)))
		return
	}
	ca := testenv.NewCA(t)
	server := testenv.Redis(t, testenv.TLS(ca))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSSLCertFileNamesAPrivateCA$")
	cmd.Env = append(os.Environ(), tlsEnv+"="+server.URL(), "SSL_CERT_FILE="+ca.File)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The list is that of the package's documentation.
func TestAUserWithTheRightsThatTheLimiterNeeds(t *testing.T) {
	user := func(more ...string) testenv.RedisOption {
		return testenv.RedisArgs(append([]string{
			"--user", "handrail", "on", ">s3cret", "~handrail:*", "~rate:handrail:*", "resetchannels", "-@all",
			"+evalsha", "+eval", "+time", "+lindex", "+lpush", "+ltrim", "+lrem",
			"+pexpireat", "+get", "+set", "+setrange", "+del", "+hello", "+auth",
		}, more...)...)
	}
	server := testenv.Redis(t, user("+select"))
	cluster := testenv.RedisCluster(t, user("+cluster|slots"))
	for name, at := range map[string]string{
		"one server":            server.Addr(),
		"another database":      server.Addr() + "/3",
		"a Cluster":             strings.Join(cluster.Addrs(), ","),
		"a Cluster by one name": cluster.Addrs()[0] + "?cluster=true",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, patientClient(t, "redis://handrail:s3cret@"+at))
			decides(t, l)
			if _, err := l.Allow(t.Context(), "of others", hourly(1)); !redis.HasErrorPrefix(err, "NOPERM") {
				t.Errorf("error %v, want NOPERM", err)
			}
			wrong := newLimiter(t, patientClient(t, "redis://handrail:other@"+at))
			if _, err := wrong.Allow(t.Context(), "k", hourly(1)); !redis.HasErrorPrefix(err, "WRONGPASS") {
				t.Errorf("error %v, want WRONGPASS", err)
			}
		})
	}
}

// The master is killed under load; all that it had admitted had reached the
// replica, so that the failover adds nothing.
func TestSentinelFailoverInTheMiddle(t *testing.T) {
	const count = 100
	group := testenv.RedisSentinel(t)
	gone := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)) // a sentinel that is down
	l := hurriedLimiter(t, "redis+sentinel://"+gone+","+group.Addr()+"/"+testenv.MasterName)
	eventually(t, "a first decision", func() bool {
		_, err := l.Allow(t.Context(), "warm", hourly(1))
		return err == nil
	})
	var admitted atomic.Int64
	call := func() bool {
		start := time.Now()
		d, err := l.Allow(t.Context(), "k", hourly(count))
		if took := time.Since(start); took > redislimit.DefaultTimeout+slack {
			t.Errorf("Allow took %v", took)
		}
		if d.Allowed {
			admitted.Add(1)
		}
		return err == nil
	}
	eventually(t, "60 admitted", func() bool { call(); return admitted.Load() >= 60 })
	replica := patientClient(t, group.Replica().URL()) // WAIT is about one's own connection
	eventually(t, "replicated", func() bool { return replica.LLen(t.Context(), "k").Val() == admitted.Load() })
	group.Master().Kill()
	if call() {
		t.Error("a decision without a master")
	}
	group.AwaitFailover()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			eventually(t, "a decision by the new master", call)
			for range count {
				call()
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing left to admit", func() bool {
		d, err := l.Allow(t.Context(), "k", hourly(count))
		if d.Allowed {
			admitted.Add(1)
		}
		return err == nil && !d.Allowed
	})
	recorded := replica.LLen(t.Context(), "k").Val()
	if n := admitted.Load(); n > count || recorded != count {
		t.Errorf("P1: admitted %d, recorded %d, want %d", n, recorded, count)
	}
}

// keysByMaster deals out keys to the masters of a Cluster by where they belong.
func keysByMaster(t *testing.T, url string) map[string][]string {
	t.Helper()
	client, ok := patientClient(t, url).(*redis.ClusterClient)
	if !ok {
		t.Fatal("not a client of a Cluster")
	}
	keys := map[string][]string{}
	for i := range 300 {
		key := fmt.Sprintf("handrail:{default:auth:%d}", i)
		node, err := client.MasterForKey(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		keys[node.Options().Addr] = append(keys[node.Options().Addr], key)
	}
	return keys
}

// wantExact makes more calls at once than are admitted. One that found the server
// too slow is repeated; it may have been recorded.
func wantExact(t *testing.T, l ratelimit.Limiter, key string, count int64) {
	t.Helper()
	var admitted, failed atomic.Int64
	var wg sync.WaitGroup
	for range 2 * count {
		wg.Go(func() {
			eventually(t, "a decision on "+key, func() bool {
				d, err := l.AllowN(t.Context(), key, hourly(int(count)), 1)
				if err != nil {
					failed.Add(1)
				}
				if d.Allowed {
					admitted.Add(1)
				}
				return err == nil
			})
		})
	}
	wg.Wait()
	if n := admitted.Load(); n > count || n+failed.Load() < count {
		t.Errorf("P11: %s: admitted %d and failed %d, want %d", key, n, failed.Load(), count)
	}
}

func TestAClusterThatLosesAMaster(t *testing.T) {
	const count = 8
	cluster := testenv.RedisCluster(t, testenv.RedisArgs("--cluster-require-full-coverage", "no"))
	addrs := cluster.Addrs()
	url := "redis://" + strings.Join(addrs, ",")
	l := hurriedLimiter(t, url)
	keys := keysByMaster(t, url)
	for _, addr := range addrs {
		wantExact(t, l, keys[addr][0], count)
	}
	cluster.KillMaster(1)
	open := 0
	for range 3 * redislimit.FailuresToOpen {
		start := time.Now()
		_, err := l.Allow(t.Context(), keys[addrs[1]][1], hourly(count))
		if took := time.Since(start); took > redislimit.DefaultTimeout+slack {
			t.Errorf("Allow took %v", took)
		}
		if err == nil {
			t.Error("a decision without a master")
		}
		if errors.Is(err, redislimit.ErrOpen) {
			open++
		}
	}
	if open == 0 {
		t.Error("the master was asked every time")
	}
	for _, i := range []int{0, 2} {
		for _, key := range keys[addrs[i]][1:6] {
			wantExact(t, l, key, count)
		}
	}
	cluster.Master(1).Start()
	cluster.AwaitOK()
	for _, key := range keys[addrs[1]][1:6] {
		wantExact(t, l, key, count)
	}
}

// The client by itself would go on asking the dead master for up to a minute.
func TestAClusterThatReplacesAMasterIsFollowed(t *testing.T) {
	cluster := testenv.RedisCluster(t, testenv.RedisArgs("--cluster-require-full-coverage", "no"))
	url := "redis://" + strings.Join(cluster.Addrs(), ",")
	l := hurriedLimiter(t, url)
	key := keysByMaster(t, url)[cluster.Addrs()[1]][0]
	wantExact(t, l, key, 1)
	heirs := []redis.UniversalClient{patientClient(t, cluster.Master(0).URL()), patientClient(t, cluster.Master(2).URL())}
	cluster.KillMaster(1)
	id := heirs[0].Do(t.Context(), "cluster", "myid").Val()
	slot := heirs[0].ClusterKeySlot(t.Context(), key).Val()
	for _, heir := range heirs {
		if err := heir.Do(t.Context(), "cluster", "setslot", slot, "node", id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a decision by the heir", func() bool {
		_, err := l.Allow(t.Context(), key, hourly(1))
		return err == nil
	})
}
