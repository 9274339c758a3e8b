package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// target is a URL as a provider may have signed it.
type target struct{ scheme, host, port, path, query string }

func (t target) public() string {
	host := t.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.port != "" {
		host += ":" + t.port
	}
	return t.scheme + "://" + host + t.path
}

// turn is one other way to write a part of a URL.
type turn struct {
	why   Finding
	apply func(*target)
}

// maxURLs bounds the URLs that are tried.
const maxURLs = 400

// tryURLs looks for the URL that was signed, one part changed, then two.
func (s *search) tryURLs(m Message) bool {
	n := 0
	for h := range s.urls(s.cfg, m, maxURLs) {
		n++
		if j, ok, err := s.holds(h.scheme, len(s.cfg.Secrets), h.m); ok {
			return s.found(h.m, j, err, h.why...)
		}
	}
	if n > 0 {
		s.tried(n, "other URLs")
	}
	return false
}

// hypothesis is a scheme under which a message may be valid, and why it is not
// under the one that is configured.
type hypothesis struct {
	scheme scheme
	m      Message
	why    []Finding
}

// urls are other URLs to try with the secrets of cfg, at most so many.
func (s *search) urls(cfg VerifierConfig, m Message, most int) iter.Seq[hypothesis] {
	return func(yield func(hypothesis) bool) {
		base, parts, ok := s.turns(m)
		if !ok {
			return
		}
		try := func(turns ...turn) bool {
			t, why := base, []Finding(nil)
			for _, turn := range turns {
				turn.apply(&t)
				why = append(why, turn.why)
			}
			if t == base {
				return true
			}
			changed := m
			cfg.PublicURL, changed.RawQuery = t.public(), t.query
			most--
			return yield(hypothesis{s.spec.build(&cfg, false, func(string, string) {}), changed, why}) && most > 0
		}
		for _, part := range parts {
			for _, one := range part {
				if !try(one) {
					return
				}
			}
		}
		for i, part := range parts {
			for _, one := range part {
				for _, other := range slices.Concat(parts[i+1:]...) {
					if !try(one, other) {
						return
					}
				}
			}
		}
	}
}

// turns are the ways to write each part of the URL.
func (s *search) turns(m Message) (base target, parts [][]turn, ok bool) {
	u, err := url.Parse(s.cfg.PublicURL)
	if err != nil || !s.spec.NeedsPublicURL {
		return base, nil, false
	}
	base = target{u.Scheme, u.Hostname(), u.Port(), u.EscapedPath(), m.RawQuery}
	const configure = "Set public_url to the URL exactly as it is configured at the provider."
	set := func(code, text string, apply func(*target)) turn {
		return turn{finding(code, "The signature is valid for another URL: "+text+".", configure), apply}
	}
	scheme := "http"
	if u.Scheme == "http" {
		scheme = "https"
	}
	return base, [][]turn{
		{set("url_scheme", "with the scheme "+scheme, func(t *target) { t.scheme = scheme })},
		pathTurns(base, m.Header, set),
		hostTurns(base, m.Header, set),
		portTurns(base, m.Header, set),
		s.queryTurns(m, set),
		{set("url_case", "all in lower case", func(t *target) { t.host, t.path = strings.ToLower(t.host), strings.ToLower(t.path) })},
	}, true
}

type setter func(code, text string, apply func(*target)) turn

// fromHeaders calls use with the values of headers that tell of the URL.
func fromHeaders(h http.Header, names []string, use func(name, value string)) {
	for _, name := range names {
		if value := h.Get(name); value != "" && len(value) < 1<<10 {
			first, _, _ := strings.Cut(value, ",")
			use(name, strings.TrimSpace(first))
		}
	}
}

