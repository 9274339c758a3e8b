package flags

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what [New] needs.
type Config struct {
	// Source of the definitions. Required.
	Source Source

	// Parse reads a document of the Source. Nil: [Parse], which reads native
	// definitions.
	Parse func(name string, data []byte) (*Set, error)

	// OnEvent is told of loads and failures by New and Run, on their
	// goroutine, and of EventHeaderTruncated on a request's. It must be safe
	// for concurrent use and return soon. Nil: nobody is told.
	OnEvent func(Event)

	// OnEvaluation is called with every decision that was asked for, those
	// written to Handrail-Flags included, on the asking goroutine. It should
	// do no more than count. Nil costs nothing.
	OnEvaluation func(Decision)

	// CounterOf gives what counts decisions that are like d. It is asked when
	// a flag first gives an answer, and with every decision about a flag that
	// does not exist; Inc is then called with each such decision. That costs
	// a fraction of OnEvaluation. Nil costs nothing.
	CounterOf func(d Decision) Counter

	// Now is the clock for expiry dates. Nil: time.Now, up to half a second
	// late.
	Now func() time.Time
}

// Counter is what counts decisions, such as a Counter of Prometheus. It must be
// safe for concurrent use.
type Counter interface{ Inc() }

// Client answers from the newest good definitions of its Source. It is safe for
// concurrent use and must not be copied.
type Client struct {
	source       Source
	parse        func(name string, data []byte) (*Set, error)
	onEvent      func(Event)
	onEvaluation func(Decision)
	counterOf    func(Decision) Counter
	clock        func() time.Time // nil: the default
	set          atomic.Pointer[Set]
	failure      atomic.Pointer[error]
	running      atomic.Bool
	subscribing  sync.Mutex // held to change subscribers
	subscribers  atomic.Pointer[[]*subscriber]
}

// New loads the definitions from cfg.Source and returns a Client that answers
// from them. It fails when they cannot be read or hold an error: there is no
// last good set yet. Problems of the Config match *ConfigError, those of the
// definitions *DefinitionError.
//
// New starts no goroutine: the definitions stay as loaded until Run is called.
func New(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Source == nil {
		return nil, &ConfigError{Field: "Source", Reason: "is required"}
	}
	c := &Client{
		source: cfg.Source, parse: cfg.Parse, onEvent: cfg.OnEvent, onEvaluation: cfg.OnEvaluation, counterOf: cfg.CounterOf, clock: cfg.Now,
	}
	if c.parse == nil {
		c.parse = Parse
	}
	doc, err := cfg.Source.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("flags: load: %w", err)
	}
	set, err := c.parse(doc.Name, doc.Data)
	if err != nil {
		return nil, err
	}
	c.swap(doc.Name, set)
	return c, nil
}

// Run follows the Source until ctx ends and returns nil then. Definitions that
// cannot be read, or hold an error, change nothing; Err and OnEvent say so. It
// runs in the caller's goroutine, and returns ErrRunning when another call does.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer c.running.Store(false)
	return c.source.Watch(ctx, c.update)
}

// update takes what a Source found. Sources call it one at a time.
func (c *Client) update(doc Document, err error) {
	if err != nil {
		c.fail(EventUnreachable, doc.Name, fmt.Errorf("flags: load: %w", err))
		return
	}
	if c.Err() == nil && c.Set().Version() == VersionOf(doc.Data) {
		return
	}
	set, err := c.parse(doc.Name, doc.Data)
	if err == nil && set.Len() == 0 && c.Set().Len() > 0 {
		err = fmt.Errorf("%s: %w", doc.Name, ErrAllRemoved)
	}
	if err != nil {
		c.fail(EventRejected, doc.Name, err)
		return
	}
	c.swap(doc.Name, set)
}

// swap makes set the one that answers.
func (c *Client) swap(name string, set *Set) {
	set = set.withClock(c.clock)
	if c.counterOf != nil {
		set.count()
	}
	old := c.set.Swap(set)
	c.failure.Store(nil)
	if !c.heeded() {
		return
	}
	added, changed, removed := set.Diff(old)
	c.emit(Event{
		Kind: EventLoaded, Source: name, Version: set.version, Flags: set.Len(), Warnings: set.Warnings(),
		Added: len(added), Changed: len(changed), Removed: len(removed),
	})
}

// fail records why the Source's newest state is not the one that answers. The
// same failure again, at the next poll, is not worth another event.
func (c *Client) fail(kind EventKind, name string, err error) {
	if last := c.Err(); last != nil && last.Error() == err.Error() {
		return
	}
	c.failure.Store(&err)
	s := c.Set()
	c.emit(Event{Kind: kind, Source: name, Version: s.version, Flags: s.Len(), Err: err})
}

// Err says why the last good definitions are not the Source's newest. It is nil
// when they are.
func (c *Client) Err() error {
	if p := c.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Set returns the definitions that answer now. A caller that asks for several
// flags and wants answers from one version keeps it meanwhile.
func (c *Client) Set() *Set { return c.set.Load() }

// Enabled reports whether a flag is on for a targeting key. A flag that cannot
// be evaluated is off. It does not allocate for targeting keys of at most
// MaxTargetingKeyBytes.
func (c *Client) Enabled(key, targetingKey string) bool {
	e := c.evaluator(EvaluationContext{TargetingKey: targetingKey})
	return e.Enabled(key)
}

// Evaluate returns the decision about one flag. An empty targeting key is a
// missing one, and matters only where the flag buckets.
func (c *Client) Evaluate(key, targetingKey string) Decision {
	return c.EvaluateContext(key, EvaluationContext{TargetingKey: targetingKey})
}

// EvaluateContext returns the decision about one flag.
func (c *Client) EvaluateContext(key string, ec EvaluationContext) (d Decision) {
	e := c.evaluator(ec)
	e.lookUp(&d, key)
	return d
}

// EvaluateAll returns the decision about every flag, by key, all from one
// version of the definitions.
func (c *Client) EvaluateAll(targetingKey string) []Decision {
	e := c.evaluator(EvaluationContext{TargetingKey: targetingKey})
	return e.EvaluateAll()
}
