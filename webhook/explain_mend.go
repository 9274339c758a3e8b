package webhook

import (
	"encoding/hex"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// readable is a message that can be judged: m, or m with headers mended. It
// concludes when that one is valid.
func (s *search) readable(err error) (Message, []Finding, bool) {
	if errors.Is(err, ErrSignatureMismatch) {
		return s.m, nil, true
	}
	base, known, ok := s.m, []Finding(nil), false
	for f, header := range s.mended() {
		m := s.m
		m.Header = header
		j, holds, err := s.holds(s.scheme, len(s.cfg.Secrets), m)
		if holds {
			s.found(m, j, err, f)
			return m, nil, false
		}
		if errors.Is(err, ErrSignatureMismatch) && !ok {
			base, known, ok = m, []Finding{f}, true
		}
	}
	return base, known, ok
}

// tryHeaders undoes what is done to headers that can be read all the same.
func (s *search) tryHeaders(m Message) bool {
	n := 0
	for f, header := range s.mended() {
		n++
		changed := m
		changed.Header = header
		if j, ok, err := s.holds(s.scheme, len(s.cfg.Secrets), changed); ok {
			return s.found(changed, j, err, f)
		}
	}
	s.tried(n, "changes of headers")
	if f, ok := s.otherKind(m); ok {
		s.out.Findings = append(s.out.Findings, f)
	}
	return false
}

// otherKind tells when a message has no signature of the kind of any key.
func (s *search) otherKind(m Message) (Finding, bool) {
	sc, ok := s.scheme.(*standard)
	var got standardMessage
	if !ok || got.parse(m.Header) != nil {
		return Finding{}, false
	}
	public := slices.ContainsFunc(sc.keys, func(k standardKey) bool { return k.mac == nil })
	secret := slices.ContainsFunc(sc.keys, func(k standardKey) bool { return k.mac != nil })
	switch {
	case got.macs.n > 0 && !secret:
		return finding("secret_kind", "The message is signed with a shared secret (v1), but the configuration has public keys only.",
			"Configure the secret, "+symmetricPrefix+" and what follows."), true
	case got.signatures.n > 0 && got.macs.n == 0 && !public:
		return finding("secret_kind", "The message is signed with a private key (v1a), but the configuration has shared secrets only.",
			"Configure the public key, "+publicPrefix+" and what follows."), true
	}
	return Finding{}, false
}

// mended are the headers with one change undone, in all of them that count.
func (s *search) mended() iter.Seq2[Finding, http.Header] {
	set := s.headers()
	return func(yield func(Finding, http.Header) bool) {
		for f, header := range s.renamed(set) {
			if !yield(f, header) {
				return
			}
		}
		for _, name := range set.all() {
			if values := s.m.Header[name]; len(values) > 1 {
				for _, value := range values[:min(len(values), maxAsymmetric)] {
					if !yield(repeated(name), with(s.m.Header, name, value)) {
						return
					}
				}
			}
		}
		for _, r := range s.repairs(set) {
			header, changed := maps.Clone(s.m.Header), ""
			for _, name := range r.names {
				value, err := one(header, name)
				if err != nil {
					continue
				}
				if mended := r.repair(value); mended != value && mended != "" {
					header[name], changed = []string{mended}, name
				}
			}
			if changed != "" && !yield(r.why(changed), header) {
				return
			}
		}
	}
}

func with(h http.Header, name, value string) http.Header {
	h = maps.Clone(h)
	h[name] = []string{value}
	return h
}

// renamed finds headers under the names that gateways give them.
func (s *search) renamed(set headerSet) iter.Seq2[Finding, http.Header] {
	return func(yield func(Finding, http.Header) bool) {
		header, changed := maps.Clone(s.m.Header), ""
		for _, name := range sortedNames(s.m.Header) {
			if plain := plainName(name); plain != name && slices.Contains(set.all(), plain) && len(header[plain]) == 0 {
				header[plain], changed = s.m.Header[name], plain
			}
		}
		if changed != "" && !yield(finding("header_renamed", "The header "+changed+" is there under another name, written with underscores.",
			"Have the gateway pass headers on under their own names: hyphens, no HTTP_ before them."), header) {
			return
		}
		if _, ok := s.scheme.(*standard); !ok {
			return
		}
		families := standardFamilies()
		for i := range families {
			from, to := familyHeaders(families[i]).all(), familyHeaders(families[1-i]).all()
			header = maps.Clone(s.m.Header)
			for k := range from {
				if len(header[from[k]]) > 0 {
					header[to[k]] = header[from[k]]
				}
				delete(header, from[k])
			}
			if !yield(finding("header_renamed", "The headers are a mixture of Webhook-… and Svix-….",
				"Send id, time and signature under names of one family."), header) {
				return
			}
		}
	}
}

// plainName is the name of a header that a gateway wrote as CGI does.
func plainName(name string) string {
	return http.CanonicalHeaderKey(strings.ReplaceAll(strings.TrimPrefix(strings.ToUpper(name), "HTTP_"), "_", "-"))
}

// repair undoes one change of the values of headers.
type repair struct {
	names  []string
	how    string
	repair func(string) string
}

func (r repair) why(name string) Finding {
	if r.how == "" {
		return finding("timestamp_unit", "The time in "+name+" is not the number of seconds that was signed.", "Send the time as it is signed, in whole seconds.")
	}
	return finding("header_value_changed", "The value of "+name+" was changed: "+r.how+".", "Pass the header on as it came, and copy its value alone.")
}

func (s *search) repairs(set headerSet) []repair {
	signature := []string{set.signature}
	all := []repair{
		{set.all(), "it has quotes or white space around it", func(v string) string { return strings.Trim(v, "\"'`[] \t") }},
		{set.all(), "it is percent-encoded", func(v string) string { v, _ = url.PathUnescape(v); return v }},
		{set.all(), "its own name stands in it", func(v string) string { _, v, _ = strings.Cut(v, ": "); return v }},
		{set.all(), "it is there twice in one line", half},
		{signature, "a plus sign has become a space", func(v string) string { return strings.ReplaceAll(v, " ", "+") }},
		{signature, "spaces were added", func(v string) string { return strings.ReplaceAll(v, " ", "") }},
		{signature, "commas and semicolons were exchanged", strings.NewReplacer(",", ";", ";", ",").Replace},
		{signature, "it is base64 of the alphabet for URLs", strings.NewReplacer("-", "+", "_", "/").Replace},
		{set.times, "", func(v string) string { v, _, _ = strings.Cut(v, "."); return v }},
		{set.times, "", func(v string) string { return v[:max(len(v)-3, 0)] }},
	}
	if id := jsonID(s.m.Body); id != "" && s.spec.Name == "standard" {
		all = append(all, repair{set.others[:1], "signed is the id that stands in the body", func(string) string { return id }})
	}
	if p, ok := s.scheme.(*pairs); ok {
		all = append(all, repair{signature, "", func(v string) string { return p.milliseconds(v) }})
	}
	t := s.templated()
	if t == nil {
		return all
	}
	return append(all,
		repair{signature, "the prefix before the signature is missing", func(v string) string { return t.prefix + v }},
		repair{signature, "there is a prefix before the signature that is not configured", func(v string) string { return t.prefix + v[strings.Index(v, "=")+1:] }},
		repair{signature, "it is base64, not hexadecimal, or the other way round", t.reencoded})
}

func (s *search) templated() *template {
	switch sc := s.scheme.(type) {
	case *template:
		return sc
	case *linear:
		return sc.template
	}
	return nil
}

// reencoded is a signature in the encoding that is configured.
func (t *template) reencoded(v string) string {
	v = strings.TrimPrefix(v, t.prefix)
	if raw, err := hex.DecodeString(v); err == nil && len(raw) == t.size {
		return t.prefix + t.encode(raw)
	}
	if raw, ok := anyBase64(v); ok && len(raw) == t.size {
		return t.prefix + t.encode(raw)
	}
	return ""
}

// milliseconds is a header with its time in seconds.
func (p *pairs) milliseconds(v string) string {
	before, rest, found := strings.Cut(v, p.time+"=")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	if !found || end < 12 {
		return ""
	}
	return before + p.time + "=" + rest[:end-3] + rest[end:]
}

// half is one of two equal halves that a proxy joined.
func half(v string) string {
	for _, joint := range []string{", ", ",", "; ", ";", " "} {
		if n := len(v) - len(joint); n > 0 && n%2 == 0 && v[:n/2] == v[n/2+len(joint):] && v[n/2:n/2+len(joint)] == joint {
			return v[:n/2]
		}
	}
	return v
}

// jsonID is the id at the root of a body, if it is short.
func jsonID(body []byte) string {
	id := text(field(body, pointer{"id"}))
	if len(id) > maxIDBytes {
		return ""
	}
	return string(id)
}

func sortedNames(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }
