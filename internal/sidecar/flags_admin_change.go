package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

const (
	maxActorBytes = 100
	// flagPatience bounds a change, whether or not the client still waits.
	flagPatience = 8 * time.Second
	// flagAttempts is how often a change is tried while others write as well.
	flagAttempts = 5
	maxTold      = 100 // problems of a definition in an answer
)

// A flagChange is a change as it was asked for.
type flagChange struct {
	key    string
	edit   flags.Change
	on     precondition
	actor  string
	uid    *int
	dryRun bool
}

// A refusal is an answer that is no change.
type refusal struct {
	status       int
	code, detail string
	problems     []FlagProblem
	version      string // of the flag as it is
}

// FlagProblem is what is wrong with a definition.
type FlagProblem struct {
	File    string `json:"file"` // "settings" for the body of the request
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Message string `json:"message"`
}

func (r *refusal) Error() string { return r.code + ": " + r.detail }

func (a *flagAdmin) put(w http.ResponseWriter, r *http.Request) {
	if body, ok := flagBody(w, r); ok {
		a.serveChange(w, r, flags.Change{Settings: body, Replace: true})
	}
}

func (a *flagAdmin) patch(w http.ResponseWriter, r *http.Request) {
	body, ok := flagBody(w, r)
	if !ok {
		return
	}
	edit, err := readPatch(body)
	if err != nil {
		writeDetail(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	a.serveChange(w, r, edit)
}

func (a *flagAdmin) delete(w http.ResponseWriter, r *http.Request) {
	a.serveChange(w, r, flags.Change{Delete: true})
}

func (a *flagAdmin) serveChange(w http.ResponseWriter, r *http.Request, edit flags.Change) {
	c := flagChange{key: r.PathValue("key"), edit: edit, uid: peerUID(r.RemoteAddr)}
	in, ok := queryOf(r, "dry_run")
	c.dryRun = in["dry_run"] == "true"
	if !ok || len(in) > 0 && !c.dryRun {
		writeDetail(w, http.StatusBadRequest, "bad_request", "dry_run=true is all that can be asked for")
		return
	}
	var refused *refusal
	if c.on, refused = readPrecondition(r); refused == nil {
		c.actor, refused = readActor(r)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	// A client that goes away does not break a change off in the middle.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), flagPatience)
	defer cancel()
	out, err := a.change(ctx, &c)
	if err != nil {
		if refused, ok := errors.AsType[*refusal](err); ok {
			refused.write(w)
			return
		}
		a.log.Error("a flag could not be changed", "flag", c.key, "actor", c.actor, "error", err)
		writeDetail(w, http.StatusServiceUnavailable, "source_unavailable", "the definitions cannot be read or written: "+err.Error())
		return
	}
	if out.Changed {
		a.log.Info("a flag was changed by hand", "flag", c.key, "actor", c.actor, "via", a.via, "audit", out.Audit, "version", out.Configuration, "in_force", out.InForce)
	}
	if out.Version != "" {
		w.Header().Set("ETag", quoted(out.Version))
	}
	status := http.StatusOK
	if out.Changed && string(out.Before) == "null" {
		status = http.StatusCreated
	}
	writeJSON(w, status, out)
}

func (r *refusal) write(w http.ResponseWriter) {
	if r.version != "" {
		w.Header().Set("ETag", quoted(r.version))
	}
	if r.problems == nil {
		writeDetail(w, r.status, r.code, r.detail)
		return
	}
	writeJSON(w, r.status, struct {
		Error    string        `json:"error"`
		Detail   string        `json:"detail"`
		Problems []FlagProblem `json:"problems"`
	}{r.code, r.detail, r.problems})
}

// A precondition says which version of a flag a change is made to.
type precondition struct {
	create   bool // none: the flag is new
	any      bool // whichever it has
	versions []string
}

func readPrecondition(r *http.Request) (p precondition, refused *refusal) {
	match, none := strings.Join(r.Header.Values("If-Match"), ","), strings.Join(r.Header.Values("If-None-Match"), ",")
	switch {
	case match != "" && none != "", none != "" && (none != "*" || r.Method != http.MethodPut):
		return p, &refusal{status: http.StatusBadRequest, code: "bad_precondition",
			detail: "If-Match with the version of the flag in quotes, or, by PUT and for a new one, If-None-Match: *"}
	case none != "":
		return precondition{create: true}, nil
	case match == "":
		return p, &refusal{status: http.StatusPreconditionRequired, code: "precondition_required",
			detail: "send If-Match with the version of the flag in quotes, as GET tells it, or * for any; for a new one by PUT If-None-Match: *"}
	}
	for tag := range strings.SplitSeq(match, ",") {
		tag = strings.TrimSpace(tag)
		p.any = p.any || tag == "*"
		if len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' { // a weak one never matches
			p.versions = append(p.versions, tag[1:len(tag)-1])
		}
	}
	return p, nil
}

// check holds a flag against the precondition.
func (p precondition) check(old []byte) *refusal {
	failed := &refusal{status: http.StatusPreconditionFailed, code: "version_mismatch"}
	switch {
	case p.create && old != nil:
		failed.detail = "there is such a flag already"
	case !p.create && old == nil:
		return &refusal{status: http.StatusNotFound, code: "unknown_flag", detail: "no flag has that key; If-None-Match: * makes a new one"}
	case p.create, p.any, slices.Contains(p.versions, flagVersion(old)):
		return nil
	default:
		failed.detail = "the flag has changed meanwhile: look at it again"
	}
	failed.version = flagVersion(old)
	return failed
}

// readActor is who says to make a change.
func readActor(r *http.Request) (string, *refusal) {
	actor := r.Header.Get(ActorHeader)
	bad := func(c rune) bool { return !unicode.IsPrint(c) }
	if len(actor) > maxActorBytes || !utf8.ValidString(actor) || strings.ContainsFunc(actor, bad) {
		return "", &refusal{status: http.StatusBadRequest, code: "bad_actor", detail: ActorHeader + " is at most 100 bytes of printable text"}
	}
	return actor, nil
}

func (a *flagAdmin) change(ctx context.Context, c *flagChange) (FlagChanged, error) {
	return changed(ctx, a, func() (FlagChanged, error) { return a.attempt(ctx, c) })
}

// changed is what attempt makes of the definitions, one change at a time. Others
// may write to the source meanwhile: then it is tried again on what they wrote.
func changed[T any](ctx context.Context, a *flagAdmin, attempt func() (T, error)) (out T, err error) {
	if refused := a.writable(); refused != nil {
		return out, refused
	}
	if err := a.journal.begin(ctx); err != nil {
		return out, err
	}
	defer a.journal.end()
	for range flagAttempts {
		if out, err = attempt(); !errors.Is(err, flags.ErrConflict) {
			return out, err
		}
	}
	return out, &refusal{status: http.StatusConflict, code: "source_busy", detail: "others keep changing the definitions: try again"}
}

func (a *flagAdmin) attempt(ctx context.Context, c *flagChange) (FlagChanged, error) {
	doc, err := a.writer.Load(ctx)
	base := flags.VersionOf(doc.Data)
	if errors.Is(err, redisflags.ErrMissing) && c.on.create {
		doc.Data, base, err = []byte("flags:\n"), "", nil // the first flag of all
	}
	if err != nil {
		return FlagChanged{}, err
	}
	set, err := flags.Parse(doc.Name, doc.Data)
	if err != nil {
		return FlagChanged{}, a.unreadable(doc, err)
	}
	before, _ := settingsIn(set, c.key)
	if refused := c.on.check(before); refused != nil {
		return FlagChanged{}, refused
	}
	if c.edit.Delete && set.Len() == 1 {
		return FlagChanged{}, &refusal{status: http.StatusConflict, code: "last_flag",
			detail: "a running sidecar takes no definitions without any flag: turn it off instead, or change the source by hand"}
	}
	data, err := flags.Edit(doc.Name, doc.Data, c.key, c.edit)
	if err != nil {
		return FlagChanged{}, refusedEdit(err)
	}
	next, err := flags.Parse(doc.Name, data)
	if err != nil {
		return FlagChanged{}, err // never: Edit has parsed it
	}
	after, version := settingsIn(next, c.key)
	out := FlagChanged{Key: c.key, Before: orNull(before), After: orNull(after), Version: version, Configuration: next.Version()}
	if !c.dryRun && next.Version() != set.Version() {
		out.Changed = true
		e := flagaudit.Entry{Actor: c.actor, UID: c.uid, Flag: c.key, Before: before, After: after}
		if out.Audit, err = a.write(ctx, base, set, next, data, e); err != nil {
			return FlagChanged{}, err
		}
	}
	out.InForce = a.client.Set().Version() == out.Configuration
	return out, nil
}

// settingsIn are those of a flag, and its version; nil without it.
func settingsIn(set *flags.Set, key string) (settings []byte, version string) {
	def, ok := set.Lookup(key)
	if !ok {
		return nil, ""
	}
	settings = def.Settings()
	return settings, flagVersion(settings)
}

func orNull(settings []byte) json.RawMessage {
	if settings == nil {
		return json.RawMessage("null")
	}
	return settings
}

// unreadable refuses a change of definitions that are not read as native ones.
func (a *flagAdmin) unreadable(doc flags.Document, err error) error {
	if a.client.Set().Version() == flags.VersionOf(doc.Data) {
		return &refusal{status: http.StatusConflict, code: "source_read_only", detail: "only definitions in Handrail's own format are changed here"}
	}
	return &refusal{status: http.StatusConflict, code: "source_invalid",
		detail: "no flag can be changed until an error in the definitions is corrected: " + flatten(err)[0].Error(), problems: flagProblems(err)}
}

func refusedEdit(err error) error {
	if _, ok := errors.AsType[*flags.EditError](err); ok {
		return &refusal{status: http.StatusConflict, code: "cannot_edit", detail: err.Error()}
	}
	problems := flagProblems(err)
	if len(problems) == 0 {
		return err
	}
	return &refusal{status: http.StatusBadRequest, code: "bad_definition", detail: problems[0].Path + ": " + problems[0].Message, problems: problems}
}

func flagProblems(err error) []FlagProblem {
	out := []FlagProblem{}
	for _, e := range flatten(err) {
		if d, ok := errors.AsType[*flags.DefinitionError](e); ok && len(out) < maxTold {
			out = append(out, FlagProblem{File: d.File, Line: d.Line, Column: d.Column, Path: d.Path, Message: d.Reason})
		}
	}
	return out
}

// An auditedWriter keeps an audit log beside the definitions, to which it
// appends in the same step.
type auditedWriter interface {
	WriteAudited(ctx context.Context, base string, data []byte, lines ...[]byte) error
}

// store writes definitions, and the entries where the source has a log of its own.
func (a *flagAdmin) store(ctx context.Context, base string, data []byte, entries []flagaudit.Entry) error {
	w, ok := a.writer.(auditedWriter)
	if !ok {
		return a.writer.Write(ctx, base, data)
	}
	lines := make([][]byte, len(entries))
	for i, e := range entries {
		line, err := a.journal.log.Line(e)
		if err != nil {
			return err
		}
		lines[i] = line
	}
	return w.WriteAudited(ctx, base, data, lines...)
}

// writable is why the definitions cannot be changed through the source; nil when
// they can.
func (a *flagAdmin) writable() *refusal {
	if a.writer == nil {
		return &refusal{status: http.StatusConflict, code: "source_read_only",
			detail: "the definitions come from " + a.journal.source + " and are changed there"}
	}
	w, ok := a.writer.(interface{ Writable() error })
	if !ok {
		return nil
	}
	err := w.Writable()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flags.ErrReadOnly):
		return &refusal{status: http.StatusConflict, code: "source_read_only", detail: strings.TrimPrefix(err.Error(), "flags: ")}
	}
	return &refusal{status: http.StatusServiceUnavailable, code: "source_unavailable", detail: "the definitions cannot be written: " + err.Error()}
}

