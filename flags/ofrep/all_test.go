package ofrep_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/ofrep"
)

// slow is a Handler on twenty flags that evaluate decides.
func slow(t *testing.T, evaluate func()) *ofrep.Handler {
	t.Helper()
	parse := func(string, []byte) (*flags.Set, error) {
		list := make([]flags.Custom, 20)
		for i := range list {
			list[i] = flags.Custom{
				Definition: flags.Definition{Key: fmt.Sprintf("f%02d", i)},
				Evaluate: func(flags.EvaluationContext, int64) flags.Decision {
					evaluate()
					return flags.Decision{Reason: flags.ReasonDefault}
				},
			}
		}
		return flags.NewSet("v1", nil, list)
	}
	c, err := flags.New(t.Context(), flags.Config{Source: flags.Static("x", []byte("x")), Parse: parse})
	if err != nil {
		t.Fatal(err)
	}
	h, err := ofrep.New(ofrep.Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAllFlagsHaveOneBudgetOfTime(t *testing.T) {
	for _, tc := range []struct {
		rule            string
		each            time.Duration
		evaluated, code int
	}{
		{"quick ones are all answered", 12 * time.Millisecond, 20, 200},
		{"slow ones end the answer", 50 * time.Millisecond, 5, 503},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				h := slow(t, func() { n++; time.Sleep(tc.each) })
				w := post(h, "", user("alice"))
				if n != tc.evaluated || w.Code != tc.code {
					t.Errorf("%d evaluated, answered %d %s", n, w.Code, w.Body)
				}
				if tc.code == 503 && (w.Header().Get("Retry-After") != "1" || w.Header().Get("ETag") != "") {
					t.Errorf("got %v", w.Header())
				}
			})
		})
	}
}

func TestNothingIsEvaluatedForWhoHungUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	h := slow(t, func() {
		if n++; n == 3 {
			cancel()
		}
	})
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, ofrep.Path, strings.NewReader(user("alice")))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if n != 3 || w.Code != 503 {
		t.Errorf("%d evaluated, answered %d", n, w.Code)
	}
}
