package sidecar

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/handrail-go/handrail/flags"
)

// A FlagOffice is the admin API of flags over a client and a source, with its
// audit log in a folder.
type FlagOffice struct{ admin *flagAdmin }

// NewFlagOffice makes one.
func NewFlagOffice(log *slog.Logger, dir string, client *flags.Client, w flags.Writer) *FlagOffice {
	return &FlagOffice{&flagAdmin{client: client, writer: w, journal: newFlagJournal(dir, "there"), log: log, via: "token"}}
}

// Follow records what others change, until ctx ends.
func (o *FlagOffice) Follow(ctx context.Context) {
	o.admin.journal.follow(ctx, o.admin.client, o.admin.log)
}

// Loaded tells that the client loaded something.
func (o *FlagOffice) Loaded() { o.admin.journal.look() }

// Patch changes a flag, whichever version it has.
func (o *FlagOffice) Patch(key, body string) (status int, answer string) {
	mux := http.NewServeMux()
	o.admin.register(mux)
	r := httptest.NewRequest(http.MethodPatch, FlagsPath+"/"+key, strings.NewReader(body))
	r.Header.Set("If-Match", "*")
	r.Header.Set(ActorHeader, "ann")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}
