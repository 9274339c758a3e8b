package flaglint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what is read of a folder of code.
const (
	MaxCodeFiles     = 200_000 // files of a language that is known
	MaxCodeFileBytes = 2 << 20 // size of a file; larger ones are skipped
	maxFolderDepth   = 64
)

// errTooManyFiles says that a folder is not one of code.
var errTooManyFiles = fmt.Errorf("holds more than %d files of code: name the folders of the code itself", MaxCodeFiles)

// A folder is opened so that nothing leads out of it.
type folder struct {
	name  string // as the user gave it
	root  *os.Root
	files []string // of a language that is known, with slashes, sorted
}

// openFolder lists what is to be read below name: what git knows and does not
// ignore where name lies in a work tree, everything elsewhere.
func openFolder(ctx context.Context, name string, exclude []string) (*folder, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	f := &folder{name: name, root: root}
	all, err := listed(ctx, name)
	if err != nil || len(all) == 0 { // in no work tree, or ignored as a whole
		all, err = walked(root)
	}
	if err == nil {
		f.files, err = chosen(all, exclude)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

// shown is the name of one of the files as reports have it.
func (f *folder) shown(file string) string {
	return filepath.ToSlash(filepath.Join(f.name, filepath.FromSlash(file)))
}

// listed asks git. An error means that name lies in no work tree, or that git is
// not there.
func listed(ctx context.Context, name string) ([]string, error) {
	out, err := git(ctx, name, "ls-files", "-co", "--exclude-standard", "-z")
	if err != nil {
		return nil, err
	}
	var files []string
	for file := range bytes.SplitSeq(out, []byte{0}) {
		if len(file) > 0 {
			files = append(files, string(file))
		}
	}
	return files, nil
}

func walked(root *os.Root) ([]string, error) {
	var files []string
	seen := 0
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if seen++; seen > 10*MaxCodeFiles {
			return errTooManyFiles
		}
		switch {
		case err != nil:
			files = append(files, name) // reading it again tells what is wrong
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir():
			files = append(files, name)
		case name != "." && (skippedFolder(d.Name()) || strings.Count(name, "/") >= maxFolderDepth):
			return fs.SkipDir
		}
		return nil
	})
	return files, err
}

// skippedFolder reports whether a folder holds what others wrote or what was
// made of the code.
func skippedFolder(name string) bool {
	switch name {
	case ".git", ".hg", ".svn", "node_modules", "bower_components", "vendor", "dist", "build", "coverage",
		".next", ".nuxt", ".svelte-kit", ".output", ".turbo", ".cache", ".tox", ".nox", ".venv", "venv", "virtualenv",
		"site-packages", "__pycache__", ".bundle", ".terraform":
		return true
	}
	return false
}

// chosen keeps the files of a known language that are not in a skipped folder,
// in a virtual environment of Python, or excluded.
func chosen(all, exclude []string) ([]string, error) {
	environments := map[string]bool{}
	for _, file := range all {
		if path.Base(file) == "pyvenv.cfg" {
			environments[path.Dir(file)] = true
		}
	}
	var files []string
	for _, file := range all {
		if _, ok := languageOf(file); !ok || minifiedName(file) || excluded(file, exclude, environments) {
			continue
		}
		if files = append(files, file); len(files) > MaxCodeFiles {
			return nil, errTooManyFiles
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func minifiedName(file string) bool {
	base := path.Base(file)
	return strings.Contains(base, ".min.") || strings.HasSuffix(base, ".bundle.js")
}

// excluded reports whether a folder on the way to the file is skipped, or a
// pattern matches the file, its name, or a folder on the way.
func excluded(file string, patterns []string, environments map[string]bool) bool {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		if skippedFolder(path.Base(dir)) || environments[dir] || matches(dir, patterns) {
			return true
		}
	}
	return matches(file, patterns)
}

func matches(name string, patterns []string) bool {
	for _, pattern := range patterns {
		for _, s := range []string{name, path.Base(name)} {
			if ok, _ := path.Match(pattern, s); ok {
				return true
			}
		}
	}
	return false
}

// errSkipped says that a file is none that a person writes.
var errSkipped = errors.New("is too large, minified or binary")

// read reads one of the files into buf. Files that are gone or no regular files
// are nil: links are not followed, and what they lead to is read where it stands.
func (f *folder) read(file string, buf []byte) ([]byte, error) {
	info, err := f.root.Lstat(filepath.FromSlash(file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil // deleted, and git still knows it
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, nil
	case info.Size() > MaxCodeFileBytes:
		return nil, errSkipped
	}
	in, err := f.root.Open(filepath.FromSlash(file))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	buf = slices.Grow(buf[:0], int(info.Size())+1)
	for len(buf) < cap(buf) {
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 || err != nil {
			break
		}
	}
	if unwritten(buf) {
		return nil, errSkipped
	}
	return buf, nil
}

// unwritten reports whether no person wrote data: it is binary or minified.
func unwritten(data []byte) bool {
	const (
		head      = 8 << 10
		longLines = 300 // bytes a line on average
	)
	if bytes.IndexByte(data[:min(len(data), head)], 0) >= 0 {
		return true
	}
	return len(data) > head && len(data)/(bytes.Count(data, []byte{'\n'})+1) > longLines
}

// reason is an error without the path, which a finding has already.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
