package envcheck

import (
	"encoding/json"
	"fmt"
	"io"
)

// Report is what [Schema.Check] found. It holds no values.
type Report struct {
	Schema      string // the schema's name, as given to ParseSchema
	Environment string // what @required=forEnv(…) was compared with
	Variables   int    // how many variables were checked
	Problems    []*Problem
	Warnings    []*Problem
}

// OK reports whether the environment may be used. Warnings do not count.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// Err is nil or an *Error with all problems.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	return &Error{Problems: r.Problems}
}

// WriteText writes one line a problem and a summary.
func (r *Report) WriteText(w io.Writer) error {
	for _, p := range r.Problems {
		if _, err := fmt.Fprintln(w, p.Error()); err != nil {
			return err
		}
	}
	for _, p := range r.Warnings {
		if _, err := fmt.Fprintln(w, "warning:", p.Error()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s: %s checked for %s, %s, %s\n", r.Schema, count(r.Variables, "variable"),
		r.Environment, count(len(r.Problems), "problem"), count(len(r.Warnings), "warning"))
	return err
}

// MarshalJSON writes
//
//	{"ok":false,"schema":".env.schema","environment":"production","variables":2,
//	 "problems":[{"variable":"DATABASE_URL","kind":"missing","rule":"required","expected":"a URL",
//	              "length":"unset","file":".env.schema","line":5,"hint":"…"}],"warnings":[]}
func (r *Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		OK          bool       `json:"ok"`
		Schema      string     `json:"schema"`
		Environment string     `json:"environment"`
		Variables   int        `json:"variables"`
		Problems    []*Problem `json:"problems"`
		Warnings    []*Problem `json:"warnings"`
	}{r.OK(), r.Schema, r.Environment, r.Variables, orEmpty(r.Problems), orEmpty(r.Warnings)})
}

// orEmpty makes an absent list [] in JSON, not null.
func orEmpty(list []*Problem) []*Problem {
	if list == nil {
		return []*Problem{}
	}
	return list
}
