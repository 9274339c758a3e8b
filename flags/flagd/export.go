package flagd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/handrail-go/handrail/flags"
)

// Export writes native definitions as flagd's, in JSON. flagd then decides by
// them as the Set does: each flag has the same value and the same variant for
// every targeting key. Exceptions:
//
//   - A disabled flag has no value with flagd: the caller's own default counts,
//     where the Set says off.
//   - With a salt that is not the flag's key, and with variants of different
//     salts, flagd takes no notice of white space at the end of a targeting key.
//
// Reasons are the same, except that flagd says TARGETING_MATCH for SPLIT and for
// what a date decides, and DEFAULT wherever there is no value, where the Set may
// say TARGETING_KEY_MISSING.
//
// Metadata tells owner, description, dates, onExpiry, inject and public, in the
// place of entries that have these names.
//
// What flagd cannot express is an error that names every such flag: a hash other
// than flagd2, values that are lists, integers beyond 2^53, salts that begin
// with white space, and flags that [Parse] has read.
func Export(set *flags.Set) ([]byte, error) {
	all := map[string]*exported{}
	var errs []error
	for _, key := range set.Keys() {
		def, _ := set.Lookup(key)
		e, err := export(&def)
		if err != nil {
			errs = append(errs, fmt.Errorf("flagd: flag %q: %w", key, err))
		}
		all[key] = e
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(map[string]any{"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": all})
	return out.Bytes(), err
}

// exported is a flag as flagd's file has it.
type exported struct {
	State          string         `json:"state"`
	Variants       map[string]any `json:"variants"`
	DefaultVariant any            `json:"defaultVariant"`
	Targeting      any            `json:"targeting,omitempty"`
	Metadata       map[string]any `json:"metadata,omitempty"`
}

func export(def *flags.Definition) (*exported, error) {
	if err := expressible(def); err != nil {
		return nil, err
	}
	x := exporter{def: def, off: "off"}
	e := &exported{State: "ENABLED", Variants: map[string]any{"on": true, "off": false}, Metadata: metadataFor(def)}
	if len(def.Variants) > 0 {
		x.off = nil
		if def.OffVariant != "" {
			x.off = def.OffVariant
		}
		e.Variants = map[string]any{}
		for _, v := range def.Variants {
			e.Variants[v.Name] = v.Value
		}
	}
	if !def.Enabled {
		e.State = "DISABLED"
	}
	e.Targeting, e.DefaultVariant = x.targeting()
	return e, nil
}

// expressible says why a flag cannot be exported.
func expressible(def *flags.Definition) error {
	switch def.Hash {
	case flags.HashFlagd2:
	case "":
		return errors.New("has rules of another format than the native one")
	default:
		return fmt.Errorf("flagd has no hash %s", def.Hash)
	}
	salts := []string{def.Salt}
	for _, v := range def.Variants {
		salts = append(salts, def.VariantSalt)
		switch value := v.Value.(type) {
		case []any:
			return fmt.Errorf("variant %s: flagd has no lists as values", v.Name)
		case int64:
			if max(value, -value) > 1<<53 {
				return fmt.Errorf("variant %s: flagd has no integers beyond 2^53", v.Name)
			}
		}
	}
	for _, salt := range salts {
		first, _ := utf8.DecodeRuneInString(salt)
		if unicode.IsSpace(first) {
			return errors.New("flagd would ignore the white space that its salt begins with")
		}
	}
	return nil
}

// exporter makes the rule of one flag.
type exporter struct {
	def *flags.Definition
	off any // the name of what is answered where the flag is off, or nil
}

// targetingKey is the rule for it.
func targetingKey() any { return rule("var", targetingKeyName) }

func rule(operator string, args any) any { return map[string]any{operator: args} }

// when is the rule that gives then where condition holds.
func when(condition, then, otherwise any) any { return rule("if", []any{condition, then, otherwise}) }

// targeting is the rule and the default variant of a flag, in the order in
// which native definitions decide: expiry that turns off, deny list, allow
// list, expiry that turns on, percentage.
func (x exporter) targeting() (targeting, otherwise any) {
	on := x.on()
	result := x.percentage(on)
	_, buckets := result.(map[string]any)
	_, picks := on.(map[string]any)
	// Where the user decides nothing, the answer is the default variant, so
	// that flagd gives the reasons STATIC and DEFAULT. It must be null where a
	// rule says that there is no value.
	if !buckets && (!picks && x.off != nil || !x.conditional()) {
		result, otherwise = nil, result
	}
	if x.dated(flags.ExpiryOn) {
		result = when(x.expired(), on, result)
	}
	if ids := x.def.AllowList; len(ids) > 0 {
		result = when(rule("in", []any{targetingKey(), ids}), on, result)
	}
	if ids := x.def.DenyList; len(ids) > 0 {
		result = when(rule("in", []any{targetingKey(), ids}), x.off, result)
	}
	if x.dated(flags.ExpiryOff) {
		result = when(x.expired(), x.off, result)
	}
	return result, otherwise
}

// conditional reports whether lists or dates matter.
func (x exporter) conditional() bool {
	return len(x.def.AllowList)+len(x.def.DenyList) > 0 || x.dated(flags.ExpiryOn) || x.dated(flags.ExpiryOff)
}

func (x exporter) dated(what flags.OnExpiry) bool {
	return !x.def.Expires.IsZero() && x.def.OnExpiry == what
}

func (x exporter) expired() any {
	return rule(">=", []any{rule("var", "$flagd.timestamp"), x.def.Expires.AddDate(0, 0, 1).Unix()})
}

// on is what is answered where the flag is on: the name of a variant, or the
// rule that picks one.
func (x exporter) on() any {
	if len(x.def.Variants) == 0 {
		return "on"
	}
	var lone any
	var shares []any
	for _, v := range x.def.Variants {
		if v.Weight > 0 {
			lone = v.Name
			shares = append(shares, []any{v.Name, v.Weight})
		}
	}
	if len(shares) == 1 {
		return lone
	}
	return when(targetingKey(), x.fractional(x.def.VariantSalt, shares...), nil)
}

// percentage is what is answered to those whom no list has.
func (x exporter) percentage(on any) any {
	switch percent := x.def.RolloutThousandths; {
	case percent <= 0:
		return x.off
	case percent >= flags.FullRollout:
		return on
	default:
		bucket := x.fractional(x.def.Salt, []any{"on", percent}, []any{"off", flags.FullRollout - percent})
		if len(x.def.Variants) > 0 {
			bucket = when(rule("==", []any{bucket, "on"}), on, x.off)
		}
		return when(targetingKey(), bucket, nil)
	}
}

// fractional hashes salt and targeting key. With the flag's key as salt, that
// is what flagd does by itself.
func (x exporter) fractional(salt string, shares ...any) any {
	switch salt {
	case x.def.Key:
		return rule("fractional", shares)
	case "":
		return rule("fractional", append([]any{targetingKey()}, shares...))
	}
	return rule("fractional", append([]any{rule("cat", []any{salt, targetingKey()})}, shares...))
}

// metadataFor is the metadata of a flag, with what Parse fills a Definition
// from.
func metadataFor(def *flags.Definition) map[string]any {
	all := maps.Clone(def.Metadata)
	for _, key := range describing {
		delete(all, key) // would be taken for what is not so
	}
	set := func(key string, value any, given bool) {
		if !given {
			return
		}
		if all == nil {
			all = map[string]any{}
		}
		all[key] = value
	}
	set(keyOwner, def.Owner, def.Owner != "")
	set(keyDescription, def.Description, def.Description != "")
	set(keyCreated, def.Created.Format(time.DateOnly), !def.Created.IsZero())
	set(keyExpires, def.Expires.Format(time.DateOnly), !def.Expires.IsZero())
	set(keyOnExpiry, def.OnExpiry, def.OnExpiry != flags.ExpiryKeep)
	set(keyInject, false, !def.Inject)
	set(keyPublic, true, def.Public)
	return all
}
