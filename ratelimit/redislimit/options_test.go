package redislimit_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/redislimit"
)

func TestOptionsReadsEveryForm(t *testing.T) {
	type form struct {
		Addrs          []string
		User, Password string
		DB             int
		TLS, Cluster   bool
		Master         string
	}
	for url, want := range map[string]form{
		"redis://cache":                        {Addrs: []string{"cache:6379"}},
		"redis://cache/":                       {Addrs: []string{"cache:6379"}},
		"REDIS://127.0.0.1:7000/3":             {Addrs: []string{"127.0.0.1:7000"}, DB: 3},
		"redis://:s3cret@cache":                {Addrs: []string{"cache:6379"}, Password: "s3cret"},
		"redis://app:a%40b%2Fc%3A@cache":       {Addrs: []string{"cache:6379"}, User: "app", Password: "a@b/c:"},
		"redis://app:a@b:c@cache":              {Addrs: []string{"cache:6379"}, User: "app", Password: "a@b:c"},
		"redis://:a#b@cache":                   {Addrs: []string{"cache:6379"}, Password: "a#b"},
		"rediss://cache:6380":                  {Addrs: []string{"cache:6380"}, TLS: true},
		"redis://[2001:db8::1]:7000":           {Addrs: []string{"[2001:db8::1]:7000"}},
		"redis://[2001:db8::1]":                {Addrs: []string{"[2001:db8::1]:6379"}},
		"redis://:p@a:1,b,[::1]:3":             {Addrs: []string{"a:1", "b:6379", "[::1]:3"}, Password: "p"},
		"rediss://a,b/0":                       {Addrs: []string{"a:6379", "b:6379"}, TLS: true},
		"redis://cfg.example?cluster=true":     {Addrs: []string{"cfg.example:6379"}, Cluster: true},
		"redis://cache/2?cluster=false":        {Addrs: []string{"cache:6379"}, DB: 2},
		"redis+sentinel://a,b:2/main":          {Addrs: []string{"a:26379", "b:2"}, Master: "main"},
		"rediss+sentinel://u:p@a/main.cache/4": {Addrs: []string{"a:26379"}, User: "u", Password: "p", Master: "main.cache", DB: 4, TLS: true},
	} {
		o, err := redislimit.Options(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got := form{o.Addrs, o.Username, o.Password, o.DB, o.TLSConfig != nil, o.IsClusterMode, o.MasterName}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", url, diff)
		}
		if o.TLSConfig != nil && (o.TLSConfig.MinVersion < tls.VersionTLS12 || o.TLSConfig.InsecureSkipVerify) {
			t.Errorf("%s: TLS %+v", url, o.TLSConfig)
		}
		if !o.ContextTimeoutEnabled || o.MaxRetries != -1 || o.DialerRetries != 1 || max(o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout) > time.Second {
			t.Errorf("%s: options do not fail fast", url)
		}
	}
}

var badURLs = []string{
	"",
	"s3cret",
	"cache:6379",
	"http://:s3cret@cache",
	"redis://",
	"redis://:s3cret@",
	"redis://:s3/cret@cache",
	"redis://:s3?cret@cache",
	"redis://:s3#cret/@cache",
	"redis://:s3cret%zz@cache",
	"redis://:s3cret@cache:port",
	"redis://:s3cret@cache:0",
	"redis://:s3cret@cache:70000",
	"redis://:s3cret@cache/s3cret",
	"redis://:s3cret@cache/-1",
	"redis://:s3cret@cache/0/1",
	"redis://:s3cret@a,,b",
	"redis://:s3cret@a,b/1",
	"redis://:s3cret@a/1?cluster=true",
	"redis://:s3cret@cache?password=s3cret",
	"redis://:s3cret@[cache]:1",
	"redis://s3cret@cache",
	"redis+sentinel://:s3cret@a",
	"redis+sentinel://:s3cret@a/",
	"redis+sentinel://:s3cret@a/main/x",
	"redis+sentinel://:s3cret@a/main?cluster=true",
	"redis+sentinel://:s3/cret@a/main",
}

func TestOptionsErrorsHoldNothingOfTheURL(t *testing.T) {
	for _, url := range badURLs {
		o, err := redislimit.Options(url)
		var bad *ratelimit.ConfigError
		if o != nil || !errors.As(err, &bad) {
			t.Errorf("%s: options %v, error %v, want a *ConfigError", url, o, err)
			continue
		}
		if strings.Contains(err.Error(), "s3") || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: the error tells the password: %v", url, err)
		}
	}
}

func FuzzOptions(f *testing.F) {
	for _, url := range badURLs {
		f.Add(url)
	}
	f.Add("rediss+sentinel://u:p@a,[::1]:3/main/4")
	fixed := map[string]bool{}
	f.Fuzz(func(t *testing.T, url string) {
		o, err := redislimit.Options(url)
		if err == nil {
			if len(o.Addrs) == 0 || !o.ContextTimeoutEnabled {
				t.Errorf("%q: options %+v", url, o)
			}
			return
		}
		// Errors come from a fixed list, so they cannot hold what was passed in.
		if fixed[err.Error()] = true; len(fixed) > 20 {
			t.Errorf("%q: error %v is not one of a few", url, err)
		}
	})
}

func TestNewReportsEveryProblem(t *testing.T) {
	patientClient := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer patientClient.Close()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	defer cluster.Close()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	for name, c := range map[string]struct {
		cfg      redislimit.Config
		problems int
	}{
		"no client, negative timeout":      {redislimit.Config{Timeout: -1}, 2},
		"a client that ignores deadlines":  {redislimit.Config{Client: patientClient}, 1},
		"a cluster that ignores deadlines": {redislimit.Config{Client: cluster}, 1},
		"a ring that ignores deadlines":    {redislimit.Config{Client: ring}, 1},
	} {
		l, err := redislimit.New(c.cfg)
		joined, ok := err.(interface{ Unwrap() []error })
		if l != nil || !ok || len(joined.Unwrap()) != c.problems {
			t.Errorf("%s: %v, %v; want %d problems", name, l, err, c.problems)
		}
	}
}
