package flaglint

import (
	"cmp"
	"slices"
	"strings"
)

// Severity is how bad a finding is.
type Severity uint8

// The severities, the least bad first.
const (
	Info Severity = iota + 1
	Warning
	Error
)

// String is the severity as reports have it.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "info"
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The rules. Their names are part of the reports and stay.
const (
	RuleUndefined     = "flag-undefined"
	RuleComputed      = "key-computed"
	RuleUnused        = "flag-unused"
	RuleStale         = "flag-stale"
	RuleAgeUnknown    = "age-unknown"
	RuleExpired       = "flag-expired"
	RuleExpiresSoon   = "flag-expires-soon"
	RuleCreatedFuture = "created-in-future"
	RuleInvalid       = "definition-invalid"
	RuleDoubtful      = "definition-doubtful"
	RuleUnread        = "file-unread"
)

// A Rule is one thing that is looked for.
type Rule struct {
	ID       string
	Severity Severity
	Summary  string
}

// Rules returns all rules, in a fixed order.
func Rules() []Rule {
	return []Rule{
		{RuleUndefined, Error, "Code asks for a flag that is not defined: it is off for everybody."},
		{RuleComputed, Info, "The key of a flag is computed, so that it cannot be held against the definitions."},
		{RuleUnused, Warning, "A flag is defined, and no code asks for it."},
		{RuleStale, Warning, "A flag has given everybody the same for long: it decides nothing any more."},
		{RuleAgeUnknown, Info, "A flag gives everybody the same, and nothing tells since when."},
		{RuleExpired, Warning, "A flag has passed its end."},
		{RuleExpiresSoon, Info, "A flag comes to its end soon."},
		{RuleCreatedFuture, Warning, "A flag was created on a day that is yet to come."},
		{RuleInvalid, Error, "The definitions hold a mistake and would be refused."},
		{RuleDoubtful, Warning, "The definitions hold what is allowed but hardly meant."},
		{RuleUnread, Warning, "A file could not be read: what it uses is not known."},
	}
}

func severityOf(rule string) Severity {
	for _, r := range Rules() {
		if r.ID == rule {
			return r.Severity
		}
	}
	return Error
}

// A Finding is one thing that is wrong. Line and Column count from 1, columns
// in characters; both are 0 where no place in the file is at fault.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Key      string   `json:"key"` // of the flag; "" where it is not about one
	Message  string   `json:"message"`
	Remedy   string   `json:"remedy"`
}

// text is the message and the remedy as sentences.
func (f *Finding) text() string {
	if strings.HasSuffix(f.Message, "?") {
		return f.Message + " " + f.Remedy
	}
	return f.Message + ". " + f.Remedy
}

// Stats is what a Report stands on.
type Stats struct {
	Flags    int   `json:"flags"`    // defined
	Files    int   `json:"files"`    // of code that were read
	Bytes    int64 `json:"bytes"`    // of code that were read
	Skipped  int   `json:"skipped"`  // files that are too large, minified or binary
	Errors   int   `json:"errors"`   // findings by severity
	Warnings int   `json:"warnings"` //
	Infos    int   `json:"infos"`
}

// A Report is what was found, by place.
type Report struct {
	Findings []Finding `json:"findings"`
	Stats    Stats     `json:"stats"`
	// Invalid says that definitions could not be read: nothing else was checked.
	Invalid bool `json:"invalid"`
}

// AtLeast reports whether something was found that is as bad as s or worse.
func (r *Report) AtLeast(s Severity) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity >= s })
}

func (r *Report) add(f Finding) {
	f.Severity = severityOf(f.Rule)
	r.Findings = append(r.Findings, f)
}

// finish sorts what was found, drops what two folders found both, and counts.
func (r *Report) finish() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	r.Findings = slices.Compact(r.Findings)
	for _, f := range r.Findings {
		switch f.Severity {
		case Error:
			r.Stats.Errors++
		case Warning:
			r.Stats.Warnings++
		default:
			r.Stats.Infos++
		}
	}
}
