package ratelimit_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/handrail-go/handrail/ratelimit"
)

// FuzzJSONSubject: what counts is what encoding/json finds, and what everybody
// finds counts.
func FuzzJSONSubject(f *testing.F) {
	key := keyOf(f, ratelimit.Config{}, "json:/user/email")
	empty := key()
	for _, doc := range []string{
		`{"user":{"email":"a"}}`, `{"user":{"email":"\u0061\n\"\/\\"}}`, `{"user":{"email":1.50e+2}}`,
		`{"user":{"email":"a","Email":1}}`, `{"user":{},"user":{"email":"a"}}`, `{"us\u0065r":{"email":true}}`,
		`[{"user":{"email":"a"}}]`, `{"user":{"email":"\ud83d\ude00"}}`, `{"user":{"email":"\ud83d"}}`,
		`{"user":[{"email":"a"}],"x":[[],{},null,-0.1e-1,"\t"]} `, "{\"user\":{\"email\":\"\xff\"}}", `{"user":{"email":"a"}}x`,
		`{"user":{"email":"007"}}`, `{"user":{"email":1e400}}`, `{"user":{"email":"a\u0000"}}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := key(asJSON(string(doc)))
		value, clear := readJSON(doc)
		if got == empty {
			if clear && !blank(value) {
				t.Errorf("%q counts as the empty value, everybody reads %q", doc, value)
			}
			return
		}
		again, err := json.Marshal(map[string]any{"user": map[string]any{"email": value}})
		if err != nil || value == nil || got != key(asJSON(string(again))) {
			t.Errorf("%q does not count as %q, %v", doc, value, err)
		}
	})
}

// readJSON is what encoding/json finds at /user/email, and whether every other
// parser finds the same.
func readJSON(doc []byte) (value any, clear bool) {
	var all any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&all); err != nil || !json.Valid(doc) {
		return nil, false
	}
	members, _ := all.(map[string]any)
	user, _ := members["user"].(map[string]any)
	switch v := user["email"].(type) {
	case string, bool:
		value = v
	case json.Number:
		if _, err := v.Float64(); err == nil {
			value = v
		}
	}
	return value, value != nil && !bytes.Contains(doc, []byte(`\u`)) &&
		bytes.Count(doc, []byte("[")) < 20 && bytes.Count(doc, []byte("{")) < 20 &&
		bytes.Count(bytes.ToLower(doc), []byte("user")) == 1 && bytes.Count(bytes.ToLower(doc), []byte("email")) == 1 &&
		ascii(string(doc))
}

// ascii reports whether s is that alone: of the rest, some counts as nothing.
func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// blank reports whether v is nothing once space and invisible characters are
// left out, or a number beyond a double.
func blank(v any) bool {
	s, ok := v.(string)
	return ok && (beyond.MatchString(strings.TrimSpace(s)) ||
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsSpace(r) && !unicode.In(r, unicode.Cc, unicode.Cf) }))
}

// beyond matches what may be a number beyond a double, more or less.
var beyond = regexp.MustCompile(`(?i)^[-+_]*[0-9._]+e[+_]*[0-9_]{3,}$|[0-9_]{300}|0_*[xob][0-9a-f_]{64}`)

// FuzzFormSubject: what counts is what net/url finds, once, and what everybody
// finds counts.
func FuzzFormSubject(f *testing.F) {
	key := keyOf(f, ratelimit.Config{}, "form:email")
	empty := key()
	for _, form := range []string{
		"email=a", "email=a%40b+c&x=1", "email=%zz", "email=a&email=b", "email[]=a&email=b", "a=%&email=b",
		"email=a;x=1", "%45mail=a&email=b", "email", "&&=&email=a=b", "email=1e3", "email=\xff", "_charset_=x&email=a",
	} {
		f.Add(form)
	}
	plain := regexp.MustCompile(`^[a-z_]*$`)
	f.Fuzz(func(t *testing.T, form string) {
		got := key(asForm(form))
		values, err := url.ParseQuery(form)
		email := values["email"]
		if got != empty {
			if len(email) != 1 || got != key(asForm(url.Values{"email": email}.Encode())) {
				t.Errorf("%q counts as one value, net/url reads %q, %v", form, email, err)
			}
			return
		}
		for name := range values {
			if !plain.MatchString(name) || name == "_charset_" {
				return
			}
		}
		if err == nil && len(email) == 1 && ascii(email[0]) && !strings.Contains(email[0], "\x00") && !blank(email[0]) {
			t.Errorf("%q counts as the empty value, everybody reads %q", form, email)
		}
	})
}

// FuzzMultipartSubject: what counts is what mime/multipart finds, once.
func FuzzMultipartSubject(f *testing.F) {
	key := keyOf(f, ratelimit.Config{}, "form:email")
	empty := key()
	for _, form := range []string{
		parts(field("email", "a")), parts(field("x", "1"), field("email", "a\r\nb")), parts(field("email", "a"), field("email", "b")),
		"--XX\r\nContent-Disposition: form-data; name=email; filename=\"\"\r\n\r\na\r\n--XX--",
		"--XX\nContent-Disposition: form-data; name=email\n\na\n--XX--", "x\r\n" + parts(field("email", "a")),
		"--XX\r\nContent-Type: text/plain; charset=utf-8\r\n" + field("email", "a") + "\r\n--XX \r\n\r\n--XX--\r\n",
	} {
		f.Add(form)
	}
	f.Fuzz(func(t *testing.T, form string) {
		got := key(asParts(), body(partsType, form))
		if got == empty {
			return
		}
		all, err := multipart.NewReader(strings.NewReader(form), "XX").ReadForm(1 << 20)
		if err != nil {
			t.Fatalf("%q counts, mime/multipart says %v", form, err)
		}
		if v := all.Value["email"]; len(v) != 1 || got != key(asParts(field("email", v[0]))) {
			t.Errorf("%q counts as one value, mime/multipart reads %q", form, v)
		}
	})
}

// FuzzBodyType: a body counts under at most one of the two kinds of keys, and not
// when it is encoded.
func FuzzBodyType(f *testing.F) {
	pointer := keyOf(f, ratelimit.Config{}, "json:/email")
	form := keyOf(f, ratelimit.Config{}, "form:email")
	noJSON, noForm := pointer(), form()
	f.Add("application/json", "", `{"email":"a"}`)
	f.Add(formType+";charset=utf-8", "", "email=a")
	f.Add(partsType, "identity", parts(field("email", "a")))
	f.Add("multipart/form-data; boundary*0=X; boundary*1=X", "", parts(field("email", "a")))
	f.Fuzz(func(t *testing.T, contentType, encoding, text string) {
		edit := with("Content-Encoding", encoding)
		inJSON, inForm := pointer(body(contentType, text, edit)) != noJSON, form(body(contentType, text, edit)) != noForm
		if inJSON && inForm {
			t.Errorf("%q as %q counts both ways", text, contentType)
		}
		if (inJSON || inForm) && encoding != "" && !strings.EqualFold(strings.TrimSpace(encoding), "identity") {
			t.Errorf("a body in %q counts", encoding)
		}
	})
}

// What differs in letter case only, by any rule of Unicode for single
// characters, is one subject.
func TestEveryLetterCaseIsOneSubject(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "form:email")
	of := func(r rune) string { return key(asForm("email=x" + url.QueryEscape(string(r)))) }
	for r := range rune(0x1f200) { // there is no case beyond
		forms := []rune{unicode.SimpleFold(r), unicode.ToLower(r), unicode.ToUpper(r), unicode.ToTitle(r)}
		// U+0345 is an accent as well.
		forms = slices.DeleteFunc(forms, func(form rune) bool { return form == r || form == 0x345 })
		if len(forms) == 0 || r == 0x345 {
			continue
		}
		want := of(r)
		for _, form := range forms {
			if of(form) != want {
				t.Errorf("%c (%U) and %c (%U) are two subjects", r, r, form, form)
			}
		}
	}
}

// An outer middleware may have begun to read.
func TestABodyThatWasBegunIsTheEmptyValue(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "json:/email")
	begun := key(asJSON(`{"email":"alice"}`), func(r *http.Request) { _, _ = io.ReadFull(r.Body, make([]byte, 3)) })
	if begun != key() {
		t.Error("half a document counts")
	}
}
