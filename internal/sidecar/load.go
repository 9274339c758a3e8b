package sidecar

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/envcheck"
	"github.com/handrail-go/handrail/internal/filewatch"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

const maxConfigBytes = 1 << 20

// Options say where a configuration comes from. A nil pointer is a flag that
// was not set.
type Options struct {
	File           string // --config; "" means HANDRAIL_CONFIG, else DefaultFile when it exists
	Listen         *string
	Admin          *string
	Upstream       *string
	TrustedProxies *string // comma-separated, "none" for an empty list

	Getenv func(string) string

	// Child is set by exec: the app is started here, so its address is not
	// configured but chosen, and PORT names where to listen.
	Child    bool
	Check    bool   // the app's address may come from elsewhere
	content  []byte // of File, when it was read before
	childURL string // once it was chosen, so that a reload keeps it
}

// Loaded is a valid configuration and where it came from.
type Loaded struct {
	Config
	File      string           // "" when none was read
	Dir       string           // relative paths of the configuration start here
	Warnings  []string         // each one sentence, to be logged
	EnvSchema *envcheck.Schema // of env.schema; nil without one
	data      []byte           // the file's content
	options   Options
}

// Load reads the configuration. The order of precedence is: flag, environment,
// file, default. The error is a strictyaml.Problems that holds every problem at
// once, each with its place: file, line and column, or the variable's or flag's
// name. No value of a secret is part of it.
func Load(o Options) (*Loaded, error) {
	l := &loader{
		Loaded:  Loaded{Config: defaults(o.Getenv), options: o, Dir: "."},
		origins: map[string]string{},
		unread:  map[string]bool{},
	}
	if err := l.readFile(); err != nil {
		return nil, err
	}
	l.override()
	l.resolvePaths()
	l.validate()
	if len(l.problems) > 0 {
		return nil, l.sorted()
	}
	return &l.Loaded, nil
}

// sorted are the problems by file and place: first variables and flags, then
// the configuration, then the files that it names.
func (l *loader) sorted() strictyaml.Problems {
	rank := func(p *strictyaml.Problem) int {
		switch {
		case p.Line == 0:
			return 0
		case p.File == l.File:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(l.problems, func(a, b *strictyaml.Problem) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return l.problems
}

type loader struct {
	Loaded
	doc      *strictyaml.Doc
	origins  map[string]string // configuration path → flag or variable that set it
	unread   map[string]bool   // paths whose value could not be read, which is said once
	problems strictyaml.Problems
}

// problem reports what is wrong with the value at path.
func (l *loader) problem(path, format string, args ...any) {
	if l.unread[path] && l.origins[path] == "" {
		return
	}
	message := fmt.Sprintf(format, args...)
	switch origin, ok := l.origins[path]; {
	case ok:
		l.problems = append(l.problems, &strictyaml.Problem{File: origin, Message: message})
	case l.doc != nil:
		l.problems = append(l.problems, l.doc.Problem(path, message))
	default:
		l.problems = append(l.problems, &strictyaml.Problem{File: "configuration", Path: path, Message: message})
	}
}

func (l *loader) warn(format string, args ...any) {
	l.Warnings = append(l.Warnings, fmt.Sprintf(format, args...))
}

func (l *loader) readFile() error {
	file, named := l.options.File, true
	if file == "" {
		file = l.options.Getenv("HANDRAIL_CONFIG")
	}
	if file == "" {
		file, named = DefaultFile, false
	}
	data, err := l.options.content, error(nil)
	if data == nil {
		data, err = filewatch.Read(file, maxConfigBytes)
	}
	if !named && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return strictyaml.Problems{{File: file, Message: "cannot be read: " + cause(err)}}
	}
	l.File, l.Dir, l.data = file, filepath.Dir(file), data
	l.options.File = file // from now on it must be there: a reload never falls back to defaults
	if l.doc, err = strictyaml.Parse(file, data); err != nil {
		return err
	}
	expand := expander{getenv: l.options.Getenv, dir: l.Dir}
	err = l.doc.Decode(&l.Config, expand.expand)
	if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
		l.problems = append(l.problems, problems...)
		for _, p := range problems {
			l.unread[p.Path] = true
		}
	}
	return nil
}

// cause is what the operating system said, without the path.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// override applies environment variables, and flags over them.
func (l *loader) override() {
	set := func(path string, into *string, flag string, value *string, variable string) {
		if v := l.options.Getenv(variable); v != "" {
			*into, l.origins[path] = v, variable
		}
		if value != nil {
			*into, l.origins[path] = *value, flag
		}
	}
	o := &l.options
	if port := o.Getenv("PORT"); o.Child && port != "" {
		l.Listen, l.origins["listen"] = ":"+port, "PORT"
	}
	set("listen", &l.Listen, "--listen", o.Listen, "HANDRAIL_LISTEN")
	set("admin.listen", &l.Admin.Listen, "--admin", o.Admin, "HANDRAIL_ADMIN")
	set("admin.token", &l.Admin.Token, "", nil, "HANDRAIL_ADMIN_TOKEN")
	set("upstream.url", &l.Upstream.URL, "--upstream", o.Upstream, "HANDRAIL_UPSTREAM")
	if o.childURL != "" {
		l.Upstream.URL = o.childURL
	}
	set("environment", &l.Environment, "", nil, "HANDRAIL_ENV")
	var list string
	set("trusted_proxies", &list, "--trusted-proxies", o.TrustedProxies, "HANDRAIL_TRUSTED_PROXIES")
	if _, ok := l.origins["trusted_proxies"]; ok {
		l.TrustedProxies = splitList(list)
	}
}

// splitList reads "10.0.0.0/8, private"; "none" and "" are the empty list.
func splitList(list string) []string {
	out := []string{}
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" && part != "none" {
			out = append(out, part)
		}
	}
	return out
}

