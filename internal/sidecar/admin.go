package sidecar

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"

	"github.com/handrail-go/handrail/flags/ofrep"
	"github.com/handrail-go/handrail/internal/httpx"
)

// adminHandler serves operators. Who may do what:
//
//   - on a Unix socket: everything, file permissions decide who connects
//   - with the bearer token: everything
//   - with a token of flags.ofrep.tokens, as bearer or X-API-Key: evaluating flags
//   - on loopback without a token: reading and evaluating flags, but no profiles
//     and no messages
//   - elsewhere without a token: nothing
func (s *Sidecar) adminHandler(c AdminConfig) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	verbose, short := s.monitor.VerboseHandler(), s.monitor.Handler()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("verbose") {
			verbose.ServeHTTP(w, r)
			return
		}
		short.ServeHTTP(w, r)
	})
	mux.Handle("GET /livez", s.monitor.LivezHandler())
	mux.Handle("GET /readyz", s.monitor.ReadyzHandler())
	mux.Handle("GET /startupz", s.monitor.StartupzHandler())
	mux.HandleFunc("GET "+LimitsPath, s.serveLimits)
	mux.HandleFunc("POST "+UnblockPath, s.serveUnblock)
	s.webhookAdmin().register(mux)
	s.flagAdmin(c).register(mux)
	evaluate := s.adminOFREP()
	mux.Handle(ofrep.Path, evaluate)
	mux.Handle(ofrep.Path+"/", evaluate)
	mux.HandleFunc("POST "+WebhookExplainPath, s.explainHandler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)

	socket, loopback := strings.HasPrefix(c.Listen, "unix:"), isLoopback(c.Listen)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bearer, sent := bearerToken(r)
		keySent, mayEvaluate := s.ofrepToken(r, c.Token)
		switch full := socket || sent && sameToken(bearer, c.Token); {
		case full, mayEvaluate:
			mux.ServeHTTP(w, r)
		case sent || keySent || !loopback:
			w.Header().Set("WWW-Authenticate", `Bearer realm="handrail"`)
			httpx.WriteError(w, r, http.StatusUnauthorized, "unauthorized")
		case !localHost(r.Host):
			// A web page that rebinds its name to 127.0.0.1 sends its own name.
			httpx.WriteError(w, r, http.StatusForbidden, "forbidden_host")
		case needsToken(r), isOFREP(r.URL.Path) && fromPage(r):
			httpx.WriteError(w, r, http.StatusForbidden, "token_required")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// needsToken tells what nobody may who only happens to run on this machine:
// changes, profiles, and the messages of providers, which may hold payment data.
func needsToken(r *http.Request) bool {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	return !reads && !isOFREP(r.URL.Path) || strings.HasPrefix(r.URL.Path, "/debug/") || r.URL.Path == WebhookMessagePath
}

func bearerToken(r *http.Request) (token string, sent bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "bearer")
}

// sameToken compares in constant time, the length included.
func sameToken(got, want string) bool {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return want != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
