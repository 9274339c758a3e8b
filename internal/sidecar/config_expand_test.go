package sidecar_test

import (
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/sidecar"
)

func TestExpansion(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "token", "s3cret\n")
	writeFile(t, dir, "two-newlines", "s3cret\n\n")
	writeFile(t, dir, "crlf", "s3cret\r\n")
	writeFile(t, dir, "bare", "s3cret")
	writeFile(t, dir, "inner", "two\nlines\n")
	writeFile(t, dir, "reference", "${NAME}\n")
	writeFile(t, dir, "empty", "\n")
	writeFile(t, dir, "huge", strings.Repeat("x", 64<<10+1))
	e := env{"NAME": "value", "_X1": "under", "DOLLAR": "${NAME} $$", "EMPTY": ""}
	for _, tt := range []struct{ rule, text, want, problem string }{
		{"text without a dollar sign stays", `a {b} %c \n`, `a {b} %c \n`, ""},
		{"a variable", "${NAME}", "value", ""},
		{"a variable within text", "a-${NAME}-b", "a-value-b", ""},
		{"several", "${NAME}${_X1}${NAME}", "valueundervalue", ""},
		{"a default for what is not set", "${NO:-fallback}", "fallback", ""},
		{"a default for what is empty", "${EMPTY:-fallback}", "fallback", ""},
		{"an empty default", "a${NO:-}b", "ab", ""},
		{"a default with a colon", "${NO:-redis://h:1/0}", "redis://h:1/0", ""},
		{"a default with :- in it", "${NO:-a:-b}", "a:-b", ""},
		{"no default for what is set", "${NAME:-fallback}", "value", ""},
		{"two dollar signs are one", "$$", "$", ""},
		{"an escaped reference", "$${NAME}", "${NAME}", ""},
		{"three: an escape, then a reference", "$$${NAME}", "$value", ""},
		{"four: two escapes", "$$$$", "$$", ""},
		{"what a variable holds is not read again", "${DOLLAR}", "${NAME} $$", ""},
		{"a file, relative to the configuration", "${file:token}", "s3cret", ""},
		{"a file, absolute", "${file:" + dir + "/token}", "s3cret", ""},
		{"one newline at the end goes, no more", "${file:two-newlines}", "s3cret\n", ""},
		{"a newline of Windows goes", "${file:crlf}", "s3cret", ""},
		{"a file without a newline", "${file:bare}", "s3cret", ""},
		{"newlines within stay", "${file:inner}", "two\nlines", ""},
		{"what a file holds is not read again", "${file:reference}", "${NAME}", ""},

		{"not set", "${NO}", "", "environment variable NO is not set or empty"},
		{"empty", "${EMPTY}", "", "environment variable EMPTY is not set or empty"},
		{"never closed", "${NAME", "", "never closed"},
		{"a single dollar sign", "pa$word", "", "write ${VAR} for a variable, $$ for a dollar sign"},
		{"a dollar sign at the end", "cost: 5$", "", "$$ for a dollar sign"},
		{"the shell's short form", "$NAME", "", "write ${VAR}"},
		{"no name", "${}", "", "no variable name"},
		{"a name with a hyphen", "${MY-NAME}", "", "no variable name"},
		{"a name that begins with a digit", "${1X}", "", "no variable name"},
		{"the shell's other forms", "${NAME:=x}", "", "no variable name"},
		{"spaces", "${ NAME }", "", "no variable name"},
		{"a reference within a default", "${NO:-${NAME}}", "", "do not nest"},
		{"an escape within a default", "${NO:-pa$$word}", "", "do not nest"},
		{"a reference within a file's name", "${file:${NAME}/x}", "", "do not nest"},
		{"no such file", "${file:nowhere}", "", "cannot read the file it refers to"},
		{"a directory", "${file:/}", "", "cannot read the file it refers to"},
		{"an empty file", "${file:empty}", "", "is empty"},
		{"an endless file", "${file:huge}", "", "cannot read the file it refers to"},
		{"no file's name", "${file:}", "", "cannot read the file it refers to"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			got, err := sidecar.Expand(tt.text, dir, e.get)
			switch {
			case tt.problem == "" && (err != nil || got != tt.want):
				t.Errorf("%q is %q (%v), want %q", tt.text, got, err, tt.want)
			case tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)):
				t.Errorf("%q: error %v, want one with %q", tt.text, err, tt.problem)
			}
			if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "word")) {
				t.Errorf("%q: the error quotes the value: %v", tt.text, err)
			}
		})
	}
}

// A value decides nothing but itself: it can neither add keys nor end a string.
func TestExpansionHappensAfterParsing(t *testing.T) {
	l := mustLoad(t, quietConfig+`
observe: {release: "${EVIL}"}
drain: {delay: "${DELAY}"}
flags: {inject: "${INJECT}"}
rate_limits: [{name: a, limit: "${LIMIT}", window: 1s}]
`, env{
		"EVIL": "x\"}\nlisten: \":80\"\n# ${LIMIT}", "DELAY": "7s", "INJECT": "false", "LIMIT": "3",
	})
	if want := "x\"}\nlisten: \":80\"\n# ${LIMIT}"; l.Observe.Release != want || l.Listen != "127.0.0.1:0" {
		t.Errorf("release %q, listen %q", l.Observe.Release, l.Listen)
	}
	if l.Drain.Delay.String() != "7s" || l.Flags.Inject || l.RateLimits[0].Limit != 3 {
		t.Errorf("numbers, durations and booleans: %v %v %v", l.Drain.Delay, l.Flags.Inject, l.RateLimits[0].Limit)
	}
}

func FuzzExpansion(f *testing.F) {
	for _, seed := range []string{"", "$", "$$", "${A}", "${A:-b}", "${file:x}", "a$${b}${A", "${A}${", "${A:-${A}}", "$${", "}{$"} {
		f.Add(seed, "value")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		getenv := func(name string) string {
			if name == "A" {
				return "<<" + value
			}
			return ""
		}
		got, err := sidecar.Expand(text, "/nowhere", getenv)
		if err != nil {
			if got != "" {
				t.Fatalf("%q: an error and a value", text)
			}
			if !strings.Contains(text, "<<") && strings.Contains(err.Error(), "<<") {
				t.Fatalf("%q: the error quotes the variable: %v", text, err)
			}
			return
		}
		// Doubling every dollar sign makes any text stand for itself.
		same, err := sidecar.Expand(strings.ReplaceAll(text, "$", "$$"), "/nowhere", getenv)
		if err != nil || same != text {
			t.Fatalf("escaped %q is %q (%v)", text, same, err)
		}
		if !strings.Contains(text, "$") && got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
