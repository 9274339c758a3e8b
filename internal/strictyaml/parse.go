package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of a file.
const (
	MaxBytes = 8 << 20
	maxDepth = 64
	maxNodes = 2_000_000 // visits, so that aliases cannot multiply
)

// A Doc is one parsed file.
type Doc struct {
	name string
	root *yaml.Node
}

// Parse reads one YAML or JSON document. The name stands in messages; a name
// that ends in .json is JSON, and so is any content that is valid JSON. An
// empty document, a second one, and syntax errors are Problems.
func Parse(name string, data []byte) (*Doc, error) {
	doc := &Doc{name: name}
	if len(data) > MaxBytes {
		return nil, doc.fail(0, 0, fmt.Sprintf("is larger than %d bytes", MaxBytes))
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var err error
	if strings.EqualFold(filepath.Ext(name), ".json") || looksLikeJSON(data) {
		doc.root, err = parseJSON(doc, data)
	} else {
		doc.root, err = parseYAML(doc, data)
	}
	if err != nil {
		return nil, err
	}
	if doc.root == nil {
		return nil, doc.fail(0, 0, "is empty")
	}
	return doc, nil
}

func (d *Doc) fail(line, column int, message string) error {
	return Problems{{File: d.name, Line: line, Column: column, Message: message}}
}

// Name is the file's name as given to Parse.
func (d *Doc) Name() string { return d.name }

// Has reports whether the document is a mapping with that key at its root.
func (d *Doc) Has(key string) bool {
	if d.root.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		if d.root.Content[i].Value == key {
			return true
		}
	}
	return false
}

// Problem is a problem of the value at path, with its place in the file. Where
// the path itself is absent, the nearest value above it is named.
func (d *Doc) Problem(path, message string) *Problem {
	at, _ := find(d.root, path)
	return &Problem{File: d.name, Line: at.Line, Column: at.Column, Path: path, Message: message}
}

// Seen reports whether the file has a value at path.
func (d *Doc) Seen(path string) bool {
	_, ok := find(d.root, path)
	return ok
}

// find walks to the value at path, such as rate_limits[0].window. When it is
// absent, it returns the last value on the way. Keys may hold dots.
func find(n *yaml.Node, path string) (at *yaml.Node, ok bool) {
	if path == "" {
		return n, true
	}
	at = n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.SequenceNode:
		index, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
		if i, err := strconv.Atoi(index); err == nil && i >= 0 && i < len(n.Content) {
			return find(n.Content[i], strings.TrimPrefix(rest, "."))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			rest, found := strings.CutPrefix(path, n.Content[i].Value)
			if !found || rest != "" && rest[0] != '.' && rest[0] != '[' {
				continue
			}
			value, exact := find(n.Content[i+1], strings.TrimPrefix(rest, "."))
			if exact {
				return value, true
			}
			at = value
		}
	}
	return at, false
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

func parseYAML(doc *Doc, data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var n, second yaml.Node
	if err := dec.Decode(&n); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, doc.syntax(err)
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, doc.syntax(err)
	default:
		return nil, doc.fail(second.Line, second.Column, "holds a second document: only one is read")
	}
	if len(n.Content) == 0 || isNull(n.Content[0]) {
		return nil, nil
	}
	return n.Content[0], nil
}

// syntax turns an error of the YAML library, which tells the line alone, into
// a Problem.
func (d *Doc) syntax(err error) error {
	text := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	return d.fail(line, 1, "is not valid YAML: "+strings.TrimPrefix(text, "yaml: "))
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
