package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/flaglint"
	"github.com/handrail-go/handrail/internal/sidecar"
)

const (
	formatSARIF  = "sarif"
	formatGitHub = "github"
)

// lintOptions are the flags of the command.
type lintOptions struct {
	files, code, calls, exclude []string
	configFile, format, failOn  string
	staleAfter, expiresWithin   string
}

func (c *command) flagsLintCommand() *cobra.Command {
	var o lintOptions
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Find flags that are not defined, not used, settled for long or expired",
		Long: `lint reads definitions and, with --code, the code that asks for flags. It finds
keys that code asks for and nobody defined; definitions that no code asks for;
flags that are off, at 0 % or at 100 % for long; flags that have expired or soon
will; and what is wrong or doubtful in the definitions.

Code is Go, JavaScript, TypeScript (JSX, Vue, Svelte), Python, Ruby, and templates
(ERB, EJS, Jinja, Django, Go, Handlebars). A key is asked for by a call of package
flags, of an OpenFeature SDK, or of a function named with --call. A definition is
used when a string equal to its key stands anywhere in code, comments excepted; in
other common languages too. A computed key is reported and fails nothing. What git
ignores is not read, nor node_modules, vendor, dist, build, virtual environments,
minified and binary files, and what links lead to.

How long a flag has been settled is what git says of its lines; without git, the
day on which it was created. A comment with handrail:ignore silences its line, or
the next one when it stands alone.

Exit code 1 with findings of the severity --fail-on or above. Flags that are not
defined are errors; computed keys, ages that are not known and flags that expire
soon are infos and never fail; the rest are warnings. 78 when definitions cannot
be used.`,
		Example: `  handrail flags lint --code .
  handrail flags lint --file config/flags.yaml --code web --code api --call isOn --call features.get:2
  handrail flags lint --code . --format github --fail-on error`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.lintFlags(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVar(&o.files, "file", nil, "definition `file` (may be given more than once; default flags.source of the configuration, else flags.yaml)")
	fs.StringVar(&o.configFile, "config", "", "configuration file that names it (env HANDRAIL_CONFIG; default handrail.yaml when it exists)")
	fs.StringArrayVar(&o.code, "code", nil, "`folder` of code (may be given more than once); without it nothing is said about use")
	fs.StringArrayVar(&o.calls, "call", nil, "a `function` of the code that takes a key: NAME, RECEIVER.NAME, and :N when the key is the Nth argument (may be given more than once)")
	fs.StringArrayVar(&o.exclude, "exclude", nil, "a `pattern` of files and folders below --code that are not read, such as testdata or '*_test.go' (may be given more than once)")
	fs.StringVar(&o.format, "format", formatText, "text, json, sarif or github")
	fs.StringVar(&o.failOn, "fail-on", "warning", "the least `severity` that fails: error or warning")
	fs.StringVar(&o.staleAfter, "stale-after", "30d", "how long a flag may give everybody the same: a `duration` such as 30d or 12h")
	fs.StringVar(&o.expiresWithin, "expires-within", "14d", "how long before its end a flag is told of: a `duration`; 0 for never")
	return cmd
}

func (c *command) lintFlags(ctx context.Context, o *lintOptions) error {
	cfg, failOn, err := o.check()
	if err != nil {
		return err
	}
	if cfg.Definitions, err = o.definitions(c.getenv); err != nil {
		return err
	}
	bar := progressOn(c.stderr)
	cfg.Progress = bar.tell
	report, err := flaglint.Run(ctx, cfg)
	bar.clear()
	if err == nil {
		err = writeLint(c.stdout, report, o.format)
	}
	switch {
	case err != nil:
		return &exitError{code: exitFailed, err: err}
	case report.Invalid:
		return &exitError{code: exitConfig}
	case report.AtLeast(failOn):
		return &exitError{code: exitFailed}
	}
	return nil
}

// definitions reads the files that are named, else the one that the sidecar
// would read.
func (o *lintOptions) definitions(getenv func(string) string) ([]*flaglint.Definitions, error) {
	files := o.files
	if len(files) == 0 {
		name, err := (&definitionFlags{config: o.configFile}).name(getenv)
		if err != nil {
			return nil, err
		}
		files = []string{name}
	}
	var all []*flaglint.Definitions
	var errs []error
	for _, file := range files {
		d, err := flaglint.Read(file, sidecar.ParseFlags)
		all, errs = append(all, d), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &exitError{code: exitConfig, err: fmt.Errorf("invalid definitions of flags\n%w", err)}
	}
	return all, nil
}

// check looks at the flags of the command, all of them at once.
func (o *lintOptions) check() (flaglint.Config, flaglint.Severity, error) {
	cfg := flaglint.Config{Code: o.code, Calls: o.calls, Exclude: o.exclude, Now: time.Now()}
	var errs []error
	if !slices.Contains([]string{formatText, formatJSON, formatSARIF, formatGitHub}, o.format) {
		errs = append(errs, fmt.Errorf("--format must be %s, %s, %s or %s", formatText, formatJSON, formatSARIF, formatGitHub))
	}
	failOn := flaglint.Warning
	switch o.failOn {
	case "error":
		failOn = flaglint.Error
	case "warning":
	default:
		errs = append(errs, errors.New("--fail-on must be error or warning"))
	}
	for _, d := range []struct {
		name, text string
		into       *time.Duration
	}{{"--stale-after", o.staleAfter, &cfg.StaleAfter}, {"--expires-within", o.expiresWithin, &cfg.ExpiresWithin}} {
		var ok bool
		if *d.into, ok = parseDays(d.text); !ok {
			errs = append(errs, fmt.Errorf("%s must be a duration such as 30d or 12h", d.name))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, cfg.Check())
	}
	return cfg, failOn, errors.Join(errs...)
}

// parseDays reads a duration as Go writes it, or whole days: 30d.
func parseDays(text string) (time.Duration, bool) {
	const day, most = 24 * time.Hour, 36_500
	if number, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.Atoi(number)
		return time.Duration(days) * day, err == nil && days >= 0 && days <= most
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= most*day
}

func writeLint(w io.Writer, r *flaglint.Report, format string) error {
	switch format {
	case formatJSON:
		return r.WriteJSON(w)
	case formatGitHub:
		return r.WriteGitHub(w)
	case formatSARIF:
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		return r.WriteSARIF(w, versionName(), dir)
	}
	return r.WriteText(w)
}

// A progress line stands on a terminal while work takes longer than a second.
type progress struct {
	w     io.Writer // nil: no terminal
	mu    sync.Mutex
	next  time.Time
	shown bool
}

func progressOn(w io.Writer) *progress {
	p := &progress{next: time.Now().Add(time.Second)}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.w = w
		}
	}
	return p
}

func (p *progress) tell(done, of int) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.After(p.next) {
		p.next, p.shown = now.Add(200*time.Millisecond), true
		fmt.Fprintf(p.w, "\r%d of %d files", done, of)
	}
}

// clear takes the line away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
