package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags"
)

const maxContextBytes = 64 << 10

func addContext(cmd *cobra.Command, attributes *string) {
	cmd.Flags().StringVar(attributes, "context", "", "attributes of the evaluation context, as a `JSON` object")
}

// evaluationContext is whom a flag is asked about: the ID, where there is one,
// and attributes in JSON. Their targetingKey is the ID too.
func evaluationContext(id []string, attributes string) (flags.EvaluationContext, error) {
	ec := flags.EvaluationContext{}
	if len(id) > 0 {
		ec.TargetingKey = id[0]
	}
	if len(ec.TargetingKey) > flags.MaxTargetingKeyBytes {
		return ec, fmt.Errorf("the ID is longer than %d bytes", flags.MaxTargetingKeyBytes)
	}
	if attributes == "" {
		return ec, nil
	}
	var err error
	if ec.Attributes, err = parseAttributes(attributes); err != nil {
		return ec, fmt.Errorf("--context: %w", err)
	}
	inContext, given := ec.Attributes["targetingKey"]
	if !given {
		return ec, nil
	}
	delete(ec.Attributes, "targetingKey")
	key, ok := inContext.(string)
	switch {
	case !ok:
		return ec, errors.New("--context: targetingKey must be a string")
	case len(key) > flags.MaxTargetingKeyBytes:
		return ec, fmt.Errorf("--context: targetingKey is longer than %d bytes", flags.MaxTargetingKeyBytes)
	case len(id) > 0 && id[0] != key:
		return ec, errors.New("--context: its targetingKey is not the ID")
	}
	ec.TargetingKey = key
	return ec, nil
}

// parseAttributes reads a JSON object, with integers as int64.
func parseAttributes(text string) (map[string]any, error) {
	if len(text) > maxContextBytes {
		return nil, fmt.Errorf("is longer than %d KiB", maxContextBytes>>10)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var attributes map[string]any
	if err := d.Decode(&attributes); err != nil || attributes == nil {
		return nil, errors.New(`must be a JSON object such as {"plan":"pro"}`)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something behind its JSON object")
	}
	for name, value := range attributes {
		v, err := withoutJSONNumbers(value)
		if err != nil {
			return nil, err
		}
		attributes[name] = v
	}
	return attributes, nil
}

func withoutJSONNumbers(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, errors.New("has a number out of range")
		}
		return f, nil
	case []any:
		for i := range v {
			if v[i], err = withoutJSONNumbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = withoutJSONNumbers(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}
