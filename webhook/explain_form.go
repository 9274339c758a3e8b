package webhook

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/url"
	"slices"
	"strings"
)

// maxForm is the longest form that is written anew.
const maxForm = 1 << 20

// field of a form, decoded.
type formField struct {
	name, value string
	bare        bool // without =
}

// forms are other ways to write the same form, and the form that a body was
// taken from.
func (s *search) forms(m Message) iter.Seq2[Finding, []byte] {
	return func(yield func(Finding, []byte) bool) {
		if len(m.Body) == 0 || len(m.Body) > maxForm || !s.spend(4*int64(len(m.Body))) {
			return
		}
		if fields, ok := parseForm(m.Body); ok {
			if one := fields[0]; len(fields) == 1 && one.name == "payload" && !yield(bodyFinding("body_wrapped", "what stands in the form's field payload"), []byte(one.value)) {
				return
			}
			s.writtenForms(fields, "form_reencoded", "The form was parsed and written anew: the signature is valid for the same fields", yield)
			return
		}
		fields, ok := fieldsOf(m.Body)
		if ok && !s.writtenForms(fields, "form_parsed", "The form was parsed and turned into JSON: the signature is valid for the same fields", yield) {
			return
		}
		if isJSON(m.Body) {
			payload := []formField{{name: "payload", value: string(m.Body)}}
			s.writtenForms(payload, "body_wrapped", "The body is what stood in the field payload of a form: the signature is valid for that form", yield)
		}
	}
}

func (s *search) writtenForms(fields []formField, code, text string, yield func(Finding, []byte) bool) bool {
	size := 0
	for _, f := range fields {
		size += 3 * (len(f.name) + len(f.value) + 1)
	}
	for _, sorted := range []bool{false, true} {
		order := ", sorted"
		if !sorted {
			order = ""
		} else {
			fields = slices.Clone(fields)
			slices.SortStableFunc(fields, func(a, b formField) int { return strings.Compare(a.name, b.name) })
		}
		for _, space := range []string{"+", "%20"} {
			for _, safe := range []string{"-_.~", "-._*", "-_.!~*'()", "-_."} {
				for _, digits := range []string{"0123456789ABCDEF", "0123456789abcdef"} {
					if !s.spend(int64(size)) {
						return false
					}
					f := finding(code, text+order+", with a space as "+space+", as some library writes them.", rawBytes)
					if !yield(f, writeForm(fields, space, safe, digits)) {
						return false
					}
				}
			}
		}
	}
	return true
}

// parseForm reads a form in the order in which it is written.
func parseForm(body []byte) (fields []formField, ok bool) {
	if !bytes.Contains(body, []byte("=")) || bytes.ContainsAny(body, "{}\"<> \n") && !bytes.HasPrefix(body, []byte("payload=")) {
		return nil, false
	}
	for part := range strings.SplitSeq(strings.TrimRight(string(body), "\r\n"), "&") {
		name, value, found := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err != nil || err2 != nil {
			return nil, false
		}
		fields = append(fields, formField{name, value, !found})
	}
	return fields, true
}

// fieldsOf are the members of an object of texts, as they are written.
func fieldsOf(body []byte) (fields []formField, ok bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		value, err2 := d.Token()
		key, isText := name.(string)
		text, isText2 := value.(string)
		if err != nil || err2 != nil || !isText || !isText2 {
			return nil, false
		}
		fields = append(fields, formField{name: key, value: text})
	}
	_, err := d.Token()
	return fields, err == nil && len(fields) > 0 && !d.More()
}

func writeForm(fields []formField, space, safe, hexadecimal string) []byte {
	var out []byte
	escape := func(s string) {
		for i := range len(s) {
			switch c := s[i]; {
			case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte(safe, c) >= 0:
				out = append(out, c)
			case c == ' ':
				out = append(out, space...)
			default:
				out = append(out, '%', hexadecimal[c>>4], hexadecimal[c&15])
			}
		}
	}
	for i, f := range fields {
		if i > 0 {
			out = append(out, '&')
		}
		escape(f.name)
		if !f.bare {
			out = append(out, '=')
			escape(f.value)
		}
	}
	return out
}
