package redisflags

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-go/handrail/flags"
)

const (
	// againAfter is the longest pause after a failure, on the way to the
	// definitions as on that to the channel.
	againAfter = 500 * time.Millisecond
	// heardWithin is how long the channel is silent until the server is asked
	// whether it is still there; it has as long again to answer.
	heardWithin = time.Second
	// notAllowedAgain is when a channel is tried again that the user has no right to.
	notAllowedAgain = time.Minute
)

// Watch implements [flags.Source].
func (s *Source) Watch(ctx context.Context, update func(flags.Document, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	wake := make(chan struct{}, 1)
	var listener sync.WaitGroup
	defer listener.Wait()
	defer cancel()
	listener.Go(func() { s.listen(ctx, wake) })
	known := "" // what was delivered; nothing after a failure, so that it comes again
	for {
		r, err := s.read(ctx, known)
		pause := s.pollPause()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			known, pause = "", jittered(min(againAfter, s.poll))
			update(flags.Document{Name: s.key}, err)
		case r.data != nil:
			known = r.version
			update(s.document(r), nil)
		}
		if !wait(ctx, pause, wake) {
			return nil
		}
	}
}

// pollPause is PollInterval, give or take a tenth.
func (s *Source) pollPause() time.Duration {
	return s.poll*9/10 + rand.N(s.poll/5) //nolint:gosec // jitter
}

// listen wakes Watch up with each message, and each time that it can hear messages
// again, until ctx ends.
func (s *Source) listen(ctx context.Context, wake chan<- struct{}) {
	for {
		pause := againAfter
		if err := s.hear(ctx, wake); redis.HasErrorPrefix(err, "NOPERM") {
			pause = notAllowedAgain
		}
		if !wait(ctx, jittered(pause), nil) {
			return
		}
	}
}

// hear listens on one connection until that is lost, and says why.
func (s *Source) hear(ctx context.Context, wake chan<- struct{}) error {
	channel := s.client.Subscribe(ctx)
	defer func() { _ = channel.Close() }()
	// Reading does not heed ctx.
	defer context.AfterFunc(ctx, func() { _ = channel.Close() })()
	subscribing, cancel := context.WithTimeout(ctx, s.timeout)
	err := channel.Subscribe(subscribing, s.channel())
	cancel()
	for asked := false; err == nil; {
		var message any
		message, err = channel.ReceiveTimeout(ctx, heardWithin)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() && !asked { //nolint:errorlint // as it comes from the connection
			asked, err = true, channel.Ping(ctx)
			continue
		}
		asked = false
		switch message.(type) {
		case *redis.Message, *redis.Subscription:
			select {
			case wake <- struct{}{}:
			default: // it is going to look already
			}
		}
	}
	return err
}
