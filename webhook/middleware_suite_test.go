package webhook_test

import (
	"net/http"
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func TestTheMiddlewarePassesItsSuite(t *testing.T) {
	webhooktest.RunMiddleware(t, func(t *testing.T, cfg webhook.Config) func(http.Handler) http.Handler {
		m, err := webhook.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return m.Wrap
	})
}
