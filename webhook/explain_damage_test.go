package webhook_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// plainJSON is a body in which everything that libraries write differently
// occurs once.
const plainJSON = `{"id":"i-1","type":"t","event_id":"e-1","event_type":"et","webhookTimestamp":1795161600000,"text":"Grüße <b>&</b> /x 😀","empty":{},"none":[],"list":[1.50,-2e3,true,null]}`

const (
	indentedJSON = "{\n  \"id\": \"i-1\",\n  \"type\": \"t\",\n  \"event_id\": \"e-1\",\n  \"event_type\": \"et\",\n  \"webhookTimestamp\": 1795161600000,\n  \"text\": \"Grüße <b>&</b> /x 😀\",\n  \"empty\": {},\n  \"none\": [],\n  \"list\": [\n    1.50,\n    -2e3,\n    true,\n    null\n  ]\n}"
	pythonJSON   = `{"id": "i-1", "type": "t", "event_id": "e-1", "event_type": "et", "webhookTimestamp": 1795161600000, "text": "Gr\u00fc\u00dfe <b>&</b> /x \ud83d\ude00", "empty": {}, "none": [], "list": [1.50, -2e3, true, null]}`
	goJSON       = `{"id":"i-1","type":"t","event_id":"e-1","event_type":"et","webhookTimestamp":1795161600000,"text":"Grüße \u003cb\u003e\u0026\u003c/b\u003e /x 😀","empty":{},"none":[],"list":[1.50,-2e3,true,null]}`
	phpJSON      = `{"id":"i-1","type":"t","event_id":"e-1","event_type":"et","webhookTimestamp":1795161600000,"text":"Gr\u00fc\u00dfe <b>&<\/b> \/x \ud83d\ude00","empty":{},"none":[],"list":[1.50,-2e3,true,null]}`
	sortedJSON   = `{"empty":{},"event_id":"e-1","event_type":"et","id":"i-1","list":[1.50,-2e3,true,null],"none":[],"text":"Grüße <b>&</b> /x 😀","type":"t","webhookTimestamp":1795161600000}`
)

// damage is what a middle did to a message.
type damage struct {
	code string
	sent string // the body that was signed; empty: the provider's own
	// do damages the message or the configuration, and reports false when that
	// does not apply.
	do func(s signing, cfg *webhook.VerifierConfig, m *webhook.Message) bool
}

func toBody(change func(string) string) func(signing, *webhook.VerifierConfig, *webhook.Message) bool {
	return func(s signing, _ *webhook.VerifierConfig, m *webhook.Message) bool {
		m.Body = []byte(change(string(m.Body)))
		return s.signature != "X-Gitlab-Token"
	}
}

func received(body string) func(signing, *webhook.VerifierConfig, *webhook.Message) bool {
	return toBody(func(string) string { return body })
}

func toHeader(change func(s signing, h http.Header) bool) func(signing, *webhook.VerifierConfig, *webhook.Message) bool {
	return func(s signing, _ *webhook.VerifierConfig, m *webhook.Message) bool { return change(s, m.Header) }
}

func toSignature(change func(string) string) func(signing, *webhook.VerifierConfig, *webhook.Message) bool {
	return toHeader(func(s signing, h http.Header) bool {
		before := h.Get(s.signature)
		h.Set(s.signature, change(before))
		return before != h.Get(s.signature)
	})
}

// companions are the headers that are signed besides, or say when.
func companions(s signing, h http.Header) []string {
	names := map[string][]string{
		"Webhook-Signature":                      {"Webhook-Id", "Webhook-Timestamp"},
		"Svix-Signature":                         {"Svix-Id", "Svix-Timestamp"},
		"X-Slack-Signature":                      {"X-Slack-Request-Timestamp"},
		"X-Signature-Ed25519":                    {"X-Signature-Timestamp"},
		"X-Twilio-Email-Event-Webhook-Signature": {"X-Twilio-Email-Event-Webhook-Timestamp"},
		"X-Sig":                                  {"X-Time"},
	}[s.signature]
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return h.Get(name) == "" })
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func latin1(s string) string {
	var out []byte
	for _, r := range s {
		out = append(out, byte(r))
	}
	return string(out)
}

