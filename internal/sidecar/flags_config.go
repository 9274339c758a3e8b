package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

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
	l.between("flags.interval", l.Flags.Interval, time.Second, time.Hour)
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
	l.checkVisitors(client)
	_, err = flags.NewMiddleware(flags.MiddlewareConfig{Client: client, Gates: l.gates()})
	l.translate(err, "flags.", map[string]string{"Gates": "routes"})
	for i, r := range l.Flags.Routes {
		l.notZero("flags.routes["+strconv.Itoa(i)+"].otherwise", r.Otherwise)
	}
}

// checkVisitors judges who is known, and by which token.
func (l *loader) checkVisitors(client *flags.Client) {
	if name := l.Flags.AnonymousCookie; name != "" {
		_, err := flags.NewMiddleware(flags.MiddlewareConfig{Client: client, Anonymous: &flags.AnonymousCookie{Name: name}})
		if _, reason := fieldOf(err); reason != "" {
			l.problem("flags.anonymous_cookie", "%s", reason)
		}
		if l.Flags.TargetingKey == "cookie:"+name {
			l.problem("flags.anonymous_cookie", "must not be the cookie of flags.targeting_key: that one is the app's")
		}
	}
	for key, tokens := range map[string][]string{"tokens": l.Flags.OFREP.Tokens, "public_tokens": l.Flags.OFREP.PublicTokens} {
		for i, token := range tokens {
			if !isToken(token) {
				l.problem("flags.ofrep."+key+"["+strconv.Itoa(i)+"]", "%s", tokenForm)
			}
			if key == "public_tokens" && slices.Contains(l.Flags.OFREP.Tokens, token) {
				l.problem("flags.ofrep.public_tokens["+strconv.Itoa(i)+"]", "is one of flags.ofrep.tokens, which let in for all flags")
			}
		}
	}
}

// Kinds of flags.source.
const (
	sourceNone  = ""
	sourceFile  = "file"
	sourceRedis = "redis"
	sourceHTTP  = "https"
)

// sourceKind tells which of them flags.source is. A file of the name "redis" is
// ./redis.
func (c *FlagsConfig) sourceKind() string {
	switch {
	case c.Source == "":
		return sourceNone
	case c.Source == sourceRedis:
		return sourceRedis
	case strings.Contains(c.Source, "://"):
		return sourceHTTP
	}
	return sourceFile
}

// httpFlags is the source of an https URL.
func (c *Config) httpFlags() (flags.Source, error) {
	return flags.HTTP(flags.HTTPConfig{URL: c.Flags.Source, Interval: c.Flags.Interval, Token: c.Flags.Token})
}

// publicSource is flags.source without what may be secret in a URL.
func (c *FlagsConfig) publicSource() string {
	u, err := url.Parse(c.Source)
	if c.sourceKind() != sourceHTTP || err != nil {
		return c.Source
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// definitions is nil without a source, with one that is bad, and with one that
// is not asked before the start.
func (l *loader) definitions() *flags.Client {
	source := l.Flags.Source
	if l.Flags.Token != "" && l.Flags.sourceKind() != sourceHTTP {
		l.problem("flags.token", "is for a source that is an https URL")
	}
	switch l.Flags.sourceKind() {
	case sourceNone:
		if len(l.Flags.Routes) > 0 {
			l.problem("flags.routes", "need flags.source: every flag is off without definitions")
		}
		return nil
	case sourceRedis:
		if l.Redis == "" {
			l.problem("flags.source", "redis needs the key redis (REDIS_URL); a file of that name is ./redis")
		}
		return nil
	case sourceHTTP:
		_, err := l.httpFlags()
		for _, e := range flatten(err) {
			switch field, reason := fieldOf(e); field {
			case "HTTPConfig.URL":
				l.problem("flags.source", "%s", reason)
			case "HTTPConfig.Token":
				l.problem("flags.token", "%s", reason)
			}
		}
		return nil
	}
	data, err := filewatch.Read(source, flags.MaxFileBytes)
	if err != nil {
		l.problem("flags.source", "%s cannot be read: %s; it may be a file, redis, or an https URL", source, cause(err))
		return nil
	}
	client, err := flags.New(context.Background(), flags.Config{Source: flags.Static(source, data), Parse: ParseFlags})
	if err != nil {
		l.problems = append(l.problems, definitionProblems(err)...)
		return nil
	}
	return client
}
