package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/handrail-go/handrail/bench/measure"
)

// postgres is a server with an empty database, as durable as it comes.
type postgres struct {
	proc *measure.Process
	dir  string // of its own: its owner may not be who runs this program
	addr string
}

// url is that of the database. Everybody is trusted.
func (p *postgres) url() string {
	return "postgres://postgres@" + p.addr + "/postgres?sslmode=disable"
}

func (p *postgres) end() error {
	if p.proc != nil {
		p.proc.Stop()
	}
	return os.RemoveAll(p.dir)
}

// startPostgres makes a database below a folder, and runs a server on it.
func startPostgres(ctx context.Context, below string) (_ *postgres, err error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := postgresOwner()
	if err != nil {
		return nil, err
	}
	p := &postgres{}
	if p.addr, err = measure.FreeAddress(ctx); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp(below, "handrail-bench-postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.end())
		}
	}()
	if owner != nil {
		if err := os.Chown(p.dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", data, //nolint:gosec // our own command line
		"--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
	initdb.Dir, initdb.Env, initdb.SysProcAttr = p.dir, measure.Environment(p.dir), &syscall.SysProcAttr{Credential: owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	p.proc, err = measure.Program{
		Name: "postgres", Dir: p.dir, Path: filepath.Join(bin, "postgres"), Owner: owner,
		Args: []string{"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="},
		End:  syscall.SIGINT, // its fast shutdown
	}.Start()
	if err != nil {
		return nil, err
	}
	return p, p.proc.Await(ctx, func(context.Context) error { return ready(data) })
}

// ready reads what the server writes about itself: its state stands in the
// eighth line.
func ready(data string) error {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("starting")
	}
	return nil
}

// postgresPrograms is the folder of PostgreSQL's programs. Distributions do not
// put them on PATH, or put links there.
func postgresPrograms() (string, error) {
	path, err := exec.LookPath("initdb")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
		return filepath.Dir(path), err
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb"} {
		if found, globErr := filepath.Glob(pattern); globErr == nil && len(found) > 0 {
			return filepath.Dir(found[len(found)-1]), nil
		}
	}
	return "", err
}

// postgresOwner is who runs PostgreSQL, which refuses to run as root: nil,
// whoever runs this program, except for root.
func postgresOwner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uidErr, gidErr)
}
