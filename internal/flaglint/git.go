package flaglint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	gitTimeout  = 30 * time.Second
	maxGitBytes = 256 << 20
)

var errNoGit = errors.New("git is not installed")

// git runs a command of git that reads, in dir: without network, hooks, pagers,
// prompts and file system monitors, and not in the repository of a hook that we
// may run in.
func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	fixed := []string{
		"--no-pager", "--literal-pathspecs", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.DevNull,
		"-c", "protocol.allow=never", "-c", "core.quotePath=false",
	}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...) // #nosec G204 -- arguments are ours, names stand behind --
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GIT_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1",
		"GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C")
	stdout, stderr := limited{left: maxGitBytes}, limited{left: 4 << 10}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], ctx.Err())
	case stdout.over:
		return nil, fmt.Errorf("git %s: the answer is larger than %d bytes", args[0], maxGitBytes)
	case errors.Is(err, exec.ErrNotFound):
		return nil, errNoGit
	case err != nil:
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.kept.String()), "\n")
		return nil, fmt.Errorf("git %s: %s", args[0], cmp.Or(first, err.Error()))
	}
	return stdout.kept.Bytes(), nil
}

// limited keeps the first bytes that are written to it.
type limited struct {
	kept bytes.Buffer
	left int
	over bool
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.kept.Write(p[:n])
	l.left -= n
	l.over = l.over || n < len(p)
	return len(p), nil
}
