package webhook_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/handrail-go/handrail/webhook"
)

var signedAt = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func newVerifier(t testing.TB, cfg webhook.VerifierConfig) webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signedMessage is a message as the provider of cfg would send it at signedAt.
func signedMessage(t testing.TB, cfg webhook.VerifierConfig, m webhook.Message) webhook.Message {
	t.Helper()
	s, err := webhook.NewSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if m.Now.IsZero() {
		m.Now = signedAt
	}
	header, err := s.Sign(m)
	if err != nil {
		t.Fatal(err)
	}
	m.Header = m.Header.Clone()
	if m.Header == nil {
		m.Header = http.Header{}
	}
	maps.Copy(m.Header, header)
	m.Now = signedAt
	return m
}

func stripeBy(id string) webhook.VerifierConfig {
	return webhook.VerifierConfig{Provider: "stripe", Secrets: []string{"whsec_a"}, ID: id}
}

// idBy is the id of a body under a configured source.
func idBy(t testing.TB, source, body string, header http.Header) webhook.Verified {
	t.Helper()
	cfg := stripeBy(source)
	v, err := newVerifier(t, cfg).Verify(signedMessage(t, cfg, webhook.Message{Body: []byte(body), Header: header}))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIDIsReadWhereItIsConfigured(t *testing.T) {
	for name, tt := range map[string]struct{ source, body, want string }{
		"a member":                              {"json:/id", `{"id":"a"}`, "a"},
		"a nested member":                       {"json:/data/object/id", `{"id":"a","data":{"object":{"id":"pi_1"}}}`, "pi_1"},
		"a number is its text":                  {"json:/n", `{"n":-1.50e3}`, "-1.50e3"},
		"an element":                            {"json:/a/1/id", `{"a":[{"id":"x"},{"id":"y"}]}`, "y"},
		"an element of a root that is an array": {"json:/0/id", ` [{"id":"x"}]`, "x"},
		"a nested array":                        {"json:/a/0/1", `{"a":[["x","y"]]}`, "y"},
		"an escaped string is decoded":          {"json:/id", `{"id":"\u0061\n\"\\"}`, "a\n\"\\"},
		"an escaped name is decoded":            {"json:/id", `{"\u0069d":"a"}`, "a"},
		"a name with a slash and a tilde":       {"json:/a~1b~0c", `{"a/b~c":"x"}`, "x"},
		"names are told apart by case":          {"json:/id", `{"ID":"A","id":"a","Id":"B"}`, "a"},
		"the first of several members counts":   {"json:/id", `{"id":"a","id":"b"}`, "a"},
		"space between all":                     {"json:/id", " {\n\t\"x\" : [ 1 , { } ] ,\r \"id\" : \"a\" } ", "a"},
		"what looks like one inside a string":   {"json:/id", `{"x":"\",\"id\":\"no","y":"{[","id":"a"}`, "a"},
		"a string that ends in backslashes":     {"json:/id", `{"x":"\\\\","id":"a"}`, "a"},
		"brackets in nested strings":            {"json:/id", `{"x":{"y":"}]","z":["\"}"]},"id":"a"}`, "a"},
		"true, false and null on the way":       {"json:/id", `{"x":true,"y":false,"z":null,"id":"a"}`, "a"},
		"depth that no stack would hold":        {"json:/id", `{"x":` + strings.Repeat("[", 1e5) + strings.Repeat("]", 1e5) + `,"id":"a"}`, "a"},
		"absent":                                {"json:/id", `{"x":"a"}`, ""},
		"an object is no id":                    {"json:/id", `{"id":{}}`, ""},
		"null is no id":                         {"json:/id", `{"id":null}`, ""},
		"true is no id":                         {"json:/id", `{"id":true}`, ""},
		"an empty string is no id":              {"json:/id", `{"id":""}`, ""},
		"a member of a string":                  {"json:/id/x", `{"id":"a"}`, ""},
		"a member of an array":                  {"json:/a/id", `{"a":[{"id":"x"}]}`, ""},
		"an index with a leading zero":          {"json:/a/00", `{"a":["x"]}`, ""},
		"an index past the end":                 {"json:/a/1", `{"a":["x"]}`, ""},
		"an object that breaks off":             {"json:/id", `{"id":"a","x`, ""},
		"a string that does not end":            {"json:/id", `{"id":"a`, ""},
		"a member without a value":              {"json:/id", `{"id":}`, ""},
		"no body":                               {"json:/id", ``, ""},
		"not JSON":                              {"json:/id", `id=a`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := idBy(t, tt.source, tt.body, nil); got.ID != tt.want || !got.IDSigned {
				t.Errorf("id %q, signed %t; want %q", got.ID, got.IDSigned, tt.want)
			}
		})
	}
}

