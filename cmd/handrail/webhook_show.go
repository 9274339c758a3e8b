package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
)

// maxMessage is the largest body, 64 MiB, in base64 and with its headers.
const maxMessage = 96 << 20

func (c *command) webhookShowCommand() *cobra.Command {
	var f adminFlags
	var format formatFlag
	var body bool
	cmd := &cobra.Command{
		Use:   "show KEY",
		Short: "Show all that is known of a delivery",
		Long: `show tells all of one delivery. Where its message is kept, which a route in inbox
mode does until it is handled, its headers are shown to whoever has the admin token,
without those that may hold a signature or a credential. --body writes the message's
body instead, byte for byte and nothing else.`,
		Example: `  handrail webhook show stripe/evt_1
  handrail webhook show stripe/evt_1 --body | jq .`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(format.check(), checkKey(args[0])); err != nil {
				return err
			}
			if body && cmd.Flags().Changed("format") {
				return errors.New("--body writes the body as it is: leave --format out")
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			query := "?" + url.Values{"key": {args[0]}}.Encode()
			if body {
				a.client.Bound(maxMessage)
				var m sidecar.WebhookMessage
				if err := a.do("GET", sidecar.WebhookMessagePath+query, nil, &m); err != nil {
					return err
				}
				_, err := c.stdout.Write(m.Body)
				return err
			}
			return c.show(a, query, format)
		},
	}
	f.add(cmd)
	format.add(cmd)
	cmd.Flags().BoolVar(&body, "body", false, "write the kept body to standard output, and nothing else")
	return cmd
}

// shown is what show prints for programs.
type shown struct {
	sidecar.WebhookDelivery
	Message *sidecar.WebhookMessage `json:"message,omitempty"`
}

func (c *command) show(a asker, query string, format formatFlag) error {
	var s shown
	if err := a.do("GET", sidecar.WebhookDeliveryPath+query, nil, &s.WebhookDelivery); err != nil {
		return err
	}
	note := ""
	if s.Kept != nil {
		var m sidecar.WebhookMessage
		err := a.do("GET", sidecar.WebhookMessagePath+query+"&body=false", nil, &m)
		refused, ok := errors.AsType[*adminclient.AnswerError](err)
		switch {
		case err == nil:
			s.Message = &m
		case ok && refused.Code == "token_required":
			note = "not shown without the admin token"
		case ok && refused.Code == "no_message":
			note = "handled meanwhile"
		default:
			return err
		}
	}
	if format == formatJSON {
		return c.printJSON(s)
	}
	c.printShown(&s, note)
	return nil
}

func (c *command) printShown(s *shown, note string) {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			printRow(w, name, value)
		}
	}
	d := &s.WebhookDelivery
	row("key", d.Key)
	row("state", d.State)
	row("store", d.Store)
	row("attempts", strconv.Itoa(d.Attempt))
	row("fence", strconv.FormatInt(d.Fence, 10))
	if d.MaybeProcessed {
		row("maybe processed", "an earlier attempt may have had its effect")
	}
	row("updated", stamp(d.Updated))
	row("claimed until", stamp(d.LeaseUntil))
	row("kept until", stamp(d.Expires))
	if d.AnswerStatus != 0 {
		row("answer", strconv.Itoa(d.AnswerStatus))
	}
	if k := d.Kept; k != nil {
		row("received", stamp(k.Received))
		if d.State == sidecar.StateWaiting {
			row("due", stamp(k.Due))
		}
		row("order", k.Order)
		row("type", k.EventType)
		row("last attempt", lastOf(k))
		row("body", fmt.Sprintf("%d bytes", k.BodyBytes))
		row("headers", note)
	}
	if m := s.Message; m != nil {
		row("sent to", m.Target)
		row("host", m.Host)
		row("from", m.RemoteAddr)
		for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
			for _, value := range m.Headers[name] {
				printRow(w, "header", name+": "+value)
			}
		}
	}
	_ = w.Flush()
}
