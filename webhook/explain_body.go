package webhook

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"hash/maphash"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// rawBytes is what to do about bodies that are not as they were sent.
const rawBytes = "Verify on the raw bytes, before anything parses or changes the body: a body parser, a proxy, an editor, or a copy through the clipboard."

// tried says what was done in vain.
func (s *search) tried(n int, what string) {
	s.out.Tried = append(s.out.Tried, what+": "+strconv.Itoa(n))
}

// tryBodies undoes what is done to bodies.
func (s *search) tryBodies(m Message) bool {
	n := 0
	for f, changed := range s.bodies(m, slices.Values([]variants{s.simple, s.contents, s.written, s.forms})) {
		n++
		if j, ok, err := s.holds(s.scheme, len(s.cfg.Secrets), changed); ok {
			return s.found(changed, j, err, f)
		}
	}
	s.tried(n, "changes of the body")
	return false
}

// tryPairs undoes two things: a reading of a secret, a URL or a type of
// content, and the commonest changes of the body.
func (s *search) tryPairs(m Message) bool {
	n := 0
	common := slices.Values([]variants{s.simple, s.common})
	if sc, all := s.readings(); len(all) > 0 {
		for f, changed := range s.bodies(m, common) {
			n++
			if j, ok, err := s.holds(sc, len(all), changed); ok {
				return s.foundReading(changed, j, err, all, f)
			}
		}
		for _, r := range all {
			cfg := s.cfg
			cfg.Secrets = []string{r.secret}
			for h := range s.urls(cfg, m, maxURLs) {
				n++
				if j, ok, err := s.holds(h.scheme, 1, h.m); ok {
					return s.foundReading(h.m, j, err, []reading{r}, h.why...)
				}
			}
		}
	}
	for f, changed := range s.bodies(m, common) {
		for h := range s.urls(s.cfg, changed, maxURLs/20) {
			n++
			if j, ok, err := s.holds(h.scheme, len(s.cfg.Secrets), h.m); ok {
				return s.found(h.m, j, err, append(h.why, f)...)
			}
		}
	}
	s.tried(n, "pairs of changes")
	return false
}

// variants are bodies that m's may have been made of. Each is good until the
// next one.
type variants func(m Message) iter.Seq2[Finding, []byte]

// bodies are the messages of several kinds of variants, each body once.
func (s *search) bodies(m Message, kinds iter.Seq[variants]) iter.Seq2[Finding, Message] {
	return func(yield func(Finding, Message) bool) {
		if !s.signsBody() {
			return
		}
		if _, ok := s.scheme.(*twilio); ok && m.Header.Get("Content-Type") != formType {
			m.Header = with(m.Header, "Content-Type", formType)
			if !yield(finding("content_type", "The body is a form, but its Content-Type does not say "+formType+".", passOn("Content-Type")), m) {
				return
			}
		}
		seed := maphash.MakeSeed()
		seen := map[uint64]bool{maphash.Bytes(seed, m.Body): true}
		for kind := range kinds {
			for f, body := range kind(m) {
				if s.out.Incomplete {
					return
				}
				sum := maphash.Bytes(seed, body)
				if seen[sum] {
					continue
				}
				seen[sum] = true
				changed := m
				changed.Body = body
				if !yield(f, changed) {
					return
				}
			}
		}
	}
}

// bodyFinding tells which body would have been right.
func bodyFinding(code, text string) Finding {
	return finding(code, "The signature is valid for another body: "+text+".", rawBytes)
}

