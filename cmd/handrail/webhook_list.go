package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
)

const (
	maxListed = 10_000
	// maxPages bounds the questions of one command, whatever answers them.
	maxPages = 10_000
	// maxStores is more than a sidecar has.
	maxStores = 16
)

var webhookStates = []string{"dead", "waiting", "retry", "claimed", "done"}

func (c *command) webhookListCommand() *cobra.Command {
	var f adminFlags
	var format formatFlag
	var route, state string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List deliveries, and what waits to be delivered",
		Long: `list shows deliveries by store and key: those of all instances that share the
store. A dead one is not attempted any more; a waiting one has its message kept and
is attempted by the sidecar; one to retry has none, and waits for its provider; of
a claimed one an attempt is under way. A line for each route with kept messages
tells how many wait. Stores that do not answer are named, and the exit code is 1.`,
		Example: `  handrail webhook list
  handrail webhook list --route stripe --state dead --limit 1000
  handrail webhook list --state waiting --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case format.check() != nil:
				return format.check()
			case state != "" && !slices.Contains(webhookStates, state):
				return fmt.Errorf("--state must be one of %s", strings.Join(webhookStates, ", "))
			case limit < 1 || limit > maxListed:
				return fmt.Errorf("--limit must be 1 to %d", maxListed)
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			list, err := a.deliveries(route, state, limit)
			if err != nil {
				return err
			}
			if format == formatJSON {
				err = c.printJSON(list)
			} else {
				c.printDeliveries(list)
			}
			return errors.Join(err, storeErrors(list.Errors))
		},
	}
	f.add(cmd)
	format.add(cmd)
	cmd.Flags().StringVar(&route, "route", "", "only those of the route of this `name`")
	cmd.Flags().StringVar(&state, "state", "", "only those in this `state`: "+strings.Join(webhookStates, ", "))
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

// deliveryList is what list prints for programs.
type deliveryList struct {
	Deliveries []sidecar.WebhookDelivery `json:"deliveries"`
	More       bool                      `json:"more"` // there may be more
	Backlog    []sidecar.WebhookBacklog  `json:"backlog"`
	Errors     []sidecar.StoreError      `json:"errors"`
}

// deliveries asks for pages until limit deliveries have come, or all.
func (a asker) deliveries(route, state string, limit int) (deliveryList, error) {
	all := deliveryList{Deliveries: []sidecar.WebhookDelivery{}, Backlog: []sidecar.WebhookBacklog{}, Errors: []sidecar.StoreError{}}
	after := ""
	for range maxPages {
		q := url.Values{"limit": {strconv.Itoa(min(limit-len(all.Deliveries), sidecar.WebhookPageLimit))}}
		for name, value := range map[string]string{"route": route, "state": state, "after": after} {
			if value != "" {
				q.Set(name, value)
			}
		}
		var page sidecar.Webhooks
		if err := a.do("GET", sidecar.WebhooksPath+"?"+q.Encode(), nil, &page); err != nil {
			return all, err
		}
		if after == "" {
			all.Backlog = append(all.Backlog, page.Backlog...)
		}
		all.Errors = addErrors(all.Errors, page.Errors)
		all.Deliveries = append(all.Deliveries, page.Deliveries...)
		all.More = page.After != "" || len(all.Deliveries) > limit
		if len(all.Deliveries) >= limit || page.After == "" {
			all.Deliveries = all.Deliveries[:min(limit, len(all.Deliveries))]
			return all, nil
		}
		if after == page.After {
			break
		}
		after = page.After
	}
	return all, endless()
}

func endless() error {
	return &exitError{code: exitFailed, err: errors.New("the answers of the sidecar come to no end")}
}

// addErrors keeps one error of each store.
func addErrors(all, more []sidecar.StoreError) []sidecar.StoreError {
	for _, e := range more {
		known := slices.ContainsFunc(all, func(k sidecar.StoreError) bool { return k.Store == e.Store })
		if !known && len(all) < maxStores {
			all = append(all, e)
		}
	}
	return all
}

// storeErrors are those of an answer that tells less than it should.
func storeErrors(list []sidecar.StoreError) error {
	if len(list) == 0 {
		return nil
	}
	var text []string
	for _, e := range list {
		text = append(text, adminclient.Printable(e.Store)+": "+adminclient.Printable(e.Error))
	}
	return &exitError{code: exitFailed, err: fmt.Errorf("not every store did what it was asked: %s", strings.Join(text, "; "))}
}

func (c *command) printDeliveries(l deliveryList) {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	if len(l.Deliveries) == 0 {
		fmt.Fprintln(c.stdout, "no deliveries")
	} else {
		fmt.Fprintln(w, "STATE\tKEY\tSTORE\tATTEMPTS\tUPDATED\tDUE\tLAST")
	}
	for i := range l.Deliveries {
		d := &l.Deliveries[i]
		due, last := "", ""
		if d.Kept != nil {
			last = lastOf(d.Kept)
			if d.State == sidecar.StateWaiting {
				due = stamp(d.Kept.Due)
			}
		}
		printRow(w, d.State, d.Key, d.Store, strconv.Itoa(d.Attempt), stamp(d.Updated), due, last)
	}
	_ = w.Flush()
	if l.More {
		fmt.Fprintln(c.stdout, "there may be more: raise --limit, or narrow the list by --route and --state")
	}
	for _, b := range l.Backlog {
		fmt.Fprintf(c.stdout, "backlog of %s in %s: %d waiting", adminclient.Printable(b.Route), adminclient.Printable(b.Store), b.Waiting)
		if b.Waiting > 0 {
			fmt.Fprintf(c.stdout, ", the oldest for %s", seconds(b.OldestSeconds))
		}
		fmt.Fprintf(c.stdout, "; %d dead\n", b.Dead)
	}
}

// lastOf is how the last attempt ended, if one did.
func lastOf(k *sidecar.WebhookKept) string {
	status := ""
	if k.LastStatus != 0 {
		status = strconv.Itoa(k.LastStatus)
	}
	return strings.TrimSpace(status + " " + k.LastReason)
}

// stamp is a time in a cell; empty when it is not known.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// seconds is a duration as people read it.
func seconds(s float64) string {
	const most = 1 << 33 // a hostile answer's would be no duration
	return short(time.Duration(min(max(s, 0), most) * float64(time.Second)).Round(time.Second).String())
}
