package sidecar

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/handrail-go/handrail/internal/server"
)

// listeners are where the sidecar can be reached; admin and metrics may be nil.
type listeners struct {
	public         *drainListener
	admin, metrics net.Listener
}

func listen(c *Config) (*listeners, error) {
	var ls listeners
	var public net.Listener
	var errs []error
	for _, l := range []struct {
		key, addr string
		into      *net.Listener
	}{
		{"listen", c.Listen, &public},
		{"admin.listen", c.Admin.Listen, &ls.admin},
		{"metrics.listen", c.Metrics.Listen, &ls.metrics},
	} {
		if l.addr == "" {
			continue
		}
		ln, err := listenOn(l.addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.key, err))
			continue
		}
		*l.into = ln
	}
	if tcp, ok := public.(*net.TCPListener); ok {
		ls.public = newDrainListener(tcp)
	}
	if len(errs) > 0 {
		ls.close()
		return nil, errors.Join(errs...)
	}
	return &ls, nil
}

func (ls *listeners) close() {
	if ls.public != nil {
		_ = ls.public.Close()
	}
	for _, l := range []net.Listener{ls.admin, ls.metrics} {
		if l != nil {
			_ = l.Close()
		}
	}
}

func listenOn(addr string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, "unix:")
	if !ok {
		return net.Listen("tcp", addr)
	}
	// A socket that nobody listens on is left over from a crash.
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil { //nolint:noctx // bounded by itself, and local
			_ = conn.Close()
			return nil, fmt.Errorf("listen unix %s: %w", path, syscall.EADDRINUSE)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// Created without any permission for others: Chmod alone would be late.
	umask := syscall.Umask(0o177)
	ln, err := net.Listen("unix", path)
	syscall.Umask(umask)
	if err != nil {
		return nil, err
	}
	return withPeers(ln), nil
}

// Timeouts of the listeners. There is no total: uploads, streams and WebSockets
// live as long as bytes move.
const (
	headerTimeout  = 10 * time.Second  // for a request's header
	idleTimeout    = 120 * time.Second // between requests of a connection
	clientTimeout  = 60 * time.Second  // for the client to send or take the next bytes
	restTimeout    = time.Second / 2   // for the rest of a body that nobody reads
	maxHeaderBytes = 64 << 10
)

func (s *Sidecar) newServer(h http.Handler) *server.Server {
	return server.New(server.Config{
		Handler:        h,
		HeaderTimeout:  headerTimeout,
		IdleTimeout:    idleTimeout,
		ClientTimeout:  clientTimeout,
		RestTimeout:    restTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		Log:            s.log,
		OnRefused:      s.onRefused,
	})
}
