package ratelimit_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
)

const (
	formType  = "application/x-www-form-urlencoded"
	partsType = "multipart/form-data; boundary=XX"
)

// body is a request by POST with a body.
func body(contentType, text string, edit ...func(*http.Request)) func(*http.Request) {
	return func(r *http.Request) {
		*r = *httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(text))
		r.RemoteAddr = "192.0.2.1:4711"
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		for _, e := range edit {
			e(r)
		}
	}
}

func asJSON(text string) func(*http.Request) { return body("application/json", text) }
func asForm(text string) func(*http.Request) { return body(formType, text) }

// parts is a multipart body of parts, each a header and a content.
func parts(list ...string) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString("--XX\r\n" + p + "\r\n")
	}
	return b.String() + "--XX--\r\n"
}

func field(name, value string) string {
	return `Content-Disposition: form-data; name="` + name + "\"\r\n\r\n" + value
}

func asParts(list ...string) func(*http.Request) { return body(partsType, parts(list...)) }

// same says which requests are one subject: those of want "=" the first's, those
// of want "0" the one of a request without a body, and those of "!" neither.
type same struct {
	rule string
	want byte
	edit func(*http.Request)
}

func checkSubjects(t *testing.T, part string, first func(*http.Request), cases []same) {
	t.Helper()
	key := keyOf(t, ratelimit.Config{}, part)
	a, empty := key(first), key()
	if a == empty {
		t.Fatal("the first request has the empty subject")
	}
	for _, c := range cases {
		got := key(c.edit)
		found := byte('!')
		switch got {
		case a:
			found = '='
		case empty:
			found = '0'
		}
		if found != c.want {
			t.Errorf("%s: subject %c, want %c", c.rule, found, c.want)
		}
	}
}

