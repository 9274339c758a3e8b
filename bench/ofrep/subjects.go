package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/handrail-go/handrail/bench/measure"
)

//go:embed conf
var conf embed.FS

// A subject is a server that is measured.
type subject struct {
	Name    string
	program string
	args    []string // with {addr}, {port}, {other} and {dir}
	config  string   // file of conf in which the same are replaced
	flags   string   // file of conf
}

const handrailConfig = "handrail.yaml"

func (b *bench) subjects() []subject {
	all := []subject{
		{"handrail", b.handrail, []string{"serve", "--config", handrailConfig, "--listen", "{other}", "--admin", "{addr}"}, handrailConfig, "flags.yaml"},
		{"handrail, public listener", b.handrail, []string{"serve", "--config", handrailConfig, "--listen", "{addr}", "--admin", "{other}"}, handrailConfig, "flags.yaml"},
	}
	if b.relay != "" {
		all = append(all, subject{"GO Feature Flag's relay", b.relay, []string{"--config", "relayproxy.yaml"}, "relayproxy.yaml", "flags.goff.yaml"})
	}
	if b.flagdcore != "" {
		all = append(all, subject{"flagd's library", b.flagdcore, []string{"{addr}", "flags.flagd.json"}, "", "flags.flagd.json"})
	}
	return all
}

// A server is a subject at work.
type server struct {
	*measure.Process
	addr string
}

// start runs a subject in a folder of its own and waits until it answers.
func (b *bench) start(ctx context.Context, s subject) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return nil, err
	}
	addr, other, err := freeAddresses(ctx)
	if err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("{addr}", addr, "{port}", addr[strings.LastIndexByte(addr, ':')+1:], "{other}", other, "{dir}", dir)
	for _, name := range []string{s.config, s.flags} {
		if name == "" {
			continue
		}
		text, err := conf.ReadFile("conf/" + name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fill.Replace(string(text))), 0o600); err != nil {
			return nil, err
		}
	}
	args := make([]string, len(s.args))
	for i, arg := range s.args {
		args[i] = fill.Replace(arg)
	}
	p, err := measure.Start("server", dir, s.program, args...)
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		_, _, err := ask(ctx, addr, "/b", http.StatusOK)
		return err
	}
	if err := p.Await(ctx, ready); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s: %w: %s", s.Name, err, measure.LastLines(p.Log))
	}
	return &server{p, addr}, nil
}

// freeAddresses are two that differ: a port that was free may be found again.
func freeAddresses(ctx context.Context) (addr, other string, err error) {
	addr, err = measure.FreeAddress(ctx)
	for other = addr; err == nil && other == addr; {
		other, err = measure.FreeAddress(ctx)
	}
	return addr, other, err
}

// body is what all are asked for.
const body = `{"context":{"targetingKey":"0198c2f4-7d1e-7c4a-9b52-3f1a6c0e8d77","plan":"pro","country":"DE"}}`

// ask asks once and returns the answer with its ETag.
func ask(ctx context.Context, addr, path string, status int) (answer, etag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+evaluate+path, strings.NewReader(body))
	if err != nil {
		return "", "", err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return string(text), resp.Header.Get("ETag"), err
}

// evaluate is where flags are asked for.
const evaluate = "/ofrep/v1/evaluate/flags"
