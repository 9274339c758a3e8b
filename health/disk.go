package health

import (
	"context"
	"fmt"
)

// diskWarnPercent of space or inodes in use is where Disk warns.
const diskWarnPercent = 90

// diskUsage is what a file system says; inodes are 0 where it has none.
type diskUsage struct {
	bytes, bytesFree   uint64 // free: to those who are not root
	inodes, inodesFree uint64
}

// Disk returns a check of the file system that holds dir. It warns when 90 %
// of its space or inodes are in use, or when it cannot be asked, and never
// fails. It observes "utilization" in percent. On systems other than Linux and
// macOS it always warns.
func Disk(dir string) func(context.Context) error {
	return func(ctx context.Context) error {
		u, err := statDisk(dir)
		if err != nil {
			return Warning(err.Error())
		}
		space := percentUsed(u.bytes, u.bytesFree)
		Observe(ctx, Observation{Name: "utilization", Value: float64(int(space*10)) / 10, Unit: "percent"})
		if space >= diskWarnPercent {
			return Warning(fmt.Sprintf("%.0f%% of the space in use", space))
		}
		if inodes := percentUsed(u.inodes, u.inodesFree); inodes >= diskWarnPercent {
			return Warning(fmt.Sprintf("%.0f%% of the inodes in use", inodes))
		}
		return nil
	}
}

func percentUsed(total, free uint64) float64 {
	if total == 0 || free > total {
		return 0
	}
	return float64(total-free) / float64(total) * 100
}
