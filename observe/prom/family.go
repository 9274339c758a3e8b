package prom

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// overflowSeries is how many label sets a full family still takes with only
// its open label replaced.
const overflowSeries = 100

// family finds the child of a metric for a label set without allocating. Its
// map is replaced, never changed, so that readers need no lock, not even for
// what is counted as overflow; it grows only until the family is full.
type family[K comparable, V any] struct {
	children atomic.Pointer[map[K]V]
	max      int
	create   func(K) V
	overflow func(K) K // with the label that is open to outside values replaced
	last     K         // every label replaced

	mu sync.Mutex // serializes growth
}

func newFamily[K comparable, V any](limit int, create func(K) V, last K, overflow func(K) K) *family[K, V] {
	f := &family[K, V]{max: limit, create: create, overflow: overflow, last: last}
	f.children.Store(&map[K]V{})
	return f
}

func (f *family[K, V]) get(k K) V {
	children := *f.children.Load()
	if v, ok := children[k]; ok {
		return v
	}
	if v, ok := children[f.place(children, k)]; ok {
		return v
	}
	return f.grow(k)
}

// place is the label set under which k counts when it has no child itself.
func (f *family[K, V]) place(children map[K]V, k K) K {
	if len(children) < f.max {
		return k
	}
	k = f.overflow(k)
	if _, ok := children[k]; !ok && len(children) >= f.max+overflowSeries {
		return f.last
	}
	return k
}

func (f *family[K, V]) grow(k K) V {
	f.mu.Lock()
	defer f.mu.Unlock()
	children := *f.children.Load()
	if _, ok := children[k]; !ok {
		k = f.place(children, k)
	}
	if v, ok := children[k]; ok {
		return v
	}
	v := f.create(k)
	grown := maps.Clone(children)
	grown[k] = v
	f.children.Store(&grown)
	return v
}

// maxLabel bounds a label value, in bytes.
const maxLabel = 128

// labels makes values fit for Prometheus, which panics on invalid UTF-8.
func labels(values ...string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if len(v) > maxLabel {
			v = v[:maxLabel]
		}
		out[i] = strings.ToValidUTF8(v, "?")
	}
	return out
}
