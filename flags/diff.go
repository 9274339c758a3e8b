package flags

import (
	"reflect"
	"slices"
)

// Diff returns the keys of the flags that s has and old does not, that both
// have with other definitions, and that only old has, each sorted. Old may be
// nil, which has none.
func (s *Set) Diff(old *Set) (added, changed, removed []string) {
	var before map[string]*flag
	if old != nil {
		before = old.byKey
	}
	for _, f := range s.ordered {
		switch was, ok := before[f.def.Key]; {
		case !ok:
			added = append(added, f.def.Key)
		case !f.same(was):
			changed = append(changed, f.def.Key)
		}
	}
	for key := range before {
		if s.byKey[key] == nil {
			removed = append(removed, key)
		}
	}
	slices.Sort(removed)
	return added, changed, removed
}

// same reports whether two flags answer alike as far as can be told.
func (f *flag) same(g *flag) bool {
	if f.custom != nil || g.custom != nil {
		if f.rules == "" || f.rules != g.rules {
			return false
		}
	}
	return reflect.DeepEqual(f.def, g.def)
}
