package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/handrail-go/handrail/webhook/sqlstore"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "stripe/evt_1", `\`, `\x`, `\x4`, `\x41`, `\tx/k`, "\x00\xff", "é😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		escaped := sqlstore.Escape(s)
		if strings.ContainsFunc(escaped, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q becomes %q, not printable ASCII", s, escaped)
		}
		if strings.HasPrefix(escaped, `\tx/`) {
			t.Errorf("%q becomes %q, a key of ClaimTx", s, escaped)
		}
		if back := sqlstore.Unescape(escaped); back != s {
			t.Errorf("%q becomes %q and then %q", s, escaped, back)
		}
	})
}
