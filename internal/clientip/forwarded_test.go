package clientip_test

import (
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/clientip"
)

func TestForwardedParameter(t *testing.T) {
	for _, tc := range []struct {
		rule, element, name string
		value               string
		ok                  bool
	}{
		{"a token", "for=203.0.113.7;proto=https", "proto", "https", true},
		{"the name in any case", "PROTO=https", "Proto", "https", true},
		{"a quoted string", `host="a, b;c"`, "host", "a, b;c", true},
		{"a quoted string with escapes", `host="a\"b\\"`, "host", `a"b\`, true},
		{"an empty quoted string", `host=""`, "host", "", true},
		{"blanks around parameters", " \tfor=x ;\tproto=https ", "proto", "https", true},
		{"semicolons too many", ";;for=x;;proto=https;", "proto", "https", true},
		{"an address that should have been quoted", "for=[2001:db8::7]:443", "for", "[2001:db8::7]:443", true},
		{"not named", "for=x", "host", "", true},
		{"no name asked for", "for=x", "", "", true},
		{"an empty element", " \t", "for", "", true},
		{"another parameter twice spoils the element", "for=x;by=a;BY=b", "for", "", false},
		{"nine parameters are too many", "a=1;b=2;c=3;d=4;e=5;f=6;g=7;h=8;i=9", "a", "", false},
		{"a name without a value", "for=x;secure", "for", "", false},
		{"an empty name", "=x", "for", "", false},
		{"a name that is no token", `"for"=x`, "for", "", false},
		{"a blank before the equals sign", "for =x", "for", "", false},
		{"a second equals sign", "for=x=y", "for", "", false},
		{"a quote in a token", `for=x"`, "for", "", false},
		{"a string that does not end", `for=x;host="y`, "for", "", false},
		{"a string that ends in an escape", `for=x;host="y\`, "for", "", false},
		{"text behind a string", `for="x"y`, "for", "", false},
		{"two elements", "for=x,for=y", "for", "", false},
	} {
		if value, ok := clientip.ForwardedParameter(tc.element, tc.name); value != tc.value || ok != tc.ok {
			t.Errorf("%s: %q has %s %q, %v; want %q, %v", tc.rule, tc.element, tc.name, value, ok, tc.value, tc.ok)
		}
	}
}

// FuzzForwarded holds that an own element behind any text is found and read,
// that an element which is not ok has no value, and that what was quoted comes
// back.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "for=1.2.3.4", `for="`, `a\"`, `x="a\", for=b`, ",", `"""\\"`, "for=a;for=b", "ä\x00"} {
		f.Add(s, s)
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	f.Fuzz(func(t *testing.T, left, value string) {
		if at := clientip.LastComma(left); at >= len(left) || at >= 0 && left[at] != ',' {
			t.Fatalf("%q: comma at %d", left, at)
		}
		if v, ok := clientip.ForwardedParameter(left, "for"); !ok && v != "" {
			t.Fatalf("%q: %q of an element that is not ok", left, v)
		}
		own := `For="` + quote.Replace(value) + `";proto=https`
		at := clientip.LastComma(left + "," + own)
		if at != len(left) {
			t.Fatalf("%q before %q: comma at %d", left, own, at)
		}
		if v, ok := clientip.ForwardedParameter(own, "for"); !ok || v != value {
			t.Fatalf("%q: got %q, %v", own, v, ok)
		}
	})
}
