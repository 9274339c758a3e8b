package sidecar_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
	"github.com/handrail-go/handrail/internal/testenv"
)

// importing asks d to import a text. Asked is a query, such as "?dry_run=true".
func (d *flagDesk) importing(t *testing.T, text, asked string) (int, sidecar.FlagsImported, string) {
	t.Helper()
	body, err := json.Marshal(sidecar.FlagsToImport{Definitions: text})
	if err != nil {
		t.Fatal(err)
	}
	status, _, answer := d.do(t, "POST", sidecar.FlagsImportPath+asked, string(body), "Handrail-Actor: ann")
	var out sidecar.FlagsImported
	if status == 200 {
		if err := json.Unmarshal([]byte(answer), &out); err != nil || out.Check() != nil {
			t.Fatalf("%v: %s", err, answer)
		}
	}
	return status, out, answer
}

// manyFlags are n flags with a comment.
func manyFlags(n int) string {
	var b strings.Builder
	b.WriteString("# ours\nflags:\n")
	for i := range n {
		fmt.Fprintf(&b, "  flag-%05d: # one of many\n    owner: team-%d\n    rolloutPercentage: %d\n    allowList: [user-1, user-2]\n", i, i%7, i%101)
	}
	return b.String()
}

// stored are the definitions that Redis has, empty without any.
func stored(t *testing.T, server *testenv.RedisServer) string {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1})
	defer client.Close()
	source, err := redisflags.New(redisflags.Config{Client: client, Namespace: "shop", Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := source.Load(t.Context()) // an error is that there are none
	return string(doc.Data)
}

// A sidecar that is not ready, since Redis holds no flag, takes a file, and
// Redis has it as it stands then.
func TestAFileIsImportedIntoAnEmptyRedis(t *testing.T) {
	server := testenv.Redis(t)
	one, two := redisDesk(t, server), redisDesk(t, server)
	eventually(t, "Redis answers", func() bool {
		status, out, _ := one.importing(t, flagFile, "?dry_run=true")
		return status == 200 && !out.Changed && out.Whole && len(out.New) == 2
	})
	if status, _ := ask(t, "tcp", one.public, "/readyz", "h", ""); status != 503 || stored(t, server) != "" {
		t.Errorf("before, readiness is %d", status)
	}
	status, out, answer := one.importing(t, flagFile, "")
	if status != 200 || !out.Changed || !out.InForce || out.Audit != 1 || stored(t, server) != flagFile || out.Configuration != flags.VersionOf([]byte(flagFile)) {
		t.Fatalf("%d %s", status, answer)
	}
	for _, d := range []*flagDesk{one, two} {
		eventually(t, "ready", func() bool {
			status, _ := ask(t, "tcp", d.public, "/readyz", "h", "")
			return status == 200
		})
	}
	lines, entries := auditInRedis(t, server), one.audit(t)
	if len(lines) != 2 || !strings.Contains(lines[0], `"actor":"ann"`) || len(entries) != 2 || entries[1].Flag != "new-checkout" || entries[1].What != flagaudit.Change || entries[1].Note != "imported" {
		t.Errorf("%q, %+v", lines, entries)
	}
	if status, out, answer = two.importing(t, flagFile, ""); status != 200 || out.Changed || len(out.Same) != 2 || !out.InForce {
		t.Errorf("again: %d %s", status, answer)
	}
	server.Kill()
	if status, _, answer = one.importing(t, "a: {enabled: false}", ""); status != 503 || !strings.Contains(answer, "source_unavailable") && !strings.Contains(answer, "outcome_unknown") {
		t.Errorf("without Redis: %d %s", status, answer)
	}
}

// Of several who import the same at once one does it, and the others find it done.
func TestOneOfManyImports(t *testing.T) {
	server := testenv.Redis(t)
	text := manyFlags(300)
	one, two := redisDesk(t, server), redisDesk(t, server)
	eventually(t, "Redis answers", func() bool {
		status, _, _ := one.importing(t, flagFile, "?dry_run=true")
		return status == 200
	})
	var mu sync.Mutex
	var wg sync.WaitGroup
	changed := 0
	for _, d := range []*flagDesk{one, two, one, two} {
		wg.Go(func() {
			status, out, answer := d.importing(t, text, "")
			mu.Lock()
			defer mu.Unlock()
			if status != 200 || len(out.New)+len(out.Same) != 300 {
				t.Errorf("%d %.300s", status, answer)
			}
			if out.Changed {
				changed++
			}
		})
	}
	wg.Wait()
	if changed != 1 || stored(t, server) != text || len(auditInRedis(t, server)) != 10 {
		t.Errorf("%d of them changed something", changed)
	}
}

// As many flags as there may be are imported in one step.
func TestTheLargestImport(t *testing.T) {
	if raced {
		t.Skip("it could take longer than a change may, with the race detector")
	}
	d := newFlagDesk(t, "flag-00000: {enabled: false}")
	text := manyFlags(flags.MaxFlags)
	begun := time.Now()
	status, out, answer := d.importing(t, text, "?overwrite=true")
	if status != 200 || !out.Changed || len(out.New) != flags.MaxFlags-1 || len(out.Overwritten) != 1 || d.content(t) != text {
		t.Fatalf("%d %.300s", status, answer)
	}
	t.Logf("after %v", time.Since(begun).Round(time.Millisecond))
	if n, err := flagaudit.New(filepath.Join(d.dir, "handrail-data"), 0).Verify(t.Context()); n != flags.MaxFlags || err != nil {
		t.Errorf("%d lines of the audit log, %v", n, err)
	}
	if status, _, answer := d.importing(t, flagFile, ""); status != 409 || !strings.Contains(answer, "too_many_flags") {
		t.Errorf("more than there may be: %d %s", status, answer)
	}
}

func TestWhatAnImportMakesOfAFile(t *testing.T) {
	const there = "# theirs\na: {rolloutPercentage: 5} # five\nb: {enabled: true}\n"
	for _, tt := range []struct {
		rule, text, asked string
		status            int
		says, want        string // in the answer, and in the file; empty: as before
	}{
		{"all is there", "{\"b\": {\"enabled\": true}}", "", 200, `"changed": false`, ""},
		{"a flag that differs", "a: {rolloutPercentage: 6}\nc: {enabled: false}\n", "", 409, "flags_differ", ""},
		{"it differs, in a dry run", "a: {rolloutPercentage: 6}\n", "?dry_run=true", 409, "flags_differ", ""},
		{"it differs, and is to be overwritten", "a: {rolloutPercentage: 6}\n", "?overwrite=true", 200, `"after": "6 %"`,
			"# theirs\na: {rolloutPercentage: 6} # five\nb: {enabled: true}\n"},
		{"a dry run", "a: {rolloutPercentage: 6}\n", "?overwrite=true&dry_run=true", 200, `"changed": false`, ""},
		{"a flag by default overwrites", "a: {enabled: true}\n", "?overwrite=true", 200, `"changed": true`,
			"a: {enabled: true}\nb:\n  enabled: true\n"}, // there it would be {}, which is no definition
		{"the file takes its place where it has all", "# ours\na: {rolloutPercentage: 5}\nb: {enabled: true}\nc: {enabled: false}\n", "", 200, `"whole": true`,
			"# ours\na: {rolloutPercentage: 5}\nb: {enabled: true}\nc: {enabled: false}\n"},
		{"an alias in the file", "x: &x {enabled: false}\ny: *x\n", "", 200, `"whole": false`,
			"# theirs\na: {rolloutPercentage: 5} # five\nb: {enabled: true}\nx:\n  enabled: false\n\"y\":\n  enabled: false\n"},
		{"a mistake", "a:\n  rolloutPercentage: 101\n", "", 400, `"line": 2`, ""},
		{"flagd's", `{"flags": {"a": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}}}`, "", 400, "are flagd's", ""},
		{"no flag", "flags: {}", "", 200, `"changed": false`, ""},
		{"no text", "", "", 400, "bad_request", ""},
		{"an unknown question", "a: {enabled: true}", "?force=true", 400, "bad_request", ""},
		{"a question that is not answered yes", "a: {enabled: true}", "?overwrite=false", 400, "bad_request", ""},
		{"a huge text", strings.Repeat("#\n", flags.MaxFileBytes), "", 413, "body_too_large", ""},
		{"a large text", strings.Repeat("#", flags.MaxFileBytes), "", 400, "bad_definition", ""},
		{"more than can be edited into what is there", manyFlags(2000), "", 200, `"changed": true`, manyFlags(2000) + "  a:\n    rolloutPercentage: 5\n  b:\n    enabled: true\n"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			d := newFlagDesk(t, there)
			status, out, answer := d.importing(t, tt.text, tt.asked)
			if status != tt.status || !strings.Contains(answer, tt.says) {
				t.Errorf("%d %.500s", status, answer)
			}
			want, lines := tt.want, len(out.New)+len(out.Overwritten)
			if want == "" {
				want, lines = there, 0
			}
			if got := d.content(t); got != want {
				t.Errorf("the file is\n%.1000s", got)
			}
			if n, err := flagaudit.New(filepath.Join(d.dir, "handrail-data"), 0).Verify(t.Context()); n != lines || err != nil {
				t.Errorf("%d lines of the audit log for %d flags, %v", n, lines, err)
			}
		})
	}
}

