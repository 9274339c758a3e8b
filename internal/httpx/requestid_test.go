package httpx_test

import (
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

// RFC 9562 sections 4 and 5.7: version 7, variant 10, lower case.
var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func millis(t *testing.T, id string) int64 {
	t.Helper()
	ms, err := strconv.ParseInt(strings.ReplaceAll(id, "-", "")[:12], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

func TestNewRequestIDIsAUUIDVersion7(t *testing.T) {
	var ones, zeroes [32]uint8
	for j := range zeroes {
		zeroes[j] = 0xf
	}
	for range 10_000 {
		id := httpx.NewRequestID(time.Now())
		if !uuid7.MatchString(id) {
			t.Fatalf("%s is no UUIDv7", id)
		}
		for j, c := range strings.ReplaceAll(id, "-", "") {
			v, _ := strconv.ParseUint(string(c), 16, 8)
			ones[j] |= uint8(v)
			zeroes[j] &= uint8(v)
		}
	}
	for j := 13; j < 32; j++ { // every random bit takes both values
		wantOnes, wantZeroes := uint8(0xf), uint8(0)
		if j == 16 {
			wantOnes, wantZeroes = 0xb, 0x8
		}
		if ones[j] != wantOnes || zeroes[j] != wantZeroes {
			t.Errorf("digit %d: bits ever set %04b, always set %04b", j, ones[j], zeroes[j])
		}
	}
}

func TestNewRequestIDCarriesTheMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := ""
		for range 100 {
			id := httpx.NewRequestID(time.Now())
			if got, want := millis(t, id), time.Now().UnixMilli(); got != want {
				t.Fatalf("%s carries %d ms, want %d", id, got, want)
			}
			if id <= last {
				t.Fatalf("%s does not sort after %s of an earlier millisecond", id, last)
			}
			last = id
			time.Sleep(time.Millisecond) // the bubble's clock
		}
	})
}

func TestNewRequestIDIsUniqueAcrossGoroutines(t *testing.T) {
	const workers, each = 8, 5_000
	var mu sync.Mutex
	all := make(map[string]bool, workers*each)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			ids := make([]string, each)
			for i := range ids {
				ids[i] = httpx.NewRequestID(time.Now())
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				all[id] = true
			}
		})
	}
	wg.Wait()
	if len(all) != workers*each {
		t.Errorf("%d different ids of %d", len(all), workers*each)
	}
}

func TestNewRequestIDAllocatesItsTextAlone(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector allocates as well")
	}
	if n := testing.AllocsPerRun(1000, func() { sink = httpx.NewRequestID(time.Now()) }); n > 1 {
		t.Errorf("%v allocations, want at most 1", n)
	}
}

var sink string

func BenchmarkNewRequestID(b *testing.B) {
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		sink = httpx.NewRequestID(now)
	}
}
