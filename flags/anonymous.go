package flags

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
)

// DefaultAnonymousMaxAge is AnonymousCookie.MaxAge unless it says otherwise.
const DefaultAnonymousMaxAge = 365 * 24 * time.Hour

// AnonymousCookie gives each visitor who has no targeting key a random one: a
// UUID of version 4 from crypto/rand. It counts for the request that it is made
// for, and for all that bring it back.
//
// The key is made where MiddlewareConfig.TargetingKey finds none and some flag
// picks its users by hash, which those with rules of their own are taken to do.
// It is not made where the browser would not keep it: for a CORS preflight and,
// by what the browser tells in Fetch Metadata, for what a page consists of
// (scripts, styles, images, fonts), which so stays in shared caches, and in a
// page of another site. The next handler sees the cookie as if the visitor had
// sent it. The answer sets it, for the whole host,
// HttpOnly and SameSite=Lax, unless it sets a cookie of that name itself. What
// the visitor sent under that name and is not of our form is replaced. A visitor
// who sends it twice, or so that applications could read it differently, has no
// targeting key: a new one each time would make features come and go. They do
// for clients that keep no cookies, such as crawlers: for those each request is
// a new visitor's.
//
// An answer with a new cookie is for one visitor alone: it gets Cache-Control:
// private in the place of whatever lets shared caches keep it, and Vary. An
// answer of status 304, whose header would be added to the one in a cache, gets
// neither. The cookie is not renewed, since that would keep more answers out of
// caches.
type AnonymousCookie struct {
	// Name is the cookie's. Nothing else may use a cookie of that name, the
	// targeting key included. With the prefix __Host- no other host of the
	// domain can set it in our place; that, and __Secure-, needs browsers that
	// come by https. Required.
	Name string

	// MaxAge is how long the visitor keeps it: whole seconds, at least one.
	// Browsers cut it to 400 days. Zero: DefaultAnonymousMaxAge.
	MaxAge time.Duration

	// HTTPS reports whether the visitor's browser came by https, so that the
	// cookie is Secure: see [ForwardedHTTPS]. Nil: whether this process
	// terminated TLS.
	HTTPS func(*http.Request) bool
}

// anonymous is an AnonymousCookie ready for requests.
type anonymous struct {
	name     string
	prefixed bool // the name obliges to Secure
	maxAge   int
	https    func(*http.Request) bool
}

func compileAnonymous(cfg *AnonymousCookie) (*anonymous, []error) {
	if cfg == nil {
		return nil, nil
	}
	var errs []error
	switch {
	case cfg.Name == "":
		errs = append(errs, &ConfigError{Field: "Anonymous.Name", Reason: "is required"})
	case !validToken(cfg.Name) || len(cfg.Name) > maxCookieName:
		errs = append(errs, &ConfigError{Field: "Anonymous.Name", Value: shorten(cfg.Name), Reason: "is not the name of a cookie"})
	}
	if cfg.MaxAge != 0 && cfg.MaxAge < time.Second {
		errs = append(errs, &ConfigError{Field: "Anonymous.MaxAge", Value: cfg.MaxAge.String(), Reason: "must be at least one second"})
	}
	lower := strings.ToLower(cfg.Name) // as browsers compare prefixes
	a := &anonymous{
		name:     cfg.Name,
		prefixed: strings.HasPrefix(lower, "__host-") || strings.HasPrefix(lower, "__secure-"),
		maxAge:   int(cfg.MaxAge / time.Second),
		https:    cfg.HTTPS,
	}
	if cfg.MaxAge == 0 {
		a.maxAge = int(DefaultAnonymousMaxAge / time.Second)
	}
	if a.https == nil {
		a.https = func(r *http.Request) bool { return r.TLS != nil }
	}
	return a, errs
}

const maxCookieName = 128

// freshCookie is a key that the visitor does not have yet.
type freshCookie struct {
	*anonymous
	key    string
	secure bool
}

