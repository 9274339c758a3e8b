package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/adminclient"
)

func (c *command) flagsEvalCommand() *cobra.Command {
	var f definitionFlags
	var format formatFlag
	var attributes string
	var all bool
	cmd := &cobra.Command{
		Use:   "eval KEY [ID] | --all [ID]",
		Short: "Say what a flag answers",
		Long: `eval prints the decision about a flag for a targeting key, as the sidecar would
take it with the same definitions at this moment. It connects to nothing. JSON has
the shape of the OpenFeature Remote Evaluation Protocol.

Exit code 0 whether the flag is on or off, 1 when it cannot be evaluated: there is
no such flag, or it decides by percentage and no ID was given. With --all, flags
that cannot be evaluated say so, and the exit code is 0.`,
		Example: `  handrail flags eval new-checkout user-7
  handrail flags eval new-search user-7 --context '{"plan":"pro"}' --format json
  handrail flags eval --all user-7 --file flags.new.yaml`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := format.check(); err != nil {
				return err
			}
			key := ""
			switch {
			case all && len(args) > 1:
				return errors.New("--all takes an ID and no KEY")
			case !all && len(args) == 0:
				return errors.New("name the KEY of a flag, or --all")
			case !all:
				key, args = args[0], args[1:]
			}
			ec, err := evaluationContext(args, attributes)
			if err != nil {
				return err
			}
			set, err := c.definitions(&f)
			if err != nil {
				return err
			}
			if all {
				return c.printDecisions(set.EvaluateAllContext(ec), format)
			}
			return c.printDecision(set.EvaluateContext(key, ec), format)
		},
	}
	f.add(cmd)
	cmd.ValidArgsFunction = c.completeKey(&f)
	format.add(cmd)
	addContext(cmd, &attributes)
	cmd.Flags().BoolVar(&all, "all", false, "all flags")
	return cmd
}

// evaluation is a decision in the shape of OFREP.
type evaluation struct {
	Key          string          `json:"key"`
	Value        any             `json:"value,omitempty"`
	Reason       flags.Reason    `json:"reason,omitempty"`
	Variant      string          `json:"variant,omitempty"`
	Metadata     map[string]any  `json:"metadata,omitempty"`
	ErrorCode    flags.ErrorCode `json:"errorCode,omitempty"`
	ErrorDetails string          `json:"errorDetails,omitempty"`
}

func newEvaluation(d flags.Decision) evaluation {
	e := evaluation{
		Key: d.Key, Value: d.Value, Reason: d.Reason, Variant: d.Variant, Metadata: d.Metadata,
		ErrorCode: d.ErrorCode, ErrorDetails: d.ErrorDetails,
	}
	if d.ErrorCode != "" {
		e.Reason, e.ErrorDetails = "", errorDetails(d)
	}
	return e
}

// errorDetails say what to do.
func errorDetails(d flags.Decision) string {
	switch {
	case d.ErrorDetails != "":
		return d.ErrorDetails
	case d.ErrorCode == flags.ErrorFlagNotFound:
		return "no flag has this key"
	case d.ErrorCode == flags.ErrorTargetingKeyMissing:
		return "it is decided by the ID, and there is none"
	}
	return ""
}

func (c *command) printDecision(d flags.Decision, format formatFlag) error {
	if format == formatJSON {
		if err := c.printJSON(newEvaluation(d)); err != nil {
			return err
		}
	}
	if d.ErrorCode != "" {
		return &exitError{code: exitFailed, err: fmt.Errorf("%s: %s: %s", adminclient.Printable(d.Key), d.ErrorCode, adminclient.Printable(errorDetails(d)))}
	}
	if format == formatText {
		fmt.Fprintf(c.stdout, "%s is %s: %s\n", adminclient.Printable(d.Key), onOff(d.On), outcome(d))
	}
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// outcome is what a decision answers, and why.
func outcome(d flags.Decision) string {
	if d.Value == nil {
		return fmt.Sprintf("no value, so the caller's default counts, reason %s", d.Reason)
	}
	return fmt.Sprintf("value %s, variant %s, reason %s", valueText(d.Value), adminclient.Printable(d.Variant), d.Reason)
}

func valueText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%T", value)
	}
	return adminclient.Printable(string(text))
}

func (c *command) printDecisions(all []flags.Decision, format formatFlag) error {
	if format == formatJSON {
		out := struct {
			Flags []evaluation `json:"flags"`
		}{make([]evaluation, len(all))}
		for i, d := range all {
			out.Flags[i] = newEvaluation(d)
		}
		return c.printJSON(out)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tON\tVARIANT\tVALUE\tREASON")
	for _, d := range all {
		value, reason := "-", string(d.Reason)
		if d.Value != nil {
			value = valueText(d.Value)
		}
		if d.ErrorCode != "" {
			reason += ": " + string(d.ErrorCode)
		}
		variant := d.Variant
		if variant == "" {
			variant = "-"
		}
		printRow(w, d.Key, onOff(d.On), variant, value, reason)
	}
	return w.Flush()
}
