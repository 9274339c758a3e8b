package openfeature

import (
	"context"
	"fmt"
	"math"

	"github.com/handrail-go/handrail/flags"
	of "github.com/open-feature/go-sdk/openfeature"
)

// BooleanEvaluation implements the SDK's FeatureProvider.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, otherwise bool, flat of.FlattenedContext) of.BoolResolutionDetail {
	d := p.decide(flag, flat)
	v, ok := d.Value.(bool)
	return detail(&d, v, ok, otherwise)
}

// StringEvaluation implements the SDK's FeatureProvider.
func (p *Provider) StringEvaluation(_ context.Context, flag, otherwise string, flat of.FlattenedContext) of.StringResolutionDetail {
	d := p.decide(flag, flat)
	v, ok := d.Value.(string)
	return detail(&d, v, ok, otherwise)
}

// FloatEvaluation implements the SDK's FeatureProvider.
func (p *Provider) FloatEvaluation(_ context.Context, flag string, otherwise float64, flat of.FlattenedContext) of.FloatResolutionDetail {
	d := p.decide(flag, flat)
	v, ok := d.Value.(float64)
	if n, isInt := d.Value.(int64); isInt {
		v = float64(n)
		// 2^63 is the one float of an int64 that cannot be turned back.
		ok = v < 1<<63 && int64(v) == n
	}
	return detail(&d, v, ok, otherwise)
}

// IntEvaluation implements the SDK's FeatureProvider.
func (p *Provider) IntEvaluation(_ context.Context, flag string, otherwise int64, flat of.FlattenedContext) of.IntResolutionDetail {
	d := p.decide(flag, flat)
	v, ok := d.Value.(int64)
	if f, isFloat := d.Value.(float64); isFloat {
		if ok = f == math.Trunc(f) && f >= -1<<63 && f < 1<<63; ok {
			v = int64(f)
		}
	}
	return detail(&d, v, ok, otherwise)
}

// ObjectEvaluation implements the SDK's FeatureProvider. The value is the
// caller's to change.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, otherwise any, flat of.FlattenedContext) of.InterfaceResolutionDetail {
	d := p.decide(flag, flat)
	ok := false
	switch d.Value.(type) {
	case map[string]any, []any:
		ok = true
	}
	return detail(&d, clone(d.Value), ok, otherwise)
}

// decide asks the Client.
func (p *Provider) decide(flag string, flat of.FlattenedContext) flags.Decision {
	targetingKey := ""
	if given, ok := flat[of.TargetingKey]; ok {
		if targetingKey, ok = given.(string); !ok {
			return invalid(flag, "the targeting key is no string")
		}
		if len(targetingKey) > flags.MaxTargetingKeyBytes {
			return invalid(flag, tooLong)
		}
	}
	return p.client.EvaluateLazily(flag, targetingKey, func() (map[string]any, error) { return attributes(flat) })
}

var tooLong = fmt.Sprintf("the targeting key has more than %d bytes", flags.MaxTargetingKeyBytes)

func invalid(flag, details string) flags.Decision {
	return flags.Decision{
		Key: flag, Reason: flags.ReasonError, ErrorCode: flags.ErrorInvalidContext, ErrorDetails: details,
	}
}

// detail tells d in OpenFeature's terms. Value is what d holds in the type that
// was asked for; ok reports whether it does.
func detail[T any](d *flags.Decision, value T, ok bool, otherwise T) of.GenericResolutionDetail[T] {
	var r of.GenericResolutionDetail[T]
	r.Value, r.Reason, r.FlagMetadata = otherwise, of.Reason(d.Reason), d.Metadata
	switch {
	case d.ErrorCode != "":
		r.Reason, r.ResolutionError = of.ErrorReason, resolutionError(d)
	case ok:
		r.Value, r.Variant = value, d.Variant
	case d.Value == nil && d.Reason != flags.ReasonDisabled:
		r.Reason = of.DefaultReason
	case d.Value != nil:
		r.Reason, r.ResolutionError = of.ErrorReason, of.NewTypeMismatchResolutionError(mismatch(d.Value))
	}
	return r
}

// resolutionError gives an error of d the SDK's form.
func resolutionError(d *flags.Decision) of.ResolutionError {
	say := func(text string) string {
		if d.ErrorDetails != "" {
			return d.ErrorDetails
		}
		return text
	}
	switch d.ErrorCode {
	case flags.ErrorFlagNotFound:
		return of.NewFlagNotFoundResolutionError(say("no such flag"))
	case flags.ErrorTargetingKeyMissing:
		return of.NewTargetingKeyMissingResolutionError(say("the flag buckets by the targeting key, and there is none"))
	case flags.ErrorProviderNotReady:
		return of.NewProviderNotReadyResolutionError(say("no definitions have been loaded yet"))
	case flags.ErrorParse:
		return of.NewParseErrorResolutionError(say("the flag's definition cannot be evaluated"))
	case flags.ErrorTypeMismatch:
		return of.NewTypeMismatchResolutionError(say("the flag's value is of another type"))
	case flags.ErrorInvalidContext:
		return of.NewInvalidContextResolutionError(say("the evaluation context cannot be read"))
	}
	return of.NewGeneralResolutionError(say("the flag cannot be evaluated"))
}

// mismatch says what a value is that was asked for as something else.
func mismatch(value any) string {
	switch value.(type) {
	case bool:
		return "the flag's value is true or false"
	case string:
		return "the flag's value is a string"
	case int64, float64:
		return "the flag's value is a number, which is not of this type without loss"
	}
	return "the flag's value is a mapping or a list"
}