func TestSubjectsOfJSON(t *testing.T) {
	deep := func(n int) string {
		return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `,"email":"alice@x"}`
	}
	checkSubjects(t, "json:/email", asJSON(`{"email":"alice@x","password":"1"}`), []same{
		{"other values are others", '!', asJSON(`{"email":"bob@x"}`)},
		{"other members do not count", '=', asJSON(`{"a":[1,{"email":"bob@x"}],"email":"alice@x","b":null}`)},
		{"letter case does not count", '=', asJSON(`{"email":"ALICE@X"}`)},
		{"space around does not count", '=', asJSON(`{"email":"\u00a0 alice@x\t\n\u3000"}`)},
		{"space within counts", '!', asJSON(`{"email":"ali ce@x"}`)},
		{"invisible characters do not count", '=', asJSON(`{"email":"\ufeffal\u200bic\u00ade@x\u0007"}`)},
		{"escapes are decoded", '=', asJSON(`{"\u0065mail":"\u0061lice\u0040x"}`)},
		{"the type of the body does not count", '=', body("text/plain", `{"email":"alice@x"}`)},
		{"a body without a type is read", '=', body("", `{"email":"alice@x"}`)},
		{"UTF-8 may be said", '=', body(`application/json; charset="UTF-8"`, `{"email":"alice@x"}`)},
		{"another charset is not read", '0', body("application/json; charset=utf-7", `{"email":"alice@x"}`)},
		{"ASCII in ISO-8859-1 is UTF-8", '=', body("application/json; charset=ISO-8859-1", `{"email":"alice@x"}`)},
		{"ASCII may be said", '=', body("text/plain; charset=us-ascii", `{"email":"\u0061lice@x"}`)},
		{"more than ASCII in ISO-8859-1 is not read", '0', body("application/json; charset=iso-8859-1", `{"a":"é","email":"alice@x"}`)},
		{"UTF-16 is not read", '0', body("application/json; charset=utf-16", `{"email":"alice@x"}`)},
		{"a charset beside another is not read", '0', body("application/json; charset=utf-7; charset*=utf-8''utf-8", `{"email":"alice@x"}`)},
		{"a charset in a quoted parameter is not read", '0', body(`application/json; x="; charset=utf-7"`, `{"email":"alice@x"}`)},
		{"a charset in another parameter is not read", '0', body(`application/json; x="charset=utf-7"; charset=utf-8`, `{"email":"alice@x"}`)},
		{"a charset with an escape is not read", '0', body(`application/json; charset="ut\f-8"`, `{"email":"alice@x"}`)},
		{"a charset in the extended form is not read", '0', body("application/json; charset*=utf-8''utf-8", `{"email":"alice@x"}`)},
		{"a charset behind an escape is not read", '0', body(`application/json; charset="utf-8\"; charset=utf-7"`, `{"email":"alice@x"}`)},
		{"a type that does not parse is not read", '0', body("application/json, text/plain", `{"email":"alice@x"}`)},
		{"two types are not read", '0', body("", `{"email":"alice@x"}`, with("Content-Type", "application/json", formType))},
		{"a form is not read", '0', asForm("email=alice@x")},
		{"JSON that calls itself a form is not read", '0', asForm(`{"email":"alice@x"}`)},
		{"JSON that calls itself multipart is not read", '0', body("multipart/mixed; boundary=x", `{"email":"alice@x"}`)},
		{"an encoded body is not read", '0', body("", `{"email":"alice@x"}`, with("Content-Encoding", "gzip"))},
		{"identity is no encoding", '=', body("", `{"email":"alice@x"}`, with("Content-Encoding", "Identity"))},
		{"a body of several encodings is not read", '0', body("", `{"email":"alice@x"}`, with("Content-Encoding", "identity", "br"))},
		{"an absent member is the empty value", '0', asJSON(`{"password":"1"}`)},
		{"null is the empty value", '0', asJSON(`{"email":null}`)},
		{"an array is the empty value", '0', asJSON(`{"email":["alice@x"]}`)},
		{"an object is the empty value", '0', asJSON(`{"email":{"email":"alice@x"}}`)},
		{"blank is the empty value", '0', asJSON(`{"email":" \t"}`)},
		{"a document that is a string has no members", '0', asJSON(`"alice@x"`)},
		{"a repeated member is the empty value", '0', asJSON(`{"email":"alice@x","email":"bob@x"}`)},
		{"a member repeated as an object is the empty value", '0', asJSON(`{"email":"alice@x","email":{}}`)},
		{"a member repeated in other letter case is the empty value", '0', asJSON(`{"email":"alice@x","EMail":"bob@x"}`)},
		{"a member repeated in escapes is the empty value", '0', asJSON(`{"email":"alice@x","\u0065mail":"bob@x"}`)},
		{"a member in other letter case is the empty value", '0', asJSON(`{"Email":"alice@x"}`)},
		{"a name that C would end is the empty value", '0', asJSON(`{"email":"alice@x","email\u0000x":"bob@x"}`)},
		{"a value that C would end is the empty value", '0', asJSON(`{"email":"alice@x\u0000x"}`)},
		{"members repeated elsewhere do not count", '=', asJSON(`{"a":1,"a":2,"email":"alice@x","b":{"c":1,"c":2}}`)},
		{"trailing garbage is no JSON", '0', asJSON(`{"email":"alice@x"}{}`)},
		{"a trailing comma is no JSON", '0', asJSON(`{"email":"alice@x",}`)},
		{"a comment is no JSON", '0', asJSON(`{/**/"email":"alice@x"}`)},
		{"single quotes are no JSON", '0', asJSON(`{'email':'alice@x'}`)},
		{"NaN is no JSON", '0', asJSON(`{"a":NaN,"email":"alice@x"}`)},
		{"a form feed is no blank", '0', asJSON("\f{\"email\":\"alice@x\"}")},
		{"a document that is cut short is no JSON", '0', asJSON(`{"email":"alice@x"`)},
		{"an empty body is none", '0', asJSON(``)},
		{"a byte order mark is no JSON", '0', asJSON("\xef\xbb\xbf" + `{"email":"alice@x"}`)},
		{"UTF-16 is no JSON", '0', asJSON("{\x00\"\x00")},
		{"invalid UTF-8 is no JSON, wherever", '0', asJSON("{\"a\":\"\xff\",\"email\":\"alice@x\"}")},
		{"half a surrogate pair is no character, wherever", '0', asJSON(`{"a":"\ud800","email":"alice@x"}`)},
		{"surrogates in the wrong order are none", '0', asJSON(`{"a":"\udc00\ud800","email":"alice@x"}`)},
		{"an escape that JSON lacks is none", '0', asJSON(`{"a":"\x41","email":"alice@x"}`)},
		{"a control character is to be escaped", '0', asJSON("{\"a\":\"\t\",\"email\":\"alice@x\"}")},
		{"a number that JSON lacks is none", '0', asJSON(`{"a":01,"email":"alice@x"}`)},
		{"a hundred levels are read", '=', asJSON(deep(99))},
		{"more levels are not", '0', asJSON(deep(101))},
	})
}

