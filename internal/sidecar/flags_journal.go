package sidecar

import (
	"bytes"
	"context"
	"log/slog"
	"slices"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/sidecar/flagaudit"
)

// A flagJournal keeps the audit log of flags: changes that are made here before
// they are, and those that are found in the source.
type flagJournal struct {
	log    *flagaudit.Log
	source string        // as operators know it
	busy   chan struct{} // of one slot: whoever changes or records
	seen   chan struct{} // of one slot: there may be something to record

	last *flags.Set // the newest that is recorded
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
		return ctx.Err()
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
	if j.begin(ctx) != nil {
		return
	}
	err := j.record(client.Set())
	j.end()
	for {
		if err != nil {
			log.Warn("changes of flags are not in the audit log", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-j.seen:
		}
		if j.begin(ctx) != nil {
			return
		}
		err = j.record(client.Set())
		j.end()
	}
}

// start compares what the log told last with the definitions that were loaded.
// A change whose outcome it does not tell, since a crash came between, was made
// or is taken back.
func (j *flagJournal) start(set *flags.Set) error {
	entries, err := j.log.Read(0, 1)
	if err != nil || len(entries) == 0 {
		j.last = set
		return err
	}
	e := entries[0]
	now := e.ConfigurationAfter
	if e.What == flagaudit.NotMade {
		now = e.ConfigurationBefore
	}
	switch version := set.Version(); {
	case version == now:
	case version == e.ConfigurationBefore && e.What == flagaudit.Change:
		err = j.takeBack(e)
	default:
		_, err = j.log.Append(flagaudit.Entry{
			What: flagaudit.Seen, Via: viaSource, Source: j.source, ConfigurationBefore: now, ConfigurationAfter: set.Version(),
			Note: "changed while no sidecar followed the source",
		})
	}
	if err == nil {
		j.last = set
	}
	return err
}

const viaSource = "source"

// record tells what others changed since the last time.
func (j *flagJournal) record(set *flags.Set) error {
	switch {
	case set.Version() == "": // not ready
		return nil
	case j.last == nil:
		return j.start(set)
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
	if _, err := j.log.Append(entries...); err != nil {
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
func (j *flagJournal) takeBack(e flagaudit.Entry) error {
	const page = 1000
	lines := []flagaudit.Entry{e} // the newest first
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
	slices.Reverse(lines)
	return j.undo(lines[0].N, lines, nil)
}

// intend tells of a change of set that is about to be made, after what others
// did before. It returns the number of the first line.
func (j *flagJournal) intend(set *flags.Set, entries []flagaudit.Entry) (int64, error) {
	if entries[0].ConfigurationBefore != "" { // there were definitions
		if err := j.record(set); err != nil {
			return 0, err
		}
	}
	return j.log.Append(entries...)
}

// undo tells that changes, whose lines begin with n, were not made after all.
func (j *flagJournal) undo(n int64, entries []flagaudit.Entry, cause error) error {
	note := "a crash came between"
	if cause != nil {
		note = withoutQuote(cause)
	}
	undone := slices.Clone(entries)
	for i := range undone {
		e := &undone[i]
		e.What, e.Of, e.Before, e.After, e.Note = flagaudit.NotMade, n+int64(i), nil, nil, note
	}
	_, err := j.log.Append(undone...)
	return err
}

// made tells that next was written, so that it is not recorded as another's.
func (j *flagJournal) made(next *flags.Set) { j.last = next }
