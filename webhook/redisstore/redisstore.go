package redisstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/webhook"
)

const (
	// DefaultTimeout bounds a step unless Config says otherwise.
	DefaultTimeout = 2 * time.Second
	// DefaultNamespace is that of a Config without one.
	DefaultNamespace = "default"
	// MaxAnswerBytes is the longest body of an answer that is kept.
	MaxAnswerBytes = 64 << 10

	// maxTypeBytes is the longest content type that is kept.
	maxTypeBytes = 1 << 10
)

// Config makes a Store.
type Config struct {
	// Client is required: one server, Sentinel or Cluster. Its options must
	// have ContextTimeoutEnabled set, without which go-redis ignores the
	// deadline of a step, and MaxRetries of -1: the store itself repeats what
	// was lost. A Ring is refused: it moves keys to another server while theirs
	// is down, where they are absent.
	Client redis.UniversalClient

	// Timeout bounds every step, all repetitions together, beside ctx. It is
	// below every lease, so that a claim that is sent again is still known. Zero
	// means DefaultTimeout.
	Timeout time.Duration

	// Namespace keeps services on one server apart: 1 to 64 of A-Z a-z 0-9 . _ -.
	// Empty means DefaultNamespace.
	Namespace string
}

// Store is a [webhook.Store], and its [webhook.Ledger], that keeps deliveries in Redis.
//
// Safety: one value serves any number of goroutines, and any number of values
// and processes may serve one Redis. It starts no goroutine.
type Store struct {
	client  redis.UniversalClient
	timeout time.Duration
	prefix  string
	probe   string // a key that is never there
	scripts scripts
}

// New returns a Store, or every problem of cfg as *webhook.ConfigError, joined.
// It does not connect. The client stays the caller's to close.
func New(cfg Config) (*Store, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Namespace == "" {
		cfg.Namespace = DefaultNamespace
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Store{
		client:  cfg.Client,
		timeout: cfg.Timeout,
		prefix:  "handrail:webhook:{" + cfg.Namespace + ":",
		probe:   "handrail:webhook-check:{" + cfg.Namespace + "}",
		scripts: newScripts(func(source string) string { return source }),
	}, nil
}

var namespaceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (cfg Config) validate() error {
	var errs []error
	bad := func(field, value, reason string) {
		errs = append(errs, &webhook.ConfigError{Field: "redisstore.Config." + field, Value: value, Reason: reason})
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
	if !namespaceName.MatchString(cfg.Namespace) {
		bad("Namespace", shorten(cfg.Namespace), "must be 1 to 64 of A-Z a-z 0-9 . _ -")
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
		bad("Client", "", "has MaxRetries other than -1, so a step could be repeated without the store's knowledge")
	}
}

// shorten keeps a value of any length from filling a log.
func shorten(s string) string {
	const limit = 64
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

// key is where a delivery is. The part in braces, which decides on the server
// within a Cluster, ends with the first brace that closes.
func (s *Store) key(key string) string { return s.prefix + key + "}" }

var errShortClaim = errors.New("redisstore: claim: lease and retention must be 1ms at least")

// Claim implements [webhook.Store]. Errors: those of the client and of ctx.
func (s *Store) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	if req.Lease < time.Millisecond || req.Retention < time.Millisecond {
		return webhook.Claim{}, errShortClaim
	}
	call := strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // it tells calls apart, and is no secret
	reply, _, err := s.run(ctx, s.scripts.claim, s.key(key),
		req.Lease.Milliseconds(), req.Retention.Milliseconds(), hex.EncodeToString(req.BodyDigest[:]), flag(req.SameBody), call)
	if err != nil {
		return webhook.Claim{}, fmt.Errorf("redisstore: claim: %w", err)
	}
	c, err := readClaim(reply, req)
	if err != nil {
		return webhook.Claim{}, fmt.Errorf("redisstore: claim: %w", err)
	}
	return c, nil
}

// Complete implements [webhook.Store]. An answer that is longer than
// MaxAnswerBytes is not kept; the delivery is done all the same. Errors:
// [webhook.ErrStaleFence], those of the client and of ctx.
func (s *Store) Complete(ctx context.Context, key string, fence int64, answer *webhook.Answer) error {
	kept := ""
	if answer != nil && len(answer.Body) <= MaxAnswerBytes && len(answer.ContentType) <= maxTypeBytes {
		kept = writeAnswer(answer)
	}
	return s.settle(ctx, key, fence, webhook.StateDone, false, kept)
}

// Release implements [webhook.Store]. Errors: [webhook.ErrStaleFence], those of
// the client and of ctx.
func (s *Store) Release(ctx context.Context, key string, fence int64, maybeProcessed bool) error {
	return s.settle(ctx, key, fence, webhook.StateRetry, maybeProcessed, "")
}

// Kill implements [webhook.Store]. Errors: [webhook.ErrStaleFence], those of the
// client and of ctx.
func (s *Store) Kill(ctx context.Context, key string, fence int64) error {
	return s.settle(ctx, key, fence, webhook.StateDead, false, "")
}

func (s *Store) settle(ctx context.Context, key string, fence int64, to webhook.State, maybe bool, answer string) error {
	reply, earlier, err := s.run(ctx, s.scripts.settle, s.key(key), fence, int(to), flag(maybe), answer)
	switch {
	case err != nil:
		return fmt.Errorf("redisstore: %s: %w", to, err)
	case reply == int64(1):
		return nil
	case reply != int64(0):
		return fmt.Errorf("redisstore: %s: %w", to, errOddReply)
	case earlier != nil:
		// It may have settled the claim, and been overtaken since.
		return fmt.Errorf("redisstore: %s: %w", to, earlier)
	}
	return webhook.ErrStaleFence
}

// Lookup implements [webhook.Store]. Errors: those of the client and of ctx.
func (s *Store) Lookup(ctx context.Context, key string) (webhook.Record, error) {
	d, err := s.look(ctx, key)
	if err != nil {
		return webhook.Record{}, fmt.Errorf("redisstore: lookup: %w", err)
	}
	return d.Record, nil
}

// look reads the delivery of key; the zero delivery is none.
func (s *Store) look(ctx context.Context, key string) (delivery, error) {
	reply, _, err := s.run(ctx, s.scripts.lookup, s.key(key))
	if err != nil {
		return delivery{}, err
	}
	text, ok := reply.(string)
	if !ok {
		return delivery{}, errOddReply
	}
	return readDelivery(text)
}

// flag is a truth value as the scripts take it.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
