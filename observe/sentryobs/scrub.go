package sentryobs

import (
	"regexp"
	"slices"
	"strings"

	"github.com/getsentry/sentry-go"
)

const (
	redacted     = "[redacted]"
	minSecret    = 6    // bytes; shorter ones would blank out half of a text
	maxEventText = 1024 // bytes
)

// scrubber takes out of an event what must not leave the process.
type scrubber struct {
	secrets  *strings.Replacer
	userinfo *regexp.Regexp
	query    *regexp.Regexp
}

func newScrubber(secrets []string) *scrubber {
	// Longer ones first: one may hold another.
	sorted := slices.Clone(secrets)
	slices.SortFunc(sorted, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range sorted {
		if len(s) >= minSecret {
			pairs = append(pairs, s, redacted)
		}
	}
	return &scrubber{
		secrets:  strings.NewReplacer(pairs...),
		userinfo: regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/@"']*(?::[^\s@"']*)?@`),
		query:    regexp.MustCompile(`\?[^\s"'<>]*=[^\s"'<>]*`),
	}
}

func (s *scrubber) text(t string) string {
	t = s.secrets.Replace(t)
	t = s.userinfo.ReplaceAllString(t, "${1}"+redacted+"@")
	t = s.query.ReplaceAllString(t, "?"+redacted)
	if len(t) > maxEventText {
		t = t[:maxEventText]
	}
	return t
}

// event is the last thing that happens to an event before it is queued. What
// describes a person or the request's content is removed, whoever added it;
// spans and contexts of the service's own making stay as they are.
func (s *scrubber) event(e *sentry.Event, _ *sentry.EventHint) *sentry.Event {
	e.Request, e.User, e.Breadcrumbs, e.Attachments = nil, sentry.User{}, nil, nil
	e.Message = s.text(e.Message)
	for i := range e.Exception {
		e.Exception[i].Value = s.text(e.Exception[i].Value)
	}
	for k, v := range e.Tags {
		e.Tags[k] = s.text(v)
	}
	return e
}
