package openfeature

import (
	"slices"
	"strings"

	"github.com/handrail-go/handrail/flags"
	of "github.com/open-feature/go-sdk/openfeature"
)

// maxMessageBytes bounds the text of an event: a file may hold a thousand
// mistakes.
const maxMessageBytes = 1024

// EventChannel is where the SDK reads events. It is never closed.
func (p *Provider) EventChannel() <-chan of.Event { return p.events }

// told is what the SDK was told.
type told struct {
	set   *flags.Set
	state state
}

// state is one of the provider's, and why.
type state struct {
	event of.EventType
	code  of.ErrorCode
	why   string
}

var ready = state{event: of.ProviderReady}

// state is the one that n makes.
func (n *news) state() state {
	switch {
	case n.broken != nil:
		return state{of.ProviderError, of.GeneralCode, shorten(n.broken.Error())}
	case !n.ready && n.err == nil:
		return state{of.ProviderError, of.ProviderNotReadyCode, "no definitions have been loaded yet"}
	case !n.ready:
		return state{of.ProviderError, of.ProviderNotReadyCode, shorten(n.err.Error())}
	case n.err != nil:
		return state{of.ProviderStale, "", shorten(n.err.Error())}
	}
	return ready
}

// of returns the events that bring the SDK from t to n, and takes them for told.
// A change of the configuration means ready to the SDK, so that what is not
// ready comes after it.
func (t *told) of(n news) []of.Event {
	next := n.state()
	var events []of.Event
	add := func(kind of.EventType, details of.ProviderEventDetails) {
		details.EventMetadata = map[string]any{"version": n.set.Version()}
		events = append(events, of.Event{ProviderName: providerName, EventType: kind, ProviderEventDetails: details})
	}
	if next == ready && t.state != ready {
		add(of.ProviderReady, of.ProviderEventDetails{Message: "the newest definitions answer"})
		t.state = ready
	}
	if added, changed, removed := n.set.Diff(t.set); len(added)+len(changed)+len(removed) > 0 {
		keys := slices.Concat(added, changed, removed)
		slices.Sort(keys)
		add(of.ProviderConfigChange, of.ProviderEventDetails{Message: "other definitions answer", FlagChanges: keys})
		t.state = ready
	}
	if next != t.state {
		add(next.event, of.ProviderEventDetails{Message: next.why, ErrorCode: next.code})
	}
	t.set, t.state = n.set, next
	return events
}

// shorten cuts the text of an error that names many mistakes.
func shorten(text string) string {
	if len(text) <= maxMessageBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessageBytes], "") + "…"
}
