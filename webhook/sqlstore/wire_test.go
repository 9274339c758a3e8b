package sqlstore_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// What a wire does with a statement that changes something.
type fate int

const (
	pass      fate = iota
	cutBefore      // the connection ends, the server never sees it
	cutAfter       // the server does it, the connection ends instead of the answer
	swallow        // nothing comes back, ever
)

// wire stands between a store and its server. Like a pooler it reads what is
// sent, message by message.
type wire struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu       sync.Mutex
	messages map[byte]int // by type: Q is a simple query, P prepares a statement, B runs it
	next     fate         // of the next statement that changes something; those after it pass
	conns    map[net.Conn]bool
}

func newWire(t testing.TB, db *pgx.ConnConfig) (*wire, *pgx.ConnConfig) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{
		listener: listener, server: net.JoinHostPort(db.Host, strconv.Itoa(int(db.Port))),
		messages: make(map[byte]int), conns: make(map[net.Conn]bool),
	}
	w.wg.Go(w.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		w.mu.Lock()
		for c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		w.wg.Wait()
	})
	db = db.Copy()
	db.Port = uint16(listener.Addr().(*net.TCPAddr).Port)
	return w, db
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.keep(client)
		w.wg.Go(func() { w.relay(client) })
	}
}

func (w *wire) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
}

// set says what becomes of the next statement that changes something, and forgets what was sent before.
func (w *wire) set(f fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = f
	clear(w.messages)
}

func (w *wire) sent() map[byte]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.messages)
}

// note returns what becomes of a message. changing holds the names of prepared
// statements of its connection that change something.
func (w *wire) note(kind byte, message []byte, changing map[string]bool) fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.Contains(message, []byte("-- ping")) { // of a connection that lay idle
		return pass
	}
	w.messages[kind]++
	changes := bytes.Contains(message, []byte("INSERT INTO handrail")) || bytes.Contains(message, []byte("UPDATE handrail"))
	switch kind {
	case 'P':
		changing[texts(message)[0]] = changes
		return pass
	case 'B':
		changes = changing[texts(message)[1]]
	case 'Q':
	default:
		return pass
	}
	f := pass
	if changes {
		f, w.next = w.next, pass
	}
	return f
}

// texts are what a message begins with: of P the name of a statement and its text,
// of B a name that is empty and that of a statement.
func texts(message []byte) []string { return strings.SplitN(string(message[5:]), "\x00", 3) }

func (w *wire) relay(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	w.keep(server)
	answered := make(chan struct{})
	dropping := make(chan struct{}) // the answer does not get through
	w.wg.Go(func() {
		defer close(answered)
		defer client.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			select {
			case <-dropping:
				return
			default:
			}
			if _, writeErr := client.Write(buf[:n]); err != nil || writeErr != nil {
				return
			}
		}
	})
	in := bufio.NewReader(client)
	changing := make(map[string]bool)
	f := pass
	for first := true; ; first = false {
		kind, message, err := readMessage(in, first)
		if err != nil {
			return
		}
		if f == pass {
			f = w.note(kind, message, changing)
		}
		switch f {
		case cutBefore:
			return
		case cutAfter:
			if kind == 'S' || kind == 'Q' {
				close(dropping)
			}
		case swallow:
			_, _ = io.Copy(io.Discard, in)
			return
		}
		if _, err := server.Write(message); err != nil {
			return
		}
		if f == cutAfter && (kind == 'S' || kind == 'Q') {
			<-answered
			return
		}
	}
}

// readMessage reads one message of a client. The first one has no type.
func readMessage(in *bufio.Reader, first bool) (kind byte, message []byte, err error) {
	head := 5
	if first {
		head = 4
	}
	message = make([]byte, head)
	if _, err = io.ReadFull(in, message); err != nil {
		return 0, nil, err
	}
	if !first {
		kind = message[0]
	}
	rest := make([]byte, binary.BigEndian.Uint32(message[head-4:])-4)
	if _, err = io.ReadFull(in, rest); err != nil {
		return 0, nil, err
	}
	return kind, append(message, rest...), nil
}
