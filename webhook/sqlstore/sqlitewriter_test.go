package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// A file is a store in SQLite with a table of names, and what was written to it.
type file struct {
	*sqlstore.Store
	path string
}

func newFile(t *testing.T) file {
	t.Helper()
	f := file{path: filepath.Join(t.TempDir(), "d.sqlite")}
	f.Store = open(t, f.path)
	f.exec(t, "PRAGMA foreign_keys = ON")
	f.exec(t, "CREATE TABLE names (name TEXT PRIMARY KEY, padding BLOB)")
	f.exec(t, "CREATE TABLE children (parent TEXT REFERENCES names DEFERRABLE INITIALLY DEFERRED)")
	f.exec(t, "PRAGMA wal_autocheckpoint = 0")
	return f
}

// exec runs statement on the connection that writes, in no transaction.
func (f file) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := f.Writer().ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// insert is a step that adds name.
func insert(name string) func(ctx context.Context, tx *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO names VALUES ($1, NULL)", name)
		return err
	}
}

// names is all that is stored, in order.
func (f file) names(t *testing.T) string {
	t.Helper()
	rows, err := raw(t, f.path).Query("SELECT name FROM names ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// commits counts the transactions in the write-ahead log. It is a header of 32
// bytes, with the size of a page at 8, and frames of 24 bytes and a page, each
// with the size of the database at 4 where it is the last of a transaction
// (sqlite.org/fileformat2.html, section 4).
func (f file) commits(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(f.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	frame := 24 + int(binary.BigEndian.Uint32(log[8:]))
	n := 0
	for at := 32; at+frame <= len(log); at += frame {
		if binary.BigEndian.Uint32(log[at+4:]) != 0 {
			n++
		}
	}
	return n
}

// A company is a step under way, and steps that wait behind it.
type company struct {
	file
	start func()      // lets the first step go on
	ended chan string // what became of the steps
	n     int
}

// inCompany calls test when first is under way.
func inCompany(t *testing.T, first func(ctx context.Context, tx *sql.Tx) error, test func(t *testing.T, c *company)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		c := &company{file: newFile(t), start: sync.OnceFunc(func() { close(started) }), ended: make(chan string, 10_000)}
		c.add(t.Context(), "first", func(ctx context.Context, tx *sql.Tx) error {
			<-started
			return first(ctx, tx)
		})
		test(t, c)
	})
}

// add takes a step, and returns when it is under way or waits.
func (c *company) add(ctx context.Context, name string, step func(ctx context.Context, tx *sql.Tx) error) {
	c.n++
	go func() {
		said := name + " ended its goroutine"
		defer func() {
			if p := recover(); p != nil {
				said = fmt.Sprintf("%s panicked: %v", name, p)
			}
			c.ended <- said
		}()
		if err := c.Write(ctx, step); err != nil {
			said = name + ": " + err.Error()
			return
		}
		said = name
	}()
	synctest.Wait()
}

// end lets the first step go on, and returns what became of all, in order.
func (c *company) end() string {
	c.start()
	var said []string
	for range c.n {
		said = append(said, <-c.ended)
	}
	slices.Sort(said)
	return strings.Join(said, ", ")
}

func TestStepsThatWaitTogetherShareACommit(t *testing.T) {
	for _, tt := range []struct {
		waiting, commits int
	}{
		{0, 1}, {1, 1}, {10, 1},
		{sqlstore.MaxBatch - 1, 1}, {sqlstore.MaxBatch, 2}, {3*sqlstore.MaxBatch - 1, 3},
	} {
		t.Run(fmt.Sprint(tt.waiting), func(t *testing.T) {
			inCompany(t, insert("first"), func(t *testing.T, c *company) {
				before := c.commits(t)
				for i := range tt.waiting {
					name := fmt.Sprintf("n%04d", i)
					c.add(t.Context(), name, insert(name))
				}
				said := c.end()
				if want := strings.ReplaceAll(said, ",", ""); c.names(t) != want || strings.Contains(said, ":") {
					t.Errorf("stored %s; want %s", c.names(t), want)
				}
				if got := c.commits(t) - before; got != tt.commits {
					t.Errorf("%d commits of %d steps, want %d", got, tt.waiting+1, tt.commits)
				}
			})
		})
	}
}

func TestStepReturnsAfterTheCommit(t *testing.T) {
	inCompany(t, insert("first"), func(t *testing.T, c *company) {
		held := make(chan struct{})
		c.add(t.Context(), "second", func(ctx context.Context, tx *sql.Tx) error {
			<-held
			return insert("second")(ctx, tx)
		})
		c.start()
		synctest.Wait() // the first has been taken, the second is under way
		if len(c.ended) != 0 || c.names(t) != "" {
			t.Errorf("%d steps returned and %q is stored before the commit", len(c.ended), c.names(t))
		}
		close(held)
		<-c.ended
		if got := c.names(t); got != "first second" {
			t.Errorf("stored %q when the first of them returns", got)
		}
	})
}

func TestOldTransactionTakesNoMoreSteps(t *testing.T) {
	slow := func(ctx context.Context, tx *sql.Tx) error {
		time.Sleep(sqlstore.BatchTime)
		return insert("first")(ctx, tx)
	}
	inCompany(t, slow, func(t *testing.T, c *company) {
		before := c.commits(t)
		c.add(t.Context(), "second", insert("second"))
		c.add(t.Context(), "third", insert("third"))
		c.end()
		if got := c.commits(t) - before; got != 2 {
			t.Errorf("%d commits, want 2: of the first, and of those that waited", got)
		}
	})
}

// inRows panics with said while rows of query are open, if there are any.
func inRows(said, query string) func(tx *sql.Tx) error {
	return func(tx *sql.Tx) error {
		rows, err := tx.Query(query) //nolint:rowserrcheck,sqlclosecheck // left open on purpose
		if err == nil && !rows.Next() {
			err = errors.New("no rows")
		}
		if err != nil {
			return err
		}
		panic(said)
	}
}

func TestFailedStepIsUndoneAlone(t *testing.T) {
	failed := errors.New("failed")
	ends := map[string]func(tx *sql.Tx) error{
		"failed: failed":             func(*sql.Tx) error { return failed },
		"failed panicked: out":       func(*sql.Tx) error { panic("out") },
		"failed ended its goroutine": func(*sql.Tx) error { runtime.Goexit(); return nil },
		"failed panicked: reading":   inRows("reading", "SELECT name FROM names UNION VALUES ('a'), ('b'), ('c')"),
		"failed panicked: writing":   inRows("writing", "UPDATE names SET padding = x'00' RETURNING name"),
	}
	for said, end := range ends {
		fails := func(ctx context.Context, tx *sql.Tx) error {
			for _, name := range []string{"half", "done"} {
				if err := insert(name)(ctx, tx); err != nil {
					return err
				}
			}
			return end(tx)
		}
		t.Run("behind others/"+said, func(t *testing.T) {
			inCompany(t, insert("first"), func(t *testing.T, c *company) {
				before := c.commits(t)
				c.add(t.Context(), "failed", fails)
				c.add(t.Context(), "last", insert("last"))
				if got, want := c.end(), said+", first, last"; got != want {
					t.Errorf("%s; want %s", got, want)
				}
				if got := c.names(t); got != "first last" {
					t.Errorf("stored: %s", got)
				}
				// While a statement still writes there is no way back to a savepoint:
				// then the first is taken again.
				if got := c.commits(t) - before; got != 1 && !strings.HasSuffix(said, "writing") {
					t.Errorf("%d commits, want 1", got)
				}
			})
		})
		t.Run("as the last/"+said, func(t *testing.T) {
			inCompany(t, insert("first"), func(t *testing.T, c *company) {
				c.add(t.Context(), "failed", fails)
				if got, want := c.end(), said+", first"; got != want {
					t.Errorf("%s; want %s", got, want)
				}
				if got := c.names(t); got != "first" {
					t.Errorf("stored: %s", got)
				}
			})
		})
		t.Run("before others/"+said, func(t *testing.T) {
			inCompany(t, fails, func(t *testing.T, c *company) {
				c.add(t.Context(), "second", insert("second"))
				c.add(t.Context(), "third", insert("third"))
				if got, want := c.end(), strings.Replace(said, "failed", "first", 1)+", second, third"; got != want {
					t.Errorf("%s; want %s", got, want)
				}
				if got := c.names(t); got != "second third" {
					t.Errorf("stored: %s", got)
				}
			})
		})
	}
}

// SQLite ends the transaction when the disk is full.
func TestStepThatFillsTheDiskUndoesNoOther(t *testing.T) {
	var taken atomic.Int64
	first := func(ctx context.Context, tx *sql.Tx) error {
		taken.Add(1)
		return insert("first")(ctx, tx)
	}
	inCompany(t, first, func(t *testing.T, c *company) {
		fill := filling(t, c.file)
		c.add(t.Context(), "full", fill)
		held := make(chan struct{})
		c.add(t.Context(), "full", func(ctx context.Context, tx *sql.Tx) error {
			<-held
			return fill(ctx, tx)
		})
		c.start()
		synctest.Wait() // the first waits again, behind the one that is held
		c.add(t.Context(), "full", fill)
		c.add(t.Context(), "last", insert("last"))
		close(held)
		const full = "full: database or disk is full (13)"
		if got, want := c.end(), strings.Join([]string{"first", full, full, full, "last"}, ", "); got != want {
			t.Errorf("%s; want %s", got, want)
		}
		if got := c.names(t); got != "first last" {
			t.Errorf("stored: %s", got)
		}
		if got := taken.Load(); got != 2 {
			t.Errorf("the first step was taken %d times; want twice, the first transaction being lost", got)
		}
	})
}

// filling is a step that needs more pages than it lets the file have.
func filling(t *testing.T, f file) func(ctx context.Context, tx *sql.Tx) error {
	t.Helper()
	var pages int
	if err := raw(t, f.path).QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := fmt.Sprintf("PRAGMA max_page_count = %d", pages+2)
	return func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, limit); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO names VALUES ('full', zeroblob(1000000))")
		return err
	}
}

