package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxBatch bounds the steps of a transaction, and batchTime its age when
	// another step joins: so long the first of them may wait for the others.
	maxBatch  = 256
	batchTime = 20 * time.Millisecond
)

// sqliteWriter makes the changes of a file. SQLite has one writer at a time, and
// a commit costs an fsync, so steps that wait at the same time share one.
//
// There is no goroutine. Whoever has the turn takes its step in the transaction
// that comes with it, and hands both to the one who has waited longest; when
// nobody waits, it commits for all. A step that is alone waits for nobody.
type sqliteWriter struct {
	db     *sql.DB // one connection
	writes compiled

	mu      sync.Mutex
	taken   bool          // the turn is somebody's
	waiting []chan *batch // for the turn, oldest first; each has room for what it gets
}

// What SQLite is told around a step that joins others.
const (
	savepoint = "SAVEPOINT step"
	release   = "RELEASE step"
	rollback  = "ROLLBACK TO step"
)

// batch is a transaction of several steps. Whoever has the turn has it; the
// others wait for done.
type batch struct {
	tx    *sql.Tx
	began time.Time
	steps int
	last  bool  // it takes no more steps
	lost  bool  // a failed step has undone all before it
	err   error // of the commit; set when done is closed
	done  chan struct{}
}

// errUndone: a step was undone by the failure of another.
var errUndone = errors.New("undone with another step")

// newSQLiteWriter writes through db, which has one connection. queries are what
// most steps run.
func newSQLiteWriter(ctx context.Context, db *sql.DB, queries ...string) (*sqliteWriter, error) {
	writes, err := compile(ctx, db, append(queries, savepoint, release))
	return &sqliteWriter{db: db, writes: writes}, err
}

// in is a session in the transaction of a step.
func (w *sqliteWriter) in(tx *sql.Tx) sqlSession {
	return sqlSession{compiledQuerier{tx, w.writes}}
}

// write takes step in a transaction that holds the write lock from its beginning,
// and returns nil once that is committed. After an error of step nothing of it
// stays; after that of the commit it may have happened, and so it may when ctx
// ends while step waits for the commit. While step waits for its turn, the end of
// ctx undoes it.
//
// The transaction may hold several steps, each within a savepoint. So a step does
// not end it, does all that it does through tx and with the context that it gets,
// which does not end, and returns the first error of tx. It may be taken twice,
// the first time undone.
func (w *sqliteWriter) write(ctx context.Context, step func(ctx context.Context, tx *sql.Tx) error) error {
	again := false
	for {
		b, err := w.turn(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			if b, err = w.begin(ctx); err != nil {
				w.pass(nil)
				return err
			}
		}
		b.last = again // nobody else undoes it then
		if err := w.take(ctx, b, step); err != nil {
			return err
		}
		if err := b.outcome(ctx); !errors.Is(err, errUndone) {
			return err
		}
		again = true
	}
}

// turn waits for the turn, and returns the batch that comes with it, nil for none.
func (w *sqliteWriter) turn(ctx context.Context) (*batch, error) {
	w.mu.Lock()
	if !w.taken {
		w.taken = true
		w.mu.Unlock()
		return nil, nil
	}
	mine := make(chan *batch, 1)
	w.waiting = append(w.waiting, mine)
	w.mu.Unlock()
	select {
	case b := <-mine:
		return b, nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(w.waiting, mine)
	if i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	w.mu.Unlock()
	if i < 0 {
		w.pass(<-mine)
	}
	return nil, ctx.Err()
}

// pass hands the turn on, with b unless that has come to its end.
func (w *sqliteWriter) pass(b *batch) {
	if b != nil {
		if b.open() && w.give(b) {
			return
		}
		b.commit()
	}
	w.give(nil)
}

// give gives the turn to the one who has waited longest. When nobody waits it is
// kept with a batch, and free without.
func (w *sqliteWriter) give(b *batch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.taken = b != nil
		return false
	}
	w.waiting[0] <- b
	w.waiting = slices.Delete(w.waiting, 0, 1)
	return true
}

// begin begins a batch. Other processes are waited for as long as SQLite does.
func (w *sqliteWriter) begin(ctx context.Context) (*batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A transaction ends with its context. This one is not its beginner's alone.
	tx, err := w.db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return &batch{tx: tx, began: time.Now(), done: make(chan struct{})}, nil
}

// take takes one step of b, and hands b on. After an error, or a panic, nothing of
// the step stays.
func (w *sqliteWriter) take(ctx context.Context, b *batch, step func(ctx context.Context, tx *sql.Tx) error) error {
	// Interrupted, SQLite would end the transaction.
	ctx = context.WithoutCancel(ctx)
	first, kept := b.steps == 0, false
	defer func() {
		if !kept {
			b.undo(ctx, first)
		}
		w.pass(b)
	}()
	if !first {
		if _, err := w.in(b.tx).exec(ctx, savepoint); err != nil {
			return err
		}
	}
	if err := step(ctx, b.tx); err != nil {
		return err
	}
	if !first {
		if _, err := w.in(b.tx).exec(ctx, release); err != nil {
			return err
		}
	}
	b.steps++
	kept = true
	return nil
}

// undo undoes the step that was begun last. Where that is not possible all is
// lost: SQLite itself ends the transaction after some errors, of which a full
// disk is one.
func (b *batch) undo(ctx context.Context, first bool) {
	if !first {
		_, err := b.tx.ExecContext(ctx, rollback+";"+release)
		if err == nil {
			return
		}
	}
	b.lost = true
}

// open reports whether another step may join.
func (b *batch) open() bool {
	return !b.last && !b.lost && b.steps < maxBatch && time.Since(b.began) < batchTime
}

// commit ends b and tells all whose steps it holds.
func (b *batch) commit() {
	if b.lost {
		_ = b.tx.Rollback()
		b.err = errUndone
	} else {
		b.err = b.tx.Commit()
	}
	close(b.done)
}

// outcome waits for the end of b.
func (b *batch) outcome(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	default:
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the commit: %w", ctx.Err())
	}
}

// close ends the connection. Steps that came before end first.
func (w *sqliteWriter) close() error {
	b, err := w.turn(context.Background())
	if b != nil {
		b.commit()
	}
	err = errors.Join(err, w.db.Close())
	w.pass(nil)
	return err
}
