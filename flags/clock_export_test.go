package flags

// Renewal is the last one of the clock of s.
func (s *Set) Renewal() uint64 { return s.clock.last.Load() }

// RenewLate stores a renewal that was held up.
func (s *Set) RenewLate(renewal uint64) { s.clock.last.Store(renewal) }