// resolvePaths makes file names relative to the configuration file, and drops
// default files that do not exist.
func (l *loader) resolvePaths() {
	resolve := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(l.Dir, path)
	}
	if socket, ok := strings.CutPrefix(l.Admin.Listen, "unix:"); ok && l.origins["admin.listen"] == "" {
		l.Admin.Listen = "unix:" + resolve(socket)
	}
	l.DataDir = resolve(l.DataDir)
	if l.Flags.sourceKind() == sourceFile {
		l.Flags.Source = l.defaultFile("flags.source", resolve(l.Flags.Source))
	}
	l.Env.Schema = l.defaultFile("env.schema", resolve(l.Env.Schema))
}

func (l *loader) defaultFile(path, file string) string {
	if l.seen(path) {
		return file
	}
	if _, err := filewatch.Read(file, 1<<30); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return file
}

func (l *loader) seen(path string) bool {
	return l.doc != nil && l.doc.Seen(path)
}

// LoadAdmin reads where a running sidecar listens for commands, by the same
// precedence as Load. What else is wrong with the configuration does not matter
// here: a command may lack the secrets of the process that it asks.
func LoadAdmin(o Options) (AdminConfig, error) {
	l := &loader{
		Loaded:  Loaded{Config: defaults(o.Getenv), options: o, Dir: "."},
		origins: map[string]string{},
		unread:  map[string]bool{},
	}
	if o.Admin == nil && o.Getenv("HANDRAIL_ADMIN") == "" {
		if err := l.readFile(); err != nil {
			return AdminConfig{}, err
		}
	}
	l.override()
	l.resolvePaths()
	l.problems = slices.DeleteFunc(l.problems, func(p *strictyaml.Problem) bool {
		return p.Path != "admin" && !strings.HasPrefix(p.Path, "admin.") || l.origins[p.Path] != ""
	})
	if len(l.problems) > 0 {
		return AdminConfig{}, l.sorted()
	}
	return l.Admin, nil
}