// Many flags on both sides are not put together by edits, each of which reads
// all of it.
func TestWhatIsTooMuchToPutTogether(t *testing.T) {
	d := newFlagDesk(t, strings.ReplaceAll(manyFlags(500), "flag-", "old-"))
	before := d.content(t)
	status, _, answer := d.importing(t, manyFlags(500), "")
	if status != 409 || !strings.Contains(answer, "too_many_changes") || d.content(t) != before {
		t.Errorf("%d %s", status, answer)
	}
}

// What is there may have a form in which no flag is added: the file has it.
func TestAnImportWhereWhatIsThereCannotBeEdited(t *testing.T) {
	const text = "# ours\nc: {enabled: false}\n"
	d := newFlagDesk(t, "flags: &all\n  a: {enabled: false}\n")
	if status, _, answer := d.importing(t, text, ""); status != 200 || d.content(t) != text+"a:\n  enabled: false\n" {
		t.Errorf("%d %s\n%s", status, answer, d.content(t))
	}
	d = newFlagDesk(t, "flags: &all\n  a: {enabled: false}\n")
	status, _, answer := d.importing(t, "flags: &all\n  c: {enabled: false}\n", "")
	if status != 409 || !strings.Contains(answer, "cannot_edit") || !strings.Contains(d.content(t), "  a:") {
		t.Errorf("%d %s\n%s", status, answer, d.content(t))
	}
}

