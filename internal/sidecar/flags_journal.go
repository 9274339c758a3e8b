package sidecar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/redisflags"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

const (
	viaSource = "source"
	// recordPatience bounds how long follow keeps changes waiting, while another
	// process writes the log.
	recordPatience = 4 * time.Second
	// recordAgain is when what could not be recorded is tried again.
	recordAgain = time.Minute
)

// A flagJournal keeps the audit log of flags: changes that are made here before
// they are, and those that are found in the source.
type flagJournal struct {
	log    *flagaudit.Log
	source string        // as operators know it
	busy   chan struct{} // of one slot: whoever changes or records
	seen   chan struct{} // of one slot: there may be something to record

	last   *flags.Set  // the newest that is recorded
	behind *flags.Set  // older than last, though it may be in force still
	open   *openChange // nil: the log tells of each change whether it was made
}

// An openChange is in the log, which does not tell yet what became of it.
type openChange struct {
	n       int64 // of the first of its lines
	entries []flagaudit.Entry
	next    *flags.Set // that was written, if it was
	load    func(context.Context) (flags.Document, error)
	notMade string // why it is known not to have been made
	told    bool   // the log has the line flagaudit.Unknown
}

func newFlagJournal(dataDir, source string) *flagJournal {
	return &flagJournal{
		log: flagaudit.New(dataDir, 0), source: source,
		busy: make(chan struct{}, 1), seen: make(chan struct{}, 1),
	}
}

// begin waits until nobody else changes or records.
func (j *flagJournal) begin(ctx context.Context) error {
	select {
	case j.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("others are being recorded: %w", ctx.Err())
	}
}

func (j *flagJournal) end() { <-j.busy }

// look has follow record what is in force now. It never waits.
func (j *flagJournal) look() {
	select {
	case j.seen <- struct{}{}:
	default:
	}
}

// follow records, until ctx ends, what others change.
func (j *flagJournal) follow(ctx context.Context, client *flags.Client, log *slog.Logger) {
	told := ""
	for {
		err := j.catchUp(ctx, client)
		if ctx.Err() != nil {
			return
		}
		var again <-chan time.Time
		if err == nil {
			told = ""
		} else if again = time.After(recordAgain); err.Error() != told {
			told = err.Error()
			log.Warn("changes of flags are not in the audit log", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-j.seen:
		case <-again:
		}
	}
}

// catchUp records what the client answers by, if it comes from the source and is
// not older than what is recorded. A snapshot may be.
func (j *flagJournal) catchUp(ctx context.Context, client *flags.Client) error {
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	if err := j.begin(ctx); err != nil {
		return err
	}
	defer j.end()
	loaded := client.Err() == nil // before the set is asked for, which may be loaded meanwhile
	set := client.Set()
	if j.open != nil {
		version, err := versionIn(j.open.load(ctx))
		if err != nil {
			return fmt.Errorf("what became of line %d: %w", j.open.n, err)
		}
		if err := j.settle(ctx, version); err != nil {
			return err
		}
		if set.Version() != version {
			j.behind = set
		}
	}
	if set == j.behind || j.last == nil && !loaded {
		return nil
	}
	j.behind = nil // the client does not come back to it
	return j.record(ctx, set)
}

// versionIn is that of definitions that were loaded, empty where there are none.
func versionIn(doc flags.Document, err error) (string, error) {
	if errors.Is(err, redisflags.ErrMissing) {
		return "", nil
	}
	return flags.VersionOf(doc.Data), err
}

// start compares what the log told last with the definitions that were loaded.
// A change whose outcome it does not tell, since a crash came between, was made
// or is taken back.
func (j *flagJournal) start(ctx context.Context, set *flags.Set) error {
	entries, err := j.log.Read(0, 1)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		if err := j.reconcile(ctx, &entries[0], set.Version()); err != nil {
			return err
		}
	}
	j.last = set
	return nil
}

// reconcile makes the log, whose newest line is e, tell how there came to be
// definitions of this version.
func (j *flagJournal) reconcile(ctx context.Context, e *flagaudit.Entry, version string) error {
	now := e.ConfigurationAfter
	if e.What == flagaudit.NotMade || e.What == flagaudit.Unknown {
		now = e.ConfigurationBefore
	}
	var err error
	switch {
	case e.What == flagaudit.Unknown && version == e.ConfigurationAfter:
		_, err = j.log.Append(ctx, about(flagaudit.Made, e.Of, []flagaudit.Entry{*e}, ""))
	case version == e.ConfigurationBefore && version != e.ConfigurationAfter && (e.What == flagaudit.Change || e.What == flagaudit.Unknown):
		err = j.takeBack(ctx, *e)
	case version != now:
		_, err = j.log.Append(ctx, flagaudit.Entry{
			What: flagaudit.Seen, Via: viaSource, Source: j.source, ConfigurationBefore: now, ConfigurationAfter: version,
			Note: "changed while no sidecar followed the source",
		})
	}
	return err
}