func TestFailedCommitIsTheErrorOfAllItsSteps(t *testing.T) {
	inCompany(t, insert("first"), func(t *testing.T, c *company) {
		c.add(t.Context(), "orphan", func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO children VALUES ('nobody')")
			return err
		})
		c.add(t.Context(), "third", insert("third"))
		const cause = "constraint failed: FOREIGN KEY constraint failed (787)"
		if got, want := c.end(), "first: "+cause+", orphan: "+cause+", third: "+cause; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		if got := c.names(t); got != "" {
			t.Errorf("stored: %s", got)
		}
		if err := c.Write(t.Context(), insert("next")); err != nil || c.names(t) != "next" {
			t.Errorf("the next step: %v, stored: %s", err, c.names(t))
		}
	})
}

func TestStepWhoseCallerLeavesTheQueueIsNotTaken(t *testing.T) {
	inCompany(t, insert("first"), func(t *testing.T, c *company) {
		ctx, leave := context.WithCancel(t.Context())
		c.add(t.Context(), "second", insert("second"))
		c.add(ctx, "third", func(context.Context, *sql.Tx) error {
			t.Error("taken")
			return nil
		})
		c.add(t.Context(), "fourth", insert("fourth"))
		leave()
		synctest.Wait()
		if got := <-c.ended; got != "third: context canceled" {
			t.Errorf("before the others: %s", got)
		}
		c.n--
		if got := c.end(); got != "first, fourth, second" {
			t.Errorf("others: %s", got)
		}
		if got := c.names(t); got != "first fourth second" {
			t.Errorf("stored: %s", got)
		}
	})
}

