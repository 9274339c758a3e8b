package redisflags

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/flags"
)

const (
	// DefaultTimeout bounds a step unless Config says otherwise.
	DefaultTimeout = 2 * time.Second
	// DefaultPollInterval is how often the version is asked for.
	DefaultPollInterval = 3 * time.Second
	// DefaultNamespace is that of a Config without one.
	DefaultNamespace = "default"
	// DefaultAuditEntries is how many entries the audit log keeps.
	DefaultAuditEntries = 10_000
	// MaxAuditLineBytes is the longest line of the audit log.
	MaxAuditLineBytes = 64 << 10
)

// Errors of a Source. Those of the client and of ctx come beside them.
var (
	// ErrMissing: there are no definitions.
	ErrMissing = errors.New("there are no definitions")
	// ErrDamaged: what is there is not what this package has written.
	ErrDamaged = errors.New("the definitions are damaged, or another's")
	// ErrTooLarge: the definitions have more than flags.MaxFileBytes, or a line of
	// the audit log more than MaxAuditLineBytes.
	ErrTooLarge = errors.New("too large")
)

// Config makes a Source.
type Config struct {
	// Client is required: one server, Sentinel or Cluster. Its options must
	// have ContextTimeoutEnabled set, without which go-redis ignores the
	// deadline of a step, and MaxRetries of -1: the source itself repeats what
	// was lost. A Ring is refused: it moves keys to another server while theirs
	// is down, where they are absent.
	Client redis.UniversalClient

	// Namespace keeps services on one server apart: 1 to 64 of A-Z a-z 0-9 . _ -.
	// Empty means DefaultNamespace.
	Namespace string

	// Timeout bounds every step, all repetitions together, beside ctx. Zero means
	// DefaultTimeout.
	Timeout time.Duration

	// PollInterval is how often Watch asks for the version beside listening, give
	// or take a tenth of it: what a lost message costs. Zero means
	// DefaultPollInterval.
	PollInterval time.Duration

	// AuditEntries is how many entries the audit log keeps at least; Redis drops
	// older ones a hundred or so at a time. With lines of about 600 bytes 10,000
	// take about 7 MB. Zero means DefaultAuditEntries.
	AuditEntries int
}

// Source is a [flags.Writer] that keeps definitions in Redis.
//
// Safety: one value serves any number of goroutines, and any number of values and
// processes may serve one Redis.
type Source struct {
	client        redis.UniversalClient
	timeout, poll time.Duration
	keep          int
	key           string
	scripts       scripts
}

// New returns a Source, or every problem of cfg as *flags.ConfigError, joined. It
// does not connect. The client stays the caller's to close.
func New(cfg Config) (*Source, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = DefaultPollInterval
	}
	if cfg.Namespace == "" {
		cfg.Namespace = DefaultNamespace
	}
	if cfg.AuditEntries == 0 {
		cfg.AuditEntries = DefaultAuditEntries
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Source{
		client: cfg.Client, timeout: cfg.Timeout, poll: cfg.PollInterval, keep: cfg.AuditEntries,
		key: "handrail:{" + cfg.Namespace + ":flags}", scripts: newScripts(),
	}, nil
}

var namespaceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (cfg Config) validate() error {
	var errs []error
	bad := func(field, value, reason string) {
		errs = append(errs, &flags.ConfigError{Field: "redisflags.Config." + field, Value: value, Reason: reason})
	}
	if cfg.Client == nil {
		bad("Client", "", "is required")
	}
	// Other implementations than those of go-redis are taken at their word.
	switch c := cfg.Client.(type) {
	case *redis.Client:
		refuseOptions(c.Options().ContextTimeoutEnabled, c.Options().MaxRetries, bad)
	case *redis.ClusterClient:
		refuseOptions(c.Options().ContextTimeoutEnabled, c.Options().MaxRetries, bad)
	case *redis.Ring:
		bad("Client", "", "is a Ring, which looks for the keys of a server that is down elsewhere")
	}
	if cfg.Timeout < 0 {
		bad("Timeout", cfg.Timeout.String(), "must not be negative")
	}
	if cfg.PollInterval < 10*time.Millisecond {
		bad("PollInterval", cfg.PollInterval.String(), "must be 10ms at least")
	}
	if cfg.AuditEntries < 0 {
		bad("AuditEntries", strconv.Itoa(cfg.AuditEntries), "must not be negative")
	}
	if !namespaceName.MatchString(cfg.Namespace) {
		bad("Namespace", cfg.Namespace[:min(len(cfg.Namespace), 65)], "must be 1 to 64 of A-Z a-z 0-9 . _ -")
	}
	return errors.Join(errs...)
}