func TestNumbersOfOneValueAreOneSubject(t *testing.T) {
	checkSubjects(t, "json:/id", asJSON(`{"id":12}`), []same{
		{"a fraction of nothing", '=', asJSON(`{"id":12.0}`)},
		{"an exponent", '=', asJSON(`{"id":1.2e1}`)},
		{"a string", '=', asJSON(`{"id":"12"}`)},
		{"a string with leading zeros", '=', asJSON(`{"id":"0012"}`)},
		{"a string with a sign and space", '=', asJSON(`{"id":" +12.0 "}`)},
		{"digits that a double does not hold", '=', asJSON(`{"id":12.00000000000000000001}`)},
		{"underscores between digits", '=', asJSON(`{"id":"1_2"}`)},
		{"an underscore before an exponent", '=', asJSON(`{"id":"0_1.2e0_1"}`)},
		{"base 16", '=', asJSON(`{"id":"0xC"}`)},
		{"base 16 with zeros", '=', asJSON(`{"id":" +0X00_0c "}`)},
		{"base 8", '=', asJSON(`{"id":"0o14"}`)},
		{"base 2", '=', asJSON(`{"id":"0b1100"}`)},
		{"digits of another script", '=', asJSON(`{"id":"١٢"}`)},
		{"digits of two scripts", '=', asJSON(`{"id":"0१２"}`)},
		{"base 2 has no 2", '!', asJSON(`{"id":"0b12"}`)},
		{"a number of base 2 beyond 64 bits is the empty value", '0', asJSON(`{"id":"0b1` + strings.Repeat("0", 64) + `"}`)},
		{"another number", '!', asJSON(`{"id":-12}`)},
		{"a number and more", '!', asJSON(`{"id":"12a"}`)},
		{"a boolean is no number", '!', asJSON(`{"id":true}`)},
		{"a number beyond a double is the empty value", '0', asJSON(`{"id":1e999}`)},
	})
	key := keyOf(t, ratelimit.Config{}, "json:/id")
	if key(asJSON(`{"id":0}`)) != key(asJSON(`{"id":-0.0}`)) {
		t.Error("zero has a sign")
	}
	for _, ids := range [][2]string{{"0x10000000000000000", "18446744073709551616"}, {"-0x10", "-16"}, {"0x0", "-0"}, {"0b", "0B"}, {"0xfg", "0XFG"}} {
		if a := key(asJSON(`{"id":"` + ids[0] + `"}`)); a == key() || a != key(asJSON(`{"id":"`+ids[1]+`"}`)) {
			t.Errorf("%s and %s are two subjects, or none", ids[0], ids[1])
		}
	}
	if a, b := "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D"; key(asJSON(`{"id":"`+a+`"}`)) == key(asJSON(`{"id":"`+b+`"}`)) {
		t.Error("two long numbers of base 16 are one subject")
	}
	if key(asJSON(`{"id":false}`)) == key(asJSON(`{"id":true}`)) {
		t.Error("booleans are one subject")
	}
	if key(asJSON(`{"id":9007199254740993}`)) != key(asJSON(`{"id":9007199254740992}`)) {
		t.Error("what JavaScript reads as one number is two subjects")
	}
}