func TestStepWhoseCallerLeavesDuringItEndsWithItsOutcome(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	first := func(ctx context.Context, tx *sql.Tx) error {
		leave()
		return insert("first")(ctx, tx)
	}
	t.Run("alone", func(t *testing.T) {
		f := newFile(t)
		if err := f.Write(ctx, first); err != nil || f.names(t) != "first" {
			t.Errorf("%v, stored: %s", err, f.names(t))
		}
	})
	t.Run("in company, or with an error", func(t *testing.T) {
		inCompany(t, insert("first"), func(t *testing.T, c *company) {
			ctx, leave := context.WithCancel(t.Context())
			held := make(chan struct{})
			c.add(ctx, "second", insert("second"))
			c.add(t.Context(), "third", func(ctx context.Context, tx *sql.Tx) error {
				<-held
				return insert("third")(ctx, tx)
			})
			c.start()
			synctest.Wait()
			leave()
			if got := <-c.ended; got != "second: waiting for the commit: context canceled" {
				t.Error(got)
			}
			close(held)
			<-c.ended
			<-c.ended
			if got := c.names(t); got != "first second third" {
				t.Errorf("stored: %s", got)
			}
		})
	})
}

func TestCloseWaitsForStepsThatCameBefore(t *testing.T) {
	inCompany(t, insert("first"), func(t *testing.T, c *company) {
		c.add(t.Context(), "second", insert("second"))
		c.n++
		go func() { c.ended <- fmt.Sprint("closed: ", c.Close()) }()
		synctest.Wait()
		c.add(t.Context(), "third", insert("third"))
		if got, want := c.end(), "closed: <nil>, first, second, third: sql: database is closed"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		if got := c.names(t); got != "first second" {
			t.Errorf("stored: %s", got)
		}
	})
}

// leaving is a context that ends when it has been asked once.
type leaving struct {
	context.Context
	asked atomic.Bool
}

func (l *leaving) Err() error {
	if l.asked.Swap(true) {
		return context.Canceled
	}
	return nil
}

func TestStepIsNotTakenWhenItsCallerHasLeftBeforeItBegins(t *testing.T) {
	f := newFile(t)
	for name, ctx := range map[string]context.Context{
		"before it asks for the lock": func() context.Context {
			ctx, leave := context.WithCancel(t.Context())
			leave()
			return ctx
		}(),
		"while it waits for the lock": &leaving{Context: t.Context()},
	} {
		if err := f.Write(ctx, insert(name)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.Write(t.Context(), insert("next")); err != nil || f.names(t) != "next" {
		t.Errorf("then: %v, stored: %s", err, f.names(t))
	}
}

func TestCallersLeaveWhileAnotherProcessHoldsTheFile(t *testing.T) {
	f := newFile(t)
	other, err := raw(t, f.path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	said := make(chan error)
	for _, name := range []string{"first", "second"} {
		go func() { said <- f.Write(ctx, insert(name)) }()
	}
	leave()
	if err := <-said; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that waits: %v", err)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-said; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that would begin: %v", err)
	}
	if err := f.Write(t.Context(), insert("third")); err != nil || f.names(t) != "third" {
		t.Errorf("afterwards: %v, stored: %s", err, f.names(t))
	}
}