func TestAnImportIntoASourceThatCannotBeChanged(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	if err := os.Chmod(d.file, 0o444); err != nil {
		t.Fatal(err)
	}
	if status, _, answer := d.importing(t, "a: {enabled: false}", ""); status != 409 || !strings.Contains(answer, "source_read_only") {
		t.Errorf("%d %s", status, answer)
	}
	if err := os.Chmod(d.file, 0o644); err != nil {
		t.Fatal(err)
	}
	// What is found only while it is written is taken back, line by line.
	if err := os.Mkdir(filepath.Join(d.dir, ".flags.yaml.lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	if status, _, answer := d.importing(t, "a: {enabled: false}\nb: {enabled: false}", ""); status != 503 {
		t.Errorf("%d %s", status, answer)
	}
	entries := d.audit(t)
	if len(entries) != 4 || d.content(t) != flagFile {
		t.Fatalf("%+v", entries)
	}
	for i, e := range entries[:2] {
		if was := entries[i+2]; e.What != flagaudit.NotMade || e.Of != was.N || e.Flag != was.Flag {
			t.Errorf("%+v takes %+v back", e, was)
		}
	}
}

// A crash between the audit log and the definitions leaves lines that the next
// start takes back, all of them and no other.
func TestAnImportThatBrokeOffIsTakenBack(t *testing.T) {
	const several = 2500 // more than a page
	dir := t.TempDir()
	now, other := flags.VersionOf([]byte(flagFile)), flags.VersionOf([]byte("other"))
	log := flagaudit.New(filepath.Join(dir, "handrail-data"), 0)
	entries := []flagaudit.Entry{{What: flagaudit.Change, Flag: "earlier", ConfigurationBefore: other, ConfigurationAfter: now}}
	for i := range several {
		entries = append(entries, flagaudit.Entry{What: flagaudit.Change, Flag: fmt.Sprint(i), ConfigurationBefore: now, ConfigurationAfter: other})
	}
	if _, err := log.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	d := flagDeskIn(t, dir, flagFile)
	eventually(t, "taken back", func() bool { return len(d.audit(t)) > 0 && d.audit(t)[0].What == flagaudit.NotMade })
	var lines []flagaudit.Entry
	for before := int64(0); before != 1; before = lines[len(lines)-1].N {
		page, err := log.Read(before, 1000)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, page...)
	}
	if len(lines) != 1+2*several {
		t.Fatalf("%d lines", len(lines))
	}
	for i, e := range lines[:several] {
		if was := lines[i+several]; e.What != flagaudit.NotMade || e.Of != was.N || e.Flag != was.Flag {
			t.Fatalf("%+v takes %+v back", e, was)
		}
	}
}
