package ofrep_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/flags/ofrep"
)

// Whatever is asked, the answer is one of the protocol's, in JSON.
func FuzzHandler(f *testing.F) {
	for _, seed := range [][4]string{
		{"", `{"context":{"targetingKey":"alice"}}`, "application/json", `W/"x", *`},
		{"/all", `{}`, "application/json; charset=utf-8", ""},
		{"/a/b:c", ``, "", `"x`},
		{"/\xff\x00\"", `{"context":`, "text/plain", ""},
		{"x", `{"context":{"a":[1,{"b":null}]}}`, "application/json", "W/"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	h := handler(f, definitions, ofrep.Config{PublicOnly: true})
	statuses := []int{200, 304, 400, 404, 413, 415}
	f.Fuzz(func(t *testing.T, path, body, media, known string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL = &url.URL{Path: ofrep.Path + path}
		r.Header.Set("Content-Type", media)
		r.Header.Set("If-None-Match", known)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !slices.Contains(statuses, w.Code) {
			t.Errorf("status %d", w.Code)
		}
		if w.Code == http.StatusNotModified {
			if w.Body.Len() > 0 || path != "" {
				t.Errorf("304 with %q for %q", w.Body, path)
			}
			return
		}
		if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
		if strings.Contains(w.Body.String(), "button") && !strings.Contains(path, "button") {
			t.Errorf("tells of a flag that is not public: %s", w.Body)
		}
	})
}
