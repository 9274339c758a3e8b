package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Verifier judges a delivery by the bytes that were sent.
//
// Safety: one value serves any number of goroutines.
type Verifier interface {
	// Provider describes who signs. It is the same on every call.
	Provider() Provider

	// Verify returns what the message says about itself when its signature
	// holds. It does not change the message and keeps nothing of it.
	//
	// Errors: one that matches [ErrNoSignature], [ErrMalformedSignature],
	// [ErrSignatureMismatch] or [ErrTimestamp] when the message is refused,
	// [ErrSecretUnavailable] when it could not be judged. None holds key
	// material, the signature or the body. The signature is judged before the
	// age: ErrTimestamp says that the provider itself signed the message.
	Verify(m Message) (Verified, error)
}

// Provider is what the middleware needs to know of whoever sends.
type Provider struct {
	// Name is the label of events and metrics, for example "stripe".
	Name string
	// RetryHorizon is how long after the first attempt the provider may still
	// deliver an event by itself; 0 when that is not known. Config.Retention
	// is not below it.
	RetryHorizon time.Duration
	// SignatureHeader is the header without which no message is valid, for
	// example "Stripe-Signature": a request that lacks it is refused before its
	// body is read. Empty: there is no such header, or one of several.
	SignatureHeader string

	// Signed is what the signature covers, for people, for example
	// "timestamp.body".
	Signed string
	// IDSource is where the id of an event comes from unless VerifierConfig.ID
	// says otherwise: "json:/pointer", "header:NAME", or "body", the digest of
	// what is signed.
	IDSource string
	// IDSigned reports whether the signature covers that id.
	IDSigned bool
	// Deadline is how long the provider waits for an answer; 0 when it does
	// not say. Config.Timeout is below it.
	Deadline time.Duration
	// Timeout is the default of Config.Timeout; 0 means 20 s.
	Timeout time.Duration
	// Tolerance is the default of VerifierConfig.Tolerance; 0: the provider
	// signs no time.
	Tolerance time.Duration
	// NeverRetries: a delivery that fails is not sent again by itself.
	NeverRetries bool
	// ReplayAnswers: the provider uses the answer, so a duplicate gets the one
	// that was given first.
	ReplayAnswers bool
	// AnswerUsed: the provider uses the answer to every message, so that none can
	// be acknowledged before it is handled.
	AnswerUsed bool
	// ReplayGuard: the signature covers the body but not the id, and perhaps no
	// time, so that a message somebody captured is valid for ever under any id.
	// The middleware remembers bodies then, beside ids: a body that was handled
	// under one id is not handled under another.
	ReplayGuard bool
	// TopicHeader says what a body is about, where a provider sends the same body
	// under several topics. The replay guard holds to a body and its topic.
	TopicHeader string
	// SentAt is where a body says when it was sent, "json:/pointer", if that
	// changes with each retry: two bodies that differ by it alone are the same.
	SentAt string
	// NeedsPublicURL: the signature covers the URL, see
	// VerifierConfig.PublicURL.
	NeedsPublicURL bool
	// RefusalStatus answers a message that is refused; 0 means 400.
	RefusalStatus int
	// Docs is the provider's page on its signatures.
	Docs string
}

// Message is one delivery as it arrived.
type Message struct {
	Header http.Header
	// Body is the raw body: not decompressed, not parsed. Read-only.
	Body []byte
	// RawQuery is the query of the request's URL, as it was sent, without "?".
	// It counts for providers that sign the URL.
	RawQuery string
	// Now is when the message is judged. Zero means time.Now().
	Now time.Time
}

// Verified is what a valid message says.
type Verified struct {
	// ID is the provider's id of the event, for example
	// "evt_1NG8Du2eZvKYlo2CUI79vXWy": the same for every copy and every retry
	// of one event. Empty: the message names no event, and is refused, unless
	// NotDeduplicated says that it need not.
	ID string
	// NotDeduplicated: the provider gives messages of this kind no id, as
	// Slack does with commands. Such a message is handled as often as it comes.
	// The signature covers its time, so that it comes for a few minutes only.
	NotDeduplicated bool
	// IDSigned reports whether the signature covers ID. When it does, a
	// different body under the same id is the same event, rendered anew. When
	// it does not, it is somebody's replay, and is refused.
	IDSigned bool
	// Type is the provider's type of the event, for example
	// "invoice.paid". Empty when there is none.
	Type string
	// APIVersion is the version the body was rendered in, where the provider
	// says so.
	APIVersion string
	// SecretIndex is the position, in the verifier's configuration, of the
	// secret that matched. A secret that no longer matches anything can go.
	SecretIndex int
}

// Why a message was refused.
var (
	// ErrNoSignature: the header that carries the signature is absent.
	ErrNoSignature = errors.New("webhook: no signature")
	// ErrMalformedSignature: that header cannot be understood.
	ErrMalformedSignature = errors.New("webhook: malformed signature")
	// ErrSignatureMismatch: no configured secret signed these bytes.
	ErrSignatureMismatch = errors.New("webhook: signature does not match")
	// ErrTimestamp: the signature is valid but not from now. It is one of
	// ErrTimestampTooOld and ErrTimestampInFuture, or itself where a signed
	// body does not say its time.
	ErrTimestamp = errors.New("webhook: timestamp outside the tolerance")
	// ErrTimestampTooOld: signed before now - tolerance.
	ErrTimestampTooOld = fmt.Errorf("%w: too old", ErrTimestamp)
	// ErrTimestampInFuture: signed after now + tolerance.
	ErrTimestampInFuture = fmt.Errorf("%w: in the future", ErrTimestamp)
	// ErrSecretUnavailable: the secrets could not be had, so the message was
	// not judged. The answer is 503, any other error of a Verifier is 400.
	ErrSecretUnavailable = errors.New("webhook: secret unavailable")
	// ErrNoEventID: the signature is valid, but the message names no event.
	ErrNoEventID = errors.New("webhook: no event id")
	// ErrNotSignable: the message cannot be signed as it is.
	ErrNotSignable = errors.New("webhook: message cannot be signed")
)
