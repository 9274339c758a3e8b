package openfeature

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/handrail-go/handrail/flags"
	of "github.com/open-feature/go-sdk/openfeature"
)

// Config is what [NewProvider] needs beside a Client. Its zero value is fine.
type Config struct {
	// Run makes the provider run the Client between Init and Shutdown, so that
	// flags follow their source. False: the program calls [flags.Client.Run].
	// A Client that runs already is left alone.
	Run bool

	// InitTimeout is how long Init waits for a Client that has no definitions
	// yet, see [flags.Config.AllowUnready]. After that Init fails; the provider
	// is ready when they are there all the same. Zero: 10 seconds. Negative is
	// an error.
	InitTimeout time.Duration

	// Hooks are run around each evaluation through the SDK, after those of the
	// API, the client and the call.
	Hooks []of.Hook

	// Track is given what the program tracks. It must be safe for concurrent
	// use. Nil: that is dropped.
	Track func(ctx context.Context, event string, ec of.EvaluationContext, details of.TrackingEventDetails)
}

// Provider answers OpenFeature's SDK from a [flags.Client]. It is safe for
// concurrent use, may be set for several domains, and may be set again after it
// was shut down. It must not be copied.
type Provider struct {
	client *flags.Client
	cfg    Config
	events chan of.Event

	mu        sync.Mutex // never held while waiting
	session   *session   // from Init to Shutdown, else nil
	ended     *session   // the one that Shutdown ended last
	shutdowns int        // how often it was called
}

var (
	_ of.FeatureProvider          = (*Provider)(nil)
	_ of.ContextAwareStateHandler = (*Provider)(nil)
	_ of.EventHandler             = (*Provider)(nil)
	_ of.Tracker                  = (*Provider)(nil)
)

// NewProvider returns a provider on client, which stays the program's. An error
// matches *flags.ConfigError. It starts no goroutine: Init does, which the SDK
// calls.
func NewProvider(client *flags.Client, cfg Config) (*Provider, error) {
	if client == nil {
		return nil, &flags.ConfigError{Field: "client", Reason: "is required"}
	}
	if cfg.InitTimeout < 0 {
		return nil, &flags.ConfigError{Field: "InitTimeout", Value: cfg.InitTimeout.String(), Reason: "is negative"}
	}
	if cfg.InitTimeout == 0 {
		cfg.InitTimeout = 10 * time.Second
	}
	cfg.Hooks = slices.Clone(cfg.Hooks)
	return &Provider{client: client, cfg: cfg, events: make(chan of.Event)}, nil
}

const providerName = "handrail"

// Metadata names the provider.
func (p *Provider) Metadata() of.Metadata { return of.Metadata{Name: providerName} }

// Hooks returns those of the Config. They must not be changed.
func (p *Provider) Hooks() []of.Hook { return p.cfg.Hooks }

// Track hands what the program tracks to Config.Track.
func (p *Provider) Track(ctx context.Context, event string, ec of.EvaluationContext, details of.TrackingEventDetails) {
	if p.cfg.Track != nil {
		p.cfg.Track(ctx, event, ec, details)
	}
}

// Init is InitWithContext without an end.
func (p *Provider) Init(ec of.EvaluationContext) error {
	return p.InitWithContext(context.Background(), ec)
}

// InitWithContext begins to tell events and, where the Config says so, to run
// the Client, and waits until there are definitions. The SDK calls it once per
// domain that the provider is set for; a second call only tells the SDK again
// what state it is in. An error matches *ProviderInitError of the SDK, or is that
// of ctx when it ends while a Shutdown is under way. What it began goes on until
// Shutdown then, too.
func (p *Provider) InitWithContext(ctx context.Context, _ of.EvaluationContext) error {
	s, err := p.running(ctx)
	if err != nil {
		return err
	}
	return s.initialize(ctx)
}

// running returns the session, which it starts where there is none, once the one
// before has ended. A Shutdown meanwhile counts for this Init too.
func (p *Provider) running(ctx context.Context) (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shutdowns := p.shutdowns
	for p.session == nil && !p.ended.over() {
		before := p.ended
		p.mu.Unlock()
		err := before.wait(ctx)
		p.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
	if p.shutdowns != shutdowns {
		return nil, &of.ProviderInitError{ErrorCode: of.ProviderNotReadyCode, Message: "shut down"}
	}
	if p.session == nil {
		p.session = p.begin()
	}
	return p.session, nil
}

// Shutdown is ShutdownWithContext without an end.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) }

// ShutdownWithContext ends what Init began and waits for it until ctx ends. A
// provider that is shut down already is left as it is. Flags can still be asked
// for, and the Client is usable.
func (p *Provider) ShutdownWithContext(ctx context.Context) error {
	p.mu.Lock()
	p.shutdowns++
	if p.session != nil {
		p.session.stop()
		p.session, p.ended = nil, p.session
	}
	ended := p.ended
	p.mu.Unlock()
	return ended.wait(ctx)
}
