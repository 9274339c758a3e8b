package filewatch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/internal/filewatch"
)

// told is a change and when OnChange was told of it.
type told struct {
	change
	after time.Duration
}

// follow runs a watcher of path, which held "0", in the bubble while do changes
// the file, and for a second longer. It returns what was told.
func follow(t *testing.T, path string, do func()) []told {
	t.Helper()
	var all []told
	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		filewatch.Watch(ctx, filewatch.Config{Path: path, Initial: []byte("0"), OnChange: func(data []byte, err error) {
			all = append(all, told{change{string(data), err}, time.Since(begun)})
		}})
	}()
	do()
	time.Sleep(1100 * time.Millisecond)
	cancel()
	<-done
	return all
}

// rename replaces the file. With shown its times tell that it was written before.
func rename(t *testing.T, path, data string, shown bool) {
	t.Helper()
	write(t, path+".new", data)
	if shown {
		then := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path+".new", then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestTakesAFileThatIsReplacedAllTheTime(t *testing.T) {
	for _, ms := range []int{7, 50, 99, 250, 450, 590} {
		every := time.Duration(ms) * time.Millisecond
		for _, shown := range []bool{true, false} {
			t.Run(fmt.Sprintf("every %v, times show the rename %v", every, shown), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { replaceAllTheTime(t, every, shown) })
			})
		}
	}
}

func replaceAllTheTime(t *testing.T, every time.Duration, shown bool) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	write(t, path, "0")
	begun, n := time.Now(), 0
	all := follow(t, path, func() {
		for time.Since(begun) < 12*time.Second {
			n++
			rename(t, path, fmt.Sprint(n), shown)
			time.Sleep(every)
		}
	})
	limit := 6 * time.Second
	if shown && runtime.GOOS == "linux" {
		limit = 1500 * time.Millisecond
	}
	if len(all) < 10 || all[0].after > limit || all[len(all)-1].data != fmt.Sprint(n) {
		t.Errorf("told %v of %d contents", all, n)
	}
	for _, c := range all {
		if c.err != nil {
			t.Error(c.err)
		}
	}
}

// A ConfigMap's link that is swapped all the time.
func TestTakesALinkThatIsSwappedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f.yaml")
		for i := range 2 {
			write(t, filepath.Join(dir, fmt.Sprint(i)), fmt.Sprint(i))
		}
		swap := func(n int) {
			if err := os.Symlink(fmt.Sprint(n%2), path+".new"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		swap(0)
		all := follow(t, path, func() {
			for n := 1; n < 100; n++ {
				swap(n)
				time.Sleep(110 * time.Millisecond)
			}
		})
		if len(all) < 10 || all[len(all)-1].change != (change{data: "1"}) {
			t.Errorf("told %v", all)
		}
	})
}

// Whatever a writer does in place, content that stood for less than an Interval
// does not count, and that nothing counts is told, once.
func TestTellsOfAFileThatIsWrittenInPlaceAllTheTime(t *testing.T) {
	for name, halve := range map[string]func(t *testing.T, path string, n int){
		"half and whole": func(t *testing.T, path string, n int) {
			write(t, path, fmt.Sprint(n, " half"))
			time.Sleep(130 * time.Millisecond)
			write(t, path, fmt.Sprint(n, " half, and whole"))
			time.Sleep(170 * time.Millisecond)
		},
		"deleted, half and whole": func(t *testing.T, path string, n int) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(110 * time.Millisecond)
			write(t, path, fmt.Sprint(n, " half"))
			time.Sleep(110 * time.Millisecond)
			write(t, path, fmt.Sprint(n, " half, and whole"))
			time.Sleep(110 * time.Millisecond)
		},
		"half, then a rename over it": func(t *testing.T, path string, n int) {
			write(t, path, fmt.Sprint(n, " half"))
			time.Sleep(190 * time.Millisecond)
			rename(t, path, fmt.Sprint(n, " half, and whole"), false)
			time.Sleep(90 * time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "f.yaml")
				write(t, path, "0")
				all := follow(t, path, func() {
					for n := range 60 {
						halve(t, path, n)
					}
					write(t, path, "0") // what was in force before is told all the same
				})
				unsettled := 0
				for _, c := range all {
					if errors.Is(c.err, filewatch.ErrUnsettled) {
						unsettled++
					} else if c.err != nil || strings.HasSuffix(c.data, "half") {
						t.Errorf("told %q, %v", c.data, c.err)
					}
				}
				if unsettled == 0 || name != "half, then a rename over it" && unsettled != 1 {
					t.Errorf("ErrUnsettled was told %d times: %v", unsettled, all)
				}
				if len(all) == 0 || all[len(all)-1].change != (change{data: "0"}) {
					t.Errorf("told %v", all)
				}
			})
		})
	}
}

// A half that stands for less than an Interval is not taken because the next file
// takes its place.
func TestHalfAFileIsNotTakenWhenItIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		write(t, path, "0")
		all := follow(t, path, func() {
			for n := 1; n <= 20; n++ {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				write(t, path, "half")
				time.Sleep(350 * time.Millisecond)
				rename(t, path, fmt.Sprint(n), true)
				time.Sleep(1100 * time.Millisecond)
			}
		})
		if len(all) != 20 {
			t.Errorf("told %v", all)
		}
		for n, c := range all {
			if c.change != (change{data: fmt.Sprint(n + 1)}) {
				t.Errorf("told %q, %v after replacement %d", c.data, c.err, n+1)
			}
		}
	})
}
