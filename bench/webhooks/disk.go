package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A disk is what one writer gets out of the disk that the stores write to.
type disk struct {
	Round       int     `json:"round"`
	Connections int     `json:"connections"` // of the measurements that followed
	PerSecond   float64 `json:"writes_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
}

// probeDisk writes the same 4 KiB of a file again and again, each write on disk
// before the next one.
func probeDisk(dir string, d time.Duration) (_ disk, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "probe"), os.O_CREATE|os.O_WRONLY|syscall.O_DSYNC, 0o600)
	if err != nil {
		return disk{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4<<10)
	var times []time.Duration
	begin := time.Now()
	for time.Since(begin) < d {
		at := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return disk{}, err
		}
		times = append(times, time.Since(at))
	}
	l := load{took: time.Since(begin), times: times}
	slices.Sort(times)
	return disk{PerSecond: l.perSecond(), P50: l.quantile(0.5), P99: l.quantile(0.99)}, nil
}

// ownCPU is what this program has used, without what it started.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
