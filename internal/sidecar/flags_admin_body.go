package sidecar

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/httpx"
)

// flagBody reads the body of a request, and answers it if there is none.
func flagBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := httpx.ReadBody(r, flags.MaxFileBytes, nil)
	switch {
	case errors.Is(err, httpx.ErrBodyTooLarge):
		httpx.WriteError(w, r, http.StatusRequestEntityTooLarge, "body_too_large")
	case err != nil || len(body) == 0:
		writeDetail(w, http.StatusBadRequest, "bad_request", "the body must be a JSON object of settings, such as {\"rolloutPercentage\": 10}")
	case !utf8.Valid(body): // would be stored as something else
		writeDetail(w, http.StatusBadRequest, "bad_request", "the body is not UTF-8")
	default:
		return body, true
	}
	return nil, false
}

// readPatch takes the lists allow, deny and remove out of a body. What is left are
// settings, each in the place that it had, so that problems of them name it.
func readPatch(body []byte) (edit flags.Change, err error) {
	edit.Settings = bytes.Clone(body)
	lists := map[string]*[]string{"allow": &edit.Allow, "deny": &edit.Deny, "remove": &edit.Remove}
	all, kept := members(body), false
	for i, m := range all {
		list, ok := lists[m.name]
		if !ok {
			kept = true
			continue
		}
		if *list != nil {
			return flags.Change{}, errors.New(m.name + " stands there twice")
		}
		if m.value[0] != '[' || json.Unmarshal(m.value, list) != nil {
			return flags.Change{}, errors.New(m.name + " must be a list of targeting keys")
		}
		switch {
		case kept: // with the comma before
			m.start = all[i-1].end
		case i+1 < len(all): // with the one behind
			m.end = all[i+1].start
		}
		blank(edit.Settings[m.start:m.end])
	}
	return edit, nil
}

// blank makes spaces of a text, but for its lines.
func blank(text []byte) {
	for i, c := range text {
		if c != '\n' {
			text[i] = ' '
		}
	}
}

// A member is one of a JSON object.
type member struct {
	name       string
	value      json.RawMessage
	start, end int // of both in the text
}

// members are those of a JSON object, none of a text that is no good one.
func members(body []byte) (all []member) {
	d := json.NewDecoder(bytes.NewReader(body))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil
	}
	for d.More() {
		from := int(d.InputOffset())
		name, err := d.Token()
		if err != nil {
			return nil
		}
		m := member{start: from + bytes.IndexByte(body[from:], '"')}
		if m.name, _ = name.(string); d.Decode(&m.value) != nil {
			return nil
		}
		m.end = int(d.InputOffset())
		all = append(all, m)
	}
	return all
}
