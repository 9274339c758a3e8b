package sidecar

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/internal/httpx"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

const (
	// maxImportBytes is room for the largest file as a JSON string.
	maxImportBytes = 2*flags.MaxFileBytes + 1024
	// maxImportEditing bounds the bytes that are read while flags are edited into
	// a text, each of which costs a reading of all of it: it takes seconds.
	maxImportEditing = 2 << 20
	maxNamed         = 10 // flags in a text for people

	importName = "definitions" // stands in problems of what was sent
)

// FlagsToImport is the body of a request to FlagsImportPath.
type FlagsToImport struct {
	// Definitions is the text of a file, native, YAML or JSON.
	Definitions string `json:"definitions"`
}

// FlagsImported is the answer of FlagsImportPath. After a dry run it is what
// would be so.
type FlagsImported struct {
	Source string `json:"source"`
	// New flags were made, Same ones were so already, Kept ones are there and not
	// in the file. Sorted.
	New  []string `json:"new"`
	Same []string `json:"same"`
	Kept []string `json:"kept"`
	// Overwritten ones were otherwise.
	Overwritten []flags.Comparison `json:"overwritten"`
	// Whole: what is there is the file that was sent, byte for byte.
	Whole         bool   `json:"whole"`
	Configuration string `json:"configuration"`
	// Changed is false where all was so already, and after a dry run.
	Changed bool `json:"changed"`
	// InForce: the sidecar that answers decides by it. Others follow.
	InForce bool `json:"in_force"`
	// Audit is the number of the first of the lines of the audit log, one for
	// each flag that was made or overwritten; 0 without a change.
	Audit int64 `json:"audit,omitempty"`
}

// Check implements adminclient.Checker.
func (f *FlagsImported) Check() error {
	if f.Source == "" || f.New == nil {
		return errNoAnswer
	}
	return nil
}

// A flagImport is an import as it was asked for.
type flagImport struct {
	text              []byte
	set               *flags.Set // of the text
	actor             string
	uid               *int
	dryRun, overwrite bool
}

func (a *flagAdmin) importFlags(w http.ResponseWriter, r *http.Request) {
	in, ok := queryOf(r, "dry_run", "overwrite")
	for _, value := range in {
		ok = ok && value == "true"
	}
	if !ok {
		writeDetail(w, http.StatusBadRequest, "bad_request", "dry_run=true and overwrite=true are all that can be asked for")
		return
	}
	c := flagImport{uid: peerUID(r.RemoteAddr), dryRun: in["dry_run"] != "", overwrite: in["overwrite"] != ""}
	var refused *refusal
	if c.actor, refused = readActor(r); refused != nil {
		refused.write(w)
		return
	}
	body, err := httpx.ReadBody(r, maxImportBytes, nil)
	if errors.Is(err, httpx.ErrBodyTooLarge) {
		httpx.WriteError(w, r, http.StatusRequestEntityTooLarge, "body_too_large")
		return
	}
	if err == nil {
		err = c.read(body)
	}
	if err != nil {
		if refused, ok = errors.AsType[*refusal](err); !ok {
			refused = &refusal{status: http.StatusBadRequest, code: "bad_request", detail: `the body must be {"definitions": "the text of a file"}`}
		}
		refused.write(w)
		return
	}
	// A client that goes away does not break it off in the middle.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), flagPatience)
	defer cancel()
	out, err := changed(ctx, a, func() (FlagsImported, error) { return a.attemptImport(ctx, &c) })
	if refused, ok := errors.AsType[*refusal](err); ok {
		refused.write(w)
		return
	}
	if err != nil {
		a.log.Error("flags could not be imported", "actor", c.actor, "error", err)
		writeDetail(w, http.StatusServiceUnavailable, "source_unavailable", "the definitions cannot be read or written: "+err.Error())
		return
	}
	if out.Changed {
		a.log.Info("flags were imported", "new", len(out.New), "overwritten", len(out.Overwritten), "kept", len(out.Kept),
			"actor", c.actor, "via", a.via, "audit", out.Audit, "version", out.Configuration, "in_force", out.InForce)
	}
	writeJSON(w, http.StatusOK, out)
}

// read takes the definitions out of the body of a request.
func (c *flagImport) read(body []byte) error {
	var in FlagsToImport
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return err
	}
	if d.More() || in.Definitions == "" {
		return errNoAnswer
	}
	c.text = []byte(in.Definitions)
	if isFlagd(importName, c.text) {
		return &refusal{status: http.StatusBadRequest, code: "bad_definition", detail: "the definitions are flagd's: only those in Handrail's own format are imported"}
	}
	var err error
	if c.set, err = flags.Parse(importName, c.text); err != nil {
		refused, ok := errors.AsType[*refusal](refusedEdit(err))
		if !ok {
			return err
		}
		return refused
	}
	return nil
}

