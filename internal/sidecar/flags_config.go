package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/filewatch"
	"github.com/handrail-go/handrail/internal/strictyaml"
)

// targetingKey says whom flags are evaluated for, and which header that is
// read from.
func (c *Config) targetingKey() (key func(*http.Request) string, vary string, err error) {
	kind, name, _ := strings.Cut(c.Flags.TargetingKey, ":")
	form := &flags.ConfigError{Field: "TargetingKey", Reason: "must be cookie:NAME or header:NAME"}
	if name == "" {
		return nil, "", form
	}
	switch kind {
	case "cookie":
		return flags.CookieKey(name), "Cookie", nil
	case "header":
		key, err = flags.HeaderKey(name, c.TrustedProxies)
		return key, http.CanonicalHeaderKey(name), err
	}
	return nil, "", form
}

func (c *Config) gates() []flags.Gate {
	out := make([]flags.Gate, len(c.Flags.Routes))
	for i, r := range c.Flags.Routes {
		out[i] = flags.Gate{Flag: r.Flag, Paths: r.Paths, Exact: r.Exact, Otherwise: r.Otherwise}
	}
	return out
}

// definitionProblems turns what is wrong with a flag file into problems.
func definitionProblems(err error) strictyaml.Problems {
	var out strictyaml.Problems
	for _, e := range flatten(err) {
		d, ok := errors.AsType[*flags.DefinitionError](e)
		if !ok {
			out = append(out, &strictyaml.Problem{File: "flags", Message: fmt.Sprint(e)})
			continue
		}
		out = append(out, &strictyaml.Problem{File: d.File, Line: d.Line, Column: d.Column, Path: d.Path, Message: d.Reason})
	}
	return out
}

// checkFlags reads the definition file and judges the routes against it.
func (l *loader) checkFlags() {
	_, _, err := l.targetingKey()
	l.translate(err, "flags.", map[string]string{"name": "targeting_key", "trustedProxies": "-"})
	client := l.definitions()
	if client != nil {
		for i, r := range l.Flags.Routes {
			if r.Flag != "" && client.Evaluate(r.Flag, "").ErrorCode == flags.ErrorFlagNotFound {
				l.warn("flags.routes[%d]: %s defines no flag %q, so its paths stay closed", i, l.Flags.Source, r.Flag)
			}
		}
	} else {
		// The routes are judged all the same, against a stand-in.
		client, _ = flags.New(context.Background(), flags.Config{Source: flags.Static("", []byte("flags: {}"))})
	}
	_, err = flags.NewMiddleware(flags.MiddlewareConfig{Client: client, Gates: l.gates()})
	l.translate(err, "flags.", map[string]string{"Gates": "routes"})
	for i, r := range l.Flags.Routes {
		l.notZero("flags.routes["+strconv.Itoa(i)+"].otherwise", r.Otherwise)
	}
}

// definitions is nil without a source or with one that is bad.
func (l *loader) definitions() *flags.Client {
	source := l.Flags.Source
	if source == "" {
		if len(l.Flags.Routes) > 0 {
			l.problem("flags.routes", "need flags.source: every flag is off without definitions")
		}
		return nil
	}
	data, err := filewatch.Read(source, flags.MaxFileBytes)
	if err != nil {
		l.problem("flags.source", "%s cannot be read: %s (sources other than a file are not supported by this version)", source, cause(err))
		return nil
	}
	client, err := flags.New(context.Background(), flags.Config{Source: flags.Static(source, data)})
	if err != nil {
		l.problems = append(l.problems, definitionProblems(err)...)
		return nil
	}
	return client
}
