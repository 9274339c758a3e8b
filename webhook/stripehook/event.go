package stripehook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stripe/stripe-go/v79"

	"github.com/handrail-go/handrail/webhook"
)

// APIVersion is the version of Stripe's API that stripe-go's types are made
// for. An event of another one, see [webhook.Event], still decodes; fields
// that were added, renamed or removed in between may be missing.
const APIVersion = stripe.APIVersion

// ErrNoDelivery is returned by [EventFrom] outside of a webhook.Middleware for
// Stripe.
var ErrNoDelivery = errors.New("stripehook: no stripe delivery in context")

// EventFrom decodes the event that the request with this context delivers.
// Each call decodes anew.
//
// Errors: [ErrNoDelivery], or an error of encoding/json, which may quote a
// character of the body, when the signed body is not an event.
func EventFrom(ctx context.Context) (stripe.Event, error) {
	var e stripe.Event
	d, ok := webhook.DeliveryFrom(ctx)
	if !ok || d.Provider != Name {
		return e, ErrNoDelivery
	}
	if err := json.Unmarshal(d.Body, &e); err != nil {
		return e, fmt.Errorf("stripehook: decoding the event: %w", err)
	}
	return e, nil
}
