package webhook

import "time"

// Event tells how one request ended, or one attempt of Deliver. It holds neither the body nor anything of
// a secret. What was not reached is zero.
type Event struct {
	Route    string
	Provider string
	Outcome  Outcome
	// EventID is the id as it stands in the store: of more than 255 bytes, or
	// of other than printable ASCII, its digest. Empty until verified.
	EventID string
	// EventType and APIVersion come from the message: unbounded in number,
	// bounded in length.
	EventType  string
	APIVersion string
	// Inbox: an attempt of Deliver ended, or a step that it needs for one failed.
	// Age is then how long the message had been kept when it was taken.
	Inbox bool
	Age   time.Duration
	// SecretIndex is the position of the secret that matched, -1 until one did.
	SecretIndex int
	// Attempt and Fence are those of the claim, or of the one in the way.
	Attempt        int
	Fence          int64
	MaybeProcessed bool
	// UpstreamStatus is the handler's status, 0 when there was none or it does
	// not count.
	UpstreamStatus int
	// Duration runs from the call of the middleware to its answer, or is that
	// of the attempt.
	Duration time.Duration
	// Err is the cause, for a log: of a refusal, of a failed step of the
	// store, or a *PanicError. It also tells of a message that was handled under
	// another id than its own: EventID is that other one.
	Err error
}

// Outcome is how a request ended: a bounded set, fit for a metric's label.
type Outcome string

const (
	// OutcomeProcessed: the handler succeeded and the event is done.
	OutcomeProcessed Outcome = "processed"
	// OutcomeAccepted: the message is in the inbox, and was acknowledged.
	OutcomeAccepted Outcome = "accepted"
	// OutcomeDuplicate: the event was done already, or is in the inbox.
	OutcomeDuplicate Outcome = "duplicate"
	// OutcomeReplayed: the body was handled, or is in the inbox, under another
	// id, and the signature does not cover ids. It was answered as a duplicate.
	// Err names that id.
	OutcomeReplayed Outcome = "replayed"
	// OutcomeRetry: the handler answered in full with another status than 2xx.
	// The event may be claimed again, marked as maybe processed.
	OutcomeRetry Outcome = "retry"
	// OutcomeDead: the handler answered with a status of DiscardStatuses, or
	// had done so before. With an inbox also: attempts or age are exhausted, which
	// Err says as ErrExhausted.
	OutcomeDead Outcome = "dead"
	// OutcomeNotWritten: the handler reported that the request never reached
	// the service behind it. The event may be claimed again.
	OutcomeNotWritten Outcome = "not_written"
	// OutcomeNoAnswer: the handler gave no complete answer (timeout, drain,
	// panic, reset). The claim is kept until its lease ends.
	OutcomeNoAnswer Outcome = "no_answer"
	// OutcomeInFlight: another copy of the event was still being handled.
	OutcomeInFlight Outcome = "in_flight"
	// OutcomeSuperseded: the handler answered after its lease, and another
	// claim has been made since.
	OutcomeSuperseded Outcome = "superseded"
	// OutcomeStoreError: a step of the store failed.
	OutcomeStoreError Outcome = "store_error"
	// OutcomeDraining: Config.Drain had ended before the handler was called.
	OutcomeDraining Outcome = "draining"
	// OutcomeOverloaded: MaxBufferedBytes were held by other deliveries.
	OutcomeOverloaded Outcome = "overloaded"
	// OutcomeInvalidSignature: the message was refused; Err says why.
	OutcomeInvalidSignature Outcome = "invalid_signature"
	// OutcomeSecretUnavailable: the message could not be judged.
	OutcomeSecretUnavailable Outcome = "secret_unavailable"
	// OutcomeNoEventID: the signature is valid, but there is no event id.
	OutcomeNoEventID Outcome = "no_event_id"
	// OutcomeIDReuse: the id is not covered by the signature, and was used
	// for another body before.
	OutcomeIDReuse Outcome = "id_reuse"
	// OutcomeBodyTooLarge: the body is above MaxBodyBytes.
	OutcomeBodyTooLarge Outcome = "body_too_large"
	// OutcomeBodyIncomplete: the body could not be read to its end, or not
	// within Timeout.
	OutcomeBodyIncomplete Outcome = "body_incomplete"
	// OutcomeMethodNotAllowed: the method is not POST.
	OutcomeMethodNotAllowed Outcome = "method_not_allowed"
	// OutcomeBodyChanged: told in addition to the outcome of the same
	// request: the event came with another body than before, under an id that
	// the signature covers.
	OutcomeBodyChanged Outcome = "body_changed"
)
