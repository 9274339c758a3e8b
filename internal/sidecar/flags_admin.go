package sidecar

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/handrail-go/handrail/flags"
)

// Where the admin listener tells of flags and takes changes. The key of a flag
// follows FlagsPath and a slash; a slash in it may be escaped.
const (
	FlagsPath      = "/api/v1/flags"
	FlagsAuditPath = "/api/v1/flags-audit"
	// FlagsVerifyPath tells whether the audit log is as it was written.
	FlagsVerifyPath = FlagsAuditPath + "/verify"
	// FlagsImportPath takes a whole file of definitions.
	FlagsImportPath = "/api/v1/flags-import"
	// ActorHeader says who makes a change, for the audit log.
	ActorHeader = "Handrail-Actor"
)

// Flags is the answer of FlagsPath.
type Flags struct {
	Source string `json:"source"`
	// Configuration is the version of all definitions that are in force.
	Configuration string `json:"configuration"`
	Writable      bool   `json:"writable"`
	// Error is why the source's newest definitions are not in force.
	Error    string      `json:"error,omitempty"`
	Warnings []string    `json:"warnings,omitempty"`
	Flags    []FlagState `json:"flags"`
}

// Check implements adminclient.Checker.
func (f *Flags) Check() error {
	if f.Flags == nil {
		return errNoAnswer
	}
	return nil
}

// What a flag answers.
const (
	FlagOn      = "on"      // for everyone
	FlagOff     = "off"     // for everyone
	FlagPartial = "partial" // it hangs on who asks
)

// FlagState is one flag.
type FlagState struct {
	Key string `json:"key"`
	// Version is that of this flag alone. If-Match takes it, in quotes.
	Version string `json:"version"`
	State   string `json:"state"`
	Expired bool   `json:"expired,omitempty"`
	// Definition is as it may stand in a file, without defaults. Of a flag that
	// is not native it holds what describes the flag, without its rules.
	Definition json.RawMessage `json:"definition"`
	// Native is false for flags of another format. They are not changed here.
	Native bool `json:"native"`
}

// Check implements adminclient.Checker.
func (f *FlagState) Check() error {
	if f.Key == "" || f.Version == "" {
		return errNoAnswer
	}
	return nil
}

// FlagChanged is the answer to a change.
type FlagChanged struct {
	Key string `json:"key"`
	// Before and After are definitions; null where there is none.
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	// Version is that of the flag from now on; empty when it is gone.
	Version       string `json:"version"`
	Configuration string `json:"configuration"`
	// Changed is false where all was so already, and after a dry run.
	Changed bool `json:"changed"`
	// InForce: the sidecar that answers decides by it. Others follow.
	InForce bool `json:"in_force"`
	// Audit is the number of the line of the audit log; 0 without a change.
	Audit int64 `json:"audit,omitempty"`
}

// Check implements adminclient.Checker.
func (f *FlagChanged) Check() error {
	if f.Key == "" || f.Configuration == "" {
		return errNoAnswer
	}
	return nil
}

var errNoAnswer = errors.New("it lacks what such an answer has")

// A flagAdmin answers operators about flags.
type flagAdmin struct {
	client  *flags.Client // nil without a source
	writer  flags.Writer  // nil where definitions cannot be changed
	journal *flagJournal
	log     *slog.Logger
	via     string // how whoever may change came in
}

// flagAdmin is that of the admin listener c.
func (s *Sidecar) flagAdmin(c AdminConfig) *flagAdmin {
	a := &flagAdmin{client: s.flags, journal: s.flagJournal, log: s.log, via: "token"}
	a.writer, _ = s.flagSource.(flags.Writer)
	if strings.HasPrefix(c.Listen, "unix:") {
		a.via = "socket"
	}
	return a
}

func (a *flagAdmin) register(mux *http.ServeMux) {
	const one = FlagsPath + "/{key...}"
	for pattern, h := range map[string]http.HandlerFunc{
		"GET " + FlagsPath: a.list, "GET " + one: a.show, "GET " + FlagsAuditPath: a.audit,
		"GET " + FlagsVerifyPath: a.verify,
		"PUT " + one:             a.put, "PATCH " + one: a.patch, "DELETE " + one: a.delete,
		"POST " + FlagsImportPath: a.importFlags,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if a.client == nil {
				writeDetail(w, http.StatusNotFound, "no_flags", "flags.source is not set, so there are no flags")
				return
			}
			h(w, r)
		})
	}
}

func (a *flagAdmin) list(w http.ResponseWriter, _ *http.Request) {
	set := a.client.Set()
	out := Flags{
		Source: a.journal.source, Configuration: set.Version(), Writable: a.writable() == nil && native(set),
		Warnings: set.Warnings(), Flags: make([]FlagState, 0, set.Len()),
	}
	if err := a.client.Err(); err != nil {
		out.Error = err.Error()
	}
	for _, key := range set.Keys() {
		out.Flags = append(out.Flags, flagState(set, key, time.Now()))
	}
	writeJSON(w, http.StatusOK, out)
}

func (a *flagAdmin) show(w http.ResponseWriter, r *http.Request) {
	set, key := a.client.Set(), r.PathValue("key")
	if _, ok := set.Lookup(key); !ok {
		writeDetail(w, http.StatusNotFound, "unknown_flag", "no flag has that key")
		return
	}
	state := flagState(set, key, time.Now())
	w.Header().Set("ETag", quoted(state.Version))
	writeJSON(w, http.StatusOK, state)
}

// native reports whether all of a set is in the format that is changed here.
func native(set *flags.Set) bool {
	return !slices.ContainsFunc(set.Keys(), func(key string) bool { return !set.Native(key) })
}

// flagState is a flag of set as it is at now.
func flagState(set *flags.Set, key string, now time.Time) FlagState {
	def, _ := set.Lookup(key)
	settings := def.Settings()
	out := FlagState{Key: key, Version: flagVersion(settings), Definition: settings, Native: set.Native(key), State: FlagPartial}
	out.Expired = def.Expired(now)
	switch on, off := decided(def, out.Expired); {
	case !out.Native:
		switch d := set.Evaluate(key, ""); {
		case d.Reason == flags.ReasonDisabled, d.Reason == flags.ReasonStatic && !d.On:
			out.State = FlagOff
		case d.Reason == flags.ReasonStatic:
			out.State = FlagOn
		}
	case off:
		out.State = FlagOff
	case on:
		out.State = FlagOn
	}
	return out
}

// decided tells whether a native flag is on, or off, for everyone.
func decided(def flags.Definition, expired bool) (on, off bool) {
	share, off := def.RolloutThousandths, !def.Enabled
	if expired && def.OnExpiry == flags.ExpiryOn {
		share = flags.FullRollout
	}
	off = off || expired && def.OnExpiry == flags.ExpiryOff || share == 0 && len(def.AllowList) == 0
	return share == flags.FullRollout && len(def.DenyList) == 0, off
}

// flagVersion identifies the settings of one flag.
func flagVersion(settings []byte) string {
	sum := sha256.Sum256(settings)
	return hex.EncodeToString(sum[:16])
}

func quoted(version string) string { return `"` + version + `"` }