func TestTypeIsFoundWhereverItStands(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"a","type":"t"}`:                 "t",
		`{"id":"a" , "type" : "t" }`:            "t",
		`{"type":"t","id":"a"}`:                 "t",
		`{"type":"t"}`:                          "t",
		`{"id":"a","type":"x\u0041"}`:           "xA",
		`{"id":"a","type":"\"t"}`:               `"t`,
		`{"id":"a","\"type":"t"}`:               "",
		`{"id":"a","x\"type":"t"}`:              "",
		`{"id":"a","xtype":"t"}`:                "",
		`{"id":"a","x":"type"}`:                 "",
		`{"id":"a","x":{"type":"t"}}`:           "",
		`{"id":"a","x":"\",\"type\":\"t"}`:      "",
		`{"id":"a","type":"","x":["type","t"]}`: "",
		`{"id":"a","type":7}`:                   "7",
	} {
		if got := idBy(t, "", body, nil); got.Type != want {
			t.Errorf("type of %s is %q, want %q", body, got.Type, want)
		}
	}
}

func TestIDFromAHeaderIsNotSigned(t *testing.T) {
	if got := idBy(t, "header:x-id", `{"id":"a"}`, http.Header{"X-Id": {"h"}}); got.ID != "h" || got.IDSigned {
		t.Errorf("got %+v", got)
	}
	cfg := stripeBy("header:X-Id")
	m := signedMessage(t, cfg, webhook.Message{Body: []byte(`{"id":"a"}`)})
	for name, values := range map[string][]string{"absent": nil, "empty": {""}, "twice": {"a", "b"}} {
		m.Header["X-Id"] = values
		if got, err := newVerifier(t, cfg).Verify(m); err != nil || got.ID != "" || got.NotDeduplicated {
			t.Errorf("%s: %+v, %v; want no id", name, got, err)
		}
	}
}

func TestIDFromTheBodyAsAWhole(t *testing.T) {
	a, b, again := idBy(t, "body", `{"id":"a"}`, nil), idBy(t, "body", `{"id":"a"} `, nil), idBy(t, "body", `{"id":"a"}`, nil)
	if a.ID == b.ID || a.ID != again.ID || !a.IDSigned || a.Type != "" {
		t.Errorf("%+v, %+v, %+v", a, b, again)
	}
}

func TestVerifierConfig(t *testing.T) {
	const secret = "whsec_c2VjcmV0"
	long := strings.Repeat("x", 1000)
	for name, tt := range map[string]struct {
		cfg  webhook.VerifierConfig
		want []string
	}{
		"nothing at all":             {webhook.VerifierConfig{}, []string{"Provider", "Secrets"}},
		"an unknown provider":        {webhook.VerifierConfig{Provider: long, Secrets: []string{secret}}, []string{"Provider"}},
		"the provider's case counts": {webhook.VerifierConfig{Provider: "Stripe", Secrets: []string{secret}}, []string{"Provider"}},
		"no secret":                  {webhook.VerifierConfig{Provider: "stripe"}, []string{"Secrets"}},
		"an empty secret":            {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret, ""}}, []string{"Secrets[1]"}},
		"a blank secret":             {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{" \n"}}, []string{"Secrets[0]"}},
		"a newline after the secret": {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret + "\n"}}, []string{"Secrets[0]"}},
		"a negative tolerance":       {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, Tolerance: -1}, []string{"Tolerance"}},
		"a tolerance of days":        {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, Tolerance: 25 * time.Hour}, []string{"Tolerance"}},
		"a URL that is not signed":   {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, PublicURL: "https://user:" + secret + "@example.com/"}, []string{"PublicURL"}},
		"an id from nowhere":         {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, ID: "id"}, []string{"ID"}},
		"a pointer to the root":      {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, ID: "json:/"}, []string{"ID"}},
		"a pointer to no name":       {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, ID: "json://a"}, []string{"ID"}},
		"a pointer with a bad tilde": {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, ID: "json:/a~2"}, []string{"ID"}},
		"a pointer without a slash":  {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, ID: "json:id"}, []string{"ID"}},
		"a pointer of 17 names":      {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, ID: "json:" + strings.Repeat("/a", 17)}, []string{"ID"}},
		"a header that is no token":  {webhook.VerifierConfig{Provider: "stripe", Secrets: []string{secret}, ID: "header:X Id"}, []string{"ID"}},
		"all problems at once":       {webhook.VerifierConfig{Provider: "stripe", Tolerance: -1, PublicURL: "x", ID: "x"}, []string{"Secrets", "Tolerance", "PublicURL", "ID"}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := webhook.NewVerifier(tt.cfg)
			if v != nil || err == nil {
				t.Fatalf("NewVerifier = %v, %v", v, err)
			}
			if got := fieldsOf(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("problems in %v, want %v", got, tt.want)
			}
			if strings.Contains(err.Error(), secret) || len(err.Error()) > 600 {
				t.Errorf("error %q", err)
			}
			if s, err := webhook.NewSigner(tt.cfg); s != nil || err == nil {
				t.Errorf("NewSigner = %v, %v", s, err)
			}
		})
	}
}

