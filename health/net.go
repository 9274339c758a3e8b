package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// TCP returns a check that passes when addr ("host:port") accepts a
// connection, which is then closed.
func TCP(addr string) func(context.Context) error { return Dial("tcp", addr) }

// Dial is TCP for any network of net.Dial, as in Dial("unix", "/run/app.sock").
func Dial(network, addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// HTTP returns a check that passes when GET rawURL answers with a status from
// 200 to 399; redirects are not followed and the body is not read. Each call
// makes its own connection, without a proxy. Errors do not contain the URL.
// For anything else (headers, TLS, other statuses) write the few lines of a
// func(context.Context) error.
func HTTP(rawURL string) func(context.Context) error {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
		if err != nil {
			return errors.New("health: the URL to check is not valid")
		}
		req.Header.Set("User-Agent", "handrail-health")
		resp, err := client.Do(req)
		if err != nil {
			if ue, ok := errors.AsType[*url.Error](err); ok {
				err = ue.Err
			}
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode < 200 || resp.StatusCode > 399 {
			return fmt.Errorf("health: status %d", resp.StatusCode)
		}
		return nil
	}
}