// keyOf returns the key that r brings. Replace reports that it brings none and
// that one which is set now would be read back.
func (a *anonymous) keyOf(r *http.Request) (key string, replace bool) {
	if value, ok := httpx.LoneCookie(r, a.name); ok && isAnonymousKey(value) {
		return value, false
	}
	value, n := a.find(r.Header["Cookie"])
	return "", n == 0 || n == 1 && !isAnonymousKey(value)
}

// find returns the value of the cookie and how often it is there.
func (a *anonymous) find(lines []string) (value string, n int) {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			if name, v, _ := strings.Cut(part, "="); trimBlanks(name) == a.name {
				value = strings.Trim(v, "\" \t")
				n++
			}
		}
	}
	return value, n
}

// issue makes a key for who sent r.
func (a *anonymous) issue(r *http.Request) *freshCookie {
	return &freshCookie{anonymous: a, key: newAnonymousKey(), secure: a.prefixed || a.https(r)}
}

// forward puts the cookie into a request's header, in the place of what stands
// there under its name.
func (c *freshCookie) forward(h http.Header) {
	var lines []string
	for _, line := range h["Cookie"] {
		parts := slices.DeleteFunc(strings.Split(line, ";"), func(part string) bool {
			name, _, _ := strings.Cut(part, "=")
			return trimBlanks(name) == c.name || trimBlanks(part) == ""
		})
		if len(parts) > 0 {
			lines = append(lines, trimBlanks(strings.Join(parts, ";")))
		}
	}
	pair := c.name + "=" + c.key
	if last := len(lines) - 1; last >= 0 {
		lines[last] += "; " + pair
	} else {
		lines = []string{pair}
	}
	h["Cookie"] = lines
}

// give adds the cookie to an answer that does not set it itself.
func (c *freshCookie) give(h http.Header) {
	for _, set := range h["Set-Cookie"] {
		pair, _, _ := strings.Cut(set, ";")
		if name, _, _ := strings.Cut(pair, "="); trimBlanks(name) == c.name {
			return
		}
	}
	cookie := http.Cookie{ //nolint:gosec // Secure where the browser would send it back
		Name: c.name, Value: c.key, Path: "/", MaxAge: c.maxAge,
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	}
	h["Set-Cookie"] = append(slices.Clip(h["Set-Cookie"]), cookie.String())
}

// keepsCookie reports whether the browser that sent h would keep a cookie of
// SameSite=Lax from the answer. Parts of a page bring the cookies that it has, or
// else go without any; another site's page may set them on top level only. A
// client that tells nothing of itself may keep it.
//
// Source: https://www.w3.org/TR/fetch-metadata/, and RFC 6265bis section 5.7.
func keepsCookie(h http.Header) bool {
	switch h.Get("Sec-Fetch-Dest") {
	case "", "document":
		return true
	case "empty", "websocket", "iframe", "frame":
		return h.Get("Sec-Fetch-Site") != "cross-site"
	}
	return false
}

// newAnonymousKey is a UUID of version 4: RFC 9562 section 5.4.
func newAnonymousKey() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	var s [36]byte
	at := 0
	for i, c := range u {
		if uuidHyphenBefore(i) {
			s[at] = '-'
			at++
		}
		at += hex.Encode(s[at:], []byte{c})
	}
	return string(s[:])
}

func uuidHyphenBefore(i int) bool { return i == 4 || i == 6 || i == 8 || i == 10 }

// isAnonymousKey reports whether s has the form of newAnonymousKey's.
func isAnonymousKey(s string) bool {
	if len(s) != 36 || s[14] != '4' || strings.IndexByte("89ab", s[19]) < 0 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch hyphen := i == 8 || i == 13 || i == 18 || i == 23; {
		case hyphen != (c == '-'):
			return false
		case !hyphen && (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

// picksByHash reports whether another targeting key, of those that stand in no
// list, may get another answer to some flag.
func (s *Set) picksByHash() bool {
	return slices.ContainsFunc(s.ordered, (*flag).picksByHash)
}

func (f *flag) picksByHash() bool {
	switch {
	case f.custom != nil:
		return true
	case !f.enabled:
		return false
	}
	several := f.variants != nil && f.variants.lone == nil && (f.threshold > 0 || f.expiryAt != 0)
	return several || f.threshold > 0 && f.threshold < FullRollout
}
