package ratelimit_test

import (
	"testing"
	"unicode"

	"github.com/handrail-go/handrail/ratelimit"
)

// Collations ignore them, so that each of them anywhere in a name would be a new
// subject of the same account.
func TestWhatCollationsIgnoreMakesNoNewSubject(t *testing.T) {
	id := idOf(t, "form:email")
	plain, empty := id("alice@x"), id("")
	// Those that are a letter for one collation and nothing for another.
	either := func(r rune) bool {
		for _, ends := range [][2]rune{
			{0x345, 0x345}, {0x363, 0x36f}, {0x1abf, 0x1ac0}, {0x1acc, 0x1ace}, {0x1dca, 0x1dca}, {0x1dd3, 0x1df4},
			{0x2de0, 0x2dff}, {0xa674, 0xa67b}, {0xa69e, 0xa69f}, {0x1e08f, 0x1e08f},
		} {
			if ends[0] <= r && r <= ends[1] {
				return true
			}
		}
		return false
	}
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if !unicode.In(r, unicode.Cc, unicode.Cf, unicode.M, unicode.Other_Default_Ignorable_Code_Point) {
			continue
		}
		want := plain
		if either(r) {
			want = empty
		}
		if id("al"+string(r)+"ice@x") != want || id(string(r)+"alice@x"+string(r)) != want {
			t.Errorf("%U makes another subject", r)
		}
	}
	for rule, r := range map[string]rune{
		"a soft hyphen": 0xad, "a word joiner": 0x2060, "a variation selector": 0xfe0f, "one of the supplement": 0xe0100,
		"a Mongolian one": 0x180b, "a Hangul filler": 0x3164, "a half-width one": 0xffa0, "a jamo filler": 0x115f,
		"what is kept for such": 0x2065, "the same": 0xfff0, "an enclosing circle": 0x20dd, "a Hebrew point": 0x5b0,
		"a tag": 0xe0041, "a stroke that joins": 0x640, "a dot in the middle": 0xb7, "a half-width voicing": 0xff9e,
	} {
		if id("al"+string(r)+"ice@x") != plain {
			t.Errorf("%s makes another subject", rule)
		}
	}
}

func TestLettersThatCollationsTakeForOthers(t *testing.T) {
	id := idOf(t, "form:email")
	for _, c := range []struct{ rule, a, b string }{
		{"eth is d", "guðrun", "gudrun"},
		{"great eth is d", "GUÐRUN", "gudrun"},
		{"letters above others are told apart from nothing", "m\u0363ria", ""},
		{"an insular letter is told apart from nothing", "\ua77aavid", ""},
		{"a letter with an oblique stroke is told apart from nothing", "\ua7a3arl", ""},
		{"an ideographic zero is told apart from nothing", "1\u3007", ""},
		{"a number in a black circle is told apart from nothing", "\u2776", ""},
		{"an Ethiopic one is told apart from nothing", "\u1369", ""},
	} {
		if id(c.a) != id(c.b) {
			t.Errorf("%s: %q is another subject than %q", c.rule, c.a, c.b)
		}
	}
}

func TestDigitsOfEveryScriptAreDigits(t *testing.T) {
	id := idOf(t, "form:email")
	ascii := [10]string{}
	for i := range ascii {
		ascii[i] = id("1" + string(rune('0'+i)))
	}
	for _, digits := range []string{"٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９", "𞥐𞥑𞥒𞥓𞥔𞥕𞥖𞥗𞥘𞥙"} {
		for i, r := range []rune(digits) {
			if id("1"+string(r)) != ascii[i] {
				t.Errorf("%c (%U) is not %d", r, r, i)
			}
		}
	}
	empty := id("")
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if !unicode.Is(unicode.Nd, r) {
			continue
		}
		found := id("1"+string(r)) == empty
		for _, want := range ascii {
			found = found || id("1"+string(r)) == want
		}
		if !found {
			t.Errorf("%c (%U) is no digit", r, r)
		}
	}
}

// idOf returns the ID of the subject that has a value.
func idOf(t *testing.T, part string) func(value string) string {
	t.Helper()
	m, err := ratelimit.New(one(keyed("p", 1, part)))
	if err != nil {
		t.Fatal(err)
	}
	return func(value string) string {
		id, err := m.SubjectID("p", map[string]string{part: value})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}