// attemptImport imports: all of it in one write, or nothing.
func (a *flagAdmin) attemptImport(ctx context.Context, c *flagImport) (FlagsImported, error) {
	doc, err := a.writer.Load(ctx)
	base, set := flags.VersionOf(doc.Data), &flags.Set{}
	switch {
	case errors.Is(err, redisflags.ErrMissing):
		base = "" // there are none yet
	case err != nil:
		return FlagsImported{}, err
	default:
		if set, err = flags.Parse(doc.Name, doc.Data); err != nil {
			return FlagsImported{}, a.unreadable(doc, err)
		}
	}
	added, changed, kept := c.set.Diff(set)
	out := FlagsImported{
		Source: a.journal.source, New: orEmpty(added), Same: []string{}, Kept: orEmpty(kept),
		Overwritten: []flags.Comparison{}, Configuration: set.Version(),
	}
	out.Same = without(c.set.Keys(), added, changed)
	if len(changed) > 0 && !c.overwrite {
		return FlagsImported{}, &refusal{status: http.StatusConflict, code: "flags_differ",
			detail: "flags are there that differ from the file's, so that nothing was changed: " + someOf(changed)}
	}
	if len(changed) > 0 {
		for _, one := range c.set.Compare(set) {
			if one.Kind == "changed" {
				out.Overwritten = append(out.Overwritten, one)
			}
		}
	}
	if len(added)+len(changed) > 0 {
		m := merge{name: doc.Name, file: c, set: set, text: doc.Data, change: append(added, changed...), keep: kept}
		data, next, err := m.merged(ctx)
		if err != nil {
			return FlagsImported{}, err
		}
		out.Whole, out.Configuration = bytes.Equal(data, c.text), next.Version()
		if !c.dryRun {
			out.Changed = true
			if out.Audit, err = a.write(ctx, base, set, next, data, c.entries(set, m.change)...); err != nil {
				return FlagsImported{}, err
			}
		}
	}
	out.InForce = a.client.Set().Version() == out.Configuration
	return out, nil
}

// entries are the lines of the audit log, one for each flag that changes.
func (c *flagImport) entries(set *flags.Set, keys []string) []flagaudit.Entry {
	out := make([]flagaudit.Entry, len(keys))
	for i, key := range keys {
		e := &out[i]
		e.Actor, e.UID, e.Flag, e.Note = c.actor, c.uid, key, "imported"
		e.Before, _ = settingsIn(set, key)
		e.After, _ = settingsIn(c.set, key)
	}
	return out
}

// A merge puts what a file says into the definitions of a source.
type merge struct {
	name   string // of the source
	file   *flagImport
	set    *flags.Set // that is there
	text   []byte     // of it
	change []string   // flags that the file has, and the source has not or otherwise
	keep   []string   // flags that only the source has
}

// merged is the text that has all flags of the file and those that only the
// source has. Without any of these it is the file; otherwise the source's text
// with the file's flags edited in, or, where these are too many or that text has
// no form for it, the file with the source's flags.
func (m *merge) merged(ctx context.Context) (data []byte, next *flags.Set, err error) {
	if n := m.file.set.Len() + len(m.keep); n > flags.MaxFlags {
		return nil, nil, &refusal{status: http.StatusConflict, code: "too_many_flags",
			detail: fmt.Sprintf("with those that are there already it would be %d flags, and %d are the most", n, flags.MaxFlags)}
	}
	if len(m.keep) > 0 {
		data, next, err = m.edited(ctx, m.text, m.change, m.file.set)
	}
	if next == nil {
		var again error
		if data, next, again = m.edited(ctx, m.file.text, m.keep, m.set); again != nil {
			return nil, nil, refusedEdit(cmp.Or(err, again))
		}
	}
	return data, next, nil
}

// edited is text with the flags of other that have these keys.
func (m *merge) edited(ctx context.Context, text []byte, keys []string, other *flags.Set) ([]byte, *flags.Set, error) {
	settings, size := make([][]byte, len(keys)), len(text)
	for i, key := range keys {
		settings[i], _ = settingsIn(other, key)
		if string(settings[i]) == "{}" { // all is as by default, and one of it must be said
			settings[i] = []byte(`{"enabled": true}`)
		}
		size += len(key) + len(settings[i])
	}
	if len(keys) > 1 && len(keys)*size > maxImportEditing {
		return nil, nil, &refusal{status: http.StatusConflict, code: "too_many_changes",
			detail: fmt.Sprintf("the source has %d flags that the file has not, and %d of the file's are new or differ, too many to put them together: "+
				"add those of the source to the file first", len(m.keep), len(m.change))}
	}
	for i, key := range keys {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		var err error
		if text, err = flags.Edit(m.name, text, key, flags.Change{Settings: settings[i], Replace: true}); err != nil {
			return nil, nil, err
		}
	}
	next, err := flags.Parse(m.name, text)
	return text, next, err
}

// without are those of sorted keys that are in neither list.
func without(keys []string, lists ...[]string) []string {
	not := map[string]bool{}
	for _, list := range lists {
		for _, key := range list {
			not[key] = true
		}
	}
	out := []string{}
	for _, key := range keys {
		if !not[key] {
			out = append(out, key)
		}
	}
	return out
}

func orEmpty(keys []string) []string { return append([]string{}, keys...) }

// someOf names some of many.
func someOf(keys []string) string {
	text := strings.Join(keys[:min(len(keys), maxNamed)], ", ")
	if more := len(keys) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
