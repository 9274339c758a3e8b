package sqlstore_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

// pooler hands each transaction the connection to the server that has not been
// used for longest. It knows nothing of what was prepared there, as PgBouncer did
// until 1.21.
type pooler struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	opening  sync.Mutex
	backends chan *backend // those that no transaction is on
	greeting []byte        // what the server says to one that connects

	mu       sync.Mutex
	prepared int                     // statements that were to be prepared
	refusal  *pgproto3.ErrorResponse // the answer to that; nil: the server's
	conns    map[net.Conn]bool
}

type backend struct {
	net.Conn
	in *bufio.Reader
}

const poolerBackends = 3

func newPooler(t testing.TB, db *pgx.ConnConfig) (*pooler, *pgx.ConnConfig) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{
		listener: listener, server: net.JoinHostPort(db.Host, strconv.Itoa(int(db.Port))),
		backends: make(chan *backend, poolerBackends), conns: make(map[net.Conn]bool),
	}
	p.wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.keep(client)
			p.wg.Go(func() {
				defer client.Close()
				_ = p.serve(client) // it goes away, or the test ends
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	db = db.Copy()
	db.Port = uint16(listener.Addr().(*net.TCPAddr).Port)
	return p, db
}

func (p *pooler) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

// parses is how many statements were to be prepared.
func (p *pooler) parses() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.prepared
}

// open connects to the server, once, with what the first client says of itself.
func (p *pooler) open(startup []byte) error {
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.greeting != nil {
		return nil
	}
	var greeting []byte
	for range poolerBackends {
		conn, err := net.Dial("tcp", p.server)
		if err != nil {
			return err
		}
		p.keep(conn)
		b := &backend{conn, bufio.NewReader(conn)}
		if _, err := conn.Write(startup); err != nil {
			return err
		}
		if greeting, _, err = b.untilReady(nil); err != nil {
			return err
		}
		p.backends <- b
	}
	p.greeting = greeting
	return nil
}

// untilReady returns what the server says until it is ready, and whether it is in
// a transaction. What it says is written to client, unless that is nil.
func (b *backend) untilReady(client io.Writer) (said []byte, inTransaction bool, err error) {
	for {
		kind, message, err := readMessage(b.in, false)
		if err != nil {
			return nil, false, err
		}
		if client == nil {
			said = append(said, message...)
		} else if _, err := client.Write(message); err != nil {
			return nil, false, err
		}
		if kind == 'Z' {
			return said, message[5] != 'I', nil
		}
	}
}

