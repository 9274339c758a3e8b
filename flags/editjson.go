package flags

import (
	"encoding/json"
	"strings"
)

// A jsonReader finds the bytes of the values of good JSON.
type jsonReader struct {
	data []byte
	at   int
}

func readJSON(data []byte) *node {
	r := &jsonReader{data: data}
	return r.value()
}

// next is the byte that is not space, and stays at it.
func (r *jsonReader) next() byte {
	for strings.IndexByte(" \t\r\n", r.data[r.at]) >= 0 {
		r.at++
	}
	return r.data[r.at]
}

func (r *jsonReader) value() *node {
	c := r.next()
	n := &node{start: r.at}
	switch c {
	case '{':
		n.kind = mapping
		r.collection(n, '}')
	case '[':
		n.kind = list
		r.collection(n, ']')
	case '"':
		n.text = r.text()
	default:
		for r.at < len(r.data) && strings.IndexByte(" \t\r\n,]}", r.data[r.at]) < 0 {
			r.at++
		}
		n.text = string(r.data[n.start:r.at])
	}
	n.end = r.at
	return n
}

func (r *jsonReader) collection(n *node, closing byte) {
	n.flow = true
	r.at++
	for r.next() != closing {
		if r.data[r.at] == ',' {
			r.at++
			continue
		}
		p := part{start: r.at, keyEnd: r.at}
		if n.kind == mapping {
			p.key = r.text()
			p.keyEnd = r.at
			r.next()
			r.at++ // the colon
		}
		p.value = r.value()
		n.parts = append(n.parts, p)
	}
	r.at++
}

// text is the string at which r is.
func (r *jsonReader) text() (text string) {
	start := r.at
	for r.at++; r.data[r.at] != '"'; r.at++ {
		if r.data[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	_ = json.Unmarshal(r.data[start:r.at], &text)
	return text
}
