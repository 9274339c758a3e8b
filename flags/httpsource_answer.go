package flags

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// validators are what a server knows an answer by.
type validators struct{ etag, lastModified string }

// httpAnswer is what a server said.
type httpAnswer struct {
	doc        Document
	validators validators
	unchanged  bool
	retryAfter time.Duration // with an error only
}

var (
	errNotAsked  = errors.New("says 304 without having been asked whether anything changed")
	errMayBeCut  = errors.New("sends a body of unknown length, which may be cut")
	errEncoded   = errors.New("sends a body in an encoding that was not asked for")
	errTooLarge  = fmt.Errorf("sends more than %d bytes", MaxFileBytes)
	errNoContent = errors.New("sends an empty body")
)

// ask sends a request, conditional unless known is empty.
func (s *httpSource) ask(ctx context.Context, known validators) (httpAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	r := (&http.Request{Method: http.MethodGet, URL: cloneURL(s.url), Header: s.header.Clone(), Host: s.url.Host}).WithContext(ctx)
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "application/yaml, application/json, */*;q=0.5")
	}
	if known.etag != "" {
		r.Header.Set("If-None-Match", known.etag)
	}
	if known.lastModified != "" {
		r.Header.Set("If-Modified-Since", known.lastModified)
	}
	w, err := s.client.Do(r)
	if err != nil {
		return httpAnswer{}, s.fault(err)
	}
	defer w.Body.Close()
	a, err := s.read(w, known)
	if err != nil {
		return a, s.fault(err)
	}
	return a, nil
}

func cloneURL(u *url.URL) *url.URL {
	c := *u
	return &c
}

func (s *httpSource) read(w *http.Response, known validators) (httpAnswer, error) {
	switch {
	case w.StatusCode == http.StatusNotModified && known != validators{}:
		return httpAnswer{unchanged: true}, nil
	case w.StatusCode == http.StatusNotModified:
		return httpAnswer{}, errNotAsked
	case w.StatusCode != http.StatusOK:
		text := strings.TrimSpace(strconv.Itoa(w.StatusCode) + " " + http.StatusText(w.StatusCode))
		return httpAnswer{retryAfter: retryAfter(w.Header, time.Now())}, errors.New("says " + text)
	case w.Header.Get("Content-Encoding") != "" && !strings.EqualFold(w.Header.Get("Content-Encoding"), "identity"):
		return httpAnswer{}, errEncoded
	case w.ProtoMajor < 2 && w.ContentLength < 0 && len(w.TransferEncoding) == 0 && !w.Uncompressed:
		return httpAnswer{}, errMayBeCut
	}
	data, err := io.ReadAll(io.LimitReader(w.Body, MaxFileBytes+1))
	switch {
	case err != nil:
		return httpAnswer{}, err
	case len(data) > MaxFileBytes:
		return httpAnswer{}, errTooLarge
	case len(data) == 0:
		return httpAnswer{}, errNoContent
	}
	return httpAnswer{
		doc:        Document{Name: s.name, Data: data, Written: lastModified(w.Header, time.Now())},
		validators: validators{w.Header.Get("Etag"), w.Header.Get("Last-Modified")},
	}, nil
}

// lastModified is when an answer that has just come says that its content
// changed, by our clock: the server's own, Date, says how long ago that was, to
// which a cache adds Age. Zero: it does not say.
func lastModified(h http.Header, now time.Time) time.Time {
	changed, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return time.Time{}
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return changed
	}
	ago := date.Sub(changed)
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		ago += time.Duration(age) * time.Second
	}
	return now.Add(-max(ago, 0))
}

// retryAfter is how long a server asks to be left alone.
//
// Source: RFC 9110, section 10.2.3: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		wait = maxRetryAfter
	} else if at, err := http.ParseTime(value); err == nil {
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date // of the same clock
		}
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
