package upstream_test

import (
	"testing"

	"github.com/handrail-go/handrail/internal/upstream"
)

// The peer's own element of Forwarded is the last one; a forged or malformed
// value never yields something that was not written there.
func FuzzLastForwarded(f *testing.F) {
	for _, s := range []string{
		"for=1.2.3.4;proto=https", `for="[::1]:80";host="a\"b", for=x;proto=http`, "for=a,", ",", ";;proto=x;", `proto="`, "proto", "proto=a b", "proto=a=b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := upstream.LastForwarded(s, "proto")
		if len(got) > len(s) {
			t.Errorf("%q is longer than %q", got, s)
		}
		// Whatever came before, an element that a proxy appends decides.
		if v := upstream.LastForwarded(s+", for=1.2.3.4;proto=https", "proto"); v != "https" {
			t.Errorf("%q: %q", s, v)
		}
		if v := upstream.LastForwarded(s+`, for="[::1]:80";host="a,b\"";proto=https`, "proto"); v != "https" {
			t.Errorf("%q: %q", s, v)
		}
	})
}

func TestLastForwarded(t *testing.T) {
	for _, tc := range []struct{ value, want string }{
		{"", ""},
		{"proto=https", "https"},
		{"for=1.2.3.4; PROTO=https ;host=x", "https"},
		{"proto=https, for=1.2.3.4", ""},
		{"proto=http,proto=https", "https"},
		{`host="a,b;proto=x\"";proto="https"`, "https"},
		{`proto="https`, ""},
		{"proto=https junk", ""},
		{"proto", ""},
		{"proto=https;", "https"},
		{"proto=https,", ""},
		{"proto=https;proto=http", ""},
		{`for="evil, for=1.2.3.4;proto=https`, "https"},
		{`for=\", for="[::1]";proto=https`, "https"},
		{`proto=http;host="x\\", proto=https`, "https"},
		{`=https`, ""},
	} {
		if got := upstream.LastForwarded(tc.value, "proto"); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.value, got, tc.want)
		}
	}
}

func TestPriorForwarded(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"nothing", nil, ""},
		{"what parses stays as it is", []string{`for=1.1.1.1;host="a, b" ,for="[::1]"`}, `for=1.1.1.1;host="a, b" ,for="[::1]"`},
		{"lines are joined", []string{"for=1.1.1.1", "for=2.2.2.2"}, "for=1.1.1.1, for=2.2.2.2"},
		{"a quote left open ends with its element", []string{`for="evil, for=2.2.2.2;proto=https`}, "for=2.2.2.2;proto=https"},
		{"a quote left open on its own line", []string{`for="evil`, "for=2.2.2.2"}, "for=2.2.2.2"},
		{"a backslash before the end", []string{`for="evil\`, "for=2.2.2.2"}, "for=2.2.2.2"},
		{"an escaped quote left open", []string{`for="evil\", for=2.2.2.2`}, "for=2.2.2.2"},
		{"what stands left of it goes too", []string{"for=1.1.1.1", `for=3.3.3.3, for=", for=2.2.2.2`}, "for=2.2.2.2"},
		{"the last element does not parse", []string{`for=1.1.1.1, for="`}, ""},
		{"an element that is none", []string{"for=1.1.1.1, nonsense, for=2.2.2.2"}, "for=2.2.2.2"},
	} {
		if got := upstream.PriorForwarded(tc.lines); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// Read from the left, as apps do, what is passed on never takes our own element
// into a string.
func FuzzPriorForwarded(f *testing.F) {
	for _, s := range []string{`for="a, for=b`, `for="a\", for=b`, `for=a;x="\\", for="`, `",",`, `for="\"`, ",,"} {
		f.Add(s, "for=2.2.2.2")
		f.Add("for=2.2.2.2", s)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		prior := upstream.PriorForwarded([]string{first, second})
		quoted := false
		for i := 0; i < len(prior); i++ {
			switch {
			case prior[i] == '"':
				quoted = !quoted
			case prior[i] == '\\' && quoted:
				i++
			}
		}
		if quoted {
			t.Errorf("%q leaves a quote open", prior)
		}
	})
}
