package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc, on every architecture
// that Go runs on.
const ticksPerSecond = 100

// A Usage is what a process and its descendants have used so far.
type Usage struct {
	CPU  time.Duration // user and system
	RSS  int64         // bytes, now
	Peak int64         // bytes, the sum of each process' highest
}

// UsageOf reads the process tree below pid. Pages that several processes share
// count once for each.
func UsageOf(pid int) (Usage, error) {
	var u Usage
	tree, err := descendants(pid)
	if err != nil {
		return u, err
	}
	for _, p := range tree {
		one, err := usageOfOne(p)
		if errors.Is(err, os.ErrNotExist) && p != pid {
			continue // a child that ended meanwhile
		}
		if err != nil {
			return u, err
		}
		u.CPU += one.CPU
		u.RSS += one.RSS
		u.Peak += one.Peak
	}
	return u, nil
}

func usageOfOne(pid int) (Usage, error) {
	var u Usage
	dir := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, err
	}
	s, err := parseStat(text)
	if err != nil {
		return u, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, err
	}
	u.CPU = s.cpu
	u.RSS, u.Peak = kilobytes(status, "VmRSS:"), kilobytes(status, "VmHWM:")
	return u, nil
}

type stat struct {
	parent int
	cpu    time.Duration
}

// parseStat reads /proc/PID/stat. The second field is the program's name in
// parentheses and may hold anything, further parentheses included.
func parseStat(text []byte) (stat, error) {
	var s stat
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const parent, user, system = 1, 11, 12 // after the name
	if len(fields) <= system {
		return s, fmt.Errorf("/proc stat of %d fields", len(fields))
	}
	var ticks int64
	for _, field := range fields[user : system+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return s, fmt.Errorf("/proc stat: %w", err)
		}
		ticks += n
	}
	s.cpu = time.Duration(ticks) * time.Second / ticksPerSecond
	var err error
	s.parent, err = strconv.Atoi(fields[parent])
	return s, err
}

// kilobytes is a value of /proc/PID/status in bytes, 0 when it is not there.
func kilobytes(status []byte, name string) int64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// descendants are pid and every process below it.
func descendants(pid int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		s, err := parseStat(text)
		child, convErr := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || convErr != nil {
			return nil, errors.Join(err, convErr)
		}
		children[s.parent] = append(children[s.parent], child)
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// MachineBusy is the time that all cores together have worked, interrupts and
// other machines' share of a virtual one included.
func MachineBusy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	const idle, iowait, steal = 4, 5, 8
	if len(fields) <= steal {
		return 0, errors.New("/proc/stat: no line of all cores")
	}
	var ticks int64
	for i := 1; i <= steal; i++ {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != idle && i != iowait {
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// MiB is a number of bytes as it is told.
func MiB(bytes int64) float64 { return float64(bytes) / (1 << 20) }
