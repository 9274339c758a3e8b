package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/webhook"
)

const (
	// sendTimeout is longer than routes wait for an app as a rule.
	sendTimeout = 2 * time.Minute
	maxShown    = 64 << 10
)

// sendSigned posts a message and prints the answer. Redirections are not
// followed: a provider's signature is for one URL.
func (c *command) sendSigned(ctx context.Context, target *url.URL, m webhook.Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(m.Body))
	if err != nil {
		return err
	}
	req.Header = m.Header.Clone()
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // whose text may hold the query
		}
		return &exitError{code: exitFailed, err: fmt.Errorf("%s does not answer: %w", target.Host, err)}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxShown))
	fmt.Fprintf(c.stdout, "%d %s\n", res.StatusCode, http.StatusText(res.StatusCode))
	if mark := res.Header.Get("Handrail-Webhook"); mark != "" {
		fmt.Fprintf(c.stdout, "Handrail-Webhook: %s\n", adminclient.Printable(mark))
	}
	for line := range strings.Lines(string(body)) {
		fmt.Fprintln(c.stdout, adminclient.Printable(strings.TrimRight(line, "\r\n")))
	}
	if err == nil && res.StatusCode/100 != 2 {
		return &exitError{code: exitFailed}
	}
	if err != nil {
		return &exitError{code: exitFailed, err: fmt.Errorf("the answer of %s broke off: %w", target.Host, err)}
	}
	return nil
}
