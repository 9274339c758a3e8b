package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/handrail-go/handrail/webhook"
)

func (db *sqliteDB) words() *queries { return &db.q }

func (db *sqliteDB) look(ctx context.Context, f func(ctx context.Context, s session) error) error {
	return f(ctx, db.reading())
}

func (db *sqliteDB) change(ctx context.Context, _, _ string, f func(ctx context.Context, s session) error) error {
	if err := db.present(); err != nil {
		return err
	}
	return db.writer.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return f(ctx, db.writer.in(tx)) })
}

func (db *sqliteDB) settle(ctx context.Context, key string, fence int64, to webhook.State, maybe bool, answer *webhook.Answer) (settled bool, k kept, err error) {
	err = db.change(ctx, "", "", func(ctx context.Context, s session) error {
		if settled, err = db.q.settleRow(ctx, s, key, fence, to, maybe, answer); settled || err != nil {
			return err
		}
		if k, err = db.q.look(ctx, s, key); err != nil || !k.claimedWith(fence) {
			return err
		}
		settled, err = db.q.settleKept(ctx, s, key, fence, k, to, maybe, answer)
		return err
	})
	return settled, k, err
}

func (db *sqliteDB) purge(ctx context.Context, limit int64) (n int64, err error) {
	err = db.writer.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n, err = db.remove(ctx, tx, db.q.purge, limit)
		return err
	})
	return n, err
}

// remove runs a statement that deletes deliveries, and deletes their messages.
func (db *sqliteDB) remove(ctx context.Context, tx *sql.Tx, query string, arg any) (n int64, err error) {
	var withMessage []string
	s := db.writer.in(tx)
	err = s.each(ctx, func(from func(dest ...any) error) error {
		var key string
		var has bool
		if err := from(&key, &has); err != nil {
			return err
		}
		if n++; has {
			withMessage = append(withMessage, key)
		}
		return nil
	}, query, arg)
	for _, key := range withMessage {
		if err == nil {
			_, err = s.exec(ctx, db.q.deleteMessage, key)
		}
	}
	return n, err
}

// takeDue reads first, so that to ask in vain takes no lock. Messages are read when
// they are claimed, and the lock is given back: they do not change.
func (db *sqliteDB) takeDue(ctx context.Context, route string, limit int, lease int64) ([]takenRow, error) {
	if err := db.present(); err != nil {
		return nil, err
	}
	if due, err := db.due(ctx, db.reading(), route, 1); err != nil || len(due) == 0 {
		return nil, err
	}
	var claimed []takenRow
	err := db.writer.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		s := db.writer.in(tx)
		due, err := db.due(ctx, s, route, limit)
		if err != nil {
			return err
		}
		claimed = make([]takenRow, 0, len(due))
		for _, key := range due {
			t := takenRow{key: key}
			if err := s.row(ctx, db.q.take, key, lease).Scan(&t.fence, &t.attempt, &t.maybe, &t.ageMS); err != nil {
				return err
			}
			claimed = append(claimed, t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	taken := claimed[:0]
	for _, t := range claimed {
		err := db.reading().row(ctx, db.q.message, t.key).Scan(&t.head, &t.body)
		switch {
		case errors.Is(err, sql.ErrNoRows): // settled by the attempt before
			continue
		case err != nil && len(taken) == 0:
			return nil, err
		case err != nil: // those that are not read wait out their lease
			return taken, nil //nolint:nilerr // what was read can be delivered
		}
		taken = append(taken, t)
	}
	return taken, nil
}

// due returns up to limit keys that can be taken, of messages of up to
// maxTakenBytes together, and one more.
func (db *sqliteDB) due(ctx context.Context, s session, route string, limit int) (keys []string, err error) {
	var total int64
	err = s.each(ctx, func(from func(dest ...any) error) error {
		var key string
		var size, dueAt int64
		if err := from(&key, &size, &dueAt); err != nil {
			return err
		}
		if total < maxTakenBytes {
			keys = append(keys, key)
		}
		total += size
		return nil
	}, db.q.due, route, limit)
	return keys, err
}