func utf8Twice(s string) string {
	var out []rune
	for i := range len(s) {
		out = append(out, rune(s[i]))
	}
	return string(out)
}

func textSecret(s signing) bool {
	return !strings.HasPrefix(s.verify.Secrets[0], "wh") && s.signature != "X-Gitlab-Token" && s.sign.Secrets[0] == s.verify.Secrets[0]
}

// secretIs configures something else than the sender signs with.
func secretIs(change func(string) string) func(signing, *webhook.VerifierConfig, *webhook.Message) bool {
	return func(s signing, cfg *webhook.VerifierConfig, _ *webhook.Message) bool {
		cfg.Secrets = []string{s.other, change(s.verify.Secrets[0])}
		return textSecret(s)
	}
}

func urlIs(public string, header ...string) func(signing, *webhook.VerifierConfig, *webhook.Message) bool {
	return func(_ signing, cfg *webhook.VerifierConfig, m *webhook.Message) bool {
		signed := cfg.PublicURL
		cfg.PublicURL = public
		if len(header) == 2 {
			m.Header.Set(header[0], header[1])
		}
		return signed != ""
	}
}

func damages() map[string]damage {
	accented := `{"id":"é","type":"t","event_id":"e","event_type":"et","webhookTimestamp":1795161600000}`
	return map[string]damage{
		"a newline was added":                         {"body_newline", "", toBody(func(b string) string { return b + "\n" })},
		"a newline of Windows was added":              {"body_newline", "", toBody(func(b string) string { return b + "\r\n" })},
		"a newline was removed":                       {"body_newline", plainJSON + "\n", received(plainJSON)},
		"white space was added":                       {"body_whitespace", "", toBody(func(b string) string { return "  " + b + "\n\n" })},
		"CR LF became LF":                             {"body_line_ends", "{\r\n\"id\":\"i\",\"type\":\"t\",\"event_id\":\"e\",\r\n\"event_type\":\"t\",\"webhookTimestamp\":1795161600000}\r\n", toBody(func(b string) string { return strings.ReplaceAll(b, "\r\n", "\n") })},
		"LF became CR LF":                             {"body_line_ends", indentedJSON, toBody(func(b string) string { return strings.ReplaceAll(b, "\n", "\r\n") })},
		"a byte order mark was added":                 {"body_bom", "", toBody(func(b string) string { return "\uFEFF" + b })},
		"a byte order mark was removed":               {"body_bom", "\uFEFF" + plainJSON, received(plainJSON)},
		"it is still compressed":                      {"body_compressed", plainJSON, received(zipped(plainJSON))},
		"it was made compact":                         {"json_reserialised", indentedJSON, received(plainJSON)},
		"it was indented":                             {"json_reserialised", plainJSON, received(indentedJSON)},
		"it was indented, with a newline":             {"json_reserialised", plainJSON, received(indentedJSON + "\n")},
		"Python wrote it":                             {"json_reserialised", plainJSON, received(pythonJSON)},
		"Python had written it":                       {"json_reserialised", pythonJSON, received(plainJSON)},
		"Go wrote it":                                 {"json_reserialised", plainJSON, received(goJSON)},
		"Go had written it":                           {"json_reserialised", goJSON, received(plainJSON)},
		"Go had written it, indented it was received": {"json_reserialised", goJSON, received(indentedJSON)},
		"PHP wrote it":                                {"json_reserialised", plainJSON, received(phpJSON)},
		"PHP had written it":                          {"json_reserialised", phpJSON, received(plainJSON)},
		"the keys had been sorted":                    {"json_reserialised", sortedJSON, received(plainJSON)},
		"sorted, indented, with a newline":            {"json_reserialised", indent(sortedJSON, "\t") + "\n", received(pythonJSON)},
		"UTF-8 became Latin-1":                        {"body_charset", accented, toBody(latin1)},
		"UTF-8 was taken for Latin-1":                 {"body_charset", accented, toBody(utf8Twice)},
		"it became a JSON string":                     {"body_wrapped", plainJSON, toBody(func(b string) string { out, _ := json.Marshal(b); return string(out) })},
		"it became base64":                            {"body_wrapped", plainJSON, toBody(func(b string) string { return base64.StdEncoding.EncodeToString([]byte(b)) })},
		"the payload of a form was taken":             {"body_wrapped", "payload=" + url.QueryEscape(plainJSON), received(plainJSON)},
		"something was appended": {"body_longer", plainJSON, func(s signing, _ *webhook.VerifierConfig, m *webhook.Message) bool {
			m.Header.Set("Content-Length", strconv.Itoa(len(plainJSON)))
			m.Body = append(bytes.Clone(m.Body), "<!-- -->"...)
			return s.signature != "X-Gitlab-Token"
		}},
		"nothing is left": {"body_empty", "", received("")},
		"it was cut off": {"body_truncated", plainJSON, func(s signing, _ *webhook.VerifierConfig, m *webhook.Message) bool {
			m.Header.Set("Content-Length", strconv.Itoa(len(plainJSON)))
			m.Body = m.Body[:100]
			return s.signature != "X-Gitlab-Token"
		}},
		"it was decompressed": {"body_decompressed", zipped(plainJSON), func(s signing, _ *webhook.VerifierConfig, m *webhook.Message) bool {
			m.Header.Set("Content-Encoding", "gzip")
			m.Body = []byte(plainJSON)
			return s.signature != "X-Gitlab-Token" && s.verify.Provider != "linear"
		}},
		"characters were lost":       {"body_characters_lost", plainJSON, toBody(func(b string) string { return strings.ReplaceAll(b, "ü", "\uFFFD") })},
		"another spelling of a form": {"form_reencoded", "text=a+b%21&event_id=%C3%A9%2F", received("text=a%20b!&event_id=%c3%a9%2f")},
		"a form became JSON":         {"form_parsed", "text=a+b%21&event_id=%C3%A9", received(`{"text":"a b!","event_id":"é"}`)},

		"the signature is missing":     {"signature_missing", "", toHeader(func(s signing, h http.Header) bool { h.Del(s.signature); return true })},
		"the signature is there twice": {"header_repeated", "", toHeader(func(s signing, h http.Header) bool { h.Add(s.signature, "x"); return true })},
		"joined by a proxy": {"header_value_changed", "", toHeader(func(s signing, h http.Header) bool {
			h.Set(s.signature, h.Get(s.signature)+", "+h.Get(s.signature))
			return slices.Contains([]string{"Paddle-Signature", "X-Twilio-Signature", "X-Signature-Ed25519", "X-Twilio-Email-Event-Webhook-Signature"}, s.signature) // others may hold several
		})},
		"the signature is something else": {"header_malformed", "", toHeader(func(s signing, h http.Header) bool {
			h.Set(s.signature, "é")
			return s.signature != "X-Gitlab-Token"
		})},
		"quotes":          {"header_value_changed", "", toSignature(func(v string) string { return `"` + v + `"` })},
		"percent-encoded": {"header_value_changed", "", toSignature(url.QueryEscape)},
		"its own name": {"header_value_changed", "", toHeader(func(s signing, h http.Header) bool {
			h.Set(s.signature, "Some-Header: "+h.Get(s.signature))
			return s.signature != "Webhook-Signature" && s.signature != "Svix-Signature" // between spaces they may hold anything
		})},
		"underscores": {"header_renamed", "", toHeader(func(s signing, h http.Header) bool {
			for _, name := range append(companions(s, h), s.signature) {
				h["HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = h[name]
				delete(h, name)
			}
			return true
		})},
		"lower case is no change": {"valid", "", toHeader(func(s signing, h http.Header) bool {
			h[strings.ToLower(s.signature)] = h[s.signature]
			delete(h, s.signature)
			return true
		})},
		"a companion is missing": {"header_missing", "", toHeader(func(s signing, h http.Header) bool {
			names := companions(s, h)
			for _, name := range names[:min(len(names), 1)] {
				h.Del(name)
			}
			return len(names) > 0
		})},
		"a companion is there twice": {"header_repeated", "", toHeader(func(s signing, h http.Header) bool {
			names := companions(s, h)
			for _, name := range names {
				h.Add(name, "x")
			}
			return len(names) > 0
		})},
		"milliseconds": {"timestamp_unit", "", toHeader(func(s signing, h http.Header) bool {
			changed := false
			for name, values := range h {
				milli := strings.ReplaceAll(values[0], "1795161600", "1795161600000")
				changed = changed || milli != values[0]
				h[name] = []string{milli}
			}
			return changed && s.signature != "X-Sig" // which takes them
		})},

		"the wrong secret": {"unexplained", "", func(s signing, cfg *webhook.VerifierConfig, _ *webhook.Message) bool {
			cfg.Secrets = []string{s.other}
			return true
		}},
		"the second secret": {"valid", "", func(s signing, cfg *webhook.VerifierConfig, _ *webhook.Message) bool {
			cfg.Secrets = append([]string{s.other}, cfg.Secrets...)
			return true
		}},
		"white space around it": {"secret_whitespace", "", func(_ signing, cfg *webhook.VerifierConfig, _ *webhook.Message) bool {
			cfg.Secrets = []string{cfg.Secrets[0] + "\n"}
			return true
		}},
		"a quoted secret":     {"secret_quoted", "", secretIs(func(v string) string { return `"` + v + `"` })},
		"a prefix too many":   {"secret_prefix", "", secretIs(func(v string) string { return "whsec_" + v })},
		"a secret in base64":  {"secret_encoding", "", secretIs(func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) })},
		"base64 after whsec_": {"secret_encoding", "", secretIs(func(v string) string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(v)) })},
		"a secret in hex":     {"secret_encoding", "", secretIs(func(v string) string { return hex.EncodeToString([]byte(v)) })},
		"the private key": {"secret_private", "", func(s signing, cfg *webhook.VerifierConfig, _ *webhook.Message) bool {
			cfg.Secrets = []string{strings.Replace(s.sign.Secrets[0], "whsk_", "whpk_", 1)}
			return s.sign.Secrets[0] != s.verify.Secrets[0] && s.verify.Provider != "sendgrid"
		}},

		"the scheme":         {"url_scheme", "", urlIs("http://example.com/hook")},
		"a slash":            {"url_slash", "", urlIs("https://example.com/hook/")},
		"a port":             {"url_port", "", urlIs("https://example.com:8443/hook")},
		"a host":             {"url_host", "", urlIs("https://internal/hook", "X-Forwarded-Host", "example.com")},
		"www":                {"url_host", "", urlIs("https://www.example.com/hook")},
		"a host (Forwarded)": {"url_host", "", urlIs("https://internal/hook", "Forwarded", `for=1.2.3.4;host="example.com";proto=https`)},
		"a path":             {"url_path", "", urlIs("https://example.com/app/hook", "X-Forwarded-Prefix", "/app")},
		"another path":       {"url_path", "", urlIs("https://example.com/x", "X-Original-Uri", "/hook")},
		"upper case":         {"url_case", "", urlIs("https://Example.com/Hook")},
		"a query": {"url_query", "", func(_ signing, cfg *webhook.VerifierConfig, m *webhook.Message) bool {
			m.RawQuery = "a=b"
			return cfg.PublicURL != ""
		}},

		"too old": {"timestamp_too_old", "", func(s signing, _ *webhook.VerifierConfig, m *webhook.Message) bool {
			m.Now = signedAt.Add(25 * time.Hour)
			return s.dated
		}},
		"from the future": {"timestamp_in_future", "", func(s signing, _ *webhook.VerifierConfig, m *webhook.Message) bool {
			m.Now = signedAt.Add(-25 * time.Hour)
			return s.dated
		}},
	}
}

func indent(s, by string) string {
	var b bytes.Buffer
	_ = json.Indent(&b, []byte(s), "", by)
	return b.String()
}

// sent is the message as the provider sent it.
func (s signing) sent(t testing.TB, body string) webhook.Message {
	t.Helper()
	if body != "" {
		s.m.Body, s.m.Header = []byte(body), s.m.Header.Clone()
		if s.verify.Provider == "twilio" {
			sum := sha256.Sum256(s.m.Body)
			s.m.RawQuery = "bodySHA256=" + hex.EncodeToString(sum[:])
		}
	}
	return s.signed(t)
}