// Rails merges the query into what a JSON body says, and takes the query's.
func TestAMemberInTheQueryIsTheEmptyValue(t *testing.T) {
	for _, c := range []struct {
		part, doc, query string
		ok               bool
	}{
		{"json:/email", `{"email":"a"}`, "", true},
		{"json:/email", `{"email":"a"}`, "next=%2Fhome&x[email]=1&email_confirmation=b&=&100%=", false}, // a bad escape in a name
		{"json:/email", `{"email":"a"}`, "next=%2Fhome&x[email]=1&email_confirmation=b&=&p=100%", true},
		{"json:/email", `{"email":"a"}`, "email=b", false},
		{"json:/email", `{"email":"a"}`, "x=1&email", false},
		{"json:/email", `{"email":"a"}`, "x=1;EMAIL=b", false},
		{"json:/email", `{"email":"a"}`, "%65mail[]=b", false},
		{"json:/email", `{"email":"a"}`, "email.x=b", false},
		{"json:/user/email", `{"user":{"email":"a"}}`, "email=b", true},
		{"json:/user/email", `{"user":{"email":"a"}}`, "user=b", false},
		{"json:/user/email", `{"user":{"email":"a"}}`, "user[email]=b", false},
		{"json:/user/email", `{"user":{"email":"a"}}`, "user%5Bname%5D=b", false},
		{"json:/user email", `{"user email":"a"}`, "user_email=b", false},
		{"json:/", `{"":"a"}`, "x=1", true},
		{"json:/", `{"":"a"}`, "=1", false},
		{"json:/[]", `{"[]":"a"}`, "x=1", true},
	} {
		key := keyOf(t, ratelimit.Config{}, c.part)
		got := key(asJSON(c.doc), func(r *http.Request) { r.URL.RawQuery = c.query })
		if want := key(asJSON(c.doc)); (got == want) != c.ok || !c.ok && got != key() {
			t.Errorf("%s with the query %q: the member's value %t, want %t", c.part, c.query, got == want, c.ok)
		}
	}
}

// Databases compare without accents, frameworks normalise by NFKC: with either,
// an account has more spellings than there are addresses.
func TestSpellingsOfOneNameAreOneSubject(t *testing.T) {
	of := func(value string) func(*http.Request) { return asForm("email=" + url.QueryEscape(value)) }
	checkSubjects(t, "form:email", of("lukasz-weiss1@x"), []same{
		{"accents do not count", '=', of("lùkȧs\u017e-wéíšs1@x")},
		{"accents on their own do not count", '=', of("lu\u0308ka\u030a\u0301sz-weiss1@x")},
		{"strokes do not count", '=', of("Łukasz-weiss1@x")},
		{"ß is ss", '=', of("lukasz-weiß1@x")},
		{"full-width characters are ASCII", '=', of("ｌｕｋａｓｚ－ｗｅｉｓｓ１＠ｘ")},
		{"letter case beyond ASCII does not count", '=', of("LU\u212aAſZ-WEİSS1@X")},
		{"letters of another script are others", '!', of("lukаsz-weiss1@x")},
		{"letters of mathematics are told apart from nothing", '0', of("lukasz-weis𝐬1@x")},
		{"letters in circles are told apart from nothing", '0', of("Ⓛukasz-weiss1@x")},
		{"superscripts are told apart from nothing", '0', of("lukasz-weiss¹@x")},
		{"ligatures are told apart from nothing", '0', of("ﬁ@x")},
	})
	key := keyOf(t, ratelimit.Config{}, "form:email")
	for _, names := range [][]string{
		{"ærøskøbing", "aeroskobing"}, {"đặng thị hương", "dang thi huong"}, {"ștefan", "stefan"}, {"œuvre", "oeuvre"}, {"１２", "012"},
	} {
		if key(of(names[0])) != key(of(names[1])) {
			t.Errorf("%s and %s are two subjects", names[0], names[1])
		}
	}
	for _, names := range [][]string{{"иван", "йван"}, {"たろう", "だろう"}, {"अ", "आ"}, {"王", "玉"}} {
		if a, b := key(of(names[0])), key(of(names[1])); a == b || a == key() {
			t.Errorf("%s and %s are one subject, or none", names[0], names[1])
		}
	}
}

