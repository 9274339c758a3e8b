package flags

// Decision is the answer for one flag and one evaluation context. What it points
// to belongs to the definitions: it must not be changed.
//
// Source: the resolution details of the OpenFeature specification,
// https://openfeature.dev/specification/types#resolution-details.
type Decision struct {
	// Key is the flag's key as it was asked for. It is one of the set's keys
	// unless ErrorCode is set, so metrics must not use it as a label then.
	Key string
	// On is whether the flag is on. False with every ErrorCode. A flag with
	// variants is on for whoever got one of them by a rule; what it answers to
	// the others, its off variant, does not make it on.
	On bool
	// Value is true or false, and with variants what the variant stands for: a
	// bool, string, int64, float64, []any or map[string]any. Nil: the
	// definition gives none, and the caller's own default counts.
	Value any
	// Variant names the value: "on" or "off", or one of the flag's own. Empty
	// with an ErrorCode and without a Value.
	Variant string
	// Reason says which rule answered.
	Reason Reason
	// ErrorCode is empty when the flag could be evaluated.
	ErrorCode ErrorCode
	// ErrorDetails may say more about an ErrorCode, for an operator. It holds
	// no value of the evaluation context.
	ErrorDetails string
	// Metadata is what the definition tells beside the rules: strings, booleans,
	// int64 and float64. Nil without any.
	Metadata map[string]any
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
	// Middleware ran before, or no definitions were ever loaded.
	ErrorProviderNotReady ErrorCode = "PROVIDER_NOT_READY"
	// ErrorParse: the definition cannot be made sense of.
	ErrorParse ErrorCode = "PARSE_ERROR"
	// ErrorTypeMismatch: the value is of another type than was asked for.
	ErrorTypeMismatch ErrorCode = "TYPE_MISMATCH"
	// ErrorInvalidContext: the evaluation context cannot be read.
	ErrorInvalidContext ErrorCode = "INVALID_CONTEXT"
	// ErrorGeneral: whatever the others do not say.
	ErrorGeneral ErrorCode = "GENERAL"
)

// EvaluationContext is whom, and in which circumstances, a flag is asked about.
//
// Source: https://openfeature.dev/specification/glossary#evaluation-context.
type EvaluationContext struct {
	// TargetingKey is who: what is looked up in lists and hashed. Empty when
	// that is not known.
	TargetingKey string
	// Attributes are what else is known. Native definitions have no rule about
	// them; those of package flagd may. Nobody changes them meanwhile. Values
	// are what encoding/json decodes into any, and Go's integers.
	Attributes map[string]any
}

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

// decision is what the rules said about a flag that is on or off.
func (f *flag) decision(on bool, r rule) Decision {
	var d Decision
	f.fill(&d, on, r)
	return d
}

// fill is decision into d, which is zero.
func (f *flag) fill(d *Decision, on bool, r rule) {
	d.Key, d.On, d.Reason, d.Metadata = f.def.Key, on, reasons[r], f.def.Metadata
	switch {
	case r == ruleNoTargetingKey:
		d.ErrorCode = ErrorTargetingKeyMissing
	case on:
		d.Value, d.Variant = true, variantOn
	default:
		d.Value, d.Variant = false, variantOff
	}
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
