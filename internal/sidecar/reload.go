package sidecar

import (
	"context"
	"errors"
	"reflect"

	"github.com/handrail-go/handrail/internal/filewatch"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// Reload reads the configuration again and puts it into force. A bad one
// changes nothing and says so. Run calls it on SIGHUP and when the file
// changes; calls come from Run's goroutines and are taken one at a time.
// Content, when it is not nil, is what the file holds: it was seen to be whole,
// and what stands there now may not be.
func (s *Sidecar) Reload(ctx context.Context, content []byte) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	old := s.current.Load().loaded
	options := old.options
	options.content = content
	next, err := Load(options)
	var restart []string
	if err == nil {
		restart = needRestart(&s.started.Config, &next.Config)
		next.keep(&s.started.Config)
		err = s.install(ctx, next)
	}
	if err != nil {
		s.monitor.Warn("configuration", "the file holds an error, the configuration before it is in force")
		for _, e := range problemsOf(err) {
			s.log.Error("configuration not reloaded, the one before stays", "error", e)
		}
		return
	}
	s.monitor.Clear("configuration")
	if len(next.TrustedProxies) > 0 || next.TrustedProxies != nil {
		s.monitor.Clear("client_identity")
	}
	for _, w := range next.Warnings {
		s.log.Warn("configuration", "warning", w)
	}
	for i := range next.Webhooks {
		w := &next.Webhooks[i]
		was, is := old.route(w.Name), next.deliveryStore(w)
		if was != nil && old.deliveryStore(was) != is {
			s.log.Warn("webhooks: the store of a route has changed: events that were handled before are new when they come again",
				"route", w.Name, "before", old.deliveryStore(was), "now", is)
		}
	}
	for _, key := range restart {
		s.log.Warn("configuration: a changed key takes effect after a restart", "key", key)
	}
	s.log.Info("configuration reloaded", "file", next.File)
}

func problemsOf(err error) []error {
	if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
		return problems.Unwrap()
	}
	return flatten(err)
}

// keep takes over from the running configuration where counts and deliveries are:
// it stays there until a restart.
func (c *Config) keep(running *Config) {
	c.Redis, c.Database, c.DataDir = running.Redis, running.Database, running.DataDir
	c.Namespace, c.Observe.Service = running.Namespace, running.Observe.Service
}

// needRestart names what differs between two configurations and is read only
// at the start.
func needRestart(running, next *Config) []string {
	var keys []string
	for _, k := range []struct {
		name string
		a, b any
	}{
		{"listen", running.Listen, next.Listen},
		{"admin", running.Admin, next.Admin},
		{"metrics", running.Metrics, next.Metrics},
		{"environment", running.Environment, next.Environment},
		{"redis", running.Redis, next.Redis},
		{"database", running.Database, next.Database},
		{"data_dir", running.DataDir, next.DataDir},
		{"namespace", running.Namespace, next.Namespace},
		{"webhooks (the health check of the first one)", len(running.Webhooks) > 0, len(next.Webhooks) > 0},
		{"health check redis (whether it is critical)", running.redisCritical(), next.redisCritical()},
		{"flags.source", running.Flags.Source, next.Flags.Source},
		{"flags.token", running.Flags.Token, next.Flags.Token},
		{"flags.interval", running.Flags.Interval, next.Flags.Interval},
		{"env.schema", running.Env.Schema, next.Env.Schema},
		{"health.interval, health.timeout or health.checks", checksOf(running), checksOf(next)},
		{"observe.service, observe.release, observe.sentry or observe.log.format", observeOf(running), observeOf(next)},
	} {
		if !reflect.DeepEqual(k.a, k.b) {
			keys = append(keys, k.name)
		}
	}
	return keys
}

func checksOf(c *Config) HealthConfig {
	h := c.Health
	h.Path = ""
	return h
}

func observeOf(c *Config) ObserveConfig {
	o := c.Observe
	o.Routes, o.Log.Level = nil, ""
	return o
}

// watchConfig reloads when the file's content changes.
func (s *Sidecar) watchConfig(ctx context.Context) {
	if s.started.File == "" {
		return
	}
	filewatch.Watch(ctx, filewatch.Config{
		Path: s.started.File, MaxBytes: maxConfigBytes, Initial: s.started.data,
		OnChange: func(data []byte, err error) {
			if errors.Is(err, filewatch.ErrUnsettled) { // what it holds now is not to be read
				s.monitor.Warn("configuration", "the file keeps changing, the configuration before it is in force")
				s.log.Error("configuration not reloaded, the one before stays", "error", err)
				return
			}
			s.Reload(ctx, data)
		},
	})
}
