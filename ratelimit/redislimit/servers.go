package redislimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxNodes bounds the nodes of a Cluster that are remembered. Those that left it
// are forgotten with all others when there are more.
const maxNodes = 1024

// servers knows the batcher of every server.
type servers struct {
	client redis.UniversalClient
	script script
	lone   *batcher // of the only server

	mu    sync.RWMutex
	nodes map[*redis.Client]*batcher // of a Cluster
}

func newServers(client redis.UniversalClient, script script) *servers {
	s := &servers{client: client, script: script, nodes: map[*redis.Client]*batcher{}}
	if c, ok := client.(*redis.Client); ok && sendsOnce(c) {
		s.lone = newBatcher(c, script)
	}
	return s
}

// of returns the batcher of the server that holds key. It is nil when the client
// has to find its way by itself: none that is known here, or one that repeats.
func (s *servers) of(ctx context.Context, deadline time.Time, key string) *batcher {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return s.lone
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	node, err := cluster.MasterForKey(ctx, key)
	if err != nil || !sendsOnce(node) {
		return nil
	}
	s.mu.RLock()
	b := s.nodes[node]
	s.mu.RUnlock()
	if b != nil {
		return b
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b = s.nodes[node]; b == nil {
		if len(s.nodes) >= maxNodes {
			clear(s.nodes)
		}
		b = newBatcher(node, s.script)
		s.nodes[node] = b
	}
	return b
}

// sendsOnce reports whether client never repeats what it has sent. With a batch
// that is repeated, calls would run again that had run before.
func sendsOnce(client *redis.Client) bool { return client.Options().MaxRetries == 0 }

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
