package flaglint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// maxRanges of lines are asked for one by one; more than that, and it is the
// whole file.
const maxRanges = 100

// A change is when a line came to be as it is.
type change struct {
	at time.Time
	// before says that the history that is there ends with the line: it is as
	// it is since at or longer.
	before bool
}

// blame says of each of the lines of a file when git got it as it is. Lines that
// are not committed are as old as now. It asks nobody but the work tree that the
// file lies in.
func blame(ctx context.Context, file string, lines []Lines, now time.Time) (map[int]change, error) {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(real); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("is no regular file"))
	}
	dir, base := filepath.Split(real)
	if dir == "" {
		dir = "."
	}
	shallow, err := git(ctx, dir, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, err
	}
	args := []string{"blame", "--porcelain", "-w", "--no-textconv"}
	if string(bytes.TrimSpace(shallow)) != "true" {
		args = append(args, "--root") // else the first commit looks like the end of what is there
	}
	if len(lines) <= maxRanges {
		for _, r := range lines {
			args = append(args, "-L", fmt.Sprintf("%d,%d", r.First, r.Last))
		}
	}
	out, err := git(ctx, dir, append(args, "--", "./"+base)...)
	if err != nil {
		return nil, err
	}
	return parseBlame(out, now)
}

// parseBlame reads git's porcelain format: for each line a header "COMMIT FROM TO
// [COUNT]", what is to say of a commit the first time, and the line behind a tab.
func parseBlame(out []byte, now time.Time) (map[int]change, error) {
	commits := map[string]*change{}
	lines := map[int]change{}
	var commit *change
	line := 0
	for row := range bytes.Lines(out) {
		row = bytes.TrimSuffix(row, []byte{'\n'})
		name, value, _ := bytes.Cut(row, []byte{' '})
		switch {
		case bytes.HasPrefix(row, []byte{'\t'}):
			if commit == nil {
				return nil, errors.New("git blame: unexpected answer")
			}
			lines[line] = *commit
			commit = nil
		case commit == nil:
			_, to, _ := bytes.Cut(value, []byte{' '})
			to, _, _ = bytes.Cut(to, []byte{' '})
			n, err := strconv.Atoi(string(to))
			if err != nil {
				return nil, errors.New("git blame: unexpected answer")
			}
			line = n
			if commit = commits[string(name)]; commit == nil {
				commit = &change{at: now}
				commits[string(name)] = commit
			}
		case string(name) == "committer-time":
			seconds, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return nil, errors.New("git blame: unexpected answer")
			}
			commit.at = time.Unix(seconds, 0).UTC()
		case string(name) == "boundary":
			commit.before = true
		}
	}
	return lines, nil
}
