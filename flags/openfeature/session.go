package openfeature

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/handrail-go/handrail/flags"
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

	mu   sync.Mutex
	news news
}

// news is the newest state of things. Nobody waits for the SDK to hear of it:
// what is over by then is forgotten.
type news struct {
	initialized bool       // the SDK has been told that the provider is ready
	set         *flags.Set // what answers
	err         error      // why that is not the source's newest
	broken      error      // why nothing follows the source any more
}

// begin starts a session.
func (p *Provider) begin() *session {
	ctx, stop := context.WithCancel(context.Background())
	s := &session{provider: p, stop: stop, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel := p.client.Subscribe(s.hear)
	s.news = news{set: p.client.Set(), err: p.client.Err()}
	known := s.news.set
	var running sync.WaitGroup
	running.Go(func() { s.tell(ctx, known) })
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

// learn changes the news and says that there are some.
func (s *session) learn(change func(*news)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.news)
	select {
	case s.wake <- struct{}{}:
	default: // tell will look anyway
	}
}

func (s *session) initialized() { s.learn(func(n *news) { n.initialized = true }) }

// hear takes what the Client tells of, on the goroutine that changes it.
func (s *session) hear(ev flags.Event) {
	if ev.Kind == flags.EventHeaderTruncated {
		return
	}
	s.learn(func(n *news) { n.set, n.err = s.provider.client.Set(), s.provider.client.Err() })
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
	s.news.initialized = false
	return n
}

// tell sends events until ctx ends. Known is the set that the SDK begins with.
func (s *session) tell(ctx context.Context, known *flags.Set) {
	told := told{set: known, state: ready}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		n := s.take()
		for n.initialized {
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
			told.state = ready
			n = s.take()
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
