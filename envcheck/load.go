package envcheck

// Option changes how [Load] and [Parse] read the environment.
type Option func(*options)

type options struct {
	environ map[string]string // nil: the process environment
	prefix  string
}

// Environ reads from env instead of the process environment. env is copied.
func Environ(env map[string]string) Option {
	return func(o *options) { o.environ = env }
}

// Prefix is put before every variable's name, such as "APP_".
func Prefix(prefix string) Option {
	return func(o *options) { o.prefix = prefix }
}

// Load reads the environment into a T, which is a struct. With an error T is
// zero.
func Load[T any](opts ...Option) (T, error) {
	var value T
	if err := Parse(&value, opts...); err != nil {
		var zero T
		return zero, err
	}
	return value, nil
}

// Parse is Load into dst, a pointer to a struct.
func Parse(dst any, opts ...Option) error { panic("not yet") }
