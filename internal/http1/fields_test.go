package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/http1"
)

// crlf makes \r\n of each \n, and \n of each \v.
func crlf(s string) string { return strings.NewReplacer("\n", "\r\n", "\v", "\n").Replace(s) }

// scan takes the fields of b, shown in pieces of so many bytes, and returns
// where they end.
func scan(b []byte, step int) (http.Header, int, error) {
	b = bytes.Clone(b)
	var s http1.Fields
	s.Begin(0)
	for n := min(step, len(b)); ; n = min(n+step, len(b)) {
		done, err := s.Next(b[:n])
		if err != nil {
			return nil, 0, err
		}
		if done {
			h := http.Header{}
			s.Collect(string(b[:s.At]), h)
			return h, s.At, nil
		}
		if n == len(b) {
			return nil, 0, nil
		}
	}
}

func TestFields(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want http.Header
	}{
		"none":                      {"\n", http.Header{}},
		"one":                       {"X-A: 1\n\n", http.Header{"X-A": {"1"}}},
		"names in canonical form":   {"x-a: 1\nHOST: b\nwww-authenticate: c\nx_y: d\n\n", http.Header{"X-A": {"1"}, "Host": {"b"}, "Www-Authenticate": {"c"}, "X_y": {"d"}}},
		"several values":            {"a: 1\nB: 2\nA: 3\na:\n\n", http.Header{"A": {"1", "3", ""}, "B": {"2"}}},
		"white space around values": {"A: \t 1 2 \t\nB:\t\nC:3\n\n", http.Header{"A": {"1 2"}, "B": {""}, "C": {"3"}}},
		"colons in a value":         {"A: b:c: d\n\n", http.Header{"A": {"b:c: d"}}},
		"bytes above ASCII":         {"A: \xff\x80\xc3\xa9\n\n", http.Header{"A": {"\xff\x80\xc3\xa9"}}},
	} {
		t.Run(name, func(t *testing.T) {
			text := crlf(tc.text)
			for step := 1; step <= len(text)+3; step++ {
				h, end, err := scan([]byte(text+"rest"), step)
				if err != nil || end != len(text) || !reflect.DeepEqual(h, tc.want) {
					t.Fatalf("in steps of %d: %q, %d, %v; want %q, %d", step, h, end, err, tc.want, len(text))
				}
			}
		})
	}
}

func TestFieldsThatAreRefused(t *testing.T) {
	long := strings.Repeat("x", http1.MaxLineBytes)
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"LF alone":                       {"A: 1\v\n", http1.ErrLineEnd},
		"LF alone at the end":            {"A: 1\n\v", http1.ErrLineEnd},
		"folded":                         {"A: 1\n 2\n\n", http1.ErrFolded},
		"folded by a tab":                {"A: 1\n\t2\n\n", http1.ErrFolded},
		"folded first":                   {" A: 1\n\n", http1.ErrFolded},
		"no colon":                       {"A\n\n", http1.ErrName},
		"no name":                        {": 1\n\n", http1.ErrName},
		"a space in a name":              {"A B: 1\n\n", http1.ErrName},
		"a space before the colon":       {"A : 1\n\n", http1.ErrName},
		"a name above ASCII":             {"\xc3\xa9: 1\n\n", http1.ErrName},
		"CR in a value":                  {"A: 1\r2\n\n", http1.ErrValue},
		"CR twice":                       {"A: 1\r\n\n", http1.ErrValue},
		"CR twice at the end":            {"A: 1\n\r\n", http1.ErrName},
		"NUL":                            {"A: \x00\n\n", http1.ErrValue},
		"DEL":                            {"A: \x7f\n\n", http1.ErrValue},
		"a control sign around a value":  {"A: \x0c1\n\n", http1.ErrValue},
		"a line above the limit":         {"A: " + long + "\n\n", http1.ErrLineLong},
		"a line above it, without end":   {"A: " + long, http1.ErrLineLong},
		"a field more than the limit":    {strings.Repeat("A:\n", http1.MaxFields+1) + "\n", http1.ErrTooMany},
		"an empty line that is not last": {"A: 1\n\v", http1.ErrLineEnd},
	} {
		t.Run(name, func(t *testing.T) {
			text := crlf(tc.text)
			for _, step := range []int{1, 7, 1 << 20} {
				if step == 1 && len(text) > 10000 {
					continue
				}
				if _, _, err := scan([]byte(text), step); !errors.Is(err, tc.want) {
					t.Errorf("in steps of %d: %v, want %v", step, err, tc.want)
				}
			}
		})
	}
}

