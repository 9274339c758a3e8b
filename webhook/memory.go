package webhook

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

const (
	defaultMaxDeliveries  = 100_000
	defaultMaxAnswerBytes = 64 << 20
)

// MemoryConfig configures a [Memory].
type MemoryConfig struct {
	// MaxDeliveries is how many keys are held at most, about 300 bytes each.
	// When it is reached, those whose retention has ended make room; when
	// none has, a claim of a new key is refused with ErrStoreFull. A key is
	// never forgotten before its time. Zero means 100,000.
	MaxDeliveries int
	// MaxAnswerBytes bounds the bodies of all kept answers together. An
	// answer that does not fit is not kept, its key is done all the same.
	// Zero means 64 MiB.
	MaxAnswerBytes int64
	// Now is the store's clock. It must not call the store. Nil means time.Now.
	Now func() time.Time
}

// Memory is a [Store] and its [Ledger] in the memory of one process: for tests,
// development and handlers whose effect dies with the process. A restart forgets
// everything, so whatever is delivered again after it is handled again.
type Memory struct {
	maxDeliveries  int
	maxAnswerBytes int64
	now            func() time.Time

	mu          sync.Mutex // held while the clock is read, so that steps are in its order
	records     map[string]*memoryRecord
	answerBytes int64
	// nextExpiry is not above the earliest end of any retention, so that a
	// full store is not searched in vain.
	nextExpiry time.Time
}

type memoryRecord struct {
	Record
	updated    time.Time
	leaseUntil time.Time
	retention  time.Duration
	expiresAt  time.Time
}

// NewMemory returns an empty store. Only a limit below zero is an error
// ([*ConfigError]).
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	var problems []error
	if cfg.MaxDeliveries < 0 {
		problems = append(problems, &ConfigError{"MaxDeliveries", strconv.Itoa(cfg.MaxDeliveries), "must not be below zero"})
	}
	if cfg.MaxAnswerBytes < 0 {
		problems = append(problems, &ConfigError{"MaxAnswerBytes", strconv.FormatInt(cfg.MaxAnswerBytes, 10), "must not be below zero"})
	}
	if cfg.MaxDeliveries == 0 {
		cfg.MaxDeliveries = defaultMaxDeliveries
	}
	if cfg.MaxAnswerBytes == 0 {
		cfg.MaxAnswerBytes = defaultMaxAnswerBytes
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Memory{
		maxDeliveries:  cfg.MaxDeliveries,
		maxAnswerBytes: cfg.MaxAnswerBytes,
		now:            cfg.Now,
		records:        make(map[string]*memoryRecord),
	}, nil
}

// Claim implements [Store]. Errors: [ErrStoreFull], or that of ctx.
func (m *Memory) Claim(ctx context.Context, key string, req ClaimRequest) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	r := m.live(key, now)
	if r == nil {
		if len(m.records) >= m.maxDeliveries && m.purge(now) == 0 {
			return Claim{}, ErrStoreFull
		}
		r = &memoryRecord{Record: Record{BodyDigest: req.BodyDigest}}
		m.records[key] = r
	}
	c := Claim{
		Fence: r.Fence, Attempt: r.Attempt, MaybeProcessed: r.MaybeProcessed,
		BodyChanged: r.BodyDigest != req.BodyDigest,
	}
	switch {
	case c.BodyChanged && req.SameBody:
		c.Status = OtherBody
		return c, nil
	case r.State == StateDone:
		c.Status, c.Answer = Done, r.Answer
		return c, nil
	case r.State == StateDead:
		c.Status = Dead
		return c, nil
	case r.State == StateClaimed && now.Before(r.leaseUntil):
		c.Status, c.LeaseLeft = InFlight, r.leaseUntil.Sub(now)
		return c, nil
	}
	r.MaybeProcessed = r.MaybeProcessed || r.State == StateClaimed
	r.State = StateClaimed
	r.Fence++
	r.Attempt++
	r.leaseUntil = now.Add(req.Lease)
	r.retention = req.Retention
	m.keep(r, now, r.leaseUntil.Add(req.Retention))
	c.Status, c.Fence, c.Attempt, c.MaybeProcessed = Claimed, r.Fence, r.Attempt, r.MaybeProcessed
	return c, nil
}

// Complete implements [Store]. Errors: [ErrStaleFence], or that of ctx.
func (m *Memory) Complete(ctx context.Context, key string, fence int64, answer *Answer) error {
	return m.settle(ctx, key, fence, StateDone, func(r *memoryRecord) {
		if answer == nil || m.answerBytes+int64(len(answer.Body)) > m.maxAnswerBytes {
			return
		}
		m.answerBytes += int64(len(answer.Body))
		kept := *answer
		kept.Body = bytes.Clone(answer.Body)
		r.Answer = &kept
	})
}

// Release implements [Store]. Errors: [ErrStaleFence], or that of ctx.
func (m *Memory) Release(ctx context.Context, key string, fence int64, maybeProcessed bool) error {
	return m.settle(ctx, key, fence, StateRetry, func(r *memoryRecord) {
		r.MaybeProcessed = r.MaybeProcessed || maybeProcessed
	})
}

// Kill implements [Store]. Errors: [ErrStaleFence], or that of ctx.
func (m *Memory) Kill(ctx context.Context, key string, fence int64) error {
	return m.settle(ctx, key, fence, StateDead, func(*memoryRecord) {})
}

func (m *Memory) settle(ctx context.Context, key string, fence int64, to State, change func(*memoryRecord)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	r := m.live(key, now)
	switch {
	case r == nil || r.Fence != fence:
		return ErrStaleFence
	case r.State == to:
		return nil
	case r.State != StateClaimed:
		return ErrStaleFence
	}
	r.State = to
	m.keep(r, now, now.Add(r.retention))
	change(r)
	return nil
}

// Lookup implements [Store]. Errors: that of ctx.
func (m *Memory) Lookup(ctx context.Context, key string) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if r := m.live(key, now); r != nil {
		return r.Record, nil
	}
	return Record{}, nil
}

// Purge forgets every key whose retention has ended, and returns how many
// there were. A full store does so by itself; calling it is never necessary.
func (m *Memory) Purge(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	return m.purge(now), nil
}

// live returns the record of key, or nil, forgetting one past its retention.
func (m *Memory) live(key string, now time.Time) *memoryRecord {
	r := m.records[key]
	if r == nil || now.Before(r.expiresAt) {
		return r
	}
	m.forget(key, r)
	return nil
}

func (m *Memory) purge(now time.Time) int64 {
	if now.Before(m.nextExpiry) {
		return 0
	}
	var n int64
	m.nextExpiry = time.Time{}
	for key, r := range m.records {
		if !now.Before(r.expiresAt) {
			m.forget(key, r)
			n++
			continue
		}
		m.noteExpiry(r.expiresAt)
	}
	return n
}

func (m *Memory) forget(key string, r *memoryRecord) {
	delete(m.records, key)
	if r.Answer != nil {
		m.answerBytes -= int64(len(r.Answer.Body))
	}
}

// keep notes that r has changed, and is kept until t.
func (m *Memory) keep(r *memoryRecord, now, t time.Time) {
	r.updated, r.expiresAt = now, t
	m.noteExpiry(t)
}

func (m *Memory) noteExpiry(t time.Time) {
	if m.nextExpiry.IsZero() || t.Before(m.nextExpiry) {
		m.nextExpiry = t
	}
}
