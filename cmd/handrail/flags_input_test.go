package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/flags"
)

func readIDs(text string) (ids []string, err error) {
	err = eachID("ids.txt", strings.NewReader(text), func(id string) error {
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

func TestIDsAreLines(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", flags.MaxTargetingKeyBytes)
	tests := []struct {
		rule, text string
		want       []string
		bad        string
	}{
		{"one a line", "a\nb\n", []string{"a", "b"}, ""},
		{"the last may lack its end", "a\nb", []string{"a", "b"}, ""},
		{"as Windows writes them", "\ufeffa\r\nb\r\n", []string{"a", "b"}, ""},
		{"blank lines are left out", "\n\na\n\r\n", []string{"a"}, ""},
		{"spaces belong to an ID", " a \n", []string{" a "}, ""},
		{"the longest", longest, []string{longest}, ""},
		{"nothing", "", nil, ""},
		{"one too long", "a\n" + longest + "x\n", []string{"a"}, "ids.txt:2: is longer than 512 bytes"},
		{"one that is no line", "a\n\n" + strings.Repeat("x", 1<<20), []string{"a"}, "ids.txt:3: is longer than 512 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			got, err := readIDs(tt.text)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (tt.bad == "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("error %v, want %q", err, tt.bad)
			}
		})
	}
}

func TestIDsThatCannotBeReadToTheEnd(t *testing.T) {
	t.Parallel()
	torn := io.MultiReader(strings.NewReader("a\nb"), readerOf{errors.New("torn")})
	if err := eachID("ids.txt", torn, func(string) error { return nil }); err == nil || err.Error() != "ids.txt cannot be read: torn" {
		t.Errorf("error %v", err)
	}
	full := errors.New("full")
	if err := eachID("ids.txt", strings.NewReader("a"), func(string) error { return full }); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
}

type readerOf struct{ err error }

func (r readerOf) Read([]byte) (int, error) { return 0, r.err }

func FuzzIDs(f *testing.F) {
	for _, text := range []string{"", "a\nb\r\n", "\ufeffa\n\n", strings.Repeat("x", 600), "\x00\xff\n\r"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readIDs(text)
		var want []string
		for i, line := range strings.Split(text, "\n") {
			line = strings.TrimSuffix(line, "\r")
			if i == 0 {
				line = strings.TrimPrefix(line, "\ufeff")
			}
			if len(line) > flags.MaxTargetingKeyBytes {
				if err == nil {
					t.Fatalf("line %d is too long, and no error", i+1)
				}
				break
			}
			if line != "" {
				want = append(want, line)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAnIDIsOneThatAServerTakes(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", flags.MaxTargetingKeyBytes)
	for _, id := range []string{"", "a", longest} {
		for _, attributes := range []string{"", `{"targetingKey":"` + id + `"}`} {
			if ec, err := evaluationContext([]string{id}, attributes); err != nil || ec.TargetingKey != id {
				t.Errorf("%d bytes: %v", len(id), err)
			}
		}
	}
	if _, err := evaluationContext([]string{longest + "x"}, ""); err == nil || err.Error() != "the ID is longer than 512 bytes" {
		t.Errorf("error %v", err)
	}
	_, err := evaluationContext(nil, `{"targetingKey":"`+longest+`x"}`)
	if err == nil || err.Error() != "--context: targetingKey is longer than 512 bytes" {
		t.Errorf("error %v", err)
	}
}

func TestNumbersOfAContextAreKept(t *testing.T) {
	t.Parallel()
	got, err := parseAttributes(`{"big": 9007199254740993, "half": 0.5, "in": {"list": [1, "1", null, true, 1e3]}}`)
	want := map[string]any{"big": int64(9007199254740993), "half": 0.5, "in": map[string]any{"list": []any{int64(1), "1", nil, true, 1000.0}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for text, reason := range map[string]string{
		"null": "must be a JSON object", `{"a":1e999}`: "number out of range", `{"a":[{"b":-1e999}]}`: "number out of range",
		"{}{": "something behind", "{": "must be a JSON object", strings.Repeat(" ", maxContextBytes) + "{}": "longer than",
	} {
		if _, err := parseAttributes(text); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.20s: error %v, want %q", text, err, reason)
		}
	}
}

func FuzzContext(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":1}`, `{"a":[1.5,{"b":null}]}`, `[]`, `{"targetingKey":"u"}`, `{"a":1}{}`, "{\"a\":1e400}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseAttributes(text)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is no JSON, and no error", text)
		}
		var plain map[string]any
		d := json.NewDecoder(strings.NewReader(text))
		if err := d.Decode(&plain); err != nil {
			t.Fatal(err)
		}
		// As encoding/json reads it, but for integers: their text is the same.
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := json.NewDecoder(bytes.NewReader(again)).Decode(&back); err != nil || !reflect.DeepEqual(plain, back) {
			t.Fatalf("%q became %s, %v", text, again, err)
		}
	})
}
