package ofrep

import "github.com/handrail-go/handrail/flags"

// Decode reads a request within bounds.
func Decode(text string, depth, attributes int) (flags.EvaluationContext, error) {
	d := decoder{text: text, bounds: bounds{depth: depth, attributes: attributes}}
	return d.request()
}

// AppendString appends a JSON string.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }
