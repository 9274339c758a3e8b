package handrail_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A page is a Markdown page as a list of steps, which its test carries out from
// top to bottom in a directory of the page's own. What stands in HTML comments
// of the form <!-- test: ... --> is for the test alone:
//
//	app 3000            an app listens on that port from here on
//	redis 6379          a private Redis listens on that port from here on
//	postgres 5432       a private PostgreSQL, the same
//	redis-stop          it stops; postgres-stop alike
//	logged TEXT         the block that follows shows its lines of log with that text
//	stop                the last command in the background gets SIGTERM and ends with 0
//
// and about the block that follows:
//
//	file NAME           the block is the content of that file in the page's directory
//	from PATH           the block is a part of that file of the repository, verbatim
//	env NAME=VALUE ...  variables of the command, or of the check of a configuration
//	exit N              the command ends with that code; otherwise with 0
//	again               the command is tried until it prints what the page says
//	background          the command goes on until stop, or the end of the page
//	needs NAME          the rest of the page is skipped where that program is missing
//	demo, install       README.md's own; other tests run them
//	                    (as does .ci/run what follows <!-- test-command -->)
//
// Blocks in sh are run. Blocks in text or json show what the command before them
// prints; … stands for anything in a line, a line of … for any lines. Blocks in
// yaml and dotenv are loaded by handrail. Blocks in go and js come from files in
// examples. Other languages are mistakes.
type page struct {
	name  string
	steps []step
}

// A step is a block of code with its directives, or an action without a block.
type step struct {
	line       int
	lang, text string // lang is empty for an action
	directives []directive
}

type directive struct{ word, rest string }

func (s *step) has(word string) bool {
	return slices.ContainsFunc(s.directives, func(d directive) bool { return d.word == word })
}

func (s *step) get(word string) string {
	for _, d := range s.directives {
		if d.word == word {
			return d.rest
		}
	}
	return ""
}

var (
	testComment = regexp.MustCompile(`^<!-- test: (\S+) ?(.*?) -->$`)
	fence       = regexp.MustCompile("^```(.*)$")
	actions     = []string{"app", "redis", "postgres", "redis-stop", "postgres-stop", "logged", "stop"}
	modifiers   = []string{"file", "from", "env", "exit", "again", "background", "needs", "demo", "install"}
	languages   = []string{"sh", "text", "json", "yaml", "dotenv", "go", "js"}
)

func readPage(t *testing.T, path string) *page {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePage(path, string(data))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parsePage(name, text string) (*page, error) {
	p := &page{name: name}
	var pending []directive
	var block *step // the one that is open
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", name, i+1)
		mark := fence.FindStringSubmatch(line)
		comment, isDirective := directive{}, false
		if m := testComment.FindStringSubmatch(line); m != nil {
			comment, isDirective = directive{m[1], m[2]}, true
		}
		switch {
		case block != nil && mark != nil:
			p.steps, block = append(p.steps, *block), nil
		case block != nil:
			block.text += line + "\n"
		case mark != nil:
			if !slices.Contains(languages, mark[1]) {
				return nil, fmt.Errorf("%s: no rule for a block in %q", at, mark[1])
			}
			block = &step{line: i + 1, lang: mark[1], directives: pending}
			pending = nil
		case isDirective && slices.Contains(actions, comment.word):
			p.steps = append(p.steps, step{line: i + 1, directives: []directive{comment}})
		case isDirective && slices.Contains(modifiers, comment.word):
			pending = append(pending, comment)
		case line == "<!-- test-command -->":
			pending = append(pending, directive{word: "test-command"})
		case strings.Contains(line, "<!-- test:"):
			return nil, fmt.Errorf("%s: no such directive", at)
		case line != "" && len(pending) > 0:
			return nil, fmt.Errorf("%s: the directives before this line belong to no block", at)
		}
	}
	if block != nil || len(pending) > 0 {
		return nil, fmt.Errorf("%s: the page ends within a block", name)
	}
	return p, nil
}

// pattern is what a page says a command prints, as a regular expression.
func pattern(shown string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(shown) {
		line = strings.TrimSuffix(line, "\n")
		if line == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\n`)
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

func TestPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, shown, printed string
		want                 bool
	}{
		{"the same text", "a (b)\nc\n", "a (b)\nc\n", true},
		{"another text", "a\n", "b\n", false},
		{"more than is shown", "a\n", "a\nb\n", false},
		{"less than is shown", "a\nb\n", "a\n", false},
		{"anything in a line", "at … now\n", "at 10:00 now\n", true},
		{"nothing beyond the line", "at …\n", "at 10\n11\n", false},
		{"any lines", "a\n…\nz\n", "a\nb\nc\nz\n", true},
		{"no lines at all", "a\n…\nz\n", "a\nz\n", true},
		{"the line after any lines", "a\n…\nz\n", "a\nb\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			if got := pattern(tt.shown).MatchString(tt.printed); got != tt.want {
				t.Errorf("matches: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParsePage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, text string
		want       string // of the error
	}{
		{"a block with its directives", "<!-- test: exit 1 -->\n\n```sh\nfalse\n```\n", ""},
		{"comments of others", "<!-- note -->\ntext\n", ""},
		{"an unknown language", "```ruby\n```\n", `p:1: no rule for a block in "ruby"`},
		{"no language", "```\n```\n", `p:1: no rule for a block in ""`},
		{"an unknown directive", "<!-- test: jump -->\n", "p:1: no such directive"},
		{"a directive before prose", "<!-- test: exit 1 -->\ntext\n", "p:2: the directives before this line belong to no block"},
		{"a block that never ends", "```sh\n", "p: the page ends within a block"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			got := ""
			if _, err := parsePage("p", tt.text); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("error %q, want %q", got, tt.want)
			}
		})
	}
}
