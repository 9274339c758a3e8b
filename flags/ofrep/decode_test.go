package ofrep_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/ofrep"
)

func TestContextIsReadWithoutLoss(t *testing.T) {
	for _, tc := range []struct {
		rule, text string
		want       flags.EvaluationContext
	}{
		{"empty", ` { } `, flags.EvaluationContext{}},
		{"null is none", `{"context":null}`, flags.EvaluationContext{}},
		{"only a targeting key", `{"context":{"targetingKey":"alice"}}`, flags.EvaluationContext{TargetingKey: "alice"}},
		{"other members are ignored", `{"x":[{}],"context":{"targetingKey":"alice"},"context2":{"targetingKey":"bob"}}`, flags.EvaluationContext{TargetingKey: "alice"}},
		{"letter case counts", `{"Context":{"targetingKey":"alice"}}`, flags.EvaluationContext{}},
		{
			"all kinds", "\t{\r\n\"context\" : { \"b\" : true , \"n\":null, \"f\":false,\"s\":\"x\", \"l\":[ 1 , \"a\",[]],\"o\":{\"targetingKey\":{}} } }",
			flags.EvaluationContext{Attributes: map[string]any{
				"b": true, "n": nil, "f": false, "s": "x", "l": []any{int64(1), "a", []any{}}, "o": map[string]any{"targetingKey": map[string]any{}},
			}},
		},
		{
			"numbers", `{"context":{"a":0,"b":-1,"c":9223372036854775807,"d":-9223372036854775808,"e":9007199254740993,"f":1.0,"g":1e2,"h":-0.5E-1,"i":9223372036854775808}}`,
			flags.EvaluationContext{Attributes: map[string]any{
				"a": int64(0), "b": int64(-1), "c": int64(math.MaxInt64), "d": int64(math.MinInt64), "e": int64(9007199254740993),
				"f": 1.0, "g": 100.0, "h": -0.05, "i": float64(1 << 63),
			}},
		},
		{
			"escapes", `{"context":{"target\u0069ngKey":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"}}`,
			flags.EvaluationContext{TargetingKey: "\"\\/\b\f\n\r\té😀é😀"},
		},
		{"the longest targeting key", user(strings.Repeat("x", flags.MaxTargetingKeyBytes)), flags.EvaluationContext{TargetingKey: strings.Repeat("x", flags.MaxTargetingKeyBytes)}},
		{"as deep as may be", `{"context":{"a":[{"b":[]}]}}`, flags.EvaluationContext{Attributes: map[string]any{"a": []any{map[string]any{"b": []any{}}}}}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := ofrep.Decode(tc.text, 4, 12)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContextThatCouldBeMistakenIsRefused(t *testing.T) {
	const (
		syntax, trailing, utf8Error = "the request is not valid JSON", "there is something behind the request", "the request is not valid UTF-8"
		shape, twice, deep          = "the request must be an object, and its context too", "a name is there twice in an object", "the context is nested too deep"
		many, number, keyType       = "the context has too many attributes", "a number is out of range", "the targetingKey must be a string"
	)
	for want, texts := range map[string][]string{
		syntax: {
			`{`, `{"`, `{"context`, `{"context"`, `{"context":`, `{"context":{`, `{"context":{}`, `{,}`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `{'a':1}`,
			`{"a":}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":1e}`, `{"a":--1}`, `{"a":-}`, `{"a":0x1}`, `{"a":1_0}`, `{"a":NaN}`, `{"a":Infinity}`,
			`{"a":True}`, `{"a":tru}`, `{"a":nullx}`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":[`, `{"a":"` + "\n" + `"}`, `{"a":"\` + "\n" + `"}`,
			`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\`, `{"a":"\u`, `{"a":"\ud83d\u12"}`, `{"a":"\n` + "\x01" + `"}`, `{"a":"\n`, `{"a":1 /* */}`, "{\x00}",
		},
		trailing:  {`{}{}`, `{}x`, "{}\x00", `{} null`, `{"context":{"targetingKey":"a"}}}`},
		utf8Error: {"{\"a\":\"\xff\"}", "{\"\xc0\x80\":1}", `{"a":"\ud83d"}`, `{"a":"\ude00"}`, `{"a":"\ud83d\ud83d"}`, `{"a":"\ud83dx"}`, "{}\xff"},
		shape:     {``, ` `, "\ufeff{}", `[]`, `null`, `"x"`, `1`, `{"context":[]}`, `{"context":"x"}`, `{"context":true}`, `{"context":1}`},
		twice: {
			`{"context":{},"context":{}}`, `{"context":null,"context":{}}`, `{"a":1,"a":1}`, `{"context":{"targetingKey":"a","targetingKey":"b"}}`,
			`{"context":{"targetingKey":"a","target\u0069ngKey":"b"}}`, `{"context":{"a":1,"a":2}}`, `{"context":{"a":{"b":1,"b":2}}}`, `{"context":{"a":[{"b":1,"b":2}]}}`,
		},
		deep:                           {`{"context":{"a":[[[[]]]]}}`, `{"context":{"a":{"a":{"a":{"a":{}}}}}}`, `{"x":[[[[[]]]]]}`, `{"x":` + strings.Repeat("[", 60_000), `{"context":` + strings.Repeat(`{"a":`, 10_000)},
		many:                           {`{"a":[1,1,1,1,1,1,1,1,1,1,1,1]}`, `{"context":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":[1,2,3,4,5]}}`},
		number:                         {`{"a":1e400}`, `{"a":-1e400}`, `{"a":` + strings.Repeat("9", 400) + `}`},
		keyType:                        {`{"context":{"targetingKey":1}}`, `{"context":{"targetingKey":null}}`, `{"context":{"targetingKey":["a"]}}`, `{"context":{"targetingKey":{}}}`, `{"context":{"targetingKey":true}}`},
		"the targetingKey is too long": {user(strings.Repeat("x", flags.MaxTargetingKeyBytes+1))},
	} {
		for _, text := range texts {
			got, err := ofrep.Decode(text, 4, 12)
			if err == nil || err.Error() != want {
				t.Errorf("%.80q: got %v, want %s", text, err, want)
			}
			if got.TargetingKey != "" || got.Attributes != nil {
				t.Errorf("%.80q: something was read", text)
			}
		}
	}
}

func TestAnswersHoldNothingOfTheContext(t *testing.T) {
	const secret = "s3cret"
	h := handler(t, definitions, ofrep.Config{})
	for _, body := range []string{
		`{"context":{"targetingKey":"s3cret","s3cret":"s3cret"}}`, `{"context":{"s3cret":s3cret}}`, `{"s3cret":1,"s3cret":2}`, `{"context":"s3cret"}`,
		`{"context":{"targetingKey":["s3cret"]}}`, `{}s3cret`, `{"context":{"a":"s3cret` + "\xff" + `"}}`,
	} {
		for _, path := range []string{"", "/split", "/none"} {
			if w := post(h, path, body); strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s: %s", body, w.Body)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"context":{"targetingKey":"alice","plan":"pro","n":[1,2.5,-3e2,{"a":null}],"b":true}}`, `{"context":null}`, `{}`, ``,
		`{"context":{"a":"\ud83d\ude00\n"}}`, `{"context":{"a":1,"a":2}}`, `{"context":{"targetingKey":1}} x`, "{\"\xff\":1}", `{"a":"\ud83d"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ofrep.Decode(text, 100, 10_000)
		if err != nil {
			if err.Error() == "the request is not valid JSON" && json.Valid([]byte(text)) {
				t.Errorf("%q is valid JSON", text)
			}
			return
		}
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			t.Fatalf("%q is no JSON", text)
		}
		// Names differ, so encoding/json reads the same; but it takes names in
		// any letter case into a struct, so into a map.
		dec := json.NewDecoder(bytes.NewReader([]byte(text)))
		dec.UseNumber()
		var root map[string]any
		if err := dec.Decode(&root); err != nil {
			t.Fatal(err)
		}
		want, _ := root["context"].(map[string]any)
		key, _ := want["targetingKey"].(string)
		delete(want, "targetingKey")
		if len(want) == 0 {
			want = nil
		}
		if diff := cmp.Diff(flags.EvaluationContext{TargetingKey: key, Attributes: plain(want)}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// plain turns each json.Number into what Decode makes of it.
func plain(m map[string]any) map[string]any {
	for name, value := range m {
		m[name] = plainValue(value)
	}
	return m
}

func plainValue(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, _ := v.Float64()
		return n
	case map[string]any:
		return plain(v)
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	}
	return value
}

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x00\x1f\"\\/", "é😀\u2028\uFFFD", "\xff\xc0\x80a\xed\xa0\x80", "<script>&"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		encoded := ofrep.AppendString(nil, s)
		if err := json.Unmarshal(encoded, &got); err != nil || !utf8.Valid(encoded) {
			t.Fatalf("%q: %s: %v", s, encoded, err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); got != want && utf8.ValidString(s) {
			t.Errorf("%q became %q", s, got)
		}
	})
}
