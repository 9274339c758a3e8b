package webhook

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Explanation is why a message is refused, for an operator. It is fit for a
// page, a terminal or a log: it holds no signature, no secret and nothing of
// the body.
type Explanation struct {
	// Provider is the configuration's.
	Provider string `json:"provider"`
	// Valid: a route with this configuration takes the message as it is.
	Valid bool `json:"valid"`
	// SecretIndex is the position of the secret that signed the message, as it
	// is or once what Findings tell is undone; -1 when none is known to have.
	SecretIndex int `json:"secret_index"`
	// Findings are never empty, the cause first.
	Findings []Finding `json:"findings"`
	// Tried is what else was tried, in vain.
	Tried []string `json:"tried,omitempty"`
	// Incomplete: the message is so large that not everything was tried.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Finding is one thing that is to be known about a message.
type Finding struct {
	Code   string `json:"code"`             // stable, for example "json_reserialised"
	Text   string `json:"text"`             // one sentence
	Remedy string `json:"remedy,omitempty"` // what to do about it
}

// Explain says why a message is not valid under cfg: which header lacks, which
// secret would have been right, what was done to the body or the URL on the
// way, or how far the clocks are apart. To find out, it undoes in turn what
// proxies, frameworks and copying do to messages, alone and in a few pairs, and
// judges each time as a [Verifier] does. That is more than a Verifier may do
// for a stranger: it is for operators, who hold the secrets and the message, and
// must never answer whoever sends a message.
//
// The work is bounded: about 2 GiB are read, whatever the length of the message,
// beyond verifying it once. A body above 64 MiB is refused, and header and query
// above 256 KiB together. m is not changed, m.Now is when it is judged.
//
// Errors: every problem of cfg at once, each a [*ConfigError], except that a
// secret may have white space around it, which is a finding;
// [ErrMessageTooLarge].
func Explain(cfg VerifierConfig, m Message) (Explanation, error) {
	beside := len(m.RawQuery)
	for name, values := range m.Header {
		for _, value := range values {
			beside += len(name) + len(value)
		}
	}
	if len(m.Body) > maxMaxBodyBytes || beside > maxBesideBytes {
		return Explanation{}, ErrMessageTooLarge
	}
	s, err := newSearch(cfg, m)
	if err != nil {
		return Explanation{}, err
	}
	s.run()
	return s.out, nil
}

// ErrMessageTooLarge: the body is longer than 64 MiB, or header and query are
// longer than 256 KiB.
var ErrMessageTooLarge = errors.New("webhook: body above 64 MiB, or header and query above 256 KiB")

const maxBesideBytes = 256 << 10

// explainBytes bounds what a search reads and writes.
const explainBytes = 2 << 30

// search is the search for an explanation.
type search struct {
	cfg    VerifierConfig
	spec   spec
	scheme scheme
	m      Message
	spaced []bool // secrets that had white space around them
	left   int64  // of explainBytes
	buffer []byte // of rewrite
	// unpacked is what the body is compressed of; nil until it was tried.
	unpacked *[]byte
	out      Explanation
}

func newSearch(cfg VerifierConfig, m Message) (*search, error) {
	s := &search{left: explainBytes, spaced: make([]bool, len(cfg.Secrets))}
	cfg.Secrets = slices.Clone(cfg.Secrets)
	for i, secret := range cfg.Secrets {
		cfg.Secrets[i] = strings.TrimSpace(secret)
		s.spaced[i] = cfg.Secrets[i] != secret
	}
	var err error
	if s.spec, s.scheme, err = cfg.compile(false); err != nil {
		return nil, err
	}
	if cfg.Tolerance != 0 {
		s.spec.Tolerance = cfg.Tolerance
	}
	if m.Now.IsZero() {
		m.Now = time.Now()
	}
	header := make(http.Header, len(m.Header))
	for _, name := range sortedNames(m.Header) {
		canonical := http.CanonicalHeaderKey(name)
		header[canonical] = append(header[canonical], m.Header[name]...)
	}
	m.Header = header
	s.cfg, s.m = cfg, m
	s.out = Explanation{Provider: s.spec.Name, SecretIndex: -1}
	return s, nil
}

func (s *search) run() {
	j, err := s.scheme.judge(s.m)
	if s.found(s.m, j, err) {
		return
	}
	if !errors.Is(err, ErrSignatureMismatch) {
		s.out.Findings = s.headerFindings()
	}
	m, known, ok := s.readable(err)
	if !ok {
		return
	}
	s.out.Findings = append(s.out.Findings, known...)
	before := len(s.out.Findings)
	for _, step := range []func(Message) bool{s.trySecrets, s.tryHeaders, s.tryURLs, s.tryBodies, s.tryPairs} {
		if step(m) {
			s.out.Tried = nil
			return
		}
	}
	if before == len(s.out.Findings) {
		s.out.Findings = append(s.out.Findings, s.hints(m)...)
	}
}

// holds judges a message whose keys are those of n secrets. It reports false,
// too, when the search has read enough.
func (s *search) holds(sc scheme, n int, m Message) (judgement, bool, error) {
	if !s.spend(int64(n) * int64(len(m.Body)+s.fixedCost())) {
		return judgement{}, false, nil
	}
	j, err := sc.judge(m)
	return j, err == nil || errors.Is(err, ErrTimestamp), err
}

// fixedCost is what a judgement costs beside the body, in bytes of a body.
func (s *search) fixedCost() int {
	switch s.scheme.(type) {
	case *discord, *sendgrid, *standard:
		return 64 << 10
	}
	return 1 << 10
}

func (s *search) spend(n int64) bool {
	if n > s.left {
		s.out.Incomplete = true
		return false
	}
	s.left -= n
	return true
}

// found concludes when a judgement says that a signature holds, of m, which
// the findings so far made of the message.
func (s *search) found(m Message, j judgement, err error, how ...Finding) bool {
	if err != nil && !errors.Is(err, ErrTimestamp) {
		return false
	}
	s.out.Findings = append(s.out.Findings, how...)
	as := s.out.Findings
	if err != nil {
		as = append(as, finding("timestamp_missing", "The signature is valid, but the body does not say when it was signed.",
			"Look whether this is a webhook of the provider: its bodies have a time."))
		j.secret = -1
	} else {
		as = append(as, s.age(j.at)...)
		as = append(as, s.identity(m, j)...)
	}
	s.out.SecretIndex = j.secret
	if j.secret >= 0 && s.spaced[j.secret] {
		as = append(as, finding("secret_whitespace", secretName(j.secret)+" has white space around it, which the configuration refuses.",
			"Remove the white space, for example a newline at the end of the file that the secret is read from."))
	}
	if len(as) == 0 {
		s.out.Valid = true
		as = append(as, finding("valid", "The signature is valid and its time, where it has one, within the tolerance.", ""))
	}
	if j.secret > 0 {
		as = append(as, finding("secret_not_first", secretName(j.secret)+" signed it, not the first one.",
			"While a secret is being rotated this is well. Else put the secret that is in use first."))
	}
	s.out.Findings = as
	return true
}

// identity is what lacks for an event to be told from others.
func (s *search) identity(m Message, j judgement) []Finding {
	v := &verifier{info: s.spec.Provider, sources: s.spec.sources, missing: s.spec.missing}
	if s.cfg.ID != "" {
		v.sources.id, _ = parseSource(s.cfg.ID)
		v.missing, v.chosen, v.info.IDSource = missingRefused, true, s.cfg.ID
	}
	if got := v.describe(m, j); got.ID != "" || got.NotDeduplicated {
		return nil
	}
	return []Finding{finding("no_event_id", "The message has no event id, which is expected at "+v.info.IDSource+".",
		"Look whether a header was dropped on the way, or whether the route's id names the right place.")}
}

// age is what is wrong with the time of a valid signature.
func (s *search) age(at time.Time) []Finding {
	if at.IsZero() || s.spec.Tolerance == 0 {
		return nil
	}
	code, text := "timestamp_too_old", "before"
	age := s.m.Now.Sub(at)
	if age < 0 {
		code, text = "timestamp_in_future", "after"
	}
	if age.Abs() <= s.spec.Tolerance {
		return nil
	}
	text = "It was signed " + age.Abs().Round(time.Second).String() + " " + text + " the time at which it is judged; tolerated are " + s.spec.Tolerance.String() + "."
	remedy := "This is an old message, or the clock of this machine or of the sender is off. Judge a message at the time at which it came."
	off := age.Abs() % time.Hour
	switch {
	case unitsApart(at, s.m.Now):
		code, remedy = "timestamp_unit", "The time looks as if it were written in seconds where milliseconds are expected, or the other way round."
	case age < 0:
		remedy = "The clock of this machine or of the sender is off: have both keep time by NTP."
		fallthrough
	default:
		if (off < 2*time.Minute || off > 58*time.Minute) && age.Abs() > 50*time.Minute && age.Abs() < 15*time.Hour {
			remedy += " It is off by whole hours: somebody may take local time for UTC."
		}
	}
	return []Finding{finding(code, text, remedy)}
}

// unitsApart reports whether a time is about now, once it is multiplied or
// divided by thousand.
func unitsApart(at, now time.Time) bool {
	const day = 24 * 60 * 60
	return abs(at.Unix()-now.Unix()/1000) < day || abs(at.Unix()/1000-now.Unix()) < day
}

func abs(n int64) int64 { return max(n, -n) }

func finding(code, text, remedy string) Finding {
	return Finding{Code: code, Text: text, Remedy: remedy}
}

// hints are what can be told of a message that nothing explains.
func (s *search) hints(m Message) []Finding {
	all := bodyHints(m)
	covers := "Signed is " + s.spec.Signed + "."
	if h := s.cfg.HMAC; s.spec.Name == "hmac" {
		covers = "Signed is " + cmp.Or(h.Signed, "{body}") + "."
	}
	if s.signsBody() && len(m.Body) > 0 {
		covers += " An order of keys, a form of numbers or white space that were lost on the way cannot be found again: compare the bytes with those that the provider shows."
	}
	return append(all, finding("unexplained", "Nothing that was tried makes the signature valid.",
		"Most often the secret is another endpoint's or another environment's: copy it again from the provider's page. "+covers))
}

func (s *search) signsBody() bool {
	g, ok := s.scheme.(*gitlab)
	return !ok || len(g.signedAt) > 0
}

// bodyHints are signs of what was done to a body that cannot be undone.
func bodyHints(m Message) (all []Finding) {
	length, told := contentLength(m.Header)
	encoding := strings.ToLower(strings.TrimSpace(m.Header.Get("Content-Encoding")))
	switch {
	case len(m.Body) == 0:
		all = append(all, finding("body_empty", "The body is empty.",
			"Something before the verification reads the body and leaves nothing of it: a body parser of the framework, or a redirection. Verify first, on the raw bytes."))
	case told && length > len(m.Body):
		all = append(all, finding("body_truncated", "The body is shorter than its Content-Length says.",
			"It was cut off on the way or in the copy, or changed: compare its length with that of what the provider sent."))
	case told && length < len(m.Body):
		all = append(all, finding("body_length", "The body is longer than its Content-Length says.",
			"It was changed on the way, or in the copy."))
	}
	if encoding != "" && encoding != "identity" && len(m.Body) > 0 {
		if compressed(m.Body) || encoding != "gzip" {
			all = append(all, finding("body_compressed", "Content-Encoding says that the body is compressed.",
				"Look whether the signature covers the bytes before or after compression, and verify on those."))
		} else {
			all = append(all, finding("body_decompressed", "Content-Encoding says gzip, but the body is not gzip: it was decompressed on the way.",
				"Turn decompression of requests off before the verification, so that the bytes are those that were sent."))
		}
	}
	if bytes.Contains(m.Body, []byte("\uFFFD")) {
		all = append(all, finding("body_characters_lost", "The body holds the replacement character U+FFFD.",
			"The bytes were read as text in another charset, and some were lost for good. Handle the body as bytes."))
	}
	return all
}
