// Package envcheck makes a program refuse to start with a wrong environment,
// and say so without ever saying a value.
//
// A Go service describes its environment as a struct:
//
//	type config struct {
//		Database string        `env:"DATABASE_URL,required" rule:"url"`
//		Secret   string        `env:"SESSION_SECRET,required" rule:"min=32"`
//		Mode     string        `env:"MODE" envDefault:"live" rule:"enum=live|test"`
//		Port     int           `env:"PORT" envDefault:"8080" rule:"port"`
//		Timeout  time.Duration `env:"TIMEOUT" envDefault:"5s"`
//	}
//	cfg, err := envcheck.Load[config]()
//
// An app in any other language describes it in a .env.schema file, in the form
// of the @env-spec:
//
//	# @defaultRequired=true @defaultSensitive=false
//	# ---
//
//	# Where orders are kept
//	# @type=url(allowedProtocols=[postgres, postgresql]) @sensitive
//	DATABASE_URL=
//
//	# @type=port
//	PORT=3000
//
// Both compile to the same rules.
//
// # What holds everywhere
//
//   - Every problem is reported at once.
//   - No value appears in any message, not even a piece of one. A [Problem]
//     names the variable, the kind, what was expected and a length bucket. Texts
//     of third parties (strconv, net/url, the struct parser) are dropped, never
//     wrapped, because they quote what they could not parse.
//   - An empty variable counts as unset.
//   - A missing value fails. Only a default that was written down (envDefault,
//     KEY=value in the schema) stands in for it.
//
// # Order in a program
//
// First thing in main, before anything reads the environment or connects
// anywhere. The package does no network I/O and reads no file that it was not
// told to read.
//
// # Security notes
//
// A schema belongs into version control and holds no secrets: expectations quote
// it (members of an enum, a prefix, a pattern). Mistakes in a schema or a .env
// file are told by position only, because a .env file handed in as a schema, or
// a private key pasted without quotes, is mistaken for names and functions.
// Nothing in either file is ever executed: functions and command substitutions
// are errors. Both are bounded, in size and in what references expand to, and
// patterns are RE2, so that no file can take unbounded time.
package envcheck