func TestPointersGoThroughObjectsAndArrays(t *testing.T) {
	for _, c := range []struct{ key, doc string }{
		{"json:/user/email", `{"user":{"email":"alice"}}`},
		{"json:/0/email", `[{"email":"alice"}]`},
		{"json:/users/1", `{"users":["bob","alice"]}`},
		{"json:/0", `{"0":"alice"}`},
		{"json:/", `{"":"alice"}`},
		{"json:/a~1b~0c", `{"a/b~c":"alice"}`},
		{"json:/~01", `{"~1":"alice"}`},
	} {
		key := keyOf(t, ratelimit.Config{}, c.key)
		got, empty := key(asJSON(c.doc)), key()
		if got == empty || got != key(asJSON(strings.Replace(c.doc, "alice", "ALICE", 1))) ||
			got == key(asJSON(strings.Replace(c.doc, "alice", "carol", 1))) {
			t.Errorf("%s does not find alice in %s", c.key, c.doc)
		}
	}
	key := keyOf(t, ratelimit.Config{}, "json:/users/01")
	if key(asJSON(`{"users":["bob","alice"]}`)) != key() {
		t.Error("01 is a place in an array")
	}
	key = keyOf(t, ratelimit.Config{}, "json:/user/email")
	if key(asJSON(`{"user":{"email":"alice"},"User":{}}`)) != key() {
		t.Error("a member on the way may be there twice")
	}
}

func TestSubjectsOfForms(t *testing.T) {
	query := func(q string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = q } }
	checkSubjects(t, "form:email", asForm("email=alice%40x&password=1"), []same{
		{"other values are others", '!', asForm("email=bob%40x")},
		{"escapes are decoded", '=', asForm("%65mail=%61lice@x")},
		{"a plus is a space", '=', asForm("email=+alice@x+")},
		{"an escaped plus is a plus", '!', asForm("email=%2balice@x")},
		{"letter case does not count", '=', asForm("email=Alice@X")},
		{"multipart is a form", '=', asParts(field("email", "alice@x"), field("password", "1"))},
		{"a charset of UTF-8 may be said", '=', body(formType+"; charset=utf-8", "email=alice@x")},
		{"another charset is not read", '0', body(formType+"; charset=utf-7", "email=alice@x")},
		{"ASCII in Windows-1252 is UTF-8", '=', body(formType+"; charset=Windows-1252", "a=%e9&email=alice@x")},
		{"a value of more than ASCII in Windows-1252 is the empty value", '0', body(formType+"; charset=windows-1252", "email=alice@x%c3%a9")},
		{"JSON is not read", '0', asJSON(`{"email":"alice@x"}`)},
		{"a body without a type is not read", '0', body("", "email=alice@x")},
		{"a type of other letter case is read", '=', body("Application/X-WWW-Form-URLencoded", "email=alice@x")},
		{"an encoded body is not read", '0', body(formType, "email=alice@x", with("Content-Encoding", "deflate"))},
		{"an absent field is the empty value", '0', asForm("password=1")},
		{"a field in the query alone is the empty value", '0', body(formType, "a=1", query("email=alice@x"))},
		{"a field in the query as well is the empty value", '0', body(formType, "email=alice@x", query("a=1&email=bob@x"))},
		{"a field in the query behind a semicolon is the empty value", '0', body(formType, "email=alice@x", query("a=1;Email=bob@x"))},
		{"other fields of the query do not count", '=', body(formType, "email=alice@x", query("next=%2F&a"))},
		{"a repeated field is the empty value", '0', asForm("email=alice@x&email=bob@x")},
		{"a field repeated in other letter case is the empty value", '0', asForm("email=alice@x&EMAIL=bob@x")},
		{"a field repeated without a value is the empty value", '0', asForm("email=alice@x&email")},
		{"a field repeated in escapes is the empty value", '0', asForm("email=alice@x&e%6Dail=bob@x")},
		{"a field repeated as an array is the empty value", '0', asForm("email=alice@x&email[]=bob@x")},
		{"a field repeated as a map is the empty value", '0', asForm("email=alice@x&email%5Bx%5D=bob@x")},
		{"a field repeated in brackets is the empty value", '0', asForm("email=alice@x&[email]=bob@x")},
		{"a field repeated with a bracket is the empty value", '0', asForm("email=alice@x&email[=bob@x")},
		{"a field repeated as an object is the empty value", '0', asForm("email=alice@x&email.x=bob@x")},
		{"a field repeated behind a space is the empty value", '0', asForm("email=alice@x&+email=bob@x")},
		{"a field that PHP ends at NUL is the empty value", '0', asForm("email=alice@x&email%00x=bob@x")},
		{"a field of a longer name is another", '=', asForm("email=alice@x&email_confirmation=bob@x&user[email]=carol")},
		{"a field in other letter case is the empty value", '0', asForm("Email=alice@x")},
		{"semicolons may stand between fields", '0', asForm("email=alice@x;email=bob@x")},
		{"a bad escape in the value is the empty value", '0', asForm("email=alice@x%zz")},
		{"a bad escape at the end is the empty value", '0', asForm("email=alice@x%4")},
		{"a bad escape in a name is the empty value", '0', asForm("em%ail=1&email=alice@x")},
		{"a bad escape in another value does not count", '=', asForm("email=alice@x&password=100%")},
		{"a value that is not UTF-8 is the empty value", '0', asForm("email=alice@x%ff")},
		{"a name that is not UTF-8 is the empty value", '0', asForm("email%ff=a&email=alice@x")},
		{"a value that C would end is the empty value", '0', asForm("email=alice@x%00")},
		{"a form that names its charset is the empty value", '0', asForm("_charset_=utf-7&email=alice@x")},
	})
}

