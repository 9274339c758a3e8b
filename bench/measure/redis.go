package measure

import (
	"context"
	"fmt"
	"net"
	"time"
)

// StartRedis starts an empty server on a loopback address, without persistence
// unless the settings say otherwise.
func StartRedis(ctx context.Context, dir, addr string, settings ...string) (*Process, error) {
	program, err := Find("redis-server")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	args := append([]string{"--bind", host, "--port", port, "--dir", dir, "--save", "", "--appendonly", "no"}, settings...)
	p, err := Start("redis", dir, program, args...)
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		answer := make([]byte, len("+PONG"))
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		if _, err := conn.Read(answer); err != nil || string(answer) != "+PONG" {
			return fmt.Errorf("answered %q: %w", answer, err)
		}
		return nil
	}
	if err := p.Await(ctx, ready); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}
