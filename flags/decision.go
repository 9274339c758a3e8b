package flags

// Decision is the answer for one flag and one targeting key.
//
// Source: the resolution details of the OpenFeature specification,
// https://openfeature.dev/specification/types#resolution-details.
type Decision struct {
	// Key is the flag's key as it was asked for. It is one of the set's keys
	// unless ErrorCode is set, so metrics must not use it as a label then.
	Key string
	// Value is whether the flag is on. False with every ErrorCode.
	Value bool
	// Variant is "on" or "off", empty with an ErrorCode.
	Variant string
	// Reason says which rule answered.
	Reason Reason
	// ErrorCode is empty when the flag could be evaluated.
	ErrorCode ErrorCode
}

// Reason says which rule gave an answer, in OpenFeature's names.
type Reason string

const (
	// ReasonStatic: the same for everyone, until the definitions change. The
	// flag stands at 0 or 100 %, or its expiry put it there, and no list or
	// date ahead could say otherwise.
	ReasonStatic Reason = "STATIC"
	// ReasonDefault: nothing was hashed, since the flag stands at 0 or 100 %,
	// but a list or a date ahead may give another user, or another day,
	// another answer.
	ReasonDefault Reason = "DEFAULT"
	// ReasonTargetingMatch: the allow list (on) or the deny list (off) holds
	// the targeting key.
	ReasonTargetingMatch Reason = "TARGETING_MATCH"
	// ReasonSplit: the bucket of the targeting key decided.
	ReasonSplit Reason = "SPLIT"
	// ReasonDisabled: the kill switch is off (enabled: false).
	ReasonDisabled Reason = "DISABLED"
	// ReasonError: the flag could not be evaluated and is off; see ErrorCode.
	ReasonError Reason = "ERROR"
)

// ErrorCode says why a flag could not be evaluated, in OpenFeature's names.
type ErrorCode string

const (
	// ErrorFlagNotFound: no flag has this key.
	ErrorFlagNotFound ErrorCode = "FLAG_NOT_FOUND"
	// ErrorTargetingKeyMissing: the flag stands between 0 and 100 % and there
	// is no targeting key to bucket.
	ErrorTargetingKeyMissing ErrorCode = "TARGETING_KEY_MISSING"
	// ErrorProviderNotReady: the context holds no evaluator, because no
	// Middleware ran before.
	ErrorProviderNotReady ErrorCode = "PROVIDER_NOT_READY"
)

// The two variants of a flag that is on or off.
const (
	variantOn  = "on"
	variantOff = "off"
)

// rule is which step of the evaluation answered.
type rule uint8

const (
	ruleDisabled rule = iota
	ruleDenied
	ruleAllowed
	ruleStatic
	ruleDefault
	ruleSplit
	ruleNoTargetingKey
)

// reasons gives the Reason of each rule.
var reasons = [...]Reason{
	ruleDisabled:       ReasonDisabled,
	ruleDenied:         ReasonTargetingMatch,
	ruleAllowed:        ReasonTargetingMatch,
	ruleStatic:         ReasonStatic,
	ruleDefault:        ReasonDefault,
	ruleSplit:          ReasonSplit,
	ruleNoTargetingKey: ReasonError,
}

func newDecision(key string, on bool, r rule) Decision {
	d := Decision{Key: key, Value: on, Variant: variantOff, Reason: reasons[r]}
	switch {
	case r == ruleNoTargetingKey:
		d.Variant, d.ErrorCode = "", ErrorTargetingKeyMissing
	case on:
		d.Variant = variantOn
	}
	return d
}

// failed is the decision for a flag that nobody could look at.
func failed(key string, code ErrorCode) Decision {
	return Decision{Key: key, Reason: ReasonError, ErrorCode: code}
}

// dependsOnTargetingKey reports whether another targeting key could have got
// another answer.
func (d Decision) dependsOnTargetingKey() bool {
	return d.Reason != ReasonStatic && d.Reason != ReasonDisabled &&
		d.ErrorCode != ErrorFlagNotFound && d.ErrorCode != ErrorProviderNotReady
}
