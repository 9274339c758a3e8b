package sidecar_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/sidecar"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

const flagFile = `# ours
flags:
  new-checkout: # the plan
    rolloutPercentage: 5
    allowList: [user-1]
  team/a:b: {enabled: false}
`

// A flagDesk is a sidecar with flags, and an operator who has the token.
type flagDesk struct {
	*running
	dir, file string
}

func newFlagDesk(t *testing.T, content string) *flagDesk {
	t.Helper()
	return flagDeskIn(t, t.TempDir(), content)
}

// flagDeskIn is one whose folder may hold an audit log already.
func flagDeskIn(t *testing.T, dir, content string) *flagDesk {
	t.Helper()
	d := &flagDesk{dir: dir, file: writeFile(t, dir, "flags.yaml", content)}
	d.running = d.start(t, newRawApp(t).url)
	return d
}

func (d *flagDesk) start(t *testing.T, app string) *running {
	t.Helper()
	config := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0', token: %s}\nupstream: {url: %q}\ndrain: {delay: 0s}\n", token, app)
	r := runSidecar(t, sidecar.Options{File: writeFile(t, d.dir, "handrail.yaml", config), Getenv: env{}.get})
	eventually(t, "ready", func() bool {
		status, _ := ask(t, "tcp", r.public, "/readyz", "h", "")
		return status == 200
	})
	return r
}

