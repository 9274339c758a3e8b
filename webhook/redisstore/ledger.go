package redisstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/handrail-go/handrail/webhook"
)

// Entry implements [webhook.Ledger]. Errors: [webhook.ErrUnknownDelivery], those
// of the client and of ctx.
func (s *Store) Entry(ctx context.Context, key string) (webhook.Entry, error) {
	d, err := s.look(ctx, key)
	switch {
	case err != nil:
		return webhook.Entry{}, fmt.Errorf("redisstore: entry: %w", err)
	case d.State == webhook.StateAbsent:
		return webhook.Entry{}, webhook.ErrUnknownDelivery
	}
	return d.entry(key), nil
}

// Revive implements [webhook.Ledger]. Errors: [webhook.ErrUnknownDelivery],
// [webhook.ErrWrongState], those of the client and of ctx.
func (s *Store) Revive(ctx context.Context, key string) error {
	found, earlier, err := s.operate(ctx, s.scripts.revive, key)
	switch {
	case err != nil:
		return fmt.Errorf("redisstore: revive: %w", err)
	case found == webhook.StateRetry && earlier != nil:
		return nil //nolint:nilerr // it is what the first try, which failed, may have made of it
	}
	return operated("revive", found, earlier)
}

// Discard implements [webhook.Ledger]. Errors: [webhook.ErrUnknownDelivery],
// [webhook.ErrWrongState], those of the client and of ctx.
func (s *Store) Discard(ctx context.Context, key string) error {
	found, earlier, err := s.operate(ctx, s.scripts.discard, key)
	switch {
	case err != nil:
		return fmt.Errorf("redisstore: discard: %w", err)
	case found == webhook.StateDead:
		return nil
	}
	return operated("discard", found, earlier)
}

// changed is what operate answers when the script has done its work.
const changed = webhook.State(255)

// operate runs revive.lua or discard.lua, and returns changed or the state in
// which the delivery was found.
func (s *Store) operate(ctx context.Context, sc script, key string) (found webhook.State, earlier, err error) {
	reply, earlier, err := s.run(ctx, sc, s.key(key))
	if err != nil {
		return 0, earlier, err
	}
	switch state, _ := reply.(string); {
	case reply == int64(1):
		return changed, earlier, nil
	case reply == "":
		return webhook.StateAbsent, earlier, nil
	default:
		n, err := strconv.ParseUint(state, 10, 8)
		if err != nil {
			return 0, earlier, errOddReply
		}
		return webhook.State(n), earlier, nil
	}
}

// operated says what came of a step that is not yet known to have succeeded.
func operated(step string, found webhook.State, earlier error) error {
	switch {
	case found == changed:
		return nil
	case found == webhook.StateAbsent:
		return webhook.ErrUnknownDelivery
	case earlier != nil:
		// It may have succeeded, and been overtaken since.
		return fmt.Errorf("redisstore: %s: %w", step, earlier)
	}
	return webhook.ErrWrongState
}
