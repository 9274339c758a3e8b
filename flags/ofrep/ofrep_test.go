package ofrep_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/ofrep"
)

const definitions = `
flags:
  all: {rolloutPercentage: 100, public: true}
  button:
    rolloutPercentage: 100
    metadata: {team: web, beta: true, ticket: 12, share: 0.5}
    variants: [{name: red, weight: 0}, {name: blue}]
  config:
    rolloutPercentage: 100
    variants: [{name: large, value: {z: [1, 2.5, "a\"b"], a: {y: null, x: false}}}]
  limit: {rolloutPercentage: 100, variants: [{name: ten, value: 10}]}
  ratio: {rolloutPercentage: 100, variants: [{name: half, value: 0.5}]}
  killed: {enabled: false, rolloutPercentage: 100}
  none: {rolloutPercentage: 0, variants: [{name: red}]}
  split: {rolloutPercentage: 50, allowList: [alice], denyList: [eve], public: true}
  a/b:c: {rolloutPercentage: 100}
`

// handler is a Handler on fixed definitions.
func handler(tb testing.TB, definitions string, cfg ofrep.Config) *ofrep.Handler {
	tb.Helper()
	c, err := flags.New(context.Background(), flags.Config{Source: flags.Static("flags.yaml", []byte(definitions))})
	if err != nil {
		tb.Fatal(err)
	}
	cfg.Client = c
	h, err := ofrep.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// post asks h at a path below [ofrep.Path].
func post(h http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, ofrep.Path+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func user(key string) string { return fmt.Sprintf(`{"context":{"targetingKey":%q}}`, key) }

func TestOneFlagIsAnsweredAsTheProtocolHasIt(t *testing.T) {
	h := handler(t, definitions, ofrep.Config{})
	for _, tc := range []struct {
		rule, path, body string
		status           int
		want             string
	}{
		{"a boolean", "/all", user("alice"), 200, `{"key":"all","value":true,"reason":"STATIC","variant":"on"}`},
		{"a string, with metadata by name", "/button", user("alice"), 200, `{"key":"button","value":"blue","reason":"STATIC","variant":"blue","metadata":{"beta":true,"share":0.5,"team":"web","ticket":12}}`},
		{"an object, its members by name", "/config", user("alice"), 200, `{"key":"config","value":{"a":{"x":false,"y":null},"z":[1,2.5,"a\"b"]},"reason":"STATIC","variant":"large"}`},
		{"an integer", "/limit", user("alice"), 200, `{"key":"limit","value":10,"reason":"STATIC","variant":"ten"}`},
		{"a float", "/ratio", user("alice"), 200, `{"key":"ratio","value":0.5,"reason":"STATIC","variant":"half"}`},
		{"a list decides", "/split", user("eve"), 200, `{"key":"split","value":false,"reason":"TARGETING_MATCH","variant":"off"}`},
		{"the kill switch", "/killed", user("alice"), 200, `{"key":"killed","value":false,"reason":"DISABLED","variant":"off"}`},
		{"no value: the caller's default counts", "/none", user("alice"), 200, `{"key":"none","reason":"STATIC"}`},
		{"slashes in a key", "/a/b:c", user("alice"), 200, `{"key":"a/b:c","value":true,"reason":"STATIC","variant":"on"}`},
		{"a key that is escaped", "/a%2Fb%3Ac", user("alice"), 200, `{"key":"a/b:c","value":true,"reason":"STATIC","variant":"on"}`},
		{"no body", "/all", "", 200, `{"key":"all","value":true,"reason":"STATIC","variant":"on"}`},
		{"no context", "/all", "{}", 200, `{"key":"all","value":true,"reason":"STATIC","variant":"on"}`},
		{"no targeting key where the flag buckets", "/split", `{"context":{"plan":"pro"}}`, 400, `{"key":"split","errorCode":"TARGETING_KEY_MISSING","errorDetails":"the flag needs a targetingKey"}`},
		{"an empty targeting key is none", "/split", user(""), 400, `{"key":"split","errorCode":"TARGETING_KEY_MISSING","errorDetails":"the flag needs a targetingKey"}`},
		{"an unknown flag", "/nope", user("alice"), 404, `{"key":"nope","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"an empty key", "/", user("alice"), 404, `{"key":"","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"a key that is no text", "/%ff%00%22", user("alice"), 404, "{\"key\":\"\uFFFD\\u0000\\\"\",\"errorCode\":\"FLAG_NOT_FOUND\",\"errorDetails\":\"there is no such flag\"}"},
		{"a context that cannot be read", "/all", `{"context":[]}`, 400, `{"key":"all","errorCode":"INVALID_CONTEXT","errorDetails":"the request must be an object, and its context too"}`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := post(h, tc.path, tc.body)
			if w.Code != tc.status || w.Body.String() != tc.want {
				t.Errorf("got  %d %s\nwant %d %s", w.Code, w.Body, tc.status, tc.want)
			}
			want := http.Header{
				"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"},
				"Content-Length": {fmt.Sprint(len(tc.want))},
			}
			if diff := cmp.Diff(want, w.Header()); diff != "" {
				t.Error(diff)
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Error("not JSON")
			}
		})
	}
}

func TestAllFlagsAreAnsweredByKeyWhateverIsWrongWithSome(t *testing.T) {
	h := handler(t, definitions, ofrep.Config{})
	w := post(h, "", `{}`)
	want := `{"flags":[` + strings.Join([]string{
		`{"key":"a/b:c","value":true,"reason":"STATIC","variant":"on"}`,
		`{"key":"all","value":true,"reason":"STATIC","variant":"on"}`,
		`{"key":"button","value":"blue","reason":"STATIC","variant":"blue","metadata":{"beta":true,"share":0.5,"team":"web","ticket":12}}`,
		`{"key":"config","value":{"a":{"x":false,"y":null},"z":[1,2.5,"a\"b"]},"reason":"STATIC","variant":"large"}`,
		`{"key":"killed","value":false,"reason":"DISABLED","variant":"off"}`,
		`{"key":"limit","value":10,"reason":"STATIC","variant":"ten"}`,
		`{"key":"none","reason":"STATIC"}`,
		`{"key":"ratio","value":0.5,"reason":"STATIC","variant":"half"}`,
		`{"key":"split","errorCode":"TARGETING_KEY_MISSING","errorDetails":"the flag needs a targetingKey"}`,
	}, ",") + `]}`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if got := post(handler(t, "flags: {}", ofrep.Config{}), "", `{}`); got.Body.String() != `{"flags":[]}` {
		t.Errorf("without flags: %s", got.Body)
	}
	if got := post(h, "", `{"context":{"targetingKey":1}}`); got.Code != 400 ||
		got.Body.String() != `{"errorCode":"INVALID_CONTEXT","errorDetails":"the targetingKey must be a string"}` {
		t.Errorf("a bad context: %d %s", got.Code, got.Body)
	}
}

// custom is a client on flags that answer as their name's decision says.
func custom(t *testing.T, decisions map[string]flags.Decision) *flags.Client {
	t.Helper()
	var list []flags.Custom
	for key, d := range decisions {
		list = append(list, flags.Custom{
			Definition: flags.Definition{Key: key, Public: true},
			Evaluate:   func(flags.EvaluationContext, int64) flags.Decision { return d },
		})
	}
	c, err := flags.New(t.Context(), flags.Config{
		Source: flags.Static("x", nil),
		Parse:  func(string, []byte) (*flags.Set, error) { return flags.NewSet("v1", nil, list) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestErrorsOfAFlagBecomeThoseOfTheProtocol(t *testing.T) {
	failed := func(code flags.ErrorCode) flags.Decision {
		return flags.Decision{Reason: flags.ReasonError, ErrorCode: code, ErrorDetails: "operator's text"}
	}
	cases := map[string]struct {
		d            flags.Decision
		status       int
		code, public string
		inBulk       bool
	}{
		"parse":    {failed(flags.ErrorParse), 400, "PARSE_ERROR", "the flag cannot be evaluated", true},
		"type":     {failed(flags.ErrorTypeMismatch), 400, "GENERAL", "the flag cannot be evaluated", true},
		"general":  {failed(flags.ErrorGeneral), 400, "GENERAL", "the flag cannot be evaluated", true},
		"context":  {failed(flags.ErrorInvalidContext), 400, "INVALID_CONTEXT", "the flag cannot be evaluated for this context", true},
		"key":      {failed(flags.ErrorTargetingKeyMissing), 400, "TARGETING_KEY_MISSING", "the flag needs a targetingKey", true},
		"missing":  {failed(flags.ErrorFlagNotFound), 404, "FLAG_NOT_FOUND", "there is no such flag", false},
		"nan":      {flags.Decision{Value: math.NaN(), Reason: "STATIC"}, 400, "GENERAL", "the flag cannot be evaluated", true},
		"infinity": {flags.Decision{Value: []any{math.Inf(1)}, Reason: "STATIC"}, 400, "GENERAL", "the flag cannot be evaluated", true},
		"strange":  {flags.Decision{Value: map[string]any{"a": map[string]any{"b": struct{}{}}}, Reason: "STATIC"}, 400, "GENERAL", "the flag cannot be evaluated", true},
		"endless":  {flags.Decision{Value: endless(), Reason: "STATIC"}, 400, "GENERAL", "the flag cannot be evaluated", true},
		"metadata": {flags.Decision{Value: true, Reason: "STATIC", Metadata: map[string]any{"a": math.NaN()}}, 400, "GENERAL", "the flag cannot be evaluated", true},
	}
	decisions := map[string]flags.Decision{"good": {Value: "yes", Reason: "STATIC"}}
	for key, tc := range cases {
		decisions[key] = tc.d
	}
	client := custom(t, decisions)
	for _, public := range []bool{false, true} {
		h, err := ofrep.New(ofrep.Config{Client: client, PublicOnly: public})
		if err != nil {
			t.Fatal(err)
		}
		bulk := post(h, "", "{}").Body.String()
		if !json.Valid([]byte(bulk)) || !strings.Contains(bulk, `{"key":"good","value":"yes","reason":"STATIC"}`) {
			t.Errorf("bulk: %s", bulk)
		}
		for _, key := range slices.Sorted(maps.Keys(cases)) {
			tc := cases[key]
			details := tc.public
			if !public && tc.d.ErrorDetails != "" {
				details = tc.d.ErrorDetails
			}
			want := fmt.Sprintf(`{"key":%q,"errorCode":%q,"errorDetails":%q}`, key, tc.code, details)
			if w := post(h, "/"+key, "{}"); w.Code != tc.status || w.Body.String() != want {
				t.Errorf("public=%t: got %d %s, want %d %s", public, w.Code, w.Body, tc.status, want)
			}
			if strings.Contains(bulk, want) != tc.inBulk {
				t.Errorf("public=%t: in bulk is not %t: %s", public, tc.inBulk, want)
			}
		}
	}
}

// endless is an object that holds itself.
func endless() map[string]any {
	m := map[string]any{}
	m["m"] = []any{m}
	return m
}

func TestPublicOnlyAnswersForOthersAsForNone(t *testing.T) {
	h := handler(t, definitions, ofrep.Config{PublicOnly: true})
	want := `{"flags":[{"key":"all","value":true,"reason":"STATIC","variant":"on"},{"key":"split","value":true,"reason":"TARGETING_MATCH","variant":"on"}]}`
	if w := post(h, "", user("alice")); w.Body.String() != want {
		t.Errorf("all: %s", w.Body)
	}
	hidden, none := post(h, "/button", user("alice")), post(h, "/buttoz", user("alice"))
	if hidden.Code != none.Code || hidden.Body.String() != strings.ReplaceAll(none.Body.String(), "buttoz", "button") {
		t.Errorf("%d %s and %d %s", hidden.Code, hidden.Body, none.Code, none.Body)
	}
}

func TestTokensLetIn(t *testing.T) {
	open, closed := handler(t, definitions, ofrep.Config{}), handler(t, definitions, ofrep.Config{Tokens: []string{"one", "two"}})
	for _, tc := range []struct {
		rule   string
		header []string
		status int
	}{
		{"a bearer token", []string{"Authorization", "Bearer one"}, 200},
		{"in any case", []string{"Authorization", "bearer two"}, 200},
		{"an API key", []string{"X-API-Key", "two"}, 200},
		{"either will do", []string{"X-API-Key", "two", "Authorization", "Bearer wrong"}, 200},
		{"neither", nil, 401},
		{"another token", []string{"Authorization", "Bearer three"}, 401},
		{"part of one", []string{"Authorization", "Bearer on"}, 401},
		{"an empty one", []string{"Authorization", "Bearer ", "X-API-Key", ""}, 401},
		{"another scheme", []string{"Authorization", "Basic one"}, 401},
		{"no scheme", []string{"Authorization", "one"}, 401},
		{"two headers", []string{"Authorization", "Bearer one", "Authorization", "Bearer one"}, 401},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for _, path := range []string{"", "/all"} {
				w := post(closed, path, "{}", tc.header...)
				if w.Code != tc.status || (w.Header().Get("WWW-Authenticate") != "") != (tc.status == 401) {
					t.Errorf("%q: %d %v", path, w.Code, w.Header())
				}
				if tc.status == 401 && strings.Contains(w.Body.String(), "value") {
					t.Errorf("%q: %s", path, w.Body)
				}
			}
			if w := post(open, "/all", "{}", tc.header...); w.Code != 200 {
				t.Errorf("without tokens: %d", w.Code)
			}
		})
	}
}

func TestRequestsThatAreNoneAreRefused(t *testing.T) {
	h := handler(t, definitions, ofrep.Config{MaxBodyBytes: 64})
	send := func(method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, body)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	isJSON := []string{"Content-Type", "application/json"}
	large := strings.Repeat(" ", 63) + "{}"
	body := func() io.Reader { return strings.NewReader("{}") }
	for _, tc := range []struct {
		rule string
		w    *httptest.ResponseRecorder
		want int
	}{
		{"GET", send("GET", ofrep.Path, nil), 405},
		{"GET of a flag", send("GET", ofrep.Path+"/all", nil), 405},
		{"OPTIONS", send("OPTIONS", ofrep.Path, nil), 405},
		{"another path", send("POST", "/ofrep/v1/configuration", nil), 404},
		{"a longer path", send("POST", ofrep.Path+"x", nil), 404},
		{"no body, so no media type", send("POST", ofrep.Path, nil), 200},
		{"a charset", send("POST", ofrep.Path, body(), "Content-Type", `Application/JSON;charset="UTF-8"`), 200},
		{"identity", send("POST", ofrep.Path, body(), append(isJSON, "Content-Encoding", "identity")...), 200},
		{"as large as may be", send("POST", ofrep.Path, strings.NewReader(large[1:]), isJSON...), 200},
		{"no media type", send("POST", ofrep.Path, body()), 415},
		{"a form", send("POST", ofrep.Path, body(), "Content-Type", "application/x-www-form-urlencoded"), 415},
		{"plain text", send("POST", ofrep.Path, body(), "Content-Type", "text/plain"), 415},
		{"another charset", send("POST", ofrep.Path, body(), "Content-Type", "application/json; charset=latin1"), 415},
		{"two media types", send("POST", ofrep.Path, body(), append(isJSON, isJSON...)...), 415},
		{"compressed", send("POST", ofrep.Path, body(), append(isJSON, "Content-Encoding", "gzip")...), 415},
		{"announced too large", send("POST", ofrep.Path, strings.NewReader(large), isJSON...), 413},
		{"found too large", send("POST", ofrep.Path, io.MultiReader(strings.NewReader(large)), isJSON...), 413},
		{"too large for what stands before", send("POST", ofrep.Path, http.MaxBytesReader(nil, io.NopCloser(body()), 1), isJSON...), 413},
		{"broken off", send("POST", ofrep.Path, io.MultiReader(body(), broken{}), isJSON...), 400},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if tc.w.Code != tc.want {
				t.Errorf("got %d %s", tc.w.Code, tc.w.Body)
			}
			if got := tc.w.Header().Get("Allow"); (got == "POST") != (tc.want == 405) {
				t.Errorf("Allow: %q", got)
			}
			if !json.Valid(tc.w.Body.Bytes()) {
				t.Errorf("not JSON: %s", tc.w.Body)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("secret of the network") }

func TestNewFindsAllMistakesAtOnce(t *testing.T) {
	_, err := ofrep.New(ofrep.Config{
		Tokens: []string{"good", "", "spaced "}, MaxBodyBytes: -1, MaxDepth: 1001, MaxAttributes: -1, RetryAfter: -time.Second,
	})
	var got []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if problem, ok := errors.AsType[*flags.ConfigError](e); ok {
				got = append(got, problem.Field)
			}
			if strings.Contains(e.Error(), "spaced") {
				t.Errorf("tells a token: %v", e)
			}
		}
	}
	want := []string{
		"ofrep.Client", "ofrep.Tokens[1]", "ofrep.Tokens[2]", "ofrep.MaxBodyBytes", "ofrep.MaxDepth", "ofrep.MaxAttributes", "ofrep.RetryAfter",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
