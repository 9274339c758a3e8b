package sidecar_test

import (
	"strings"
	"testing"
)

// What a provider sent may be payment data: whoever merely runs on this machine
// learns which deliveries there are, and nothing of their messages.
func TestWhoMayDoWhatWithDeliveries(t *testing.T) {
	const (
		route = "\nwebhooks: [{name: acme, path: /acme, provider: github, secrets: [secret], store: memory}]"
		right = "Bearer " + token
		own   = "127.0.0.1:9090"

		api     = "/api/v1/webhooks"
		message = api + "/message?key=acme/1"
	)
	loopback := adminOf(t, `admin: {listen: "127.0.0.1:0", token: `+token+`}`+route)
	without := adminOf(t, `admin: {listen: "127.0.0.1:0"}`+route)
	everywhere := adminOf(t, `admin: {listen: "0.0.0.0:0", token: `+token+`}`+route)
	for _, tt := range []struct {
		rule                        string
		of                          *running
		target, host, authorization string
		status                      int
		body                        string
	}{
		{"a list without the token", loopback, api, own, "", 200, `"deliveries": []`},
		{"a list by HEAD", loopback, "HEAD " + api, own, "", 200, ""},
		{"a delivery without the token", loopback, api + "/delivery?key=acme/1", own, "", 404, "unknown_delivery"},
		{"a message with the token", loopback, message, own, right, 404, "unknown_delivery"},
		{"a message with the token, from a name of its own", loopback, message, "evil.example", right, 404, "unknown_delivery"},
		{"no message without it", loopback, message, own, "", 403, "token_required"},
		{"none by HEAD", loopback, "HEAD " + message, own, "", 403, ""},
		{"none by another spelling", loopback, "/api/v1/webhooks/%6dessage?key=acme/1", own, "", 403, "token_required"},
		{"none in absolute form", loopback, "http://127.0.0.1" + message, own, "", 403, "token_required"},
		{"none by another path", loopback, "/api/v1//webhooks/message?key=acme/1", own, "", 307, ""},
		{"none by a path that leads there", loopback, "/api/v1/webhooks/x/../message?key=acme/1", own, "", 307, ""},
		{"none with a slash that is escaped", loopback, "/api/v1/webhooks%2Fmessage?key=acme/1", own, "", 403, "token_required"},
		{"none with a slash behind", loopback, api + "/message/?key=acme/1", own, "", 404, ""},
		{"none with a wrong token", loopback, message, own, right + "x", 401, "unauthorized"},
		{"none where there is no token", without, message, own, "", 403, "token_required"},
		{"a list where there is no token", without, api, own, "", 200, `"deliveries": []`},
		{"no replay without the token", loopback, "POST " + api + "/replay", own, "", 403, "token_required"},
		{"no purge without the token", loopback, "POST " + api + "/purge", own, "", 403, "token_required"},
		{"no replay where there is none", without, "POST " + api + "/replay", own, "", 403, "token_required"},
		{"a page that rebinds its name learns nothing", loopback, api, "evil.example", "", 403, "forbidden_host"},
		{"nor of a message", loopback, message, "evil.example", "", 403, "forbidden_host"},
		{"nor does it replay", loopback, "POST " + api + "/replay", "evil.example", "", 403, "forbidden_host"},
		{"a replay with the token", loopback, "POST " + api + "/replay", own, right, 400, "bad_request"},
		{"a purge with the token", loopback, "POST " + api + "/purge", own, right, 400, "bad_request"},
		{"everywhere: no list without it", everywhere, api, own, "", 401, "unauthorized"},
		{"everywhere: no message without it", everywhere, message, own, "", 401, "unauthorized"},
		{"everywhere: a list with it", everywhere, api, own, right, 200, `"deliveries": []`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, port, _ := strings.Cut(strings.ReplaceAll(tt.of.admin, "[::]", ""), ":")
			if status, body := ask(t, "tcp", "127.0.0.1:"+port, tt.target, tt.host, tt.authorization); status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("%d %.200q, want %d with %q", status, body, tt.status, tt.body)
			}
		})
	}
	// What is for operators is the app's path on the public listener.
	r, app := behind(t, "rate_limits: []\n"+strings.TrimPrefix(route, "\n")+"\n")
	if _, _, got := r.send(app, "GET "+api+" HTTP/1.1\r\nHost: h\r\n\r\n"); got == nil {
		t.Error("the public listener answers itself")
	}
}
