package openfeature

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/handrail-go/handrail/flags"
	of "github.com/open-feature/go-sdk/openfeature"
)

// settle is how long events wait after Init. The SDK takes the provider for
// ready when Init has returned, whatever it read from the event channel until
// then, and nothing tells when it has done so.
const settle = 100 * time.Millisecond

// session is what goes on between Init and Shutdown.
type session struct {
	provider *Provider
	stop     context.CancelFunc
	done     chan struct{} // closed when all goroutines have ended
	wake     chan struct{} // there is news
	decided  chan struct{} // closed when there are definitions, or never will be
	once     sync.Once     // closes it

	mu   sync.Mutex
	news news
}

// news is the newest state of things. Nobody waits for the SDK to hear of it:
// what is over by then is forgotten.
type news struct {
	said   state      // what the end of Init tells the SDK; zero: nothing
	known  *flags.Set // what answered when Init ended first; nil: it has not
	set    *flags.Set // what answers
	ready  bool       // there are definitions
	err    error      // why they are not the source's newest
	broken error      // why nothing follows the source any more
}

// begin starts a session.
func (p *Provider) begin() *session {
	ctx, stop := context.WithCancel(context.Background())
	s := &session{provider: p, stop: stop, done: make(chan struct{}), wake: make(chan struct{}, 1), decided: make(chan struct{})}
	cancel := p.client.Subscribe(s.hear)
	s.learn(s.look)
	var running sync.WaitGroup
	running.Go(func() { s.tell(ctx) })
	if p.cfg.Run {
		running.Go(func() { s.run(ctx) })
	}
	go func() {
		running.Wait()
		cancel()
		close(s.done)
	}()
	return s
}

// wait returns when the session, if any, has ended, or ctx.
func (s *session) wait(ctx context.Context) error {
	if s == nil {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over reports whether the session, if any, has ended.
func (s *session) over() bool {
	if s == nil {
		return true
	}
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// learn changes the news and says that there are some.
func (s *session) learn(change func(*news)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.news)
	if s.news.ready || s.news.broken != nil {
		s.once.Do(func() { close(s.decided) })
	}
	select {
	case s.wake <- struct{}{}:
	default: // tell will look anyway
	}
}

// look takes the state of the Client. It is called with s.mu held.
func (s *session) look(n *news) {
	client := s.provider.client
	n.set, n.ready, n.err = client.Set(), client.Ready(), client.Err()
}

// hear takes what the Client tells of, on the goroutine that changes it.
func (s *session) hear(ev flags.Event) {
	switch ev.Kind {
	case flags.EventLoaded, flags.EventRejected, flags.EventUnreachable:
		s.learn(s.look)
	}
}

// initialize waits until there are definitions. The SDK tells its handlers of
// the outcome.
func (s *session) initialize(ctx context.Context) error {
	timeout := time.NewTimer(s.provider.cfg.InitTimeout)
	defer timeout.Stop()
	why := ""
	select {
	case <-s.decided:
	case <-s.done:
		why = "shut down"
	case <-ctx.Done():
		why = ctx.Err().Error()
	case <-timeout.C:
		why = "no definitions within " + s.provider.cfg.InitTimeout.String()
	}
	var err error
	s.learn(func(n *news) {
		n.said = n.state()
		switch {
		case n.ready:
			n.said = ready
		case n.broken != nil:
			err = &of.ProviderInitError{ErrorCode: of.GeneralCode, Message: n.said.why}
		default:
			err = &of.ProviderInitError{ErrorCode: of.ProviderNotReadyCode, Message: why + ": " + n.said.why}
		}
		if n.known == nil {
			n.known = n.set
		}
	})
	return err
}

// run runs the Client.
func (s *session) run(ctx context.Context) {
	err := s.provider.client.Run(ctx)
	if err != nil && !errors.Is(err, flags.ErrRunning) && ctx.Err() == nil {
		s.learn(func(n *news) { n.broken = err })
	}
}

// take returns the news.
func (s *session) take() news {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.news
	s.news.said = state{}
	return n
}

// tell sends events until ctx ends.
func (s *session) tell(ctx context.Context) {
	var told told
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		n := s.take()
		for n.said != (state{}) {
			told.state = n.said
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
			n = s.take()
		}
		if n.known == nil {
			continue // Init is under way, and the SDK takes the provider for not ready
		}
		if told.set == nil {
			told.set = n.known
		}
		for _, ev := range told.of(n) {
			select {
			case <-ctx.Done():
				return
			case s.provider.events <- ev:
			}
		}
	}
}