func TestFieldsThatFrameworksTakeApart(t *testing.T) {
	for _, c := range []struct{ field, form, rule string }{
		{"user[email]", "user%5Bemail%5D=a&user=b", "the field that it is a part of"},
		{"user[email]", "user[email]=a&user[]=b", "an array of it"},
		{"user[email]", "user[email]=a&user[email][]=b", "a part of it"},
		{"user[email]", "user[email]=a&user[+email]=b", "space in the brackets"},
		{"user[email]", "user[email]=a&user.email=b", "the other notation"},
		{"user_email", "user_email=a&user.email=b", "the dot that PHP takes for an underscore"},
		{"user_email", "user_email=a&user+email=b", "the space that PHP takes for an underscore"},
		{"user_email", "user_email=a&user[email=b", "the bracket that PHP takes for an underscore"},
		{"user.email", "user.email=a&user_email=b", "the underscore that PHP makes of a dot"},
	} {
		key := keyOf(t, ratelimit.Config{}, "form:"+c.field)
		lone, _, _ := strings.Cut(c.form, "&")
		if key(asForm(lone+"&user[password]=1")) == key() {
			t.Errorf("%s is not found in %q", c.field, lone)
		}
		if key(asForm(c.form)) != key() {
			t.Errorf("%s beside %s does not make it the empty value", c.rule, c.field)
		}
	}
}