func pathTurns(base target, h http.Header, set setter) []turn {
	slash := set("url_slash", "with a slash at its end", func(t *target) { t.path += "/" })
	if trimmed, ok := strings.CutSuffix(base.path, "/"); ok {
		slash = set("url_slash", "without the slash at its end", func(t *target) { t.path = trimmed })
	}
	all := []turn{slash}
	fromHeaders(h, []string{"X-Original-Url", "X-Original-Uri", "X-Forwarded-Uri", "X-Rewrite-Url", "X-Forwarded-Path", ":path"}, func(name, value string) {
		if u, err := url.Parse(value); err == nil && strings.HasPrefix(u.Path, "/") {
			all = append(all, set("url_path", "with the path of "+name, func(t *target) { t.path = u.EscapedPath() }))
		}
	})
	fromHeaders(h, []string{"X-Forwarded-Prefix", "X-Script-Name"}, func(name, value string) {
		prefix := strings.TrimSuffix(value, "/")
		all = append(all, set("url_path", "with "+name+" before its path", func(t *target) { t.path = prefix + t.path }))
		if rest, ok := strings.CutPrefix(base.path, prefix); ok {
			all = append(all, set("url_path", "without "+name+" before its path", func(t *target) { t.path = rest }))
		}
	})
	if base.path != "" && base.path != "/" {
		all = append(all, set("url_path", "without any path", func(t *target) { t.path = "" }))
	}
	return all
}

func hostTurns(base target, h http.Header, set setter) []turn {
	var all []turn
	host := func(name, value string) {
		name0, port := value, ""
		if host, p, err := net.SplitHostPort(value); err == nil {
			name0, port = host, p
		}
		all = append(all, set("url_host", "with the host of "+name, func(t *target) { t.host = name0 }))
		if port != "" {
			all = append(all, set("url_host", "with the host and the port of "+name, func(t *target) { t.host, t.port = name0, port }))
		}
	}
	fromHeaders(h, []string{"X-Forwarded-Host", "X-Original-Host", "Host"}, host)
	fromHeaders(h, []string{"Forwarded"}, func(name, value string) {
		for pair := range strings.SplitSeq(value, ";") {
			if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(key, "host") {
				host(name, strings.Trim(value, `"`))
			}
		}
	})
	if bare, ok := strings.CutPrefix(base.host, "www."); ok {
		return append(all, set("url_host", "without www.", func(t *target) { t.host = bare }))
	}
	return append(all, set("url_host", "with www. before its host", func(t *target) { t.host = "www." + t.host }))
}

func portTurns(base target, h http.Header, set setter) []turn {
	var all []turn
	if base.port != "" {
		all = append(all, set("url_port", "without a port", func(t *target) { t.port = "" }))
	}
	for _, port := range []string{"443", "80", "8443", "8080"} {
		all = append(all, set("url_port", "with the port "+port, func(t *target) { t.port = port }))
	}
	fromHeaders(h, []string{"X-Forwarded-Port"}, func(name, value string) {
		all = append(all, set("url_port", "with the port of "+name, func(t *target) { t.port = value }))
	})
	return all
}

func (s *search) queryTurns(m Message, set setter) []turn {
	var all []turn
	if m.RawQuery != "" {
		all = append(all, set("url_query", "without the query", func(t *target) { t.query = "" }))
	}
	if strings.HasPrefix(m.RawQuery, "?") {
		all = append(all, set("url_query", "without the question mark that the query was given with", func(t *target) { t.query = m.RawQuery[1:] }))
	}
	fromHeaders(m.Header, []string{"X-Original-Url", "X-Original-Uri", "X-Forwarded-Uri", "X-Rewrite-Url", ":path"}, func(name, value string) {
		if _, query, ok := strings.Cut(value, "?"); ok && query != m.RawQuery {
			all = append(all, set("url_query", "with the query of "+name, func(t *target) { t.query = query }))
		}
	})
	if _, ok := s.scheme.(*twilio); ok && len(m.Body) > 0 && !strings.Contains(m.RawQuery, twilioDigest) {
		sum := sha256.Sum256(m.Body)
		query := twilioDigest + "=" + hex.EncodeToString(sum[:])
		all = append(all, set("url_query", "with the query "+twilioDigest+"=…, which was dropped on the way", func(t *target) { t.query = query }))
	}
	return all
}
