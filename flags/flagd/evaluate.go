package flagd

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/flags"
)

// answer is one variant.
type answer struct {
	name  string
	value any
	on    bool
}

// flag is one flag, compiled. It does not change.
type flag struct {
	key       any // a string
	disabled  bool
	variants  map[string]*answer
	otherwise *answer // nil: the caller's own default
	targeting node    // nil: none
	metadata  map[string]any
}

func (f *flag) decision(a *answer, reason flags.Reason) flags.Decision {
	d := flags.Decision{Reason: reason, Metadata: f.metadata}
	if a != nil {
		d.Variant, d.Value, d.On = a.name, a.value, a.on
	}
	return d
}

func (f *flag) failed(code flags.ErrorCode, details string) flags.Decision {
	return flags.Decision{Reason: flags.ReasonError, ErrorCode: code, ErrorDetails: details, Metadata: f.metadata}
}

// evaluate decides as flagd's evaluator does.
func (f *flag) evaluate(ec flags.EvaluationContext, now int64) (d flags.Decision) {
	switch {
	case f.disabled:
		return f.decision(nil, flags.ReasonDisabled)
	case f.targeting == nil && f.otherwise == nil:
		return f.decision(nil, flags.ReasonDefault)
	case f.targeting == nil:
		return f.decision(f.otherwise, flags.ReasonStatic)
	}
	defer func() {
		if recover() != nil {
			d = f.failed(flags.ErrorGeneral, "the rule panicked")
		}
	}()
	r := run{ec: ec, flagKey: f.key, now: now}
	result := f.targeting.eval(&r)
	switch {
	case r.tooMuch:
		return f.failed(flags.ErrorInvalidContext, "the context is too large or too deep for the rule, or has a rule in it")
	case r.failed:
		return f.failed(flags.ErrorParse, "the rule cannot be evaluated for this context")
	case result == nil:
		return f.decision(f.otherwise, flags.ReasonDefault)
	}
	name, ok := nameOf(result)
	if !ok {
		return f.failed(flags.ErrorParse, "the rule gives what JSON cannot say")
	}
	if a := f.variants[name]; a != nil {
		return f.decision(a, flags.ReasonTargetingMatch)
	}
	return f.failed(flags.ErrorGeneral, "the rule gives what is none of the variants")
}

// nameOf is the name of the variant that a result stands for: its JSON, without
// quotes.
func nameOf(result any) (string, bool) {
	switch v := result.(type) {
	case bool:
		return strconv.FormatBool(v), true
	case string:
		if isPlainText(v) {
			return v, true
		}
	case map[string]any, []any:
		c := copier{}
		if result = c.copy(v, 0); result == nil {
			return "", true // too large to be a name
		}
	}
	text, err := json.Marshal(result)
	return strings.ReplaceAll(string(text), `"`, ""), err == nil
}

// isPlainText reports whether JSON has nothing to escape in s.
func isPlainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			return false
		}
	}
	return true
}
