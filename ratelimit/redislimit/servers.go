package redislimit

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxNodes bounds the nodes of a Cluster that are remembered. Those that left it
// are forgotten with all others when there are more.
const maxNodes = 1024

// servers knows the batcher of every server.
type servers struct {
	client  redis.UniversalClient
	timeout time.Duration
	lone    *batcher // of the only server
	rest    *batcher // for calls whose server is not known; sends no batches

	found atomic.Bool // the way through a Cluster
	mu    sync.RWMutex
	nodes map[*redis.Client]*batcher // of a Cluster
}

func newServers(client redis.UniversalClient, timeout time.Duration) *servers {
	s := &servers{
		client: client, timeout: timeout,
		rest:  newBatcher(client, timeout, nil),
		nodes: map[*redis.Client]*batcher{},
	}
	if c, ok := client.(*redis.Client); ok && sendsOnce(c) {
		s.lone = newBatcher(c, timeout, nil)
	}
	return s
}

// do sends c to the server that holds its key, and returns its error.
func (s *servers) do(ctx context.Context, c *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.began = time.Now()
	c.deadline = c.began.Add(s.timeout)
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(c.deadline) {
		c.deadline = sooner
	}
	b, err := s.of(ctx, c)
	if err != nil {
		return err
	}
	if b != nil {
		if err := b.run(ctx, c); err != nil {
			return err
		}
		if err := c.cmd.Err(); !elsewhere(err) {
			return err
		}
	}
	if err := s.rest.alone(ctx, c); err != nil {
		return err
	}
	return c.cmd.Err()
}

// of returns the batcher of the server that holds the key of c. It is nil for a
// client that has to find its way by itself, or one that repeats.
func (s *servers) of(ctx context.Context, c *call) (*batcher, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return s.lone, nil
	}
	node, err := s.master(ctx, cluster, c)
	if err != nil {
		return nil, err
	}
	if !sendsOnce(node) {
		return nil, nil
	}
	s.mu.RLock()
	b := s.nodes[node]
	s.mu.RUnlock()
	if b != nil {
		return b, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b = s.nodes[node]; b == nil {
		if len(s.nodes) >= maxNodes {
			clear(s.nodes)
		}
		// Another server may hold the keys of one that is lost by now.
		b = newBatcher(node, s.timeout, func() { cluster.ReloadState(context.Background()) })
		s.nodes[node] = b
	}
	return b, nil
}

// master asks for the way through the Cluster as long as it is not known. From
// then on it needs no server, and the client sees to it that what it knows is new.
func (s *servers) master(ctx context.Context, cluster *redis.ClusterClient, c *call) (*redis.Client, error) {
	if s.found.Load() {
		return cluster.MasterForKey(ctx, c.key)
	}
	if _, err := s.rest.breaker.admit(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	node, err := cluster.MasterForKey(ctx, c.key)
	s.rest.breaker.done(c.tells(err, s.timeout), err)
	s.found.Store(err == nil)
	return node, err
}

// sendsOnce reports whether client never repeats what it has sent. With a batch
// that is repeated, calls would run again that had run before.
func sendsOnce(client *redis.Client) bool { return client.Options().MaxRetries == 0 }

// together reports whether one server holds all forms of key: those who share a
// Cluster or a Ring go by the part in braces when there is one.
func (s *servers) together(key string) bool {
	if _, one := s.client.(*redis.Client); one {
		return true
	}
	_, tag, ok := strings.Cut(key, "{")
	return ok && strings.IndexByte(tag, '}') > 0
}

// elsewhere reports whether err says that the script did not run, since another
// server holds the key by now.
func elsewhere(err error) bool {
	if err == nil {
		return false
	}
	for _, prefix := range [...]string{"MOVED", "ASK", "READONLY"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return errors.Is(err, redis.ErrClosed)
}
