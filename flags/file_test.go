package flags_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/flags"
)

// settled is longer than two looks at a file.
const settled = 1100 * time.Millisecond

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// version is a file of three flags that all carry the number n.
func version(n int) string {
	var b strings.Builder
	b.WriteString("flags:\n")
	for _, key := range []string{"a", "b", "c"} {
		fmt.Fprintf(&b, "  %s:\n    description: version-%d\n    rolloutPercentage: 100\n", key, n)
	}
	return b.String()
}

// versionOf is the number that a set carries; it fails for a mixture.
func versionOf(t *testing.T, set *flags.Set) (n int) {
	t.Helper()
	if set.Len() != 3 {
		t.Fatalf("a set of %d flags", set.Len())
	}
	a, _ := set.Lookup("a")
	for _, key := range []string{"b", "c"} {
		if def, _ := set.Lookup(key); def.Description != a.Description {
			t.Fatalf("a mixture of %s and %s", a.Description, def.Description)
		}
	}
	if _, err := fmt.Sscanf(a.Description, "version-%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// replaceBy are the ways in which people and tools put a new file in place.
var replaceBy = map[string]func(t *testing.T, path, text string){
	"write in place": write,
	"rename over it": func(t *testing.T, path, text string) {
		write(t, path+".new", text)
		must(t, os.Rename(path+".new", path))
	},
	"delete and restore": func(t *testing.T, path, text string) {
		must(t, os.Remove(path))
		time.Sleep(settled)
		write(t, path, text)
	},
	"empty and fill": func(t *testing.T, path, text string) {
		write(t, path, "")
		time.Sleep(settled)
		write(t, path, text)
	},
	"half and whole": func(t *testing.T, path, text string) {
		write(t, path, text[:len(text)-30])
		time.Sleep(100 * time.Millisecond)
		write(t, path, text)
	},
	"symlink to another file": func(t *testing.T, path, text string) {
		target := path + text[len(text)/2:len(text)/2+1] + ".target"
		write(t, target, text)
		must(t, os.Remove(path))
		must(t, os.Symlink(target, path))
	},
}

func TestFileFollowsEveryWayOfReplacingIt(t *testing.T) {
	for name, replace := range replaceBy {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "flags.yaml")
				write(t, path, version(0))
				c := fileClient(t, path)
				for n := 1; n <= 3; n++ {
					replace(t, path, version(n))
					if got := versionOf(t, c.Set()); got != n-1 {
						t.Fatalf("version %d before the content was stable", got)
					}
					time.Sleep(settled)
					if got := versionOf(t, c.Set()); got != n || c.Err() != nil {
						t.Fatalf("version %d, want %d; Err %v", got, n, c.Err())
					}
				}
			})
		})
	}
}

// fileClient is a running Client on a file.
func fileClient(t *testing.T, path string) *flags.Client {
	t.Helper()
	c, err := flags.New(t.Context(), flags.Config{Source: flags.File(path)})
	must(t, err)
	run(t, c)
	return c
}

// A ConfigMap volume has flags.yaml -> ..data/flags.yaml and ..data -> ..1;
// an update makes ..2 and renames a new ..data over the old one.
func TestFileFollowsConfigMapSwaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mount := func(n int) {
			old, _ := os.Readlink(filepath.Join(dir, "..data"))
			next := fmt.Sprintf("..%d", n)
			must(t, os.Mkdir(filepath.Join(dir, next), 0o700))
			write(t, filepath.Join(dir, next, "flags.yaml"), version(n))
			must(t, os.Symlink(next, filepath.Join(dir, "..data_tmp")))
			must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
			if old != "" {
				must(t, os.RemoveAll(filepath.Join(dir, old)))
			}
		}
		mount(1)
		path := filepath.Join(dir, "flags.yaml")
		must(t, os.Symlink("..data/flags.yaml", path))
		c := fileClient(t, path)
		for n := 2; n <= 4; n++ {
			mount(n)
			time.Sleep(settled)
			if got := versionOf(t, c.Set()); got != n || c.Err() != nil {
				t.Fatalf("version %d, want %d; Err %v", got, n, c.Err())
			}
		}
	})
}

func TestFileThatStaysBadKeepsTheLastGoodSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "flags.yaml")
		write(t, path, version(1))
		c := fileClient(t, path)
		for _, tc := range []struct {
			name string
			do   func()
			want string
		}{
			{"empty", func() { write(t, path, "") }, "flags.yaml: is empty"},
			{"bad value", func() { write(t, path, version(2)+"    inject: maybe\n") }, "flags.yaml:11:13: flags.c.inject: expected true or false"},
			{"cut in a key", func() { write(t, path, version(2)[:60]) }, "flags.yaml:4:1: is not valid YAML"},
			{"only the root's key", func() { write(t, path, "flags:\n") }, "refusing definitions without any flag"},
			{"deleted", func() { must(t, os.Remove(path)) }, "no such file"},
			{"a directory", func() { must(t, os.Mkdir(path, 0o700)) }, "not a regular file"},
		} {
			tc.do()
			time.Sleep(settled)
			if got := versionOf(t, c.Set()); got != 1 {
				t.Errorf("%s: version %d answers", tc.name, got)
			}
			if err := c.Err(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: Err is %v, want %s", tc.name, err, tc.want)
			}
			if tc.name == "deleted" && !errors.Is(c.Err(), fs.ErrNotExist) {
				t.Errorf("%s: Err does not match fs.ErrNotExist", tc.name)
			}
		}
		must(t, os.Remove(path))
		write(t, path, version(3))
		time.Sleep(settled)
		if got := versionOf(t, c.Set()); got != 3 || c.Err() != nil {
			t.Errorf("version %d, Err %v", got, c.Err())
		}
	})
}

// Ten changes a second, for six minutes of the clock, in every way and
// with halves in between; a reader looks after each.
func TestFileTorture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "flags.yaml")
		write(t, path, version(0))
		c := fileClient(t, path)
		rnd := rand.New(rand.NewPCG(1, 2))
		seen := map[int]bool{}
		const changes = 3000
		for n := 1; n <= changes; n++ {
			text := version(n)
			switch rnd.IntN(6) {
			case 0:
				write(t, path, text)
			case 1:
				write(t, path+".new", text)
				must(t, os.Rename(path+".new", path))
			case 2:
				_ = os.Remove(path)
			case 3:
				write(t, path, text[:rnd.IntN(len(text))])
			case 4:
				_ = os.Truncate(path, int64(rnd.IntN(100)))
			case 5:
				write(t, path+".target", text)
				_ = os.Remove(path)
				must(t, os.Symlink(path+".target", path))
			}
			time.Sleep(100 * time.Millisecond)
			if n%50 == 0 {
				_ = os.Remove(path)
				write(t, path, text)
				time.Sleep(settled)
			}
			seen[versionOf(t, c.Set())] = true
		}
		if got := versionOf(t, c.Set()); got != changes {
			t.Errorf("version %d answers at the end, want %d", got, changes)
		}
		if want := changes/50 + 1; len(seen) < want {
			t.Errorf("%d versions were seen, want at least the %d that stood long enough", len(seen), want)
		}
	})
}
