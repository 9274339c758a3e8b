package flaglint_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/flagd"
	"github.com/handrail-go/handrail/internal/flaglint"
)

// of tells of findings by place, rule and message.
func of(r *flaglint.Report) []string {
	found := []string{}
	for _, f := range r.Findings {
		found = append(found, fmt.Sprintf("%d:%d %s %s", f.Line, f.Column, f.Rule, f.Message))
	}
	return found
}

// parseAny is flags.Parse, or that of flagd where the name says so.
func parseAny(name string, data []byte) (*flags.Set, error) {
	if strings.Contains(name, "flagd") {
		return flagd.Parse(name, data)
	}
	return flags.Parse(name, data)
}

func lintFile(t *testing.T, file string) *flaglint.Report {
	t.Helper()
	d, err := flaglint.Read(file, parseAny)
	if err != nil {
		t.Fatal(err)
	}
	return lint(t, flaglint.Config{Definitions: []*flaglint.Definitions{d}, ExpiresWithin: 14 * 24 * time.Hour})
}

func TestDatesWithoutHistory(t *testing.T) {
	t.Parallel()
	tests := []struct{ rule, flag, want string }{
		{"between 0 and 100 % is alive", "rolloutPercentage: 5, created: 2020-01-01", ""},
		{"at 100 % since before the limit", "rolloutPercentage: 100, created: 2026-10-01", `flag-stale "a" is at 100 %, and was created on 2026-10-01 (no history tells since when)`},
		{"created after the limit it cannot be stale", "rolloutPercentage: 100, created: 2026-11-01", ""},
		{"at 0 %", "rolloutPercentage: 0, created: 2026-10-01", `flag-stale "a" is at 0 %, and was created on 2026-10-01 (no history tells since when)`},
		{"lists are told of", "rolloutPercentage: 0, allowList: [x], created: 2026-10-01", `flag-stale "a" is at 0 %, but for its allowList, and was created on 2026-10-01 (no history tells since when)`},
		{"the kill switch", "enabled: false, rolloutPercentage: 5, created: 2026-10-01", `flag-stale "a" is not enabled, and was created on 2026-10-01 (no history tells since when)`},
		{"an age that is not known is said", "rolloutPercentage: 100", `age-unknown "a" is at 100 %; since when is not known`},
		{"several variants differ", "rolloutPercentage: 100, created: 2026-01-01, variants: [{name: x}, {name: y}]", ""},
		{"one variant does not", "rolloutPercentage: 100, created: 2026-10-01, variants: [{name: x}, {name: y, weight: 0}]", `flag-stale "a" is at 100 %, and was created on 2026-10-01 (no history tells since when)`},
		{"expired when the day has ended", "rolloutPercentage: 5, expires: 2026-11-19", `flag-expired "a" expired on 2026-11-19`},
		{"not on its last day", "rolloutPercentage: 5, expires: 2026-11-20", `flag-expires-soon "a" expires on 2026-11-20`},
		{"what it does now", "rolloutPercentage: 5, expires: 2026-11-19, onExpiry: off, owner: web", `flag-expired "a" expired on 2026-11-19 and is off since; owner: web`},
		{"an expired flag is not stale as well", "rolloutPercentage: 100, created: 2026-01-01, expires: 2026-11-19", `flag-expired "a" expired on 2026-11-19`},
		{"soon is a fortnight", "rolloutPercentage: 5, expires: 2026-12-03", `flag-expires-soon "a" expires on 2026-12-03`},
		{"later is not soon", "rolloutPercentage: 5, expires: 2026-12-04", ""},
		{"created tomorrow", "rolloutPercentage: 5, created: 2026-11-21", `created-in-future "a" is said to be created on 2026-11-21, which is yet to come`},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{"flags.yaml": "flags:\n  a: {" + tt.flag + "}\n"})
			want := []string{}
			if tt.want != "" {
				want = []string{"2:3 " + tt.want}
			}
			if diff := cmp.Diff(want, of(lintFile(t, filepath.Join(dir, "flags.yaml")))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProblemsOfDefinitions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, name, text string
		want             []string
	}{
		{"mistakes have their place", "flags.yaml", "flags:\n  a: {enabled: 1}\n  b: {colour: x}\n", []string{
			"2:16 definition-invalid flags.a.enabled: expected true or false",
			"3:7 definition-invalid flags.b: unknown key \"colour\"; known keys: allowList, created, denyList, description, enabled, expires, hash, inject, metadata, offVariant, onExpiry, owner, public, rolloutPercentage, salt, variantSalt, variants",
		}},
		{"doubts have theirs", "flags.yaml", "a:\n  rolloutPercentage: 5\n  allowList: [x]\n  denyList: [x]\n", []string{
			"3:14 definition-doubtful a.allowList: 1 of its entries are in denyList too, which wins",
		}},
		{"JSON", "flags.json", "{\"flags\": {\n  \"a\": {\"rolloutPercentage\": 5, \"description\": \"\\/\"},\n  \"b\": {\"rolloutPercentage\": 100}\n}}", []string{
			`3:3 age-unknown "b" is at 100 %; since when is not known`,
		}},
		{"flagd", "flagd.json", flagdDefinitions, []string{
			`3:3 age-unknown "on" gives everybody "yes"; since when is not known`,
			`4:3 flag-stale "off" is not enabled, and was created on 2026-01-01 (no history tells since when)`,
			`6:3 flag-expired "split" expired on 2026-11-19; owner: web`,
		}},
		{"a list of flagd, whose places are not known", "flagd.json", `{"flags": [{"key": "a", "state": "ENABLED", "variants": {"x": "y"}, "defaultVariant": "x"}]}`, []string{
			`0:0 age-unknown "a" gives everybody "x"; since when is not known`,
		}},
		{"silenced in the line and in the one before", "flags.yaml", "a: # handrail:ignore\n  rolloutPercentage: 100\n# handrail:ignore: a kill switch\nb: {rolloutPercentage: 100}\nc: {rolloutPercentage: 100}\n", []string{
			`5:1 age-unknown "c" is at 100 %; since when is not known`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{tt.name: tt.text})
			if diff := cmp.Diff(tt.want, of(lintFile(t, filepath.Join(dir, tt.name)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const flagdDefinitions = `{"flags": {
  "half": {"state": "ENABLED", "variants": {"yes": true, "no": false}, "defaultVariant": "yes", "targeting": {"if": [{"var": "x"}, "no"]}},
  "on": {"state": "ENABLED", "variants": {"yes": true, "no": false}, "defaultVariant": "yes"},
  "off": {"state": "DISABLED", "variants": {"yes": true, "no": false}, "defaultVariant": "yes",
    "metadata": {"created": "2026-01-01"}},
  "split": {"state": "ENABLED", "variants": {"yes": true, "no": false}, "defaultVariant": "yes", "metadata": {"expires": "2026-11-19", "owner": "web"}}
}}`

// A repository of git with a clock of its own.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) repository {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := repository{t, t.TempDir()}
	r.git("2026-01-01", "init", "-q", "-b", "main")
	return r
}

func (r repository) git(day string, args ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgSign=false"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2000-01-01T00:00:00Z", "GIT_COMMITTER_DATE="+day+"T00:00:00Z",
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git %s: %v\n%s", args, err, out)
	}
}

func (r repository) write(name, text string) string {
	r.t.Helper()
	full := filepath.Join(r.dir, name)
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return full
}

func (r repository) commit(day, name, text string) string {
	r.t.Helper()
	full := r.write(name, text)
	r.git(day, "add", "--", name)
	r.git(day, "commit", "-q", "-m", day)
	return full
}

const stale100 = `2:3 flag-stale "a" is at 100 % since 2026-02-01`

func TestAgeFromHistory(t *testing.T) {
	t.Parallel()
	full := "flags:\n  a:\n    rolloutPercentage: 100\n    description: x\n"
	half := strings.Replace(full, "100", "50", 1)
	tests := []struct {
		rule string
		make func(r repository) string
		want []string
	}{
		{"since the commit that set it", func(r repository) string {
			r.commit("2026-01-01", "f.yaml", half)
			return r.commit("2026-02-01", "f.yaml", full)
		}, []string{stale100}},
		{"a change beside it makes it no younger", func(r repository) string {
			r.commit("2026-02-01", "f.yaml", full)
			return r.commit("2026-11-19", "f.yaml", strings.Replace(full, "x", "y", 1)+"    # z\n  b: {rolloutPercentage: 5}\n")
		}, []string{stale100}},
		{"nor does indentation", func(r repository) string {
			r.commit("2026-02-01", "f.yaml", full)
			return r.commit("2026-11-19", "f.yaml", strings.ReplaceAll(full, "    ", "     "))
		}, []string{stale100}},
		{"nor does another name of the file", func(r repository) string {
			r.commit("2026-02-01", "f.yaml", full)
			r.git("2026-11-19", "mv", "f.yaml", "g.yaml")
			r.git("2026-11-19", "commit", "-q", "-m", "x")
			return filepath.Join(r.dir, "g.yaml")
		}, []string{stale100}},
		{"set lately", func(r repository) string {
			r.commit("2026-01-01", "f.yaml", half)
			return r.commit("2026-11-01", "f.yaml", full)
		}, []string{}},
		{"set and not committed", func(r repository) string {
			r.commit("2026-01-01", "f.yaml", half)
			return r.write("f.yaml", full)
		}, []string{}},
		{"a list that grew lately is alive", func(r repository) string {
			listed := full + "    denyList:\n      - x\n"
			r.commit("2026-01-01", "f.yaml", listed)
			return r.commit("2026-11-01", "f.yaml", listed+"      - y\n")
		}, []string{}},
		{"the date of creation does not count", func(r repository) string {
			return r.commit("2026-11-01", "f.yaml", full+"    created: 2026-01-01\n")
		}, []string{}},
		{"a file that git does not know", func(r repository) string {
			r.commit("2026-01-01", "f.yaml", full)
			return r.write("g.yaml", full)
		}, []string{`2:3 age-unknown "a" is at 100 %; since when is not known`}},
		{"a repository that git refuses to read", func(r repository) string {
			file := r.commit("2026-02-01", "f.yaml", full)
			r.write(".git/config", "[core]\n\trepositoryformatversion = 99\n")
			return file
		}, []string{`2:3 age-unknown "a" is at 100 %; since when is not known: git rev-parse: fatal: Expected git repo version <= 1, found 99`}},
		{"a repository without a commit", func(r repository) string {
			return r.write("f.yaml", full)
		}, []string{`2:3 age-unknown "a" is at 100 %; since when is not known`}},
		{"through a link", func(r repository) string {
			r.commit("2026-02-01", "f.yaml", full)
			link := filepath.Join(r.t.TempDir(), "flags.yaml")
			if err := os.Symlink(filepath.Join(r.dir, "f.yaml"), link); err != nil {
				r.t.Fatal(err)
			}
			return link
		}, []string{stale100}},
		{"names that look like options or patterns", func(r repository) string {
			return r.commit("2026-02-01", "--output=[x]\n;$(y).yaml", full)
		}, []string{stale100}},
		{"where a shallow clone ends, and that is long ago", func(r repository) string {
			r.commit("2026-01-01", "f.yaml", half)
			r.commit("2026-02-01", "f.yaml", full)
			return r.shallow("f.yaml")
		}, []string{stale100 + " or longer"}},
		{"where a shallow clone ends lately", func(r repository) string {
			r.commit("2026-02-01", "f.yaml", full)
			r.commit("2026-11-19", "f.yaml", strings.Replace(full, "x", "y", 1))
			return r.shallow("f.yaml")
		}, []string{`2:3 age-unknown "a" is at 100 %; since when is not known, as the history here ends on 2026-11-19`}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, of(lintFile(t, tt.make(newRepository(t))))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// shallow clones the last commit alone, and is the path of the file there.
func (r repository) shallow(name string) string {
	r.t.Helper()
	to := filepath.Join(r.t.TempDir(), "clone")
	r.git("2026-11-20", "clone", "-q", "--depth", "1", "file://"+r.dir, to)
	return filepath.Join(to, name)
}

// TestGitRunsNothing: what the configuration of a repository names is not run.
func TestGitRunsNothing(t *testing.T) {
	r := newRepository(t)
	trap := filepath.Join(t.TempDir(), "sprung")
	script := filepath.Join(t.TempDir(), "trap.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch '"+trap+"'\ncat \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.commit("2026-01-01", ".gitattributes", "*.yaml diff=trap\n")
	file := r.commit("2026-02-01", "f.yaml", "flags:\n  a: {rolloutPercentage: 100}\n")
	for _, setting := range []string{"core.fsmonitor", "diff.trap.textconv", "core.pager", "pager.blame", "core.sshCommand"} {
		r.git("2026-02-01", "config", setting, script)
	}
	t.Setenv("GIT_DIR", filepath.Join(r.dir, "nowhere")) // as a hook may find it
	t.Setenv("GIT_PAGER", script)
	d, err := flaglint.Read(file, parseAny)
	if err != nil {
		t.Fatal(err)
	}
	report := lint(t, flaglint.Config{Definitions: []*flaglint.Definitions{d}, Code: []string{r.dir}})
	if got := of(report); len(got) != 2 || got[0] != stale100 {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("the repository's program ran")
	}
}

func TestSeveralFilesOfDefinitions(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"a.js": "isOn('one'); isOn('two'); isOn('tow'); isOn('three')"})
	one, two := defined("one"), defined("two", "unused")
	two.File = "two.yaml"
	r := lint(t, flaglint.Config{Definitions: []*flaglint.Definitions{one, two}, Code: []string{dir}, Calls: []string{"isOn"}})
	want := []string{
		`1:32 flag-undefined "tow" is not defined in flags.yaml, two.yaml`,
		`1:45 flag-undefined "three" is not defined in flags.yaml, two.yaml`,
		`2:1 flag-unused "unused" is used nowhere in the code`,
	}
	if diff := cmp.Diff(want, of(r)); diff != "" {
		t.Error(diff)
	}
	if got := r.Findings[0].Remedy; !strings.HasPrefix(got, `Did you mean "two"?`) {
		t.Errorf("got %q", got)
	}
}

func TestMistakesInTheConfigAreToldAtOnce(t *testing.T) {
	t.Parallel()
	c := flaglint.Config{Calls: []string{"a b", "f:0", ".f", "f:x"}, Exclude: []string{"["}, ExpiresWithin: -1}
	got := c.Check().Error()
	want := `"a b" is not the name of a function
"f:0": the place of the key must be 1 to 4
".f" is not the name of a function
"f:x": the place of the key must be 1 to 4
"[" is no pattern
the time after which a flag is stale must be above 0
the time before the end of a flag must not be below 0`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
