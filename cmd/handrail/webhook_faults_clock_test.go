package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// A storeClock moves the clock of Redis and PostgreSQL: a library that is loaded
// before all others adds to the time of day what stands in a file.
type storeClock struct {
	file   string
	offset atomic.Int64 // milliseconds
}

// clockSource is that library. It needs a C compiler and a system that has
// LD_PRELOAD.
const clockSource = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset;

__attribute__((constructor)) static void begin(void) {
	const char *name = getenv("STORE_CLOCK");
	int fd = name ? open(name, O_RDONLY) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED) offset = at;
}

static long long moved(void) { return offset ? *offset : 0; }

int clock_gettime(clockid_t id, struct timespec *ts) {
	static int (*real)(clockid_t, struct timespec *);
	if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, ts);
	if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) ts->tv_sec += moved() / 1000;
	return r;
}

int gettimeofday(struct timeval *tv, void *tz) {
	struct timespec ts;
	if (clock_gettime(CLOCK_REALTIME, &ts)) return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	(void)tz;
	return 0;
}

time_t time(time_t *t) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (t) *t = ts.tv_sec;
	return ts.tv_sec;
}
`

// newStoreClock lets the servers that are started next, found on path, have a
// clock that can be moved. Nil where that cannot be.
func newStoreClock(t *testing.T, path string) *storeClock {
	t.Helper()
	t.Setenv("PATH", path)
	// PostgreSQL runs as another user, who must be able to read this.
	dir, err := os.MkdirTemp("/tmp", "handrail-clock-")
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	source, library, file := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so"), filepath.Join(dir, "offset")
	write := func(name, text string, mode os.FileMode) bool {
		return os.WriteFile(name, []byte(text), mode) == nil && os.Chmod(name, mode) == nil
	}
	if os.Chmod(dir, 0o755) != nil || !write(source, clockSource, 0o644) || !write(file, string(make([]byte, 8)), 0o644) {
		return nil
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		t.Logf("the clocks of Redis and PostgreSQL stay as they are: %v\n%s", err, out)
		return nil
	}
	for _, program := range []string{"initdb", "postgres", "redis-server"} {
		found, err := exec.LookPath(program)
		if err != nil {
			debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
			if len(debian) == 0 {
				continue
			}
			found = debian[len(debian)-1]
		}
		// Those that stand in for them are found first.
		script := fmt.Sprintf("#!/bin/sh\nLD_PRELOAD=%s STORE_CLOCK=%s exec %s \"$@\"\n", library, file, found)
		if !write(filepath.Join(dir, program), script, 0o755) {
			return nil
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+path)
	return &storeClock{file: file}
}

// move adds d, whole seconds, to what the servers take for the time.
func (c *storeClock) move(d time.Duration) error {
	var data [8]byte
	binary.NativeEndian.PutUint64(data[:], uint64(c.offset.Add(d.Milliseconds())))
	f, err := os.OpenFile(c.file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(data[:])
	return err
}

func TestTheClocksOfStoresMove(t *testing.T) {
	lane := newFaultLane(t, os.Getenv("PATH"))
	if lane.clock == nil {
		t.Skip("no C compiler that makes a library")
	}
	conn, err := pgx.Connect(t.Context(), lane.postgres.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	client := redis.NewClient(&redis.Options{Addr: lane.redis.Addr()})
	defer client.Close()
	for _, d := range []time.Duration{time.Hour, -2 * time.Hour} {
		if err := lane.clock.move(d); err != nil {
			t.Fatal(err)
		}
		want := time.Now().Add(time.Duration(lane.clock.offset.Load()) * time.Millisecond)
		var inPostgres time.Time
		if err := conn.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&inPostgres); err != nil {
			t.Fatal(err)
		}
		inRedis, err := client.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		for name, at := range map[string]time.Time{"PostgreSQL": inPostgres, "Redis": inRedis} {
			if at.Sub(want).Abs() > time.Minute {
				t.Errorf("%s says %v, want %v", name, at, want)
			}
		}
	}
}
