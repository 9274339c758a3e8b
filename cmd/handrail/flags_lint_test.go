package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseDays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, text string
		want       time.Duration
		ok         bool
	}{
		{"days", "30d", 30 * 24 * time.Hour, true},
		{"as Go writes it", "36h", 36 * time.Hour, true},
		{"nothing", "0", 0, true},
		{"a hundred years", "36500d", 36_500 * 24 * time.Hour, true},
		{"more is none", "36501d", 0, false},
		{"what overflows is none", "9999999999999d", 0, false},
		{"parts of days", "1.5d", 0, false},
		{"below 0", "-1d", 0, false},
		{"a number alone", "30", 0, false},
		{"a unit alone", "d", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			if got, ok := parseDays(tt.text); ok != tt.ok || ok && got != tt.want {
				t.Errorf("got %v, %t", got, ok)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := progressOn(&b) // no terminal
		time.Sleep(2 * time.Second)
		p.tell(1, 2)
		p.clear()
		if b.Len() > 0 {
			t.Errorf("what is no terminal gets %q", b.String())
		}
		p = progressOn(nil)
		p.w = &b
		p.tell(1, 2)
		p.clear()
		if b.Len() > 0 {
			t.Errorf("within a second it tells %q", b.String())
		}
		time.Sleep(2 * time.Second)
		p.tell(3, 4)
		p.tell(4, 4)
		p.clear()
		if got, want := b.String(), "\r3 of 4 files\r\x1b[K"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
