package health

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// memoryWarnPercent of the limit in use is where Memory warns.
const memoryWarnPercent = 90

// Memory returns a check of the cgroup's working set (usage without inactive
// file cache, as Kubernetes counts it) against its limit, for cgroup v2 and
// v1. It warns from 90 % on and never fails. It observes "utilization" in
// percent; without a limit, or where there are no cgroups, it passes and
// observes no percentage.
func Memory() func(context.Context) error { return memory(os.DirFS("/")) }

func memory(root fs.FS) func(context.Context) error {
	return func(ctx context.Context) error {
		g, ok := tightest(root)
		if !ok {
			return nil
		}
		if g.limit == 0 {
			Observe(ctx, Observation{Name: "workingSet", Value: float64(g.used), Unit: "bytes"})
			return nil
		}
		percent := float64(g.used) / float64(g.limit) * 100
		Observe(ctx, Observation{Name: "utilization", Value: float64(int(percent*10)) / 10, Unit: "percent"})
		if percent >= memoryWarnPercent {
			return Warning(fmt.Sprintf("%d of %d bytes in use (%.0f%%)", g.used, g.limit, percent))
		}
		return nil
	}
}

// cgroup is what one group says; a limit of 0 is none.
type cgroup struct{ used, limit uint64 }

// tightest is the group, from the process's own upwards, that is fullest in
// proportion to its limit; without any limit, the process's own.
func tightest(root fs.FS) (cgroup, bool) {
	base, dir, read := "sys/fs/cgroup", "/", readV2
	if paths := cgroupPaths(root); paths != nil {
		if p, ok := paths["memory"]; ok {
			base, dir, read = "sys/fs/cgroup/memory", p, readV1
		} else {
			dir = paths[""]
		}
	}
	var best cgroup
	found := false
	for {
		if g, ok := read(root, path.Join(base, dir)); ok {
			switch {
			case !found:
				best = g
			case g.limit > 0 && (best.limit == 0 || float64(g.used)/float64(g.limit) > float64(best.used)/float64(best.limit)):
				best = g
			}
			found = true
		}
		if dir == "/" || dir == "." || dir == "" {
			return best, found
		}
		dir = path.Dir(dir)
	}
}

// cgroupPaths maps a controller to the process's group; v2's is "". Within a
// container the paths may be the host's: then only the root exists.
func cgroupPaths(root fs.FS) map[string]string {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	paths := make(map[string]string)
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		// hierarchy-ID:controllers:path
		parts := strings.SplitN(sc.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = path.Clean("/" + parts[2])
		}
	}
	return paths
}

func readV2(root fs.FS, dir string) (cgroup, bool) {
	used, ok := readUint(root, path.Join(dir, "memory.current"))
	if !ok {
		return cgroup{}, false
	}
	limit, _ := readUint(root, path.Join(dir, "memory.max")) // "max" is no number
	return cgroup{without(used, readStat(root, dir, "inactive_file")), limit}, true
}

func readV1(root fs.FS, dir string) (cgroup, bool) {
	used, ok := readUint(root, path.Join(dir, "memory.usage_in_bytes"))
	if !ok {
		return cgroup{}, false
	}
	limit, _ := readUint(root, path.Join(dir, "memory.limit_in_bytes"))
	if limit >= 1<<62 { // v1 writes "no limit" as the largest page-aligned int64
		limit = 0
	}
	return cgroup{without(used, readStat(root, dir, "total_inactive_file")), limit}, true
}

func without(used, cache uint64) uint64 {
	if cache > used {
		return 0
	}
	return used - cache
}

func readUint(root fs.FS, name string) (uint64, bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64)
	return n, err == nil
}

func readStat(root fs.FS, dir, key string) uint64 {
	data, err := fs.ReadFile(root, path.Join(dir, "memory.stat"))
	if err != nil {
		return 0
	}
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		if name, value, _ := strings.Cut(sc.Text(), " "); name == key {
			n, _ := strconv.ParseUint(value, 10, 64) // 0 when the kernel writes none
			return n
		}
	}
	return 0
}
