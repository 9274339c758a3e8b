package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
)

// outcomes is what replay and purge say of a delivery, in this order.
var outcomes = []struct{ outcome, text string }{
	{sidecar.OutcomeDue, "delivered again: the message is kept"},
	{sidecar.OutcomeAwaitsProvider, "to retry: no message is kept, so the next copy that the provider sends is attempted"},
	{sidecar.OutcomeNoRoute, "not delivered yet: the message is kept, but its route has not mode inbox, or another store"},
	{sidecar.OutcomeDeleted, "deleted: the message is gone, and copies of the event are not handled"},
	{sidecar.OutcomeStopped, "stopped: copies of the event are not handled; no message was kept"},
	{sidecar.OutcomeNothingKept, "unchanged: it is dead, and nothing is kept of it"},
}

// A selection is which deliveries replay and purge are about.
type selection struct {
	route string
	dead  bool
}

func (s *selection) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.route, "route", "", "those of the route of this `name`, with --dead")
	cmd.Flags().BoolVar(&s.dead, "dead", false, "all that are dead, with --route")
}

// check reports a selection that is none. narrowed is the name of a flag that
// only goes with a route; empty when it was not given.
func (s *selection) check(keys []string, narrowed string) error {
	switch {
	case len(keys) > 0 && (s.route != "" || s.dead || narrowed != ""):
		return errors.New("give keys, or --route and --dead, not both")
	case len(keys) > 0:
		var err error
		for _, key := range keys {
			err = errors.Join(err, checkKey(key))
		}
		return err
	case s.route == "" && (s.dead || narrowed != ""):
		return errors.New("say whose by --route NAME")
	case s.route == "":
		return errors.New("give keys, or --route NAME --dead")
	case !s.dead:
		return errors.New("--route needs --dead: those that are not dead are named by their keys")
	}
	return nil
}

func (c *command) webhookReplayCommand() *cobra.Command {
	var f adminFlags
	var of selection
	var limit int
	cmd := &cobra.Command{
		Use:   "replay KEY... | --route NAME --dead [--limit N]",
		Short: "Have dead deliveries attempted again",
		Long: `replay revives dead deliveries: their attempts are counted anew, and the app is
told that an earlier one may have had its effect. Where the message is kept it is
delivered again at once; that of a waiting one as well, when it is named by its key.
Where none is, which is so in sync mode, the next copy that the provider sends is
attempted: ask the provider to send it again.`,
		Example: `  handrail webhook replay stripe/evt_1 stripe/evt_2
  handrail webhook replay --route stripe --dead
  handrail webhook replay --route stripe --dead --limit 10`,
		RunE: func(cmd *cobra.Command, keys []string) error {
			narrowed := ""
			if cmd.Flags().Changed("limit") {
				if narrowed = "limit"; limit < 1 {
					return errors.New("--limit must be 1 or more")
				}
			}
			if err := of.check(keys, narrowed); err != nil {
				return err
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			if of.route == "" {
				return c.changeKeys(a, sidecar.WebhookReplayPath, keys, func(key string) any { return sidecar.WebhookReplay{Key: key} })
			}
			if limit == 0 {
				limit = math.MaxInt
			}
			return c.changeRoute(a, sidecar.WebhookReplayPath, limit, func(after string, left int) any {
				return sidecar.WebhookReplay{Route: of.route, State: "dead", Limit: min(left, sidecar.WebhookPageLimit), After: after}
			})
		},
	}
	f.add(cmd)
	of.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 0, "how many of the route at most (default all)")
	return cmd
}

func (c *command) webhookPurgeCommand() *cobra.Command {
	var f adminFlags
	var of selection
	var older string
	cmd := &cobra.Command{
		Use:   "purge KEY... | --route NAME --dead [--older-than DURATION]",
		Short: "Delete what is kept of dead deliveries",
		Long: `purge deletes the messages that are kept of dead deliveries, and asks nothing. The
deliveries stay dead until their retention ends: a purge never makes an event new.
One that waits, or is to be retried, is purged when it is named by its key: it is
dead then, and neither it nor copies of it are handled.`,
		Example: `  handrail webhook purge stripe/evt_1
  handrail webhook purge --route stripe --dead --older-than 72h`,
		RunE: func(cmd *cobra.Command, keys []string) error {
			narrowed := ""
			if cmd.Flags().Changed("older-than") {
				narrowed = "older-than"
			}
			if err := errors.Join(of.check(keys, narrowed), checkAge(older)); err != nil {
				return err
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			if of.route == "" {
				return c.changeKeys(a, sidecar.WebhookPurgePath, keys, func(key string) any { return sidecar.WebhookPurge{Key: key} })
			}
			return c.changeRoute(a, sidecar.WebhookPurgePath, math.MaxInt, func(after string, _ int) any {
				return sidecar.WebhookPurge{Route: of.route, State: "dead", OlderThan: older, After: after}
			})
		},
	}
	f.add(cmd)
	of.add(cmd)
	cmd.Flags().StringVar(&older, "older-than", "", "only those that are dead for this `duration`, such as 72h")
	return cmd
}

// checkAge reports what is no duration. Empty is none.
func checkAge(text string) error {
	if text == "" {
		return nil
	}
	if d, err := time.ParseDuration(text); err != nil || d < 0 {
		return fmt.Errorf("--older-than %q is no duration: write it as 72h", text)
	}
	return nil
}

// changeKeys makes one change after the other, whatever became of those before.
func (c *command) changeKeys(a asker, path string, keys []string, in func(key string) any) error {
	failed := false
	for _, key := range keys {
		var out sidecar.WebhooksChanged
		if err := a.do("POST", path, in(key), &out); err != nil {
			failed = true
			fmt.Fprintf(c.stderr, "handrail: %s: %v\n", adminclient.Printable(key), err)
			if _, answered := errors.AsType[*adminclient.AnswerError](err); !answered {
				break // nor will the next one be
			}
		}
		c.printOutcomes(out.Deliveries)
	}
	if failed {
		return &exitError{code: exitFailed}
	}
	return nil
}

// changeRoute changes those of a route, as many at a time as one answer tells.
func (c *command) changeRoute(a asker, path string, limit int, in func(after string, left int) any) error {
	var failed []sidecar.StoreError
	after, changed := "", 0
	for range maxPages {
		var out sidecar.WebhooksChanged
		if err := a.do("POST", path, in(after, limit-changed), &out); err != nil {
			if changed > 0 {
				fmt.Fprintf(c.stdout, "%d before that\n", changed)
			}
			return err
		}
		c.printOutcomes(out.Deliveries)
		changed += len(out.Deliveries)
		failed = addErrors(failed, out.Errors)
		if out.After == "" || changed >= limit {
			fmt.Fprintf(c.stdout, "%d in all\n", changed)
			return storeErrors(failed)
		}
		if after == out.After {
			break
		}
		after = out.After
	}
	return endless()
}

func (c *command) printOutcomes(list []sidecar.WebhookOutcome) {
	for _, d := range list {
		text := adminclient.Printable(d.Outcome)
		for _, o := range outcomes {
			if o.outcome == d.Outcome {
				text = o.text
			}
		}
		fmt.Fprintf(c.stdout, "%s: %s\n", adminclient.Printable(d.Key), text)
	}
}