// serve hands on what a client sends, a transaction at a time.
func (p *pooler) serve(client net.Conn) error {
	in := bufio.NewReader(client)
	_, startup, err := readMessage(in, true)
	if err != nil {
		return err
	}
	if err := p.open(startup); err != nil {
		return err
	}
	if _, err := client.Write(p.greeting); err != nil {
		return err
	}
	var on *backend
	var pending []byte // up to the end of an exchange
	for {
		kind, message, err := readMessage(in, false)
		if err != nil {
			return err
		}
		refusal := p.note(kind)
		if refusal != nil {
			if err := refuse(client, in, refusal); err != nil {
				return err
			}
			pending = nil
			continue
		}
		pending = append(pending, message...)
		if kind != 'Q' && kind != 'S' {
			continue
		}
		if on == nil {
			on = <-p.backends
		}
		_, err = on.Write(pending)
		pending = nil
		inTransaction := false
		if err == nil {
			_, inTransaction, err = on.untilReady(client)
		}
		if !inTransaction {
			p.backends <- on
			on = nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *pooler) note(kind byte) *pgproto3.ErrorResponse {
	if kind != 'P' {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepared++
	return p.refusal
}

// refuse answers what is to be prepared.
func refuse(client net.Conn, in *bufio.Reader, refusal *pgproto3.ErrorResponse) error {
	answer, err := refusal.Encode(nil)
	if err != nil {
		return err
	}
	if _, err := client.Write(answer); err != nil || refusal.Severity == "FATAL" {
		return fmt.Errorf("refused: %w", err)
	}
	for kind := byte(0); kind != 'S'; {
		if kind, _, err = readMessage(in, false); err != nil {
			return err
		}
	}
	_, err = client.Write([]byte{'Z', 0, 0, 0, 5, 'I'})
	return err
}

// throughPooler does what a store does, with an order, whose steps are
// transactions, and without.
func throughPooler(t *testing.T, s *sqlstore.Store, name string) {
	t.Helper()
	for i := range 10 {
		key := fmt.Sprint(name, i)
		c, err := s.Claim(t.Context(), key, claimRequest)
		if err != nil || c.Status != webhook.Claimed || c.Fence != 1 {
			t.Fatalf("claim: %+v, %v", c, err)
		}
		noError(t, s.Complete(t.Context(), key, 1, nil))
		if c, err = s.Claim(t.Context(), key, claimRequest); err != nil || c.Status != webhook.Done {
			t.Errorf("a copy: %v, %v", c.Status, err)
		}
		for _, order := range []string{"", "o"} {
			putMessage(t, s, key+order, order)
			taken, err := s.Take(t.Context(), "r", 1, claimRequest.Lease)
			if err != nil || len(taken) != 1 || taken[0].Fence != 1 {
				t.Fatalf("took %+v, %v", taken, err)
			}
			noError(t, s.Complete(t.Context(), taken[0].Key, 1, nil))
		}
	}
}

func testPostgresThroughPooler(t *testing.T, server *testenv.PostgresServer) {
	t.Run("statements are prepared until one of them is lost", func(t *testing.T) {
		p, db := newPooler(t, database(t, server, ""))
		s := openPostgres(t, sqlstore.PostgresConfig{Conn: db, MaxConns: 2})
		throughPooler(t, s, "a")
		before := p.parses()
		if before == 0 {
			t.Error("nothing was prepared")
		}
		throughPooler(t, s, "b")
		if n := p.parses() - before; n != 0 {
			t.Errorf("%d statements were prepared after that", n)
		}
	})
	t.Run("what another store left behind is no hindrance", func(t *testing.T) {
		_, db := newPooler(t, database(t, server, ""))
		for i := range 3 {
			throughPooler(t, openPostgres(t, sqlstore.PostgresConfig{Conn: db}), fmt.Sprint(i))
		}
	})
	t.Run("nothing is prepared where the configuration says so", func(t *testing.T) {
		p, db := newPooler(t, database(t, server, ""))
		throughPooler(t, openPostgres(t, sqlstore.PostgresConfig{Conn: simple(db)}), "a")
		if n := p.parses(); n != 0 {
			t.Errorf("%d statements were prepared", n)
		}
	})
	for rule, refusal := range map[string]pgproto3.ErrorResponse{
		"a pooler that takes no more of them":            {Severity: "ERROR", Code: "XX000", Message: "max prepared statements limit reached. Limit: 100 per connection"},
		"a pooler that ends the connection":              {Severity: "FATAL", Code: "08P01", Message: "prepared statement did not exist"},
		"a pooler that has lost what was parsed":         {Severity: "FATAL", Code: "XX000", Message: "cannot get parse message \"stmtcache_1\""},
		"a pooler without a code of its own":             {Severity: "ERROR", Code: "58000", Message: "prepared statement `x` not found"},
		"a pooler that gives the number of the server's": {Severity: "ERROR", Code: "26000", Message: "no such statement"},
	} {
		t.Run(rule, func(t *testing.T) {
			p, db := newPooler(t, database(t, server, ""))
			p.refusal = &refusal
			throughPooler(t, openPostgres(t, sqlstore.PostgresConfig{Conn: db}), "a")
			if n := p.parses(); n != 1 {
				t.Errorf("%d statements were to be prepared, want 1", n)
			}
		})
	}
	t.Run("all is as without it", func(t *testing.T) {
		direct := database(t, server, "")
		_, db := newPooler(t, direct)
		webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
			run(t, direct, "DROP SCHEMA IF EXISTS handrail CASCADE")
			s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, direct)
			return webhooktest.Fixture{
				Store:   s,
				Another: func() webhook.Store { return openPostgres(t, sqlstore.PostgresConfig{Conn: db}) },
				Advance: func(d time.Duration) { agePostgres(t, conn, d) },
			}
		})
	})
}

// Somebody changes the type of a column that steps return: no step fails, and
// statements are prepared as before.
func testPostgresTablesChangeUnderPreparedStatements(t *testing.T, server *testenv.PostgresServer) {
	direct := database(t, server, "")
	w, db := newWire(t, direct)
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: db, MaxConns: 1})
	for i, column := range []string{"", "integer", "bigint", "smallint"} {
		if column != "" {
			run(t, direct, "ALTER TABLE handrail.webhook_deliveries ALTER COLUMN maybe_processed TYPE "+column)
		}
		throughPooler(t, s, fmt.Sprint("a", i))
		w.set(pass)
		throughPooler(t, s, fmt.Sprint("b", i))
		if sent := w.sent(); sent['P'] != 0 || sent['E'] == 0 {
			t.Errorf("%q: %d statements were prepared again, %d run", column, sent['P'], sent['E'])
		}
	}
}
