package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// looksLikeJSON reports whether data is an object in JSON rather than a flow
// mapping in YAML. YAML's reader would take most JSON, but not "\/" or
// surrogate pairs.
func looksLikeJSON(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) && json.Valid(data)
}

// A jsonReader builds the tree that the YAML reader would, with places.
type jsonReader struct {
	doc  *Doc
	dec  *json.Decoder
	data []byte
	line int // of data[:done]
	bol  int // where that line begins
	done int
}

func parseJSON(doc *Doc, data []byte) (*yaml.Node, error) {
	r := &jsonReader{doc: doc, dec: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	r.dec.UseNumber()
	n, err := r.value(0)
	if errors.Is(err, io.EOF) && n == nil && len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if err == nil && len(bytes.TrimSpace(data[r.dec.InputOffset():])) == 0 {
		return n, nil
	}
	at := r.start()
	if err == nil {
		err = errors.New("there is more after the document")
	}
	if _, ok := errors.AsType[Problems](err); ok {
		return nil, err
	}
	var syntax *json.SyntaxError
	text := err.Error()
	switch {
	case errors.As(err, &syntax):
		at = max(int(syntax.Offset)-1, 0)
		at += len(data[at:]) - len(bytes.TrimLeft(data[at:], " \t\r\n"))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at, text = len(data), "unexpected end of file"
	}
	line, column := r.place(at)
	return nil, doc.fail(line, column, "is not valid JSON: "+text)
}

// place is the line and column of an offset. Offsets only grow.
func (r *jsonReader) place(offset int) (line, column int) {
	for offset = min(offset, len(r.data)); r.done < offset; r.done++ {
		if r.data[r.done] == '\n' {
			r.line++
			r.bol = r.done + 1
		}
	}
	return r.line, offset - r.bol + 1
}

// start is the offset of the next token, past spaces and separators.
func (r *jsonReader) start() int {
	at := int(r.dec.InputOffset())
	for at < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[at]) >= 0 {
		at++
	}
	return at
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	line, column := r.place(r.start())
	if depth > maxDepth {
		return nil, r.doc.fail(line, column, "is nested too deeply")
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: line, Column: column}
	switch t := token.(type) {
	case json.Delim:
		return r.collection(n, t, depth)
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!int", t.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", "false"
		if t {
			n.Value = "true"
		}
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

func (r *jsonReader) collection(n *yaml.Node, open json.Delim, depth int) (*yaml.Node, error) {
	n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	if open == '{' {
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
	}
	for r.dec.More() {
		child, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, child)
	}
	_, err := r.dec.Token()
	return n, err
}
