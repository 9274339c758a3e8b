package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/adminclient"
)

func (c *command) flagsExplainCommand() *cobra.Command {
	var f definitionFlags
	var format formatFlag
	var attributes string
	cmd := &cobra.Command{
		Use:   "explain KEY [ID]",
		Short: "Say why somebody has a flag, or has it not",
		Long: `explain says which rule decided about a flag for an ID, which rules were passed
before, and at which percentage the answer flips. It connects to nothing, and the
rules are those of this moment. Of flagd's definitions it tells the answer; which
of their rules gave it is not known here.

Exit code 0 whether the flag is on or off, 1 when there is no such flag.`,
		Example: `  handrail flags explain new-checkout user-7
  handrail flags explain new-checkout user-7 --format json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := format.check(); err != nil {
				return err
			}
			ec, err := evaluationContext(args[1:], attributes)
			if err != nil {
				return err
			}
			set, err := c.definitions(&f)
			if err != nil {
				return err
			}
			e, ok := set.Explain(args[0], ec)
			if !ok {
				return noSuchFlag(args[0])
			}
			if format == formatJSON {
				return c.printJSON(newExplanation(e))
			}
			c.printFlagExplanation(e)
			return nil
		},
	}
	f.add(cmd)
	cmd.ValidArgsFunction = c.completeKey(&f)
	format.add(cmd)
	addContext(cmd, &attributes)
	return cmd
}

func noSuchFlag(key string) error {
	return &exitError{code: exitFailed, err: fmt.Errorf("%s: no flag has this key; 'handrail flags eval --all' shows those there are", adminclient.Printable(key))}
}

// explanation is what explain prints for programs.
type explanation struct {
	Decision evaluation               `json:"decision"`
	On       bool                     `json:"on"`
	ID       string                   `json:"id"`
	At       time.Time                `json:"at"`
	Version  string                   `json:"version"`
	Steps    []flags.Step             `json:"steps"`
	Rollout  *flags.ExplainedRollout  `json:"rollout,omitempty"`
	Variants *flags.ExplainedVariants `json:"variants,omitempty"`
	Owner    string                   `json:"owner,omitempty"`
	Created  string                   `json:"created,omitempty"`
	Expires  string                   `json:"expires,omitempty"`
	OnExpiry flags.OnExpiry           `json:"on_expiry,omitempty"`
	Expired  bool                     `json:"expired"`
}

func newExplanation(e flags.Explanation) explanation {
	out := explanation{
		Decision: newEvaluation(e.Decision), On: e.Decision.On, ID: e.TargetingKey, At: e.At, Version: e.Version,
		Steps: e.Steps, Rollout: e.Rollout, Variants: e.Variants, Owner: e.Definition.Owner, Expired: e.Expired,
		Created: day(e.Definition.Created), Expires: day(e.Definition.Expires),
	}
	if out.Expires != "" {
		out.OnExpiry = e.Definition.OnExpiry
	}
	return out
}

// day is empty where there is none.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// percent is thousandths of a percent for people.
func percent(thousandths int) string {
	return strconv.FormatFloat(float64(thousandths)/1000, 'f', -1, 64) + " %"
}

func (c *command) printFlagExplanation(e flags.Explanation) {
	t := explainer{Explanation: e, id: adminclient.Printable(e.TargetingKey)}
	if e.TargetingKey == "" {
		t.id = "someone without an ID"
	}
	answer := outcome(e.Decision)
	if e.Decision.ErrorCode != "" {
		answer = fmt.Sprintf("%s: %s", e.Decision.ErrorCode, adminclient.Printable(errorDetails(e.Decision)))
	}
	fmt.Fprintf(c.stdout, "%s is %s for %s: %s\n\n", adminclient.Printable(e.Key), onOff(e.Decision.On), t.id, answer)
	for i, step := range e.Steps {
		mark := ""
		if step.Outcome == flags.StepDecided && step.Rule != flags.RuleCustom {
			mark = ". This decides"
		}
		fmt.Fprintf(c.stdout, "%d. %s%s.\n", i+1, t.step(step), mark)
	}
	for _, paragraph := range []string{t.flip(), t.variants(), t.expiry()} {
		if paragraph != "" {
			fmt.Fprintf(c.stdout, "\n%s\n", paragraph)
		}
	}
	if e.Definition.Owner != "" {
		fmt.Fprintf(c.stdout, "\nOwner: %s\n", adminclient.Printable(e.Definition.Owner))
	}
}

// explainer puts an explanation into sentences.
type explainer struct {
	flags.Explanation

	id string // as it is printed
}

func (e explainer) step(s flags.Step) string {
	decided := s.Outcome == flags.StepDecided
	switch s.Rule {
	case flags.RuleEnabled:
		if decided {
			return "The kill switch is off (enabled: false), for everyone"
		}
		return "The kill switch is not in use (enabled: true)"
	case flags.RuleExpiry:
		switch {
		case s.Outcome == flags.StepAbsent:
			return "No expiry changes it"
		case decided:
			return fmt.Sprintf("It ended on %s, and since then is %s (onExpiry)", day(e.Definition.Expires), e.Definition.OnExpiry)
		}
		return fmt.Sprintf("It has not expired: it ends on %s, and is %s then (onExpiry)", day(e.Definition.Expires), e.Definition.OnExpiry)
	case flags.RuleDenyList:
		return e.list("denyList", s.Outcome)
	case flags.RuleAllowList:
		return e.list("allowList", s.Outcome)
	case flags.RuleRollout:
		return e.percentage()
	}
	return "Its rules are those of flagd. They gave this answer; which of them it was is not known here"
}

func (e explainer) list(name string, outcome flags.StepOutcome) string {
	switch outcome {
	case flags.StepAbsent:
		return "There is no " + name
	case flags.StepDecided:
		return fmt.Sprintf("%s is on %s", e.id, name)
	}
	if e.TargetingKey == "" {
		return "Without an ID nobody is on " + name
	}
	return fmt.Sprintf("%s is not on %s", e.id, name)
}

func (e explainer) percentage() string {
	r := e.Rollout
	switch {
	case r.Threshold == 0:
		return "The percentage is 0: it is off for all the rest"
	case r.Threshold == flags.FullRollout:
		return "The percentage is 100: it is on for all the rest"
	case e.TargetingKey == "":
		return fmt.Sprintf("The percentage is %s, which is decided by the ID, and there is none", percent(r.Threshold))
	}
	return fmt.Sprintf("The percentage is %s, so it is on for places below %d; the place of %s is %d of %d (hash %s, salt %s)",
		percent(r.Threshold), r.Threshold, e.id, r.Bucket, flags.FullRollout, r.Hash, strconv.Quote(r.Salt))
}

// flip says at which percentage the answer is another.
func (e explainer) flip() string {
	r := e.Rollout
	switch {
	case r == nil:
		return ""
	case e.TargetingKey == "" && r.Decides:
		return "Without an ID it is on at 100 % only."
	case r.Decides:
		return fmt.Sprintf("%s has it from %s on: that is the smallest rolloutPercentage at which it is on for this ID.", e.id, percent(r.FlipsAt))
	case e.TargetingKey == "":
		return "No percentage changes that."
	}
	return fmt.Sprintf("No percentage changes that. By the percentage alone %s would have it from %s on.", e.id, percent(r.FlipsAt))
}

func (e explainer) variants() string {
	v := e.Variants
	if v == nil {
		return ""
	}
	var b strings.Builder
	if v.Picked != "" {
		fmt.Fprintf(&b, "Where it is on, %s gets the variant %s", e.id, v.Picked)
	} else {
		b.WriteString("Where it is on, the ID picks the variant")
	}
	if v.Place >= 0 {
		fmt.Fprintf(&b, ": place %d of %d (variantSalt %s)", v.Place, v.Total, strconv.Quote(v.Salt))
	}
	b.WriteString(".")
	for _, s := range v.Shares {
		if s.Weight == 0 {
			fmt.Fprintf(&b, "\n  %s: nobody, weight 0", s.Name)
			continue
		}
		fmt.Fprintf(&b, "\n  %s: places %d to %d", s.Name, s.From, s.To-1)
	}
	if v.Off != "" {
		fmt.Fprintf(&b, "\nWhere it is off, the variant %s is the answer.", v.Off)
	} else {
		b.WriteString("\nWhere it is off, it has no value, and the caller's default counts.")
	}
	return b.String()
}

// expiry tells of one that the steps do not tell of.
func (e explainer) expiry() string {
	custom := e.Rollout == nil
	if !e.Expired || !custom && e.Definition.OnExpiry != flags.ExpiryKeep {
		return ""
	}
	effect := "which changes no answer"
	if custom {
		effect = "which changes an answer only where its rules look at the time"
	}
	return fmt.Sprintf("It ended on %s, %s. Its owner should remove it.", day(e.Definition.Expires), effect)
}
