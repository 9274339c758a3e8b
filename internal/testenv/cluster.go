package testenv

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

const (
	clusterMasters = 3
	clusterSlots   = 16384
)

// Cluster is a private Redis Cluster of one test: three masters without
// replicas that share the slots evenly.
type Cluster struct {
	t     testing.TB
	nodes []*RedisServer
}

// RedisCluster starts a Redis Cluster of three masters and returns when every
// one of them reports cluster_state:ok. A master that is gone for a second is
// failed, and the cluster then refuses every command until it is back, as the
// default configuration of Redis has it; an option such as
// RedisArgs("--cluster-require-full-coverage", "no") changes that.
func RedisCluster(t testing.TB, opts ...RedisOption) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	opts = append([]RedisOption{
		func(s *RedisServer) { s.bus = busOffset },
		RedisArgs("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
	}, opts...)
	for range clusterMasters {
		c.nodes = append(c.nodes, Redis(t, opts...))
	}
	for i, node := range c.nodes {
		slots := []string{"CLUSTER", "ADDSLOTS"}
		for slot := i * clusterSlots / clusterMasters; slot < (i+1)*clusterSlots/clusterMasters; slot++ {
			slots = append(slots, strconv.Itoa(slot))
		}
		c.do(node, slots...)
		// Distinct epochs spare the nodes the settling of a tie.
		c.do(node, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, node := range c.nodes[1:] {
		c.do(c.nodes[0], "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(node.port))
	}
	c.AwaitOK()
	return c
}

// Addrs are the addresses of the masters, in a fixed order.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.nodes))
	for i, node := range c.nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// Master is the i-th master, counted from 0, with all that can be done to a
// single server. After a Start, AwaitOK waits until the others see it again.
func (c *Cluster) Master(i int) *RedisServer { return c.nodes[i] }

// KillMaster ends the i-th master, counted from 0, by SIGKILL.
func (c *Cluster) KillMaster(i int) {
	c.t.Helper()
	c.nodes[i].Kill()
}

// AwaitOK returns when every master reports cluster_state:ok with all slots
// assigned, and fails the test when that does not come.
func (c *Cluster) AwaitOK() {
	c.t.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		node, info, ok := c.state()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("testenv: Redis Cluster node %s was not ok within %v:\n%s\n%s", node.Addr(), startTimeout, info, tail(node.log()))
		}
		time.Sleep(pollInterval)
	}
}

// state returns the first node that does not yet see the whole cluster, with
// what it says, or ok.
func (c *Cluster) state() (node *RedisServer, info string, ok bool) {
	for _, node := range c.nodes {
		info, err := node.do("CLUSTER", "INFO")
		if err != nil {
			return node, err.Error(), false
		}
		whole := containsLine(info, "cluster_state:ok") &&
			containsLine(info, fmt.Sprintf("cluster_slots_ok:%d", clusterSlots)) &&
			containsLine(info, fmt.Sprintf("cluster_known_nodes:%d", clusterMasters))
		if !whole {
			return node, info, false
		}
	}
	return nil, "", true
}

func (c *Cluster) do(node *RedisServer, args ...string) {
	c.t.Helper()
	if _, err := node.do(args...); err != nil {
		c.t.Fatalf("testenv: %s %s on %s: %v", args[0], args[1], node.Addr(), err)
	}
}
