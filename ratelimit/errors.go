package ratelimit

import (
	"errors"
	"fmt"
)

// A ConfigError is one problem of a Config, a MemoryConfig or a Limit. Several
// are joined; errors.As finds the first.
type ConfigError struct {
	Field  string // as in "Policies[0].Window"
	Value  string // what it holds; empty when it is absent or a secret
	Reason string
}

func (e *ConfigError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("ratelimit: %s: %s", e.Field, e.Reason)
	}
	return fmt.Sprintf("ratelimit: %s: %q: %s", e.Field, e.Value, e.Reason)
}

// problems collects every ConfigError of one validation.
type problems []error

func (p *problems) addf(field, value, format string, args ...any) {
	*p = append(*p, &ConfigError{Field: field, Value: value, Reason: fmt.Sprintf(format, args...)})
}

func (p *problems) err() error { return errors.Join(*p...) }