// write makes a change that is right, of one flag or several. What the entries of
// the audit log have in common it adds to them. They are durable before: a crash
// between the two leaves lines that the next start takes back. It returns the
// number of the first.
func (a *flagAdmin) write(ctx context.Context, base string, set, next *flags.Set, data []byte, entries ...flagaudit.Entry) (int64, error) {
	for i := range entries {
		e := &entries[i]
		e.What, e.Via, e.Source = flagaudit.Change, a.via, a.journal.source
		e.ConfigurationBefore, e.ConfigurationAfter = base, next.Version()
	}
	n, err := a.journal.intend(ctx, set, entries)
	if err != nil {
		a.log.Error("the audit log of flags cannot be written, so that no flag is changed", "error", err)
		return 0, &refusal{status: http.StatusServiceUnavailable, code: "audit_unavailable", detail: "the audit log in data_dir cannot be written, so that nothing was changed; the source can be changed by hand"}
	}
	inForce := a.client.Set()
	if err := a.store(ctx, base, data, entries); err != nil {
		o := &openChange{n: n, entries: entries, next: next, load: a.writer.Load}
		if err := a.failed(ctx, o, err); err != nil {
			return 0, err
		}
	}
	a.journal.made(next, inForce)
	if err := a.client.Reload(ctx, next.Version()); err != nil && !errors.Is(err, flags.ErrConflict) {
		a.log.Warn("a changed flag is not in force yet", "flag", entries[0].Flag, "flags", len(entries), "error", err)
	}
	return n, nil
}

