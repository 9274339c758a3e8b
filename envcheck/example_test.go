package envcheck_test

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/handrail-go/handrail/envcheck"
)

// A service that refuses to start with a wrong environment. In a program, leave
// Environ out.
func Example() {
	type config struct {
		Database string        `env:"DATABASE_URL,required" rule:"url,allowedProtocols=postgres|postgresql"`
		Secret   string        `env:"SESSION_SECRET,required" rule:"min=32"`
		Mode     string        `env:"MODE" envDefault:"live" rule:"enum=live|test"`
		Port     int           `env:"PORT" envDefault:"8080" rule:"port"`
		Timeout  time.Duration `env:"TIMEOUT" envDefault:"5s"`
	}
	_, err := envcheck.Load[config](envcheck.Environ(map[string]string{
		"SESSION_SECRET": "hunter2",
		"MODE":           "prod",
		"TIMEOUT":        "5 s",
	}))
	fmt.Println(err)
	// Output:
	// envcheck: 4 problems
	//   DATABASE_URL: missing: expected a URL such as https://host/path, a URL that starts with postgres:// or postgresql:// (set it in the environment)
	//   SESSION_SECRET: invalid: expected at least 32 characters; length 1-7
	//   MODE: invalid: expected one of "live", "test"; length 1-7
	//   TIMEOUT: invalid: expected a duration such as 30s, 5m or 1h30m; length 1-7
}

// The environment of an app in another language.
func ExampleParseSchema() {
	schema, err := envcheck.ParseSchema(".env.schema", strings.NewReader(`
# @defaultRequired=true
# ---

# @type=url(allowedProtocols=[redis, rediss])
REDIS_URL=
# @type=port
PORT=3000
# @required=forEnv(production) @type=string(startsWith=sk_live_)
STRIPE_KEY=
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	env := map[string]string{"REDIS_URL": "localhost:6379"}
	report := schema.Check(env, "production")
	_ = report.WriteText(os.Stdout)
	fmt.Println("the app also gets", schema.Defaults(env))
	// Output:
	// .env.schema:6: REDIS_URL: invalid: expected a URL such as https://host/path; length 8-15
	// .env.schema:10: STRIPE_KEY: missing: expected a value that starts with "sk_live_" (set it in the environment)
	// .env.schema: 3 variables checked for production, 2 problems, 0 warnings
	// the app also gets map[PORT:3000]
}
