package upstream

import (
	"context"
	"net"
)

// SetDial puts another dialer in the place of the real one.
func (p *Proxy) SetDial(dial func(context.Context) (net.Conn, error)) { p.dial = dial }

// LastForwarded is lastForwarded, for its fuzz test.
func LastForwarded(s, name string) string { return lastForwarded(s, name) }

// PriorForwarded is priorForwarded.
func PriorForwarded(lines []string) string { return priorForwarded(lines) }
