package sidecar_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// sized is a request's body with its length.
func sized(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }

// unblock sends what follows the first headers of an unblock, ends the
// connection's sending side and returns status and body of the answer.
func unblock(t *testing.T, admin, rest string) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := "POST /api/v1/limits/unblock HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + token + "\r\n"
	if _, err := io.WriteString(conn, head+rest); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestUnblockTakesNoBodyThatCanBeReadInTwoWays(t *testing.T) {
	const (
		chunked = "Transfer-Encoding: chunked\r\n\r\n"
		id      = "PdBjDI4fNrGhaGPAnG9uNCPT6GQ8lkWiXrbOAcb5Dck"
	)
	r := adminOf(t, "admin: {listen: '127.0.0.1:0', token: "+token+"}")
	for _, tt := range []struct {
		rule, rest string
		status     int
		body       string
	}{
		{"by an ID", sized(`{"policy":"auth","id":"` + id + `"}`), 200, `"was_blocked": false`},
		{"by its parts", sized(` {"policy":"auth", "id":"", "subject":{"ip":"192.0.2.1"}} `), 200, `"policy": "auth"`},
		{"chunked", chunked + "2d\r\n" + `{"policy":"auth","subject":{"ip":"192.0.2.1"}` + "\r\n1\r\n}\r\n0\r\n\r\n", 200, `"policy": "auth"`},
		{"a chunk that is none", chunked + "2e\r\n" + `{"policy":"auth","subject":{"ip":"192.0.2.1"}}` + "\r\nno chunk\r\n", 400, "bad_request"},
		{"a body that is cut short", "Content-Length: 47\r\n\r\n" + `{"policy":"auth","subject":{"ip":"192.0.2.1"}}`, 400, "bad_request"},
		{"a body that is announced too long", "Content-Length: 65537\r\n\r\n", 413, "body_too_large"},
		{"a body that turns out too long", chunked + "10001\r\n" + strings.Repeat(" ", 1<<16+1) + "\r\n0\r\n\r\n", 413, "body_too_large"},
		{"no body", sized(""), 400, "bad_request"},
		{"null", sized("null"), 400, "bad_request"},
		{"a list", sized(`[{"policy":"auth","id":"x"}]`), 400, "bad_request"},
		{"something behind the object", sized(`{"policy":"auth","subject":{"ip":"192.0.2.1"}}{}`), 400, "bad_request"},
		{"neither ID nor subject", sized(`{"policy":"auth"}`), 400, "bad_request"},
		{"both", sized(`{"policy":"auth","id":"x","subject":{}}`), 400, "bad_request"},
		{"a member that is not known", sized(`{"policy":"auth","id":"x","all":"true"}`), 400, "bad_request"},
		{"a member twice", sized(`{"policy":"other","policy":"auth","subject":{"ip":"192.0.2.1"}}`), 400, "bad_request"},
		{"a member twice, in other letter case", sized(`{"policy":"other","POLICY":"auth","subject":{"ip":"192.0.2.1"}}`), 400, "bad_request"},
		{"a member in another letter case", sized(`{"Policy":"auth","subject":{"ip":"192.0.2.1"}}`), 400, "bad_request"},
		{"a member with a letter that folds to another", sized(`{"policy":"auth","ſubject":{"ip":"192.0.2.1"}}`), 400, "bad_request"},
		{"a part twice", sized(`{"policy":"auth","subject":{"ip":"192.0.2.2","ip":"192.0.2.1"}}`), 400, "bad_request"},
		{"a part in another letter case", sized(`{"policy":"auth","subject":{"IP":"192.0.2.1"}}`), 400, "bad_subject"},
		{"a number for a policy", sized(`{"policy":7,"subject":{"ip":"192.0.2.1"}}`), 400, "bad_request"},
		{"a list for a part", sized(`{"policy":"auth","subject":{"ip":["192.0.2.1"]}}`), 400, "bad_request"},
		{"a policy that there is not", sized(`{"policy":"AUTH","subject":{"ip":"192.0.2.1"}}`), 404, "unknown_policy"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if status, body := unblock(t, r.admin, tt.rest); status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("%d %.200q, want %d with %q", status, body, tt.status, tt.body)
			}
		})
	}
}
