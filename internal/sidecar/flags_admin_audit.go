package sidecar

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"

	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

// FlagsAudit is a page of the audit log, the newest line first.
type FlagsAudit struct {
	Entries []flagaudit.Entry `json:"entries"`
	// Before asks for the next page; 0 with the last.
	Before int64 `json:"before,omitempty"`
}

// Check implements adminclient.Checker.
func (f *FlagsAudit) Check() error {
	if f.Entries == nil {
		return errNoAnswer
	}
	return nil
}

// FlagsVerified is the answer of FlagsVerifyPath.
type FlagsVerified struct {
	// Lines that are kept and follow on one another: all of them without a Break.
	Lines int `json:"lines"`
	// Break is the first line that does not follow on the one before.
	Break *FlagsAuditBreak `json:"break"`
	Dir   string           `json:"dir"` // data_dir of the sidecar
}

// FlagsAuditBreak is a place in the audit log.
type FlagsAuditBreak struct {
	File   string `json:"file"` // in Dir
	Line   int    `json:"line"` // counts from 1
	Reason string `json:"reason"`
}

// Check implements adminclient.Checker.
func (f *FlagsVerified) Check() error {
	if f.Dir == "" {
		return errNoAnswer
	}
	return nil
}

// audit serves a page of the audit log.
func (a *flagAdmin) audit(w http.ResponseWriter, r *http.Request) {
	in, ok := queryOf(r, "before", "limit")
	limit, before := defaultPage, int64(0)
	var err error
	if ok && in["limit"] != "" {
		limit, err = strconv.Atoi(in["limit"])
		ok = err == nil && limit >= 1 && limit <= 1000
	}
	if ok && in["before"] != "" {
		before, err = strconv.ParseInt(in["before"], 10, 64)
		ok = err == nil && before >= 1
	}
	if !ok {
		writeDetail(w, http.StatusBadRequest, "bad_request", "before (a number of a line) and limit (1 to 1000) can be asked for, each once")
		return
	}
	out := FlagsAudit{}
	if out.Entries, err = a.journal.log.Read(before, limit); err != nil {
		a.log.Error("the audit log of flags cannot be read", "error", err)
		writeDetail(w, http.StatusServiceUnavailable, "audit_unavailable", "the audit log cannot be read")
		return
	}
	if n := len(out.Entries); n > 0 && out.Entries[n-1].N > 1 {
		out.Before = out.Entries[n-1].N
	}
	writeJSON(w, http.StatusOK, out)
}

// verify follows the chain of the whole audit log.
func (a *flagAdmin) verify(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
	defer cancel()
	lines, err := a.journal.log.Verify(ctx)
	out := FlagsVerified{Lines: lines, Dir: a.journal.log.Dir()}
	if broken, ok := errors.AsType[*flagaudit.ChainError](err); ok {
		out.Break = &FlagsAuditBreak{File: filepath.Base(broken.File), Line: broken.Line, Reason: broken.Reason}
	} else if err != nil {
		a.log.Error("the audit log of flags cannot be read", "error", err)
		writeDetail(w, http.StatusServiceUnavailable, "audit_unavailable", "the audit log cannot be read")
		return
	}
	writeJSON(w, http.StatusOK, out)
}
