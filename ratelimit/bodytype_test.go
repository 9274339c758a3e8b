package ratelimit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/ratelimit"
)

func TestATypeOfManyParametersIsNotRead(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "json:/email")
	sent := func(parameters int) string {
		contentType := "application/json"
		for i := range parameters {
			contentType += fmt.Sprintf("; p%d=x", i)
		}
		return key(body(contentType, `{"email":"alice"}`))
	}
	if sent(16) != key(asJSON(`{"email":"alice"}`)) || sent(17) != key() {
		t.Error("sixteen parameters are not read, or seventeen are")
	}
}

// What the multipart bodies of clients begin with.
func TestMultipartOfEveryClientIsRead(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "form:email")
	want := key(asForm("email=alice@x"))
	for client, boundary := range map[string]string{
		"Chrome, Safari":         "----WebKitFormBoundary7MA4YWxkTrZu0gW",
		"Firefox":                "----geckoformboundary5d3c1f0b0a7c4e",
		"Firefox before 132":     "---------------------------9051914041544843365972754266",
		"curl":                   "------------------------d74496d66958873e",
		"OkHttp":                 "3b7f4c1e-6f6c-4d3c-8d4b-9f0a2f0f3c11",
		"Python requests":        "0f5c7e2d4a3b41e50f5c7e2d4a3b41e5",
		"undici":                 "----formdata-undici-012345678901",
		"form-data, Postman":     "--------------------------123456789012345678901234",
		"Dart":                   "dart-http-boundary-ab+DEF_.-123abcdefghijklmnop",
		"Alamofire":              "alamofire.boundary.abcd1234abcd1234",
		"Jersey":                 "Boundary_1_1234567_1700000000000",
		"Swift by hand":          "Boundary-3B7F4C1E-6F6C-4D3C-8D4B-9F0A2F0F3C11",
		"Go":                     "d2a3b8ad5a2c7f6e0c0b1d4f6d2f7c8f9a0b1c2d3e4f5a6b7c8d9e0f1a2b",
		"Ruby":                   "-----------RubyMultipartPost-4f2c6e0d",
		"Insomnia":               "X-INSOMNIA-BOUNDARY",
		".NET":                   `"3b7f4c1e-6f6c-4d3c-8d4b-9f0a2f0f3c11"`,
		"Python email":           `"===============1234567890123456789=="`,
		"JavaMail":               `"----=_Part_0_1234567.1700000000000"`,
		"every character quoted": `"-_.+=:/?()09azAZ"`,
	} {
		plain := strings.Trim(boundary, `"`)
		text := strings.ReplaceAll(parts(field("email", "alice@x"), field("password", "1")), "--XX", "--"+plain)
		for _, contentType := range []string{
			"multipart/form-data; boundary=" + boundary,
			"multipart/form-data;boundary=" + boundary,
			"multipart/form-data; charset=utf-8; boundary=" + boundary,
			"Multipart/Form-Data; boundary=" + boundary + "; charset=UTF-8",
		} {
			if key(body(contentType, text)) != want {
				t.Errorf("%s: %s is not read", client, contentType)
			}
		}
	}
}

// parse-multipart and its like end a boundary at its second equals sign, and
// leave its quotes on.
func TestAQuotedBoundaryIsTheOnlyLineOfItsKind(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "form:email")
	bob := func(boundary string) string {
		return "x\r\n--" + boundary + "\r\n" + field("email", "bob@x") + "\r\n--" + boundary + "--"
	}
	for _, c := range []struct {
		rule, boundary, text string
		read                 bool
	}{
		{"none", `"XX"`, parts(field("email", "alice@x"), field("a", "x -- y\r\n- -\r\n")), true},
		{"one with the quotes", `"XX"`, parts(field("email", "alice@x"), field("a", bob(`"XX"`))), false},
		{"one up to the equals sign", `"X=X"`, strings.ReplaceAll(parts(field("email", "alice@x"), field("a", bob("X"))), "XX", "X=X"), false},
		{"one behind a bare line feed", `"XX"`, parts(field("email", "alice@x"), field("a", "\n--\"\n")), false},
		{"one in a header", `"XX"`, parts("--\": x\r\n" + field("email", "alice@x")), false},
		{"one where the boundary needs no quotes", "XX", parts(field("email", "alice@x"), field("a", bob("Y"))), true},
	} {
		if got := key(body("multipart/form-data; boundary="+c.boundary, c.text)); (got == key(asForm("email=alice@x"))) != c.read || !c.read && got != key() {
			t.Errorf("%s: read %t", c.rule, !c.read)
		}
	}
}

func TestBoundariesThatReadersMayTakeForOthersAreNotRead(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "form:email")
	for rule, contentType := range map[string]string{
		"none":                               "multipart/form-data",
		"an empty one":                       `multipart/form-data; boundary=""`,
		"two":                                "multipart/form-data; boundary=YY; boundary=XX",
		"the same twice":                     "multipart/form-data; boundary=XX; boundary=XX",
		"two in different letter case":       "multipart/form-data; Boundary=YY; boundary=XX",
		"a name that PHP does not find":      "multipart/form-data; Boundary=XX",
		"a name that ends like it, before":   "multipart/form-data; x-boundary=YY; boundary=XX",
		"a name that ends like it, behind":   "multipart/form-data; boundary=XX; x-boundary=YY",
		"a value that names one, before":     `multipart/form-data; x="boundary=YY"; boundary=XX`,
		"a value that names one, behind":     `multipart/form-data; boundary=XX; x="boundary=YY"`,
		"a value that begins like one":       "multipart/form-data; x=boundary; boundary=XX",
		"one within the other":               `multipart/form-data; boundary="XXboundary=YY"`,
		"space before the equals sign":       `multipart/form-data; boundary =XX; x="boundary=XX"`,
		"space behind the equals sign":       "multipart/form-data; boundary= XX",
		"quotes within":                      `multipart/form-data; boundary=X"X`,
		"a comma, where Rack ends":           `multipart/form-data; boundary="XX,YY"`,
		"a semicolon, where Rack ends":       `multipart/form-data; boundary="XX;YY"`,
		"single quotes, which some take off": "multipart/form-data; boundary='XX'",
		"space at the end":                   `multipart/form-data; boundary="XX "`,
		"what only quotes may hold":          "multipart/form-data; boundary=XX=YY",
		"another type behind a comma":        "multipart/form-data; boundary=XX, multipart/form-data; boundary=YY",
		"an escape":                          `multipart/form-data; boundary="X\X"`,
		"the extended form":                  "multipart/form-data; boundary*=utf-8''XX",
		"71 bytes":                           "multipart/form-data; boundary=" + strings.Repeat("X", 71),
		"another kind of multipart":          "multipart/mixed; boundary=XX",
	} {
		for _, boundary := range []string{"XX", "YY", "XXboundary=YY", "XX,YY", "XX;YY", "'XX'", "XX ", "XX=YY", strings.Repeat("X", 71)} {
			if key(body(contentType, strings.ReplaceAll(parts(field("email", "a")), "--XX", "--"+boundary))) != key() {
				t.Errorf("%s: %s is read", rule, contentType)
			}
		}
	}
}