func TestSubjectsOfMultipart(t *testing.T) {
	alice := field("email", "alice@x")
	disposition := "Content-Disposition: form-data; name="
	asMultipart := func(text string) func(*http.Request) { return body(partsType, text) }
	checkSubjects(t, "form:email", asParts(field("a", "1"), alice), []same{
		{"urlencoded is a form", '=', asForm("email=alice@x")},
		{"files beside do not count", '=', asParts(disposition+"\"f\"; filename=\"é.png\"\r\nContent-Type: image/png\r\n\r\n\x00\xff", alice)},
		{"a name needs no quotes", '=', asParts(disposition + "email\r\n\r\nalice@x")},
		{"text in UTF-8 is plain", '=', asParts(disposition + "email\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: binary\r\n\r\nalice@x")},
		{"header names have no letter case", '=', asParts("content-disposition: Form-Data; Name=email\r\n\r\nalice@x")},
		{"other headers do not count", '=', asParts("Content-Length: 7\r\n" + alice)},
		{"the last boundary may end the body", '=', asMultipart(strings.TrimSuffix(parts(alice), "\r\n"))},
		{"a file is the empty value", '0', asParts(disposition + "\"email\"; filename=\"x\"\r\n\r\nalice@x")},
		{"a file by an extended name is the empty value", '0', asParts(disposition + "\"email\"; filename*=utf-8''x\r\n\r\nalice@x")},
		{"a repeated part is the empty value", '0', asParts(alice, field("email", "bob@x"))},
		{"a part repeated in other letter case is the empty value", '0', asParts(alice, field("EMAIL", "bob@x"))},
		{"a part repeated as an array is the empty value", '0', asParts(alice, field("email[]", "bob@x"))},
		{"a part repeated in escapes is the empty value", '0', asParts(alice, field("em%61il", "bob@x"))},
		{"a part in base64 is the empty value", '0', asParts("Content-Transfer-Encoding: base64\r\n" + alice)},
		{"a part in quoted-printable is the empty value", '0', asParts("Content-Transfer-Encoding: quoted-printable\r\n" + alice)},
		{"a part in another charset is the empty value", '0', asParts("Content-Type: text/plain; charset=utf-7\r\n" + alice)},
		{"a part of ASCII in ISO-8859-1 is UTF-8", '=', asParts("Content-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n" + alice)},
		{"a part of more in ISO-8859-1 is the empty value", '0', asParts("Content-Type: text/plain; charset=ISO-8859-1\r\n" + alice + "é")},
		{"a part of more in a body of ISO-8859-1 is the empty value", '0', body(partsType+"; charset=iso-8859-1", parts(alice+"é"))},
		{"a part of another type is the empty value", '0', asParts("Content-Type: application/json\r\n" + alice)},
		{"parts within parts are the empty value", '0', asParts("Content-Type: multipart/mixed; boundary=y\r\n"+field("a", ""), alice)},
		{"a repeated disposition is the empty value", '0', asParts(disposition + "a\r\n" + alice)},
		{"a repeated name is the empty value", '0', asParts(disposition+"email; name=x\r\n\r\nbob@x", alice)},
		{"a name that PHP takes out of single quotes is the empty value", '0', asParts(alice, disposition+"'email'\r\n\r\nbob@x")},
		{"a name behind the file's is the empty value", '0', asParts("Content-Disposition: form-data; filename=email; name=x\r\n\r\nbob@x", alice)},
		{"a name within the file's is the empty value", '0', asParts(disposition+"x; filename=\"; name=email\"\r\n\r\nbob@x", alice)},
		{"an extended name is the empty value", '0', asParts(disposition+"a; name*=utf-8''email\r\n\r\nbob@x", alice)},
		{"a folded header is the empty value", '0', asParts("Content-Disposition: form-data;\r\n name=email\r\n\r\nalice@x")},
		{"an escape in a header is the empty value", '0', asParts(disposition+"\"a\\\"; name=\\\"email\"\r\n\r\nbob@x", alice)},
		{"an escape in a name is the empty value", '0', asParts(disposition+"\"e\\mail\"\r\n\r\nbob@x", alice)},
		{"a quote that stays open is the empty value", '0', asParts(disposition+"\"a\r\n\r\nbob@x", alice)},
		{"a bare line feed in a header is the empty value", '0', asParts("X: y\n"+disposition+"email\r\n"+field("a", "bob@x"), alice)},
		{"space before a colon is the empty value", '0', asParts("Content-Disposition : form-data; name=email\r\n\r\nbob@x", alice)},
		{"a part without a name is the empty value", '0', asParts("Content-Disposition: form-data\r\n\r\nbob@x", alice)},
		{"a part without a header is the empty value", '0', asParts("\r\nbob@x", alice)},
		{"a long header is the empty value", '0', asParts("X: " + strings.Repeat("x", 1<<10) + "\r\n" + alice)},
		{"a part that names the charset is the empty value", '0', asParts(field("_charset_", "utf-7"), alice)},
		{"text before the first boundary is the empty value", '0', asMultipart("x\r\n" + parts(alice))},
		{"text behind the last boundary is the empty value", '0', asMultipart(parts(alice) + parts(field("email", "bob@x")))},
		{"a boundary that goes on is the empty value", '0', asMultipart("--XX\r\n" + alice + "\r\n--XXY\r\n" + field("a", "1") + "\r\n--XX--")},
		{"a body of no parts is the empty value", '0', asMultipart("--XX--\r\n")},
		{"a boundary within a line is the empty value", '0', asParts(field("a", "x--XX"), alice)},
		{"a boundary behind a bare line feed is the empty value", '0', asParts(field("a", "x\n--XX\r\n"+field("email", "bob@x")), alice)},
		{"a body without a last boundary is the empty value", '0', asMultipart("--XX\r\n" + alice + "\r\n")},
		{"a boundary in a comment is the empty value", '0', body(`multipart/form-data; x="boundary=YY"; boundary=XX`, parts(alice))},
		{"an odd boundary is the empty value", '0', body(`multipart/form-data; boundary="X,X"`, strings.ReplaceAll(parts(alice), "XX", "X,X"))},
		{"a field in the query as well is the empty value", '0', body(partsType, parts(alice), func(r *http.Request) { r.URL.RawQuery = "email=bob" })},
	})
}

