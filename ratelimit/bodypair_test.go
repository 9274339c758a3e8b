package ratelimit_test

import (
	"strings"
	"testing"

	"github.com/handrail-go/handrail/ratelimit"
)

// An endpoint that takes both gives an account one budget.
func TestAJSONPartAndAFormPartAreOneValue(t *testing.T) {
	alice := func(key ...string) (string, string, string) {
		of := keyOf(t, ratelimit.Config{}, key...)
		if of(asJSON(`{"email":"bob"}`)) == of(asJSON(`{"email":"alice"}`)) || of(asForm("email=bob")) == of(asForm("email=alice")) {
			t.Errorf("%v: alice and bob are one subject", key)
		}
		return of(asJSON(`{"email":"ALICE","org":"a"}`)), of(asForm("email=alice&org=a")), of(asParts(field("org", "a"), field("email", "alice")))
	}
	for _, key := range [][]string{
		{"json:/email", "form:email"}, {"form:email", "json:/email"}, {"ip", "json:/email", "form:email"}, {"form:email", "ip", "json:/email"},
		{"json:/org", "json:/email", "form:org", "form:email"}, {"json:/email", "form:email", "form:org", "json:/org"},
	} {
		if a, b, c := alice(key...); a != b || a != c {
			t.Errorf("%v: an account in JSON and in forms is two subjects", key)
		}
	}
	for _, key := range [][]string{{"json:/email", "json:/org", "form:email"}, {"json:/email", "form:email", "form:org"}} {
		if a, b, c := alice(key...); a == b || b != c {
			t.Errorf("%v: the part without another does not count", key)
		}
	}
	for _, key := range [][]string{{"json:/email", "json:/org"}, {"json:/org", "json:/email", "form:email"}} {
		of := keyOf(t, ratelimit.Config{}, key...)
		if of(asJSON(`{"email":"x","org":""}`)) == of(asJSON(`{"email":"","org":"x"}`)) {
			t.Errorf("%v: the values of two parts are one", key)
		}
	}
}

func TestPartsOfTheBodyJoinOthers(t *testing.T) {
	key := keyOf(t, ratelimit.Config{}, "json:/email", "form:email", "ip")
	a := key(asJSON(`{"email":"alice"}`))
	if a == key() || key(asForm("email=")) != key() {
		t.Errorf("key %s, or that of an empty value, %s", a, key(asForm("email=")))
	}
	if a == key(asJSON(`{"email":"alice"}`), from("192.0.2.2:1")) {
		t.Error("the address does not count")
	}
	if strings.Contains(a, "alice") {
		t.Errorf("key %s holds the value", a)
	}
}
