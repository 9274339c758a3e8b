package flaglint

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteText writes the report for people: a line for each finding, what to do
// about it below, and a line with the sums.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s: %s [%s]\n    %s\n", printable(f.place()), f.Severity, printable(f.Message), f.Rule, printable(f.Remedy))
	}
	s := r.Stats
	if len(r.Findings) == 0 {
		b.WriteString("ok: ")
	} else {
		fmt.Fprintf(&b, "%s, %s, %s: ", count(s.Errors, "error"), count(s.Warnings, "warning"), count(s.Infos, "info"))
	}
	switch {
	case r.Invalid:
		b.WriteString("the definitions cannot be used, nothing else was checked\n")
	default:
		fmt.Fprintf(&b, "%s, %s of code", count(s.Flags, "flag"), count(s.Files, "file"))
		if s.Skipped > 0 {
			fmt.Fprintf(&b, ", %d skipped (too large, minified or binary)", s.Skipped)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// place is file:line:column. A name that begins as a workflow command of GitHub
// does is not to be taken for one.
func (f *Finding) place() string {
	file := f.File
	if strings.HasPrefix(file, ":") {
		file = "./" + file
	}
	if f.Line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(f.Line) + ":" + strconv.Itoa(f.Column)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// printable is text as a terminal may get it: names of files and keys come from
// code that anybody may have written.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// WriteJSON writes the report for programs. Keys are added over time, and none
// is renamed or removed.
func (r *Report) WriteJSON(w io.Writer) error {
	return writeJSON(w, r)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// WriteGitHub writes the report as workflow commands, which GitHub Actions shows
// beside the code.
//
// Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions;
// the escapes are those of @actions/core.
func (r *Report) WriteGitHub(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Findings {
		command := f.Severity.String()
		if f.Severity == Info {
			command = "notice"
		}
		fmt.Fprintf(&b, "::%s file=%s", command, property.Replace(f.File))
		if f.Line > 0 {
			fmt.Fprintf(&b, ",line=%d,col=%d", f.Line, f.Column)
		}
		fmt.Fprintf(&b, ",title=%s::%s\n", property.Replace(f.Rule), message.Replace(f.text()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var (
	message  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