func TestFieldsReachTheirLimits(t *testing.T) {
	line := "A: " + strings.Repeat("x", http1.MaxLineBytes-len("A: \r\n")) + "\r\n\r\n"
	if _, _, err := scan([]byte(line), 1<<20); err != nil {
		t.Errorf("a line at the limit: %v", err)
	}
	many := strings.Repeat("A:\r\n", http1.MaxFields) + "\r\n"
	h, _, err := scan([]byte(many), 1<<20)
	if err != nil || len(h["A"]) != http1.MaxFields {
		t.Errorf("as many fields as the limit: %d, %v", len(h["A"]), err)
	}
}

// Values share one array; appending to one must not change another.
func TestValuesDoNotRunIntoEachOther(t *testing.T) {
	h, _, err := scan([]byte("A: 1\r\nB: 2\r\n\r\n"), 100)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(h["A"], "x")
	if h.Get("B") != "2" {
		t.Errorf("B became %q", h.Get("B"))
	}
}

// FuzzFields: what is accepted, net/textproto reads the same, and the steps in
// which it comes change nothing.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"\n", "A: 1\n\n", "a: 1\nA : 2\n\n", "x-a:\t1\t\nX-A: \xff\n\nrest", "A: 1\n b\n\n", "A: 1\v\n", "Content-Length: 5\n\nhello"} {
		f.Add([]byte(crlf(s)), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		got, end, err := scan(data, len(data)+1)
		gotParts, endParts, errParts := scan(data, 1+step&0xff)
		if (err == nil) != (errParts == nil) || end != endParts || !reflect.DeepEqual(got, gotParts) {
			t.Fatalf("whole %q %d %v, in parts %q %d %v", got, end, err, gotParts, endParts, errParts)
		}
		if err != nil || end == 0 {
			return
		}
		want, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(data[:end]))).ReadMIMEHeader()
		if err != nil || !reflect.DeepEqual(http.Header(want), got) {
			t.Fatalf("net/textproto %q %v, ours %q", want, err, got)
		}
	})
}

func plainlyValid(v []byte) bool {
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Each byte, beside each other and at each place of the eight that are looked
// at together.
func TestValidValueLooksAtEveryByte(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				for _, fill := range []byte{' ', '\t', '!', 'x', 0x80, 0xff} {
					v := bytes.Repeat([]byte{fill}, size)
					v[at] = byte(c)
					if got, want := http1.ValidValue(v), plainlyValid(v); got != want {
						t.Fatalf("%q: %v, want %v", v, got, want)
					}
				}
			}
		}
	}
}

func FuzzValidValue(f *testing.F) {
	f.Add([]byte("text/html; charset=utf-8"))
	f.Add([]byte("\t\t\t\t\t\t\t\t\x80\x7f"))
	f.Fuzz(func(t *testing.T, v []byte) {
		if got, want := http1.ValidValue(v), plainlyValid(v); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	})
}

func TestTokenBytes(t *testing.T) {
	for c := range 256 {
		want := strings.IndexByte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", byte(c)) >= 0
		if got := http1.IsTokenByte(byte(c)); got != want {
			t.Errorf("%q: %v, want %v", byte(c), got, want)
		}
		if got, want := http1.IsDigit(byte(c)), '0' <= c && c <= '9'; got != want {
			t.Errorf("digit %q: %v", byte(c), got)
		}
	}
}

const browserFields = "Host: a.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: en\r\nCookie: session=0123456789abcdef\r\nConnection: keep-alive\r\n\r\n"

func TestScanningAllocatesNothing(t *testing.T) {
	b := []byte(browserFields)
	var s http1.Fields
	if n := testing.AllocsPerRun(100, func() {
		s.Begin(0)
		if done, err := s.Next(b); !done || err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFields(b *testing.B) {
	data := []byte(browserFields)
	b.Run("scan", func(b *testing.B) {
		var s http1.Fields
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			s.Begin(0)
			_, _ = s.Next(data)
		}
	})
	b.Run("textproto", func(b *testing.B) {
		r := bytes.NewReader(data)
		br := bufio.NewReader(r)
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			r.Reset(data)
			br.Reset(r)
			_, _ = textproto.NewReader(br).ReadMIMEHeader()
		}
	})
	long := bytes.Repeat([]byte("x"), 4096)
	b.Run("value", func(b *testing.B) {
		b.SetBytes(int64(len(long)))
		for b.Loop() {
			http1.ValidValue(long)
		}
	})
	tabs := bytes.Repeat([]byte("\t"), 4096) // the slow way round
	b.Run("value of tabs", func(b *testing.B) {
		b.SetBytes(int64(len(tabs)))
		for b.Loop() {
			http1.ValidValue(tabs)
		}
	})
}