func TestVerifierKeepsItsSecrets(t *testing.T) {
	cfg := stripeBy("")
	m := signedMessage(t, cfg, webhook.Message{Body: []byte("{}")})
	secrets := []string{"whsec_a"}
	v := newVerifier(t, webhook.VerifierConfig{Provider: "stripe", Secrets: secrets})
	secrets[0] = "whsec_b"
	if _, err := v.Verify(m); err != nil {
		t.Error(err)
	}
}

// FuzzIDAgreesWithEncodingJSON holds the reader of bodies to encoding/json on
// all that is JSON, and to an end on all that is not.
func FuzzIDAgreesWithEncodingJSON(f *testing.F) {
	for _, body := range []string{`{"id":"a"}`, `{"id":"a","id":1}`, `{"x":{"id":"\ud800\\"},"id":"\"b"}`, `[{"id":1},"\\"]`, `{"id":`, `{"":{"id":"a"}}`, "", `{"a":[[],{},"]"],"id":-0.0e+1}`} {
		f.Add(body, "id", "")
		f.Add(body, "0", "id")
		f.Add(strings.TrimSuffix(body, "}")+`,"type":"t"}`, "id", "")
		f.Add(`{"type" : "t"} `, "id", "")
		f.Add(`{"x":"\\\"type","y":"type\":\"z"}`, "y", "")
	}
	f.Fuzz(func(t *testing.T, body, first, second string) {
		path := []string{first, second}
		source := "json:/" + escapePointer(first) + "/" + escapePointer(second)
		if second == "" {
			path, source = path[:1], "json:/"+escapePointer(first)
		}
		if _, err := webhook.NewVerifier(stripeBy(source)); err != nil {
			return // a pointer to the root
		}
		got := idBy(t, source, body, nil)
		if !utf8.ValidString(body) || !json.Valid([]byte(body)) {
			return
		}
		if want := decodedText([]byte(body), path); got.ID != want {
			t.Errorf("%s of %q is %q, want %q", source, body, got.ID, want)
		}
		// Of several types any may be told.
		if want := decodedText([]byte(body), []string{"type"}); got.Type != want && strings.Count(body, "type") < 2 && !strings.Contains(body, `\u`) {
			t.Errorf("type of %q is %q, want %q", body, got.Type, want)
		}
	})
}

func escapePointer(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}

// decodedText is the text at path by encoding/json.
func decodedText(doc []byte, path []string) string {
	for _, name := range path {
		var array []json.RawMessage
		value, isObject := firstMember(doc, name)
		switch {
		case isObject:
			doc = value
		case json.Unmarshal(doc, &array) == nil:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(array) || strconv.Itoa(n) != name {
				return ""
			}
			doc = array[n]
		default:
			return ""
		}
	}
	var s string
	var n json.Number
	switch {
	case len(doc) == 0:
	case json.Unmarshal(doc, &s) == nil && doc[0] == '"':
		return s
	case doc[0] != '"' && json.Unmarshal(doc, &n) == nil:
		return n.String()
	}
	return ""
}

// firstMember is the first member of a name, and whether doc is an object.
func firstMember(doc []byte, name string) (value json.RawMessage, isObject bool) {
	d := json.NewDecoder(bytes.NewReader(doc))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, true
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, true
		}
		if key == name {
			return v, true
		}
	}
	return nil, true
}
