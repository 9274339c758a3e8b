package flags

import (
	"context"
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

	// OnEvent is told of loads and failures by New, Run and Reload, on their
	// goroutine, and of EventHeaderTruncated on a request's. The next change of
	// the definitions waits until it returns, a kill switch included: it must do
	// no more than note what happened, and never wait for output, a lock that is
	// held long, or the Client. It must be safe for concurrent use. Nil: nobody
	// is told.
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

	// OnObeyed is told how long it took from the writing of new definitions to
	// the last decision by the ones before: requests under way keep theirs. It is
	// called by Run, a minute after the new ones were taken, and not where it is
	// not known when they were written, see [Event.Delay]; of more than 64 changes
	// in a minute some are left out. Decisions of a [Set] itself do not count. Nil:
	// nobody looks.
	OnObeyed func(time.Duration)

	// Snapshot is the path of a file in which Run keeps a copy of the newest good
	// definitions. At a start while the Source cannot be read, or holds an error,
	// they answer, Err says why, and Run goes on trying. One that is damaged, or
	// of a Source with another name, is refused. Run writes it beside everything
	// else: one that cannot be written is an EventSnapshotFailed. Mode 0600; a
	// lock file stays beside it. Its folder must exist. Empty: none.
	Snapshot string

	// AllowUnready makes New succeed without definitions: until Run has taken
	// some, Ready is false and every decision is PROVIDER_NOT_READY. It is for a
	// Source in another place, which may come up later than the program. False:
	// New fails.
	AllowUnready bool

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
	rewatch      atomic.Pointer[context.CancelFunc] // ends the Watch of now; stored before that begins
	updating     sync.Mutex                         // held to take what a Source found
	updates      int                                // how often that was done
	takenAt      time.Time                          // the set
	onSet        *fate                              // the set's; nil: nobody looks
	snapshot     *snapshot                          // nil: none
	obedience    *obedience                         // nil: nobody looks
	subscribing  sync.Mutex                         // held to change subscribers
	subscribers  atomic.Pointer[[]*subscriber]
}

// New loads the definitions from cfg.Source and returns a Client that answers
// from them. It fails when they cannot be read or hold an error, and there is no
// snapshot either: there is no last good set yet. With cfg.AllowUnready it does not.
// Problems of the Config match *ConfigError, those of the definitions
// *DefinitionError.
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
	if cfg.OnObeyed != nil {
		c.obedience = newObedience(cfg.OnObeyed)
	}
	if cfg.Snapshot != "" {
		c.snapshot = newSnapshot(cfg.Snapshot)
	}
	if err := c.begin(ctx, cfg.AllowUnready); err != nil {
		return nil, err
	}
	return c, nil
}

// Run follows the Source until ctx ends and returns nil then. Definitions that
// cannot be read, or hold an error, change nothing; Err and OnEvent say so. It
// runs in the caller's goroutine, waits for those that it starts, and returns
// ErrRunning when another call does.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer c.running.Store(false)
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.snapshot != nil {
		beside.Go(func() { c.snapshot.run(ctx, c.snapshotFailed) })
	}
	if c.obedience != nil {
		beside.Go(func() { c.obedience.run(ctx) })
	}
	for {
		watching, end := context.WithCancel(ctx)
		c.rewatch.Store(&end)
		err := c.source.Watch(watching, func(doc Document, err error) { c.update(watching, doc, err) })
		again := watching.Err() != nil && ctx.Err() == nil
		end()
		if err != nil || !again {
			return err
		}
	}
}

// Ready reports whether there ever were definitions to answer from. It stays
// true from then on.
func (c *Client) Ready() bool { return !c.Set().unready }

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
