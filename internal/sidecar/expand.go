package sidecar

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/handrail-go/handrail/internal/filewatch"
)

const maxSecretFile = 64 << 10

// An expander replaces references in the scalar values of a file:
// ${VAR}, ${VAR:-default}, ${file:/run/secrets/x} and $$ for one dollar sign.
// What it yields is not looked at again. References hold no dollar sign: they
// do not nest.
type expander struct {
	getenv func(string) string
	dir    string // relative files are relative to it
}

func (e expander) expand(text string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return "", errors.New("${ is never closed; write $$ for a dollar sign")
			}
			if strings.Contains(name, "$") {
				return "", errors.New("a dollar sign stands within ${...}: references do not nest, and defaults hold no dollar sign")
			}
			value, err := e.reference(name)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = after
		default:
			return "", errors.New("a single $ stands before no {: write ${VAR} for a variable, $$ for a dollar sign")
		}
	}
}

func (e expander) reference(ref string) (string, error) {
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		return e.file(path)
	}
	name, fallback, hasFallback := strings.Cut(ref, ":-")
	if !isVariable(name) {
		return "", errors.New("${...} holds no variable name; forms are ${VAR}, ${VAR:-default} and ${file:/path}")
	}
	if value := e.getenv(name); value != "" {
		return value, nil
	}
	if hasFallback {
		return fallback, nil
	}
	return "", fmt.Errorf("environment variable %s is not set or empty; set it, or give a default as ${%s:-default}", name, name)
}

func (e expander) file(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(e.dir, path)
	}
	data, err := filewatch.Read(path, maxSecretFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the file it refers to: %w", err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	text = strings.TrimSuffix(text, "\r")
	if text == "" {
		return "", fmt.Errorf("the file %s is empty", path)
	}
	return text, nil
}

func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
