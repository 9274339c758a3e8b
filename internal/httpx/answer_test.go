package httpx_test

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

func TestWriteErrorChoosesTheFormByAccept(t *testing.T) {
	const (
		short   = "application/json"
		problem = "application/problem+json"
	)
	tests := []struct {
		rule   string
		accept []string
		want   string
	}{
		{"no Accept: short", nil, short},
		{"a wildcard does not ask for a problem", []string{"*/*"}, short},
		{"nor does application/*", []string{"application/*"}, short},
		{"nor does JSON", []string{"application/json, text/plain, */*"}, short},
		{"named: problem", []string{"application/problem+json"}, problem},
		{"named among others", []string{"text/html,application/problem+json;q=0.5, */*;q=0.1"}, problem},
		{"named on a second line", []string{"text/html", "application/problem+json"}, problem},
		{"in any case, with blanks", []string{" Application/Problem+JSON ; q=1.0 "}, problem},
		{"with other parameters", []string{"application/problem+json;charset=utf-8"}, problem},
		{"weight zero refuses it", []string{"application/problem+json;q=0"}, short},
		{"weight zero in three decimals", []string{"application/problem+json; charset=utf-8; Q=0.000"}, short},
		{"a weight that is no number is none", []string{"application/problem+json;q=x"}, problem},
		{"refused once, named once", []string{"application/problem+json;q=0, application/problem+json"}, problem},
		{"a longer name is another", []string{"application/problem+json-seq"}, short},
		{"empty elements are nothing", []string{",,;,"}, short},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/login", nil)
			r.Header["Accept"] = tc.accept
			w := httptest.NewRecorder()
			httpx.WriteError(w, r, http.StatusTooManyRequests, "rate_limited")
			if got := w.Header().Get("Content-Type"); got != tc.want {
				t.Errorf("Content-Type %s, want %s", got, tc.want)
			}
			body := map[string]string{
				short:   `{"error":"rate_limited"}` + "\n",
				problem: `{"type":"about:blank","title":"Too Many Requests","status":429,"code":"rate_limited"}` + "\n",
			}[tc.want]
			if w.Code != 429 || w.Body.String() != body {
				t.Errorf("%d %s, want 429 %s", w.Code, w.Body, body)
			}
			if cc := w.Header().Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control %q", cc)
			}
		})
	}
}

func TestWriteErrorReplacesWhatDescribedAnotherBody(t *testing.T) {
	w := httptest.NewRecorder()
	other := []string{
		"Content-Encoding", "Content-Length", "Content-Range", "Content-Disposition", "Content-Language",
		"Content-Location", "Content-Digest", "ETag", "Last-Modified", "Expires", "Accept-Ranges", "Trailer",
	}
	for _, name := range other {
		w.Header().Set(name, "x")
	}
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	kept := map[string]string{
		"Retry-After": "7", "Set-Cookie": "a=b", "X-Request-Id": "id",
		"Content-Security-Policy": "default-src 'none'", "Vary": "Origin", "Access-Control-Allow-Origin": "*",
	}
	for name, value := range kept {
		w.Header().Set(name, value)
	}
	httpx.WriteError(w, httptest.NewRequest("GET", "/", nil), 503, "down")
	for _, name := range other {
		if got := w.Header().Get(name); got == "x" {
			t.Errorf("%s of another body is still there", name)
		}
	}
	for name, value := range kept {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if got := w.Header().Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
		t.Errorf("Content-Length %s for %d bytes", got, w.Body.Len())
	}
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", w.Header())
	}
}

func TestWriteErrorIsJSONWhateverTheCode(t *testing.T) {
	for _, code := range []string{"", "rate_limited", `quote"back\slash`, "nul\x00bell\a", "line\nend\u2028", "é世界\U0001F600", "<script>"} {
		for _, accept := range []string{"", "application/problem+json"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			httpx.WriteError(w, r, 400, code)
			var got struct{ Error, Code string }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Error+got.Code != code {
				t.Errorf("code %q: %s: %v", code, w.Body, err)
			}
		}
	}
}

func TestWriteErrorAnswersHEADWithTheHeaderOfGET(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.WriteError(w, r, http.StatusServiceUnavailable, "down")
	}))
	defer srv.Close()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		req, _ := http.NewRequest(method, srv.URL, nil)
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		const want = "{\"error\":\"down\"}\n"
		if res.StatusCode != 503 || res.ContentLength != int64(len(want)) || (method == http.MethodGet) != (string(body) == want) {
			t.Errorf("%s: %d, Content-Length %d, %q", method, res.StatusCode, res.ContentLength, body)
		}
	}
}

func TestRetryAfterSeconds(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want int
	}{
		{math.MinInt64, 1},
		{-time.Hour, 1},
		{-1, 1},
		{0, 1},
		{1, 1},
		{time.Second - 1, 1},
		{time.Second, 1},
		{time.Second + 1, 2},
		{525 * time.Second, 525},
		{600*time.Second - 1, 600},
		{math.MaxInt32 * time.Second, math.MaxInt32},
		{math.MaxInt32*time.Second + 1, math.MaxInt32},
		{math.MaxInt64, math.MaxInt32},
	}
	for _, tc := range tests {
		if got := httpx.RetryAfterSeconds(tc.d); got != tc.want {
			t.Errorf("%d ns: %d s, want %d", tc.d, got, tc.want)
		}
	}
}

func BenchmarkWriteError(b *testing.B) {
	r := httptest.NewRequest("POST", "/login", nil)
	w := nowhere{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		httpx.WriteError(w, r, http.StatusTooManyRequests, "rate_limited")
	}
}

// nowhere takes a response and keeps its header.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}
