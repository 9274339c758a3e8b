package measure_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/handrail-go/handrail/bench/measure"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule   string
		values []float64
		want   string
	}{
		{"nothing", nil, ""},
		{"one value has no spread", []float64{3}, "3.0"},
		{"the middle of an odd number", []float64{9, 1, 5}, "5.0 (1.0–9.0)"},
		{"between the middle two of an even number", []float64{4, 1, 2, 9}, "3.0 (1.0–9.0)"},
	}
	for _, tt := range tests {
		if got := measure.SpreadOf(tt.values).Text("%.1f"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.rule, got, tt.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 41 7 7 0 -1 4194560 1 0 0 0 250 50 9 9 20 0 1 0 100 1000 10"
	for _, name := range []string{"(nginx)", "(a) b (c))", "(:-) S 1 2)"} {
		parent, cpu, err := measure.ParseStat([]byte("42 " + name + rest))
		if err != nil || parent != 41 || cpu != 3*time.Second {
			t.Errorf("%s: %d, %v, %v", name, parent, cpu, err)
		}
	}
	for _, text := range []string{"", "42 (x) S 1", "42 (x) S 1 7 7 0 -1 4194560 1 0 0 0 many 50 9"} {
		if _, _, err := measure.ParseStat([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestKilobytes(t *testing.T) {
	t.Parallel()
	const status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\n"
	for name, want := range map[string]int64{"VmHWM:": 20 << 20, "VmRSS:": 1 << 20, "VmSwap:": 0} {
		if got := measure.Kilobytes([]byte(status), name); got != want {
			t.Errorf("%s %d, want %d", name, got, want)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	u, err := measure.UsageOf(os.Getpid())
	if err != nil || u.RSS < 1<<20 || u.Peak < u.RSS {
		t.Errorf("%+v, %v", u, err)
	}
	if busy, err := measure.MachineBusy(); err != nil || busy <= 0 {
		t.Errorf("machine: %v, %v", busy, err)
	}
}