// failed finds out what became of a change whose write failed with cause: nil
// when it was made all the same.
func (a *flagAdmin) failed(ctx context.Context, o *openChange, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminPatience)
	defer cancel()
	e := &o.entries[0]
	if !errors.Is(cause, flags.ErrConflict) && !errors.Is(cause, flags.ErrReadOnly) {
		version, err := versionIn(o.load(ctx))
		if err == nil && version == e.ConfigurationAfter {
			a.log.Warn("a flag was changed, but the write was not all well", "flag", e.Flag, "error", cause)
			return nil
		}
		if err != nil || version != e.ConfigurationBefore {
			return a.unknown(ctx, o, cause)
		}
	}
	if err := a.journal.undo(ctx, o.n, o.entries, withoutQuote(cause)); err != nil {
		a.log.Error("the audit log of flags tells of a change that was not made", "n", o.n, "error", err)
		o.notMade = withoutQuote(cause)
		_ = a.journal.leave(ctx, o, cause) // it is tried again
	}
	if errors.Is(cause, flags.ErrReadOnly) {
		return &refusal{status: http.StatusConflict, code: "source_read_only", detail: strings.TrimPrefix(cause.Error(), "flags: ")}
	}
	return cause
}

// unknown answers a change of which nobody can tell yet whether it was made.
func (a *flagAdmin) unknown(ctx context.Context, o *openChange, cause error) error {
	a.log.Error("it is not known whether a flag was changed", "flag", o.entries[0].Flag, "n", o.n, "error", cause)
	if err := a.journal.leave(ctx, o, cause); err != nil {
		a.log.Error("the audit log of flags does not tell that it is not known whether a change was made", "n", o.n, "error", err)
	}
	return &refusal{status: http.StatusServiceUnavailable, code: "outcome_unknown",
		detail: "the definitions could not be written, and it is not known whether they were changed all the same: the audit log tells when they can be read: " + cause.Error()}
}
