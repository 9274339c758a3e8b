package envcheck_test

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/envcheck"
)

type server struct {
	Host string `env:"HOST,required"`
	Port int    `env:"PORT" rule:"port"`
}

type everything struct {
	URL      string         `env:"URL,required" rule:"url"`
	Secret   string         `env:"SECRET,notEmpty" rule:"min=8,max=12"`
	Mode     string         `env:"MODE" envDefault:"live" rule:"enum=live|test"`
	Port     uint16         `env:"PORT" envDefault:"8080" rule:"port,min=1024"`
	Workers  int            `env:"WORKERS" rule:"min=1,max=8"`
	Ratio    float64        `env:"RATIO" rule:"max=1"`
	Timeout  time.Duration  `env:"TIMEOUT" rule:"min=1s"`
	Debug    bool           `env:"DEBUG"`
	Hosts    []string       `env:"HOSTS" envSeparator:";" rule:"url,allowedProtocols=http|https"`
	Ports    []int          `env:"PORTS" rule:"port"`
	Limits   map[string]int `env:"LIMITS"`
	Base     url.URL        `env:"BASE"`
	Other    *url.URL       `env:"OTHER"`
	IP       net.IP         `env:"IP" rule:"ip,version=4"`
	Addr     netip.Addr     `env:"ADDR"`
	Zone     *time.Location `env:"ZONE"`
	Optional *int           `env:"OPTIONAL"`
	Key      string         `env:"KEY" rule:"startsWith=sk_,matches=^sk_[a-z0-9, ]+$"`
	Cert     string         `env:"CERT,file" rule:"startsWith=-----BEGIN"`
	Inner    server         `envPrefix:"INNER_"`
	Pointer  *server        `envPrefix:"POINTER_"`
	Init     *server        `env:",init" envPrefix:"INIT_"`
	List     []server       `envPrefix:"LIST_"`
	Anon     struct {
		Name string `env:"NAME" rule:"min=2"`
	} `envPrefix:"ANON_"`
	Skipped string `env:"-"`
	hidden  string //nolint:unused // fields that cannot be set are passed over
}

func good(t testing.TB) map[string]string {
	t.Helper()
	cert := filepath.Join(t.TempDir(), "cert")
	if err := os.WriteFile(cert, []byte("-----BEGIN X"), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"URL": "https://a", "SECRET": "0123456789", "MODE": "", "WORKERS": "8", "RATIO": "0.5", "TIMEOUT": "2s",
		"DEBUG": "true", "HOSTS": "http://a;https://b", "PORTS": "1,2", "LIMITS": "a:1,b:2", "BASE": "http://b",
		"OTHER": "http://o", "IP": "10.0.0.1", "ADDR": "::1", "ZONE": "UTC", "OPTIONAL": "7", "KEY": "sk_a, b", "CERT": cert,
		"INNER_HOST": "i", "INIT_HOST": "n", "INIT_PORT": "9", "LIST_0_HOST": "l", "LIST_1_HOST": "m", "LIST_1_PORT": "3", "ANON_NAME": "an",
	}
}

func TestLoadReadsWhatIsRight(t *testing.T) {
	cfg, err := envcheck.Load[everything](envcheck.Environ(good(t)))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.URL != "https://a" || cfg.Mode != "live" || cfg.Port != 8080 || cfg.Timeout != 2*time.Second || len(cfg.Hosts) != 2 ||
		cfg.Other.Host != "o" || cfg.Init.Port != 9 || cfg.List[1].Port != 3 || cfg.Pointer != nil || *cfg.Optional != 7 || cfg.Cert != "-----BEGIN X" {
		t.Errorf("%+v", cfg)
	}
}