// do sends a request of an operator. Headers are "Name: value".
func (d *flagDesk) do(t *testing.T, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+d.admin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// etag is that of a flag, as If-Match has it.
func (d *flagDesk) etag(t *testing.T, key string) string {
	t.Helper()
	_, header, _ := d.do(t, "GET", sidecar.FlagsPath+"/"+key, "")
	return "If-Match: " + header.Get("ETag")
}

func (d *flagDesk) content(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (d *flagDesk) audit(t *testing.T) []flagaudit.Entry {
	t.Helper()
	_, _, body := d.do(t, "GET", sidecar.FlagsAuditPath, "")
	var page sidecar.FlagsAudit
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for i := range page.Entries {
		page.Entries[i].Before, page.Entries[i].After = compact(t, page.Entries[i].Before), compact(t, page.Entries[i].After)
	}
	return page.Entries
}

func compact(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFlagsAreListedAndShown(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	_, _, body := d.do(t, "GET", sidecar.FlagsPath, "")
	var list sidecar.Flags
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	if list.Source != d.file || !list.Writable || list.Configuration != flags.VersionOf([]byte(flagFile)) || len(list.Flags) != 2 {
		t.Errorf("%s", body)
	}
	for _, path := range []string{"/team/a:b", "/team%2Fa:b", "/team%2fa%3Ab"} {
		status, header, body := d.do(t, "GET", sidecar.FlagsPath+path, "")
		var state sidecar.FlagState
		if err := json.Unmarshal([]byte(body), &state); err != nil || status != 200 || state.Key != "team/a:b" ||
			state.State != sidecar.FlagOff || header.Get("ETag") != `"`+state.Version+`"` {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestAFlagIsChangedAtOnce(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	on := func() string {
		_, _, body := d.do(t, "GET", sidecar.FlagsPath+"/new-checkout", "")
		var state sidecar.FlagState
		_ = json.Unmarshal([]byte(body), &state)
		return state.State
	}
	status, header, body := d.do(t, "PATCH", sidecar.FlagsPath+"/new-checkout", `{"rolloutPercentage": 100}`, d.etag(t, "new-checkout"), "Handrail-Actor: ann")
	if status != 200 || !strings.Contains(body, `"in_force": true`) || on() != sidecar.FlagOn || "If-Match: "+header.Get("ETag") != d.etag(t, "new-checkout") {
		t.Errorf("%d %s; it is %s", status, body, on())
	}
	if got, want := d.content(t), strings.Replace(flagFile, "Percentage: 5", "Percentage: 100", 1); got != want {
		t.Errorf("the file is now\n%s", got)
	}
	if status, _, body = d.do(t, "PATCH", sidecar.FlagsPath+"/new-checkout", `{"enabled": false, "deny": ["x"], "remove": ["user-1"]}`, "If-Match: *"); status != 200 || on() != sidecar.FlagOff {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body = d.do(t, "PUT", sidecar.FlagsPath+"/a/../b", `{"rolloutPercentage": 1}`, "If-None-Match: *"); status != 307 {
		t.Errorf("dots that are not escaped: %d %s", status, body)
	}
	if status, _, body = d.do(t, "PUT", sidecar.FlagsPath+"/a%2F..%2Fb", `{"rolloutPercentage": 1}`, "If-None-Match: *"); status != 201 {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body = d.do(t, "DELETE", sidecar.FlagsPath+"/a%2F..%2Fb", "", d.etag(t, "a%2F..%2Fb")); status != 200 || !strings.Contains(body, `"after": null`) {
		t.Errorf("%d %s", status, body)
	}
	entries := d.audit(t)
	if len(entries) != 4 || entries[3].Actor != "ann" || entries[3].Via != "token" || string(entries[3].After) == "" || entries[0].ConfigurationAfter != flags.VersionOf([]byte(d.content(t))) {
		t.Errorf("audit: %+v", entries)
	}
	if n, err := flagaudit.New(filepath.Join(d.dir, "handrail-data"), 0).Verify(t.Context()); n != 4 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestWhatIsRefusedOfAChange(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	const one = "/new-checkout"
	any := "If-Match: *"
	for _, tt := range []struct {
		rule, method, path, body string
		headers                  []string
		status                   int
		says                     string
	}{
		{"no precondition", "PUT", one, `{"enabled": true}`, nil, 428, "precondition_required"},
		{"no precondition of a deletion", "DELETE", one, "", nil, 428, "precondition_required"},
		{"no precondition of a patch", "PATCH", one, `{"enabled": true}`, nil, 428, "precondition_required"},
		{"two of them", "PUT", one, `{"enabled": true}`, []string{any, "If-None-Match: *"}, 400, "bad_precondition"},
		{"another version", "PUT", one, `{"enabled": true}`, []string{`If-Match: "x"`}, 412, "version_mismatch"},
		{"a weak version", "PUT", one, `{"enabled": true}`, []string{"If-Match: W/" + strings.TrimPrefix(d.etag(t, "new-checkout"), "If-Match: ")}, 412, "version_mismatch"},
		{"a new one that is there", "PUT", one, `{"enabled": true}`, []string{"If-None-Match: *"}, 412, "there is such a flag already"},
		{"no such flag", "PATCH", "/none", `{"enabled": true}`, []string{any}, 404, "unknown_flag"},
		{"no key", "PUT", "/", `{"enabled": true}`, []string{"If-None-Match: *"}, 400, "a flag's key is"},
		{"a bad key", "PUT", "/a%20b%0a", `{"enabled": true}`, []string{"If-None-Match: *"}, 400, "a flag's key is"},
		{"all problems", "PUT", one, "{\"rolloutPercentage\": 101,\n\"enabled\": 1}", []string{any}, 400, `"line": 2`},
		{"no JSON", "PUT", one, `enabled: true`, []string{any}, 400, "is not valid JSON"},
		{"no body", "PUT", one, ``, []string{any}, 400, "bad_request"},
		{"bytes that are no text", "PATCH", one, "{\"owner\": \"\xff\xfe\"}", []string{any}, 400, "bad_request"},
		{"a setting twice", "PATCH", one, "{\"rolloutPercentage\": 1,\n \"rolloutPercentage\": 2, \"allow\": [\"x\"]}", []string{any}, 400, `"line": 2,` + "\n      " + `"column": 2`},
		{"a mistake behind a list", "PATCH", one, "{\"allow\": [\"ü\",\n\"x\"], \"enabled\": 1}", []string{any}, 400, `"line": 2,` + "\n      " + `"column": 18`},
		{"a mistake between lists", "PATCH", one, `{"owner": "x", "deny": [], "enabled": 1, "allow": []}`, []string{any}, 400, `"column": 39`},
		{"a list twice", "PATCH", one, `{"allow": ["x"], "allow": []}`, []string{any}, 400, "allow stands there twice"},
		{"a list and no end", "PATCH", one, `{"allow": ["x"]`, []string{any}, 400, "is not valid JSON"},
		{"a list and more", "PATCH", one, `{"allow": ["x"]} {}`, []string{any}, 400, "bad_definition"},
		{"lists that are null", "PATCH", one, `{"allow": null}`, []string{any}, 400, "allow must be a list"},
		{"lists that are none", "PATCH", one, `{"allow": "x"}`, []string{any}, 400, "allow must be a list"},
		{"a huge body", "PUT", one, `{"owner": "` + strings.Repeat("x", flags.MaxFileBytes) + `"}`, []string{any}, 413, "body_too_large"},
		{"an actor with a line of its own", "PUT", one, `{"enabled": true}`, []string{any, "Handrail-Actor: a\u2028b"}, 400, "bad_actor"},
		{"a long actor", "PUT", one, `{"enabled": true}`, []string{any, "Handrail-Actor: " + strings.Repeat("x", 101)}, 400, "bad_actor"},
		{"an unknown question", "PUT", one + "?force=1", `{"enabled": true}`, []string{any}, 400, "dry_run"},
		{"another method", "POST", one, `{}`, []string{any}, 405, ""},
		{"a dry run", "PATCH", one + "?dry_run=true", `{"rolloutPercentage": 7}`, []string{any}, 200, `"changed": false`},
		{"what is so already", "PATCH", one, `{"rolloutPercentage": 5.0}`, []string{any}, 200, `"changed": false`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			status, header, body := d.do(t, tt.method, sidecar.FlagsPath+tt.path, tt.body, tt.headers...)
			if status != tt.status || !strings.Contains(body, tt.says) || status == 412 && header.Get("ETag") == "" {
				t.Errorf("%d %.300s", status, body)
			}
		})
	}
	if d.content(t) != flagFile || len(d.audit(t)) != 0 {
		t.Errorf("a refusal changes\n%s%v", d.content(t), d.audit(t))
	}
}

// Of many who change the same version one wins, and every change that was
// answered is in the file and in the audit log.
func TestNoUpdateIsLost(t *testing.T) {
	d := newFlagDesk(t, "a: {enabled: true, owner: 'x'}\nb: {enabled: true}\n")
	etag := d.etag(t, "a")
	var mu sync.Mutex
	won := map[int]int{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			status, _, _ := d.do(t, "PATCH", sidecar.FlagsPath+"/a", fmt.Sprintf(`{"description": "%d"}`, i), etag)
			mu.Lock()
			won[status]++
			mu.Unlock()
		})
		wg.Go(func() { // another flag is not in their way
			if status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/b", fmt.Sprintf(`{"allow": ["%d"]}`, i), "If-Match: *"); status != 200 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	wg.Wait()
	if won[200] != 1 || won[412] != 7 {
		t.Errorf("answers: %v", won)
	}
	set, err := flags.Parse("f", []byte(d.content(t)))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := set.Lookup("b"); len(b.AllowList) != 8 {
		t.Errorf("left in the list: %q", b.AllowList)
	}
	if n := len(d.audit(t)); n != 9 {
		t.Errorf("%d lines of the audit log", n)
	}
}

func TestChangesByOthersAreInTheAuditLog(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	writeFile(t, d.dir, "flags.yaml", strings.Replace(flagFile, "enabled: false", "enabled: true", 1))
	eventually(t, "recorded", func() bool { return len(d.audit(t)) == 1 })
	e := d.audit(t)[0]
	if e.What != flagaudit.Seen || e.Via != "source" || e.Flag != "team/a:b" || string(e.Before) != `{"enabled":false}` || string(e.After) != "{}" {
		t.Errorf("%+v", e)
	}
	// One that is not seen yet is recorded before a change that is made on it.
	writeFile(t, d.dir, "flags.yaml", strings.Replace(flagFile, "Percentage: 5", "Percentage: 6", 1))
	if status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/new-checkout", `{"rolloutPercentage": 7}`, "If-Match: *"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	entries := d.audit(t)
	if e := entries[0]; e.What != flagaudit.Change || !strings.Contains(string(e.Before), ":6,") || e.ConfigurationBefore != entries[1].ConfigurationAfter {
		t.Errorf("%+v after %+v", e, entries[1])
	}
}

func TestNoAuditLogNoChange(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	writeFile(t, d.dir, "handrail-data", "a file in the way")
	status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/new-checkout", `{"rolloutPercentage": 7}`, "If-Match: *")
	if status != 503 || !strings.Contains(body, "audit_unavailable") || d.content(t) != flagFile {
		t.Errorf("%d %s", status, body)
	}
}

func TestASourceThatCannotBeChanged(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	change := func() (int, string) {
		status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/new-checkout", `{"rolloutPercentage": 7}`, "If-Match: *")
		return status, body
	}
	if err := os.Chmod(d.file, 0o444); err != nil {
		t.Fatal(err)
	}
	if status, body := change(); status != 409 || !strings.Contains(body, "source_read_only") {
		t.Errorf("read-only: %d %s", status, body)
	}
	if entries := d.audit(t); len(entries) != 0 {
		t.Errorf("the audit log tells of it: %+v", entries)
	}
	if _, _, body := d.do(t, "GET", sidecar.FlagsPath, ""); !strings.Contains(body, `"writable": false`) {
		t.Errorf("%s", body)
	}
	if err := os.Chmod(d.file, 0o644); err != nil {
		t.Fatal(err)
	}
	// What is found only while it is written is taken back in the audit log.
	lock := filepath.Join(d.dir, ".flags.yaml.lock")
	if err := os.Mkdir(lock, 0o700); err != nil {
		t.Fatal(err)
	}
	if status, body := change(); status != 503 || !strings.Contains(body, "source_unavailable") {
		t.Errorf("no lock: %d %s", status, body)
	}
	if entries := d.audit(t); len(entries) != 2 || entries[0].What != flagaudit.NotMade || entries[0].Of != entries[1].N {
		t.Errorf("the line is not taken back: %+v", entries)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	writeFile(t, d.dir, "flags.yaml", "flags: [")
	if status, body := change(); status != 409 || !strings.Contains(body, "source_invalid") || !strings.Contains(body, "corrected: "+d.file+":1:") || !strings.Contains(body, `"line": 1`) {
		t.Errorf("a mistake: %d %s", status, body)
	}
	if err := os.Remove(d.file); err != nil {
		t.Fatal(err)
	}
	if status, body := change(); status != 503 || !strings.Contains(body, "source_unavailable") {
		t.Errorf("gone: %d %s", status, body)
	}
}

// What the audit log does not tell at the start, since a crash came between or
// nobody looked, it tells afterwards.
func TestTheAuditLogIsMadeTrueAtTheStart(t *testing.T) {
	now, other := flags.VersionOf([]byte(flagFile)), flags.VersionOf([]byte("other"))
	for _, tt := range []struct {
		rule          string
		what          string
		before, after string
		lines         int
		last, note    string
	}{
		{"a change that was made", flagaudit.Change, other, now, 1, flagaudit.Change, ""},
		{"a change that was not made", flagaudit.Change, now, other, 2, flagaudit.NotMade, "a crash came between"},
		{"one that was taken back", flagaudit.NotMade, now, other, 1, flagaudit.NotMade, ""},
		{"a change that nobody saw", flagaudit.Seen, now, other, 2, flagaudit.Seen, "changed while no sidecar followed the source"},
		{"another one that nobody saw", flagaudit.Change, other, other, 2, flagaudit.Seen, "changed while no sidecar followed the source"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			dir := t.TempDir()
			log := flagaudit.New(filepath.Join(dir, "handrail-data"), 0)
			if _, err := log.Append(t.Context(), flagaudit.Entry{What: tt.what, Flag: "new-checkout", ConfigurationBefore: tt.before, ConfigurationAfter: tt.after}); err != nil {
				t.Fatal(err)
			}
			d := flagDeskIn(t, dir, flagFile)
			// It is in order before the first change.
			if status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/new-checkout", `{"rolloutPercentage": 7}`, "If-Match: *"); status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			entries := d.audit(t)[1:]
			if last := entries[0]; len(entries) != tt.lines || last.What != tt.last || last.Note != tt.note || last.What == flagaudit.NotMade && tt.lines == 2 && last.Of != 1 {
				t.Errorf("%+v", entries)
			}
		})
	}
}

// What GET tells of a flag may be put back, and changes nothing.
func TestADefinitionCanBePutBack(t *testing.T) {
	d := newFlagDesk(t, `flags:
  a: {enabled: true, salt: a, hash: flagd2, inject: true, onExpiry: keep, rolloutPercentage: 1.500, allowList: [b, a, b]} # all of it
  b:
    variants:
      - {name: x, weight: 1, value: 1.0}
      - {name: y, value: 2}
    offVariant: x
    metadata: {n: 1.0, t: 2026-01-01}
    created: 2026-11-01
    expires: 2027-01-31
`)
	before := d.content(t)
	for _, key := range []string{"a", "b"} {
		_, header, body := d.do(t, "GET", sidecar.FlagsPath+"/"+key, "")
		var state sidecar.FlagState
		if err := json.Unmarshal([]byte(body), &state); err != nil {
			t.Fatal(err)
		}
		status, _, body := d.do(t, "PUT", sidecar.FlagsPath+"/"+key, string(state.Definition), "If-Match: "+header.Get("ETag"))
		if status != 200 || !strings.Contains(body, `"changed": false`) || d.content(t) != before {
			t.Errorf("%s: %d %s\n%s", key, status, body, d.content(t))
		}
	}
}

// While another process writes to the same file, with the same lock, each change
// is made on what the other one left.
func TestAChangeIsMadeOnWhatOthersWrote(t *testing.T) {
	d := newFlagDesk(t, "a: {enabled: true}\nb: {enabled: true}\n")
	other, ok := flags.File(d.file).(flags.Writer)
	if !ok {
		t.Fatal("a file is no Writer")
	}
	stop, written := make(chan struct{}), 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			doc, err := other.Load(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			data, err := flags.Edit("f", doc.Data, "b", flags.Change{Allow: []string{fmt.Sprint(written)}})
			if err != nil {
				t.Error(err)
				return
			}
			if err := other.Write(t.Context(), flags.VersionOf(doc.Data), data); err == nil {
				written++
			} else if !errors.Is(err, flags.ErrConflict) {
				t.Error(err)
				return
			}
		}
	})
	made := 0
	for i := range 20 {
		status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/a", fmt.Sprintf(`{"allow": ["%d"]}`, i), "If-Match: *")
		switch {
		case status == 200:
			made++
		case !strings.Contains(body, "source_busy"):
			t.Errorf("%d %s", status, body)
		}
	}
	close(stop)
	wg.Wait()
	set, err := flags.Parse("f", []byte(d.content(t)))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := set.Lookup("a")
	b, _ := set.Lookup("b")
	if len(a.AllowList) != made || len(b.AllowList) != written || made == 0 {
		t.Errorf("%d of %d changes, %d of %d of others", len(a.AllowList), made, len(b.AllowList), written)
	}
	if _, err := flagaudit.New(filepath.Join(d.dir, "handrail-data"), 0).Verify(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d changes amid %d of others", made, written)
}

func TestFlagsOfAnotherFormatAreShownAndNotChanged(t *testing.T) {
	d := newFlagDesk(t, `{"flags": {
  "off": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"},
  "on": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"},
  "some": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
    "targeting": {"if": [{"==": [{"var": "plan"}, "pro"]}, "on", "off"]}}}}`)
	_, _, body := d.do(t, "GET", sidecar.FlagsPath, "")
	var list sidecar.Flags
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{sidecar.FlagOff, sidecar.FlagOn, sidecar.FlagPartial} {
		if f := list.Flags[i]; f.State != want || f.Native {
			t.Errorf("%+v is not %s", f, want)
		}
	}
	if list.Writable {
		t.Error("they are said to be writable")
	}
	status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/on", `{"enabled": false}`, "If-Match: *")
	if status != 409 || !strings.Contains(body, "only definitions in Handrail's own format are changed here") {
		t.Errorf("%d %s", status, body)
	}
}

func TestTheAuditLogIsVerified(t *testing.T) {
	d := newFlagDesk(t, flagFile)
	verified := func() (v sidecar.FlagsVerified) {
		t.Helper()
		status, _, body := d.do(t, "GET", sidecar.FlagsVerifyPath, "")
		if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 {
			t.Errorf("%d %s", status, body)
		}
		return v
	}
	if v := verified(); v.Lines != 0 || v.Break != nil {
		t.Errorf("without a line: %+v", v)
	}
	for _, owner := range []string{"x", "y", "z"} {
		if status, _, body := d.do(t, "PATCH", sidecar.FlagsPath+"/new-checkout", fmt.Sprintf(`{"owner": %q}`, owner), "If-Match: *"); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	if v := verified(); v.Lines != 3 || v.Break != nil {
		t.Errorf("as it was written: %+v", v)
	}
	path := filepath.Join(d.dir, "handrail-data", flagaudit.Name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Dir(path), flagaudit.Name, strings.Replace(string(data), `"owner":"y"`, `"owner":"w"`, 1))
	if v := verified(); v.Lines != 2 || v.Break == nil || v.Break.File != flagaudit.Name || v.Break.Line != 3 {
		t.Errorf("altered: %+v", v)
	}
}
