package sidecar

import (
	"net"
	"strconv"
	"strings"
	"syscall"
)

// peerMark begins the address of a peer on a Unix socket, which has none.
const peerMark = "uid="

// A peerListener tells which user is at the other end of a Unix socket, in place
// of an address.
type peerListener struct{ *net.UnixListener }

// Accept implements net.Listener.
func (l peerListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return conn, nil //nolint:nilerr // it is served without
	}
	var peer *syscall.Ucred
	_ = raw.Control(func(fd uintptr) { peer, _ = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) })
	if peer == nil {
		return conn, nil
	}
	return peerConn{conn, peerAddr(peerMark + strconv.FormatUint(uint64(peer.Uid), 10))}, nil
}

type peerConn struct {
	*net.UnixConn
	peer peerAddr
}

// RemoteAddr is the user.
func (c peerConn) RemoteAddr() net.Addr { return c.peer }

type peerAddr string

// Network implements net.Addr.
func (peerAddr) Network() string { return "unix" }

// String implements net.Addr.
func (a peerAddr) String() string { return string(a) }

// withPeers has ln tell who is at the other end.
func withPeers(ln net.Listener) net.Listener {
	if unix, ok := ln.(*net.UnixListener); ok {
		return peerListener{unix}
	}
	return ln
}

// peerUID is the user that a request comes from; nil when it is not known.
func peerUID(remote string) *int {
	text, ok := strings.CutPrefix(remote, peerMark)
	uid, err := strconv.Atoi(text)
	if !ok || err != nil {
		return nil
	}
	return &uid
}
