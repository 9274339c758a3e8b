package sidecar_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/sidecar"
)

func TestErrorsOfTheUpstreamAreLoggedWithoutWhatItSent(t *testing.T) {
	for _, c := range []struct{ err, want string }{
		{`net/http: HTTP/1.x transport connection broken: malformed MIME header line: Set-Cookie session=SECRET`,
			`net/http: HTTP/1.x transport connection broken: malformed MIME header line`},
		{`net/http: HTTP/1.x transport connection broken: malformed HTTP response "SECRET"`,
			`net/http: HTTP/1.x transport connection broken: malformed HTTP response `},
		{`dial tcp 127.0.0.1:3000: connect: connection refused`, `dial tcp 127.0.0.1:3000: connect: connection refused`},
		{strings.Repeat("x", 1000), strings.Repeat("x", 300) + "…"},
	} {
		if got := sidecar.WithoutQuote(errors.New(c.err)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestPrintedLinesAreLoggedWithoutWhatTheUpstreamSent(t *testing.T) {
	var out bytes.Buffer
	line := `Unsolicited response received on idle HTTP channel starting with "{\"card\":\"4242\"}"; err=<nil>` + "\n"
	if n, err := sidecar.PrintedLog(slog.New(slog.NewJSONHandler(&out, nil))).Write([]byte(line)); n != len(line) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got := out.String(); strings.Contains(got, "4242") || !strings.Contains(got, `"msg":"Unsolicited response received on idle HTTP channel"`) {
		t.Errorf("logged %s", got)
	}
}