// record tells what others changed since the last time.
func (j *flagJournal) record(ctx context.Context, set *flags.Set) error {
	switch {
	case set.Version() == "": // not ready
		return nil
	case j.last == nil:
		return j.start(ctx, set)
	case j.last.Version() == set.Version():
		return nil
	}
	var entries []flagaudit.Entry
	added, changed, removed := set.Diff(j.last)
	for _, keys := range [][]string{added, changed, removed} {
		for _, key := range keys {
			before, _ := settingsIn(j.last, key)
			after, _ := settingsIn(set, key)
			entries = append(entries, j.found(set, key, before, after))
		}
	}
	if len(entries) == 0 { // comments, or the order
		entries = append(entries, j.found(set, "", nil, nil))
	}
	if _, err := j.log.Append(ctx, entries...); err != nil {
		return err
	}
	j.last = set
	return nil
}

func (j *flagJournal) found(set *flags.Set, key string, before, after []byte) flagaudit.Entry {
	e := flagaudit.Entry{
		What: flagaudit.Seen, Via: viaSource, Source: j.source, Flag: key, Before: before, After: after,
		ConfigurationBefore: j.last.Version(), ConfigurationAfter: set.Version(),
	}
	if key == "" {
		e.Note = "no flag has changed"
	} else if bytes.Equal(before, after) {
		e.Note = "its rules have changed"
	}
	return e
}

// takeBack undoes what the newest line tells, and those before it that belong to
// the same change of several flags.
func (j *flagJournal) takeBack(ctx context.Context, e flagaudit.Entry) error {
	const page = 1000
	var lines []flagaudit.Entry // the newest first
	if e.What == flagaudit.Change {
		lines = append(lines, e)
	}
	for more := true; more; {
		older, err := j.log.Read(e.N, page)
		if err != nil {
			return err
		}
		more = len(older) > 0
		for _, o := range older {
			more = o.What == flagaudit.Change && o.N == e.N-1 &&
				o.ConfigurationBefore == e.ConfigurationBefore && o.ConfigurationAfter == e.ConfigurationAfter
			if !more {
				break
			}
			lines, e = append(lines, o), o
		}
	}
	if len(lines) == 0 {
		return nil // they are not kept any more
	}
	slices.Reverse(lines)
	return j.undo(ctx, lines[0].N, lines, "a crash came between")
}

// intend tells of a change of set that is about to be made, after what others
// did before. It returns the number of the first line.
func (j *flagJournal) intend(ctx context.Context, set *flags.Set, entries []flagaudit.Entry) (int64, error) {
	base := entries[0].ConfigurationBefore
	if err := j.settle(ctx, base); err != nil {
		return 0, err
	}
	if base != "" { // there were definitions
		if err := j.record(ctx, set); err != nil {
			return 0, err
		}
	}
	return j.log.Append(ctx, entries...)
}

// settle tells what became of the change that is open, now that the source is
// known to hold definitions of this version.
func (j *flagJournal) settle(ctx context.Context, version string) (err error) {
	o := j.open
	if o == nil {
		return nil
	}
	switch {
	case o.notMade != "":
		err = j.undo(ctx, o.n, o.entries, o.notMade)
	case version == o.entries[0].ConfigurationAfter:
		if _, err = j.log.Append(ctx, about(flagaudit.Made, o.n, o.entries, "")); err == nil {
			j.last = o.next
		}
	case version == o.entries[0].ConfigurationBefore:
		err = j.undo(ctx, o.n, o.entries, "the source has the definitions before it")
	case !o.told:
		_, err = j.log.Append(ctx, about(flagaudit.Unknown, o.n, o.entries, "others have changed the definitions meanwhile"))
	}
	if err == nil {
		j.open = nil
	}
	return err
}

// leave keeps a change open until the source can be read, or, where it is known
// not to have been made, the log written.
func (j *flagJournal) leave(ctx context.Context, o *openChange, cause error) error {
	j.open = o
	defer j.look()
	if o.notMade != "" {
		return nil
	}
	_, err := j.log.Append(ctx, about(flagaudit.Unknown, o.n, o.entries, withoutQuote(cause)))
	o.told = err == nil
	return err
}

// about is a line about the change whose lines begin with n.
func about(what string, n int64, entries []flagaudit.Entry, note string) flagaudit.Entry {
	e := entries[0]
	e.What, e.Of, e.Before, e.After, e.Note = what, n, nil, nil, note
	if len(entries) > 1 {
		e.Flag = ""
	}
	return e
}

// undo tells that changes, whose lines begin with n, were not made after all.
func (j *flagJournal) undo(ctx context.Context, n int64, entries []flagaudit.Entry, note string) error {
	undone := make([]flagaudit.Entry, len(entries))
	for i := range entries {
		undone[i] = about(flagaudit.NotMade, n+int64(i), entries[i:i+1], note)
	}
	_, err := j.log.Append(ctx, undone...)
	return err
}

// made tells that next was written, so that it is not recorded as another's. The
// client may answer by the set before until it has loaded another.
func (j *flagJournal) made(next, before *flags.Set) { j.last, j.behind = next, before }
