package flaglint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// definitionProblems reports what is wrong with the files themselves.
func (r *Report) definitionProblems(all []*Definitions) {
	for _, d := range all {
		for _, p := range d.Errors {
			r.Invalid = true
			r.add(Finding{Rule: RuleInvalid, File: d.File, Line: p.Line, Column: p.Column, Message: p.Message,
				Remedy: "Correct the definition; until then the whole file is refused."})
		}
		for _, p := range d.Warnings {
			r.add(Finding{Rule: RuleDoubtful, File: d.File, Line: p.Line, Column: p.Column, Message: p.Message,
				Remedy: "Say what is meant, or drop the setting."})
		}
	}
}

func flagFinding(rule string, d *Definitions, f *Flag, message, remedy string) Finding {
	message = fmt.Sprintf("%q %s", f.Key, message)
	if f.Owner != "" {
		message += "; owner: " + f.Owner
	}
	return Finding{Rule: rule, File: d.File, Line: f.Line, Column: f.Column, Key: f.Key, Message: message, Remedy: remedy}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// dates reports what the dates of a flag say. It reports whether the flag has
// expired.
func (r *Report) dates(d *Definitions, f *Flag, c *Config) (expired bool) {
	switch {
	case f.expired(c.Now):
		message := "expired on " + day(f.Expires)
		if f.AtExpiry != "" {
			message += " and " + f.AtExpiry
		}
		r.add(flagFinding(RuleExpired, d, f, message, "Remove the flag and the code that it no longer decides about, or give it a later day."))
		expired = true
	case !f.Expires.IsZero() && f.Expires.AddDate(0, 0, 1).Sub(c.Now) <= c.ExpiresWithin:
		r.add(flagFinding(RuleExpiresSoon, d, f, "expires on "+day(f.Expires), "Plan the removal of the flag, or give it a later day."))
	}
	if f.Created.After(c.Now) {
		r.add(flagFinding(RuleCreatedFuture, d, f, "is said to be created on "+day(f.Created)+", which is yet to come", "Correct the date."))
	}
	return expired
}

// stale reports the flags of a file that have been settled for long.
func (r *Report) stale(ctx context.Context, d *Definitions, settled []*Flag, c *Config) {
	if len(settled) == 0 {
		return
	}
	var lines []Lines
	for _, f := range settled {
		lines = append(lines, f.Deciding...)
	}
	changes, err := blame(ctx, d.File, lines, c.Now)
	limit, because := c.Now.Add(-c.StaleAfter), unexpected(err)
	const remedy = "Keep what it gives in the code and remove the flag, or silence this with the comment handrail:ignore."
	for _, f := range settled {
		since, ok := newest(f.Deciding, changes)
		switch {
		case err == nil && ok && !since.at.After(limit):
			words := " since " + day(since.at)
			if since.before {
				words += " or longer"
			}
			r.add(flagFinding(RuleStale, d, f, f.Settled+words, remedy))
		case err == nil && ok && !since.before:
		case !f.Created.IsZero() && f.Created.After(limit):
		case err == nil && ok:
			r.add(flagFinding(RuleAgeUnknown, d, f, f.Settled+"; since when is not known, as the history here ends on "+day(since.at),
				"Fetch the whole history, for instance with fetch-depth: 0."))
		case !f.Created.IsZero():
			r.add(flagFinding(RuleStale, d, f, f.Settled+", and was created on "+day(f.Created)+" (no history tells since when"+because+")", remedy))
		default:
			r.add(flagFinding(RuleAgeUnknown, d, f, f.Settled+"; since when is not known"+because, "Give it the day on which it was created, or run this where git has the history of the file."))
		}
	}
}

// unexpected is why git did not tell of a file, where it could be thought that it
// does: in a work tree that belongs to somebody else, or within the time.
func unexpected(err error) string {
	if err == nil || errors.Is(err, errNoGit) {
		return ""
	}
	for _, usual := range []string{"not a git repository", "no such path", "no such ref: HEAD"} {
		if strings.Contains(err.Error(), usual) {
			return ""
		}
	}
	return ": " + err.Error()
}

// newest is the last change of the lines. ok is false when one is not known.
func newest(ranges []Lines, changes map[int]change) (last change, ok bool) {
	for _, lines := range ranges {
		for line := lines.First; line <= lines.Last; line++ {
			c, known := changes[line]
			if !known {
				return change{}, false
			}
			if c.at.After(last.at) {
				last = c
			}
		}
	}
	return last, len(ranges) > 0
}

// requests reports the keys that code asks for and nobody defined.
func (r *Report) requests(all []*seen, defined map[string]int, where string) (computed int) {
	known := make([]string, 0, len(defined))
	for key := range defined {
		known = append(known, key)
	}
	slices.Sort(known)
	values := constants{}
	for _, s := range all {
		for k, v := range s.constants {
			values.add(k, v)
		}
	}
	for _, s := range all {
		for _, q := range s.requests {
			named := ""
			if value, ok := values.value(q.family, q.constant); q.computed && ok {
				if _, ok := defined[value]; ok {
					continue
				}
				q.computed, q.key, named = false, value, " (the constant "+q.constant+")"
			}
			f := Finding{Rule: RuleUndefined, File: q.file, Line: q.line, Column: q.column}
			switch {
			case q.computed:
				computed++
				f.Rule = RuleComputed
				f.Message = "the key in " + q.function + " is computed: it cannot be checked"
				f.Remedy = "Write the key as it is where that is possible."
			default:
				f.Key = shortened(q.key)
				f.Message = fmt.Sprintf("%q%s is not defined in %s", f.Key, named, where)
				f.Remedy = remedyFor(q.key, known)
			}
			if !q.ignored {
				r.add(f)
			}
		}
	}
	return computed
}

func remedyFor(key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("Did you mean %q? Otherwise define the flag, or remove the code.", near)
	}
	return "Define the flag, or remove the code that asks for it."
}

// unused reports what no code asks for.
func (r *Report) unused(d *Definitions, used map[string]bool, computed int) {
	for i := range d.Flags {
		f := &d.Flags[i]
		if used[f.Key] || f.Ignored {
			continue
		}
		remedy := "Remove the definition."
		if computed > 0 {
			remedy = fmt.Sprintf("Remove the definition, unless a computed key is meant for it, of which there are %d.", computed)
		}
		r.add(flagFinding(RuleUnused, d, f, "is used nowhere in the code", remedy))
	}
}

// shortened keeps what code holds from filling a report.
func shortened(key string) string {
	if len(key) > maxKeyBytes {
		return strings.ToValidUTF8(key[:maxKeyBytes], "") + "…"
	}
	return strings.ToValidUTF8(key, "\uFFFD")
}

// nearest is the known key that was probably meant, "" for none.
func nearest(key string, known []string) string {
	if len(key) > 64 || len(key) < 3 {
		return ""
	}
	best, distance := "", 3
	for _, k := range known {
		if d := len(k) - len(key); d > 2 || d < -2 {
			continue
		}
		if n := edits(key, k); n < distance {
			best, distance = k, n
		}
	}
	return best
}

// edits is how many characters have to be changed, added or removed to make one
// word of the other.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			same := before
			if a[i] != b[j] {
				same++
			}
			before = row[j+1]
			row[j+1] = min(same, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