func TestConfigOfKeysInTheBody(t *testing.T) {
	good := func(edit func(*ratelimit.Policy)) ratelimit.Policy {
		return policy(func(p *ratelimit.Policy) { p.Key = []string{"json:/email"}; edit(p) })
	}
	key := func(key ...string) ratelimit.Policy { return good(func(p *ratelimit.Policy) { p.Key = key }) }
	most := func(n int64) ratelimit.Policy { return good(func(p *ratelimit.Policy) { p.MaxBodyBytes = n }) }
	methods := func(m ...string) ratelimit.Policy {
		return good(func(p *ratelimit.Policy) { p.Methods = m; p.MaxBodyBytes = 1 })
	}
	for _, c := range []struct {
		rule   string
		policy ratelimit.Policy
		field  string // "" when it is good
	}{
		{"the whole document is no value", key("json:"), "Key[0]"},
		{"a pointer begins with a slash", key("json:email"), "Key[0]"},
		{"a pointer has escapes of its own", key("json:/a~2"), "Key[0]"},
		{"a pointer does not end in an escape", key("json:/a~"), "Key[0]"},
		{"a pointer is UTF-8", key("json:/\xff"), "Key[0]"},
		{"a pointer of 16 steps", key("json:" + strings.Repeat("/a", 16)), ""},
		{"a pointer of 17 steps is too deep", key("json:" + strings.Repeat("/a", 17)), "Key[0]"},
		{"a part may not be there twice", key("json:/a", "json:/a"), "Key[1]"},
		{"parts of two names", key("json:/a", "json:/b", "form:a"), ""},
		{"a field has a name", key("form:"), "Key[0]"},
		{"a field's name is printable", key("form:a\tb"), "Key[0]"},
		{"a field's name is more than brackets", key("form:[]"), "Key[0]"},
		{"a field of 128 bytes", key("form:" + strings.Repeat("a", 128)), ""},
		{"a field of 129 bytes is too long", key("form:" + strings.Repeat("a", 129)), "Key[0]"},
		{"methods without a body", methods("GET", "HEAD"), "Key[0]"},
		{"methods with and without a body", methods("GET", "POST"), ""},
		{"every method", methods(), ""},
		{"a mebibyte", most(1 << 20), ""},
		{"more than a mebibyte", most(1<<20 + 1), "MaxBodyBytes"},
		{"less than nothing", most(-1), "MaxBodyBytes"},
		{"a size without a key in the body", policy(func(p *ratelimit.Policy) { p.MaxBodyBytes = 1 }), "MaxBodyBytes"},
	} {
		var want []string
		if c.field != "" {
			want = []string{"Policies[0]." + c.field}
		}
		_, err := ratelimit.New(one(c.policy))
		if diff := cmp.Diff(want, fields(t, err)); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.rule, diff)
		}
	}
}

// An account is limited however it is spelled, and no other account with it.
func TestAccountsAreLimitedAcrossAddressesAndSpellings(t *testing.T) {
	a := newApp(t, one(ratelimit.Policy{Name: "account", Key: []string{"json:/email"}, Limit: 3, Window: time.Minute}))
	for i, doc := range []string{`{"email":"alice"}`, `{"email":"ALICE "}`, `{"x":1,"email":"\u0061lice"}`} {
		a.want(200, 1, asJSON(doc), from("192.0.2."+strconv.Itoa(i)+":1"))
	}
	a.want(429, 1, asJSON(`{"email":"alice"}`), from("192.0.2.9:1"))
	a.want(200, 3, asJSON(`{"email":"bob"}`))
	a.want(200, 3, asJSON(`{"email":"alice","Email":"alice"}`))
	a.want(429, 1, asJSON(`{"email":`))
	text, err := json.Marshal(a.events)
	if err != nil || strings.Contains(string(text), "alice") {
		t.Errorf("events %s, %v", text, err)
	}
}
