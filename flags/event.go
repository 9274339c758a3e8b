package flags

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
	// Warnings are those of the set. EventLoaded only.
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
	// EventHeaderTruncated: more flags are on than Handrail-Flags may hold.
	// Told once per version of the definitions and Middleware.
	EventHeaderTruncated EventKind = "header_truncated"
)