// refuseOptions looks at options as go-redis keeps them: of a MaxRetries of -1,
// one server makes 0.
func refuseOptions(keepsDeadline bool, maxRetries int, bad func(field, value, reason string)) {
	if !keepsDeadline {
		bad("Client", "", "has ContextTimeoutEnabled off, so a step could outlast its deadline")
	}
	if maxRetries > 0 {
		bad("Client", "", "has MaxRetries other than -1, so a step could be repeated without the source's knowledge")
	}
}

func (s *Source) auditKey() string { return s.key + ":audit" }
func (s *Source) channel() string  { return s.key + ":changed" }

// Load implements [flags.Source].
func (s *Source) Load(ctx context.Context) (flags.Document, error) {
	r, err := s.read(ctx, "")
	if err != nil {
		return flags.Document{Name: s.key}, err
	}
	return s.document(r), nil
}

func (s *Source) document(r reply) flags.Document {
	return flags.Document{Name: s.key, Data: r.data, Written: r.written}
}

// read asks for the definitions, unless their version is the one that is known.
func (s *Source) read(ctx context.Context, known string) (reply, error) {
	raw, _, err := s.run(ctx, s.scripts.read, []string{s.key}, known, flags.MaxFileBytes)
	if err == nil {
		var r reply
		if r, err = readReply(raw, known, time.Now()); err == nil {
			return r, nil
		}
	}
	return reply{}, fmt.Errorf("redisflags: %s: %w", s.key, err)
}

// Write implements [flags.Writer]. Base is "" where there are no definitions yet.
func (s *Source) Write(ctx context.Context, base string, data []byte) error {
	return s.WriteAudited(ctx, base, data)
}

// WriteAudited is Write that also appends lines to the audit log, in the same
// step: either both happen or neither. Errors: [flags.ErrConflict],
// ErrTooLarge, those of the client and of ctx.
func (s *Source) WriteAudited(ctx context.Context, base string, data []byte, lines ...[]byte) error {
	if len(data) > flags.MaxFileBytes {
		return fmt.Errorf("redisflags: write: definitions: %w", ErrTooLarge)
	}
	call := strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // it tells calls apart, and is no secret
	args, err := withLines([]any{base, flags.VersionOf(data), data, call, s.channel(), s.keep}, lines)
	if err != nil {
		return err
	}
	done, earlier, err := s.run(ctx, s.scripts.write, []string{s.key, s.auditKey()}, args...)
	switch {
	case err != nil:
		return fmt.Errorf("redisflags: write: %w", err)
	case done == int64(1):
		return nil
	case done != int64(0):
		return fmt.Errorf("redisflags: write: %w", errOddReply)
	case earlier != nil:
		// It may have been written, and overwritten since.
		return fmt.Errorf("redisflags: write: %w", earlier)
	}
	return flags.ErrConflict
}

// Append appends lines to the audit log. After an error they may be there or not.
func (s *Source) Append(ctx context.Context, lines ...[]byte) error {
	args, err := withLines([]any{s.keep}, lines)
	if err != nil || len(lines) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	// Sent once: a second time would append a second time.
	if _, err := s.once(ctx, s.scripts.append, []string{s.auditKey()}, args); err != nil {
		return fmt.Errorf("redisflags: append: %w", err)
	}
	return nil
}

func withLines(args []any, lines [][]byte) ([]any, error) {
	for _, line := range lines {
		if len(line) > MaxAuditLineBytes {
			return nil, fmt.Errorf("redisflags: line of the audit log: %w", ErrTooLarge)
		}
		args = append(args, line)
	}
	return args, nil
}

// Entry is a line of the audit log.
type Entry struct {
	ID   string    // in the log; grows
	At   time.Time // by the server's clock, in milliseconds
	Line []byte
}

// Audit returns entries of the audit log, the newest first: limit at most, 1 to
// 1,000, all of them older than the entry before. With before empty they begin
// with the newest.
func (s *Source) Audit(ctx context.Context, before string, limit int) ([]Entry, error) {
	if limit < 1 || limit > 1000 || before != "" && !entryID.MatchString(before) {
		return nil, errors.New("redisflags: audit: limit must be 1 to 1000, and before the ID of an entry")
	}
	newest := before
	if before == "" {
		newest = "+"
	}
	raw, _, err := s.run(ctx, s.scripts.audit, []string{s.auditKey()}, newest, limit+1)
	if err != nil {
		return nil, fmt.Errorf("redisflags: audit: %w", err)
	}
	all, err := readEntries(raw)
	if err != nil {
		return nil, fmt.Errorf("redisflags: audit: %w", err)
	}
	if len(all) > 0 && all[0].ID == before {
		all = all[1:]
	}
	return all[:min(len(all), limit)], nil
}
