package flags

import "time"

// Event tells what happened to the definitions. Fields that a kind does not
// name are zero.
type Event struct {
	Kind EventKind
	// Source is the name of the Document: a path or an address.
	Source string
	// Version and Flags describe the set that answers now, so after a failure
	// the last good one.
	Version string
	Flags   int
	// Added, Changed and Removed count flags against the set before.
	// EventLoaded only.
	Added, Changed, Removed int
	// Delay is how long the definitions that were replaced went on to answer
	// after the new ones were written, see [Document.Written]; a nanosecond at
	// least. Zero: not known, or nothing was replaced. It is not known where the
	// new ones were written before the old ones were taken, as a file is that was
	// kept aside and put in place later. EventLoaded only.
	Delay time.Duration
	// Warnings are those of the set. EventLoaded and EventSnapshot only.
	Warnings []string
	// Dropped is how many flags that are on did not fit.
	// EventHeaderTruncated only.
	Dropped int
	// Err is the failure.
	Err error
}

// EventKind is the kind of an Event.
type EventKind string

const (
	// EventLoaded: new definitions answer from now on, or the known ones can
	// be read again after a failure.
	EventLoaded EventKind = "loaded"
	// EventRejected: new definitions hold an error. The last good ones stay.
	EventRejected EventKind = "rejected"
	// EventUnreachable: the source could not be read. The last good
	// definitions stay.
	EventUnreachable EventKind = "unreachable"
	// EventSnapshot: the source could not be read at the start, or held an error,
	// and the definitions of an earlier run answer. Err says why.
	EventSnapshot EventKind = "snapshot"
	// EventSnapshotFailed: the snapshot could not be written, or at the start was
	// there and could not be used. What answers is not concerned.
	EventSnapshotFailed EventKind = "snapshot_failed"
	// EventHeaderTruncated: more flags are on than Handrail-Flags may hold.
	// Told once per version of the definitions and Middleware.
	EventHeaderTruncated EventKind = "header_truncated"
)
