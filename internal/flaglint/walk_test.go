package flaglint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/internal/flaglint"
)

// filesWith lints a folder and lists the files with findings.
func filesWith(t *testing.T, dir string, exclude ...string) ([]string, *flaglint.Report) {
	t.Helper()
	r := lint(t, flaglint.Config{Definitions: []*flaglint.Definitions{defined()}, Code: []string{dir}, Calls: []string{"isOn"}, Exclude: exclude})
	files := []string{}
	for _, f := range r.Findings {
		rel, err := filepath.Rel(dir, filepath.FromSlash(f.File))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.ToSlash(rel))
	}
	return files, r
}

const asks = "isOn('missing')\n"

func TestWhichFilesAreRead(t *testing.T) {
	t.Parallel()
	outside := write(t, map[string]string{"secret.js": asks})
	dir := write(t, map[string]string{
		"a.js": asks, "deep/er/b.ts": asks, "deep/README.md": asks, "data.json": asks, "c.min.js": asks,
		"node_modules/x/a.js": asks, "deep/vendor/a.js": asks, "dist/a.js": asks, ".git/a.js": asks, ".next/a.js": asks,
		"env/pyvenv.cfg": "", "env/lib/a.py": asks, "skip/a.js": asks, "a_test.js": asks,
		"binary.js":   "\x00" + asks,
		"minified.js": asks + strings.Repeat("x", 9000),
		"large.js":    asks + strings.Repeat("//\n", flaglint.MaxCodeFileBytes/3),
		"empty.js":    "",
	})
	for name, to := range map[string]string{"link.js": filepath.Join(outside, "secret.js"), "link": outside, "loop": dir, "gone.js": "/nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, r := filesWith(t, dir, "skip", "*_test.js")
	if diff := cmp.Diff([]string{"a.js", "deep/er/b.ts"}, got); diff != "" {
		t.Error(diff)
	}
	if r.Stats.Files != 3 || r.Stats.Skipped != 3 {
		t.Errorf("got %+v", r.Stats)
	}
}

func TestWhatGitIgnoresIsNotRead(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	for name, text := range map[string]string{
		".gitignore": "*.gen.js\nsecret/\n", "a.gen.js": asks, "new.js": asks, "-n \n'\".js": asks, "gone.js": asks,
		"äö.js": asks,
	} {
		repo.write(name, text)
	}
	for _, dir := range []string{"secret", "sub"} {
		if err := os.Mkdir(filepath.Join(repo.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		repo.write(dir+"/a.js", asks)
	}
	repo.git("2026-01-01", "add", "gone.js", "äö.js")
	if err := os.Remove(filepath.Join(repo.dir, "gone.js")); err != nil {
		t.Fatal(err)
	}
	got, _ := filesWith(t, repo.dir)
	if diff := cmp.Diff([]string{"-n \n'\".js", "new.js", "sub/a.js", "äö.js"}, got); diff != "" {
		t.Error(diff)
	}
	got, _ = filesWith(t, filepath.Join(repo.dir, "sub"))
	if diff := cmp.Diff([]string{"a.js"}, got); diff != "" {
		t.Error(diff)
	}
	got, _ = filesWith(t, filepath.Join(repo.dir, "secret"))
	if diff := cmp.Diff([]string{"a.js"}, got); diff != "" {
		t.Errorf("a folder that is ignored and was asked for: %s", diff)
	}
}

func TestUnreadableFilesAreFindings(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := write(t, map[string]string{"a.js": asks})
	if err := os.Chmod(filepath.Join(dir, "a.js"), 0); err != nil {
		t.Fatal(err)
	}
	_, r := filesWith(t, dir)
	if len(r.Findings) != 1 || r.Findings[0].Rule != flaglint.RuleUnread || r.Findings[0].Message != "cannot be read: permission denied" {
		t.Errorf("got %+v", r.Findings)
	}
}

func TestOverlappingFoldersAreReportedOnce(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"sub/a.js": asks})
	r := lint(t, flaglint.Config{Definitions: []*flaglint.Definitions{defined()}, Code: []string{dir, filepath.Join(dir, "sub")}, Calls: []string{"isOn"}})
	if len(r.Findings) != 1 {
		t.Errorf("got %v", of(r))
	}
}

func TestAFolderWithoutCodeIsAnError(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{write(t, map[string]string{"a.txt": ""}), filepath.Join(t.TempDir(), "nowhere"), filepath.Join(write(t, map[string]string{"a.js": asks}), "a.js")} {
		_, err := flaglint.Run(t.Context(), flaglint.Config{Code: []string{dir}, StaleAfter: 1, Now: now})
		if err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}
