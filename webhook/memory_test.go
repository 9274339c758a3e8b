package webhook_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var request = webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour}

func settleDone(t testing.TB, s webhook.Store, key string, a *webhook.Answer) {
	t.Helper()
	c, err := s.Claim(t.Context(), key, request)
	if err != nil || c.Status != webhook.Claimed {
		t.Fatalf("Claim(%q) = %+v, %v", key, c, err)
	}
	if err := s.Complete(t.Context(), key, c.Fence, a); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryIsBoundedAndForgetsNothingEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := webhook.NewMemory(webhook.MemoryConfig{MaxDeliveries: 3})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			settleDone(t, m, fmt.Sprint(i), nil)
			time.Sleep(time.Minute)
		}
		if _, err := m.Claim(t.Context(), "new", request); !errors.Is(err, webhook.ErrStoreFull) {
			t.Errorf("error %v, want ErrStoreFull", err)
		}
		for i := range 3 {
			if c, err := m.Claim(t.Context(), fmt.Sprint(i), request); err != nil || c.Status != webhook.Done {
				t.Errorf("key %d: %+v, %v; want done", i, c, err)
			}
		}
		time.Sleep(58 * time.Minute) // an hour after the first, exactly after the second
		for _, key := range []string{"new", "newer"} {
			if c, err := m.Claim(t.Context(), key, request); err != nil || c.Status != webhook.Claimed {
				t.Errorf("%s: %+v, %v; want claimed", key, c, err)
			}
		}
		if _, err := m.Claim(t.Context(), "newest", request); !errors.Is(err, webhook.ErrStoreFull) {
			t.Errorf("error %v, want ErrStoreFull", err)
		}
		if c, err := m.Claim(t.Context(), "2", request); err != nil || c.Status != webhook.Done {
			t.Errorf("the third: %+v, %v; want done", c, err)
		}
	})
}

func TestMemoryBoundsTheAnswersItKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := webhook.NewMemory(webhook.MemoryConfig{MaxAnswerBytes: 10})
		if err != nil {
			t.Fatal(err)
		}
		kept := func(key string) bool {
			r, err := m.Lookup(t.Context(), key)
			if err != nil || r.State != webhook.StateDone {
				t.Errorf("%s: %+v, %v; want done", key, r, err)
			}
			return r.Answer != nil
		}
		answer := &webhook.Answer{Status: 200, Body: make([]byte, 6)}
		settleDone(t, m, "a", answer)
		settleDone(t, m, "b", answer)
		if !kept("a") || kept("b") {
			t.Errorf("kept: a %t, b %t; want a alone", kept("a"), kept("b"))
		}
		time.Sleep(2 * time.Hour)
		settleDone(t, m, "a", nil) // which forgets what a was
		settleDone(t, m, "c", answer)
		if !kept("c") {
			t.Error("what was forgotten made no room")
		}
		answer.Body[0] = 'x'
		if r, err := m.Lookup(t.Context(), "c"); err != nil || r.Answer.Body[0] != 0 {
			t.Errorf("the caller's slice is the store's: %v", err)
		}
	})
}

func TestMemoryConfig(t *testing.T) {
	m, err := webhook.NewMemory(webhook.MemoryConfig{MaxDeliveries: -1, MaxAnswerBytes: -1})
	if m != nil || err == nil {
		t.Fatalf("NewMemory = %v, %v", m, err)
	}
	if got := fieldsOf(t, err); !slices.Equal(got, []string{"MaxDeliveries", "MaxAnswerBytes"}) {
		t.Errorf("problems in %v", got)
	}
}