func TestLoadReportsEveryProblemAtOnce(t *testing.T) {
	env := good(t)
	maps.Copy(env, map[string]string{
		"URL": "", "SECRET": "short", "MODE": "dev", "PORT": "80", "WORKERS": "9", "RATIO": "1.5", "TIMEOUT": "5ms", "DEBUG": "maybe",
		"HOSTS": "http://a;ftp://b;ftp://c", "PORTS": "1,x", "LIMITS": "a", "BASE": "http://[", "OTHER": "http://%zz", "IP": "::1", "ADDR": "x",
		"ZONE": "Nowhere/X", "OPTIONAL": "x", "KEY": "pk_A", "CERT": "/nonexistent/x", "INNER_HOST": "", "INNER_PORT": "0",
		"INIT_PORT": "x", "LIST_0_PORT": "x", "LIST_1_PORT": "0", "ANON_NAME": "a",
	})
	cfg, err := envcheck.Load[everything](envcheck.Environ(env))
	all, ok := errors.AsType[*envcheck.Error](err)
	if !ok {
		t.Fatalf("%T %v", err, err)
	}
	var got []string
	for _, p := range all.Problems {
		got = append(got, p.Field+" "+p.Variable+" "+string(p.Kind)+" "+p.Rule)
	}
	want := []string{
		"URL URL missing required", "Secret SECRET invalid minLength", "Mode MODE invalid enum", "Port PORT invalid port",
		"Workers WORKERS invalid max", "Ratio RATIO invalid max", "Timeout TIMEOUT invalid min", "Debug DEBUG invalid type",
		"Hosts HOSTS invalid allowedProtocols", "Ports PORTS invalid type", "Limits LIMITS invalid type", "Base BASE invalid type",
		"Other OTHER invalid type", "IP IP invalid ip", "Addr ADDR invalid type", "Zone ZONE invalid type", "Optional OPTIONAL invalid type",
		"Key KEY invalid startsWith", "Key KEY invalid matches", "Cert CERT unreadable file",
		"Inner.Host INNER_HOST missing required", "Inner.Port INNER_PORT invalid port", "Init.Port INIT_PORT invalid type",
		"List[0].Port LIST_0_PORT invalid type", "List[1].Port LIST_1_PORT invalid port", "Anon.Name ANON_NAME invalid minLength",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if cfg.Secret != "" || cfg.Workers != 0 {
		t.Error("the result is not zero with an error")
	}
}

func TestLoadErrorText(t *testing.T) {
	_, err := envcheck.Load[server](envcheck.Environ(map[string]string{"APP_PORT": "70000"}), envcheck.Prefix("APP_"))
	want := "envcheck: 2 problems\n" +
		"  APP_HOST: missing: expected a value (set it in the environment)\n" +
		"  APP_PORT: invalid: expected a port from 1 to 65535; length 1-7"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestLoadReadsTheProcessEnvironment(t *testing.T) {
	t.Setenv("HOST", "h")
	t.Setenv("PORT", "")
	cfg, err := envcheck.Load[server]()
	if err != nil || cfg.Host != "h" || cfg.Port != 0 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestParseKeepsDefaultsAndLeavesTheTargetAloneOnErrors(t *testing.T) {
	cfg := server{Host: "kept", Port: 5}
	if err := envcheck.Parse(&cfg, envcheck.Environ(map[string]string{"HOST": "new", "PORT": "x"})); err == nil {
		t.Error("no error")
	}
	if cfg != (server{Host: "kept", Port: 5}) {
		t.Errorf("changed: %+v", cfg)
	}
	if err := envcheck.Parse(&cfg, envcheck.Environ(map[string]string{"HOST": "new"})); err != nil || cfg != (server{Host: "new", Port: 5}) {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestDefaultsMustPassTheRules(t *testing.T) {
	type config struct {
		Mode string `env:"MODE" envDefault:"dev" rule:"enum=live|test"`
	}
	if _, err := envcheck.Load[config](envcheck.Environ(nil)); err == nil {
		t.Error("no error")
	}
}

func TestTwoFieldsOfOneNameAreToldApart(t *testing.T) {
	type config struct {
		A server `envPrefix:"A_"`
		B server `envPrefix:"B_"`
	}
	env := map[string]string{"A_HOST": "a", "A_PORT": "1", "B_HOST": "b", "B_PORT": "x"}
	_, err := envcheck.Load[config](envcheck.Environ(env))
	if p, ok := errors.AsType[*envcheck.Problem](err); !ok || p.Variable != "B_PORT" || p.Field != "B.Port" {
		t.Errorf("%v", err)
	}
}

func TestMistakesInTheStruct(t *testing.T) {
	type config struct {
		Type     string         `env:"A" rule:"urll"`
		Two      string         `env:"B" rule:"url,email"`
		Option   string         `env:"C" rule:"port,minLength=3"`
		Number   string         `env:"D" rule:"min=x"`
		Map      map[string]int `env:"E" rule:"min=1"`
		NoName   string         `rule:"url"`
		Enum     string         `env:"F" rule:"enum"`
		Pattern  string         `env:"G" rule:"matches=(?=x)"`
		Boundary int            `env:"H" rule:"min=9223372036854775808"`
	}
	_, err := envcheck.Load[config](envcheck.Environ(map[string]string{"D": "secret"}))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T", err)
	}
	var fields []string
	for _, e := range joined.Unwrap() {
		c, ok := errors.AsType[*envcheck.ConfigError](e)
		if !ok {
			t.Fatalf("%T", e)
		}
		fields = append(fields, c.Field)
	}
	if got := strings.Join(fields, " "); got != "Type Two Option Number Map NoName Enum Pattern Boundary" {
		t.Errorf("got %s", got)
	}
	for name, load := range map[string]func() error{
		"not a struct":  func() error { _, err := envcheck.Load[int](); return err },
		"nil":           func() error { return envcheck.Parse(nil) },
		"not a pointer": func() error { return envcheck.Parse(server{}) },
		"unknown tag option": func() error {
			_, err := envcheck.Load[struct {
				A string `env:"A,requird"`
			}]()
			return err
		},
		"unreadable type": func() error {
			_, err := envcheck.Load[struct {
				A chan int `env:"A"`
			}](envcheck.Environ(map[string]string{"A": "x"}))
			return err
		},
	} {
		if _, ok := errors.AsType[*envcheck.ConfigError](load()); !ok {
			t.Errorf("%s: %v", name, load())
		}
	}
}
