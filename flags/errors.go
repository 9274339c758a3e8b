package flags

import (
	"errors"
	"fmt"
)

// ErrRunning is returned by a second call of [Client.Run].
var ErrRunning = errors.New("flags: client is running already")

// ErrAllRemoved refuses definitions that would remove every flag at once while
// a Client runs: far more often that is a file emptied by mistake than meant. A
// restart accepts them, unless there is a snapshot with flags.
var ErrAllRemoved = errors.New("flags: refusing definitions without any flag")

// ErrConflict is returned by [Writer.Write] when the definitions are not those
// that the change was made to.
var ErrConflict = errors.New("flags: the definitions have changed meanwhile")

// ConfigError is one problem of a Config. [New] and [NewMiddleware] return all
// of them at once, joined; errors.As finds the first.
type ConfigError struct {
	Field  string // the field's path, for example "Gates[0].Flag"
	Value  string // the value as given, shortened
	Reason string
}

// Error names the field, the value where there is one, and the reason.
func (e *ConfigError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("flags: %s: %s", e.Field, e.Reason)
	}
	return fmt.Sprintf("flags: %s: %q: %s", e.Field, e.Value, e.Reason)
}
