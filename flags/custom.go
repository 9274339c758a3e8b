package flags

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Custom is a flag with rules of its own, such as those of another format. See
// [NewSet].
type Custom struct {
	// Definition describes the flag to lists, reports and the Middleware: Key,
	// Description, Owner, Enabled, Created, Expires, OnExpiry, Inject, Public,
	// Metadata, and Variants by name and value. Its rules count for nothing.
	Definition Definition

	// Evaluate decides; the Set fills in Decision.Key. It must be safe for
	// concurrent use, must not change what it gets, and must return only
	// variants of the Definition, since metrics count by them. Now is in Unix
	// seconds. Required.
	Evaluate func(ec EvaluationContext, now int64) Decision

	// Rules are what Evaluate decides by and the Definition does not tell, as
	// text or, where that is long, as a digest of it. A flag whose Definition and
	// Rules stay the same has not changed, to [Set.Diff] and Events. Empty: it
	// has changed with every load.
	Rules string
}

// NewSet makes a Set of flags that another package has read. Version
// identifies the definitions, as [VersionOf] does. Keys are 1 to MaxKeyBytes
// bytes of UTF-8, each there once; a key or a variant's name with characters
// beyond printable ASCII never stands in Handrail-Flags.
func NewSet(version string, warnings []string, list []Custom) (*Set, error) {
	if len(list) > MaxFlags {
		return nil, fmt.Errorf("flags: more than %d flags", MaxFlags)
	}
	flags, seen := make([]*flag, len(list)), make(map[string]bool, len(list))
	var errs []error
	for i, c := range list {
		key := c.Definition.Key
		switch {
		case key == "" || len(key) > MaxKeyBytes || !utf8.ValidString(key):
			errs = append(errs, fmt.Errorf("flags: flag %d: a key is 1 to %d bytes of UTF-8", i, MaxKeyBytes))
		case seen[key]:
			errs = append(errs, fmt.Errorf("flags: flag %q is defined twice", key))
		case c.Evaluate == nil:
			errs = append(errs, fmt.Errorf("flags: flag %q: Evaluate is required", key))
		}
		seen[key] = true
		flags[i] = &flag{
			custom: c.Evaluate, rules: c.Rules, dated: true, enabled: c.Definition.Enabled,
			members: newMembers(&c.Definition), def: c.Definition,
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return newSet(flags, version, warnings), nil
}