// simple are bodies that differ by what stands around them or by a few bytes.
func (s *search) simple(m Message) iter.Seq2[Finding, []byte] {
	body := m.Body
	return func(yield func(Finding, []byte) bool) {
		add := func(code, text string, variant []byte) bool { return yield(bodyFinding(code, text), variant) }
		with := func(before, after string) []byte {
			if !s.spend(int64(len(body))) {
				return body
			}
			return slices.Concat([]byte(before), body, []byte(after))
		}
		if n, ok := contentLength(m.Header); ok && n < len(body) && !add("body_longer", "it ends where its Content-Length says", body[:n]) {
			return
		}
		_ = add("body_newline", "without the newline at its end", bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r"))) &&
			add("body_newline", "with a newline at its end", with("", "\n")) &&
			add("body_whitespace", "without the white space around it", bytes.TrimSpace(body)) &&
			add("body_newline", "with a newline (CR LF) at its end", with("", "\r\n")) &&
			add("body_bom", "without the byte order mark before it", bytes.TrimPrefix(body, []byte("\uFEFF"))) &&
			(!s.spend(2*int64(len(body))) ||
				add("body_line_ends", "with LF where it has CR LF", bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))) &&
					add("body_line_ends", "with CR LF where it has LF", bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n")))) &&
			add("body_bom", "with a byte order mark before it", with("\uFEFF", "")) &&
			add("body_empty", "none at all", nil)
	}
}

// contents are what a body encodes, or is when it is encoded.
func (s *search) contents(m Message) iter.Seq2[Finding, []byte] {
	body := m.Body
	return func(yield func(Finding, []byte) bool) {
		add := func(code, text string, variant []byte, ok bool) bool {
			return !ok || yield(bodyFinding(code, text), variant)
		}
		unpacked, ok := s.unpack(body)
		if !add("body_compressed", "decompressed; what came is still compressed", unpacked, ok) || !s.spend(4*int64(len(body))) {
			return
		}
		narrow, ok := toLatin1(body)
		if !add("body_charset", "in Latin-1; it was turned into UTF-8", narrow, ok) {
			return
		}
		wide, ok := fromLatin1(body)
		if !add("body_charset", "in UTF-8; it was turned into Latin-1", wide, ok) {
			return
		}
		trimmed := bytes.TrimSpace(body)
		if len(trimmed) > 1 && trimmed[0] == '"' {
			inner := text(trimmed)
			if !add("body_wrapped", "the text that stands in it as a JSON string", inner, inner != nil && trimmed[len(trimmed)-1] == '"') {
				return
			}
		}
		raw := make([]byte, base64.StdEncoding.DecodedLen(len(trimmed)))
		n, err := base64.StdEncoding.Decode(raw, trimmed)
		_ = add("body_wrapped", "the one that it is the base64 of", raw[:n], err == nil && n > 0)
	}
}

// common are those of written that are seen most.
func (s *search) common(m Message) iter.Seq2[Finding, []byte] {
	return func(yield func(Finding, []byte) bool) {
		if s.spend(int64(len(m.Body))) && isJSON(m.Body) {
			for _, l := range layouts()[:3] {
				body, ok := s.rewrite(m.Body, l, asWritten)
				if ok && (!yield(reserialised(l, asWritten, false, false), body) || !yield(reserialised(l, asWritten, false, true), append(body, '\n'))) {
					return
				}
			}
		}
		if unpacked, ok := s.unpack(m.Body); ok {
			yield(bodyFinding("body_compressed", "decompressed; what came is still compressed"), unpacked)
		}
	}
}

func contentLength(h http.Header) (int, bool) {
	n, ok := digits(strings.TrimSpace(h.Get("Content-Length")))
	return int(min(n, maxMaxBodyBytes+1)), ok
}

func compressed(body []byte) bool {
	return len(body) > 2 && (body[0] == 0x1f && body[1] == 0x8b || body[0] == 0x78 && (int(body[0])<<8+int(body[1]))%31 == 0)
}

// unpack decompresses gzip, zlib and bare deflate, up to 64 MiB, once.
func (s *search) unpack(body []byte) ([]byte, bool) {
	if !compressed(body) {
		return nil, false
	}
	if s.unpacked == nil {
		most := min(s.left/4, maxMaxBodyBytes)
		out, err := io.ReadAll(io.LimitReader(decompressor(body), most+1))
		if !s.spend(4*int64(len(out))) || err != nil || int64(len(out)) > most {
			out = nil
		}
		s.unpacked = &out
	}
	return *s.unpacked, *s.unpacked != nil
}

func decompressor(body []byte) io.Reader {
	if r, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
		return r
	}
	if r, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
		return r
	}
	return flate.NewReader(bytes.NewReader(body))
}

// toLatin1 has a byte for each character, where all have one and not all are
// ASCII.
func toLatin1(body []byte) ([]byte, bool) {
	var out []byte
	changed := false
	for rest := body; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r > 0xFF || r == utf8.RuneError {
			return nil, false
		}
		if out == nil {
			out = make([]byte, 0, len(body))
		}
		out, rest, changed = append(out, byte(r)), rest[size:], changed || size > 1
	}
	return out, changed
}

// fromLatin1 has the character of each byte, where not all are ASCII.
func fromLatin1(body []byte) ([]byte, bool) {
	high := 0
	for _, b := range body {
		if b >= utf8.RuneSelf {
			high++
		}
	}
	if high == 0 {
		return nil, false
	}
	out := make([]byte, 0, len(body)+high)
	for _, b := range body {
		out = utf8.AppendRune(out, rune(b))
	}
	return out, true
}

// isJSON reports whether a body is worth writing anew.
func isJSON(body []byte) bool {
	at := skipSpace(body, 0)
	return at < len(body) && (body[at] == '{' || body[at] == '[') && json.Valid(body)
}
