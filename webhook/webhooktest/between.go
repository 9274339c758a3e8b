package webhooktest

import (
	"context"

	"github.com/handrail-go/handrail/webhook"
)

// Between is a store that stands in front of others.
type Between struct {
	// Next is asked ahead of each step, by its name ("claim", "complete",
	// "release", "kill" or "lookup"), which store is to take it. Its error is that
	// of the step, which is not taken then.
	Next func(step string) (webhook.Store, error)
}

// Claim implements [webhook.Store].
func (b Between) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	s, err := b.Next("claim")
	if err != nil {
		return webhook.Claim{}, err
	}
	return s.Claim(ctx, key, req)
}

// Complete implements [webhook.Store].
func (b Between) Complete(ctx context.Context, key string, fence int64, answer *webhook.Answer) error {
	s, err := b.Next("complete")
	if err != nil {
		return err
	}
	return s.Complete(ctx, key, fence, answer)
}

// Release implements [webhook.Store].
func (b Between) Release(ctx context.Context, key string, fence int64, maybeProcessed bool) error {
	s, err := b.Next("release")
	if err != nil {
		return err
	}
	return s.Release(ctx, key, fence, maybeProcessed)
}

// Kill implements [webhook.Store].
func (b Between) Kill(ctx context.Context, key string, fence int64) error {
	s, err := b.Next("kill")
	if err != nil {
		return err
	}
	return s.Kill(ctx, key, fence)
}

// Lookup implements [webhook.Store].
func (b Between) Lookup(ctx context.Context, key string) (webhook.Record, error) {
	s, err := b.Next("lookup")
	if err != nil {
		return webhook.Record{}, err
	}
	return s.Lookup(ctx, key)
}
