package ratelimit

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/clientip"
	"github.com/handrail-go/handrail/internal/route"
)

// policy is a Policy ready for use.
type policy struct {
	name      string
	index     int // among those of its Config
	methods   []string
	paths     *route.Set // nil: every path
	parts     []part
	ipOnly    bool
	readsBody bool
	maxBody   int64
	v6bits    int
	limit     Limit
	onError   OnStoreError
	shadow    bool
	fixed     bool
	allow     clientip.Prefixes
	keyPrefix string // "handrail:{<namespace>:<policy>:"
	quota     string // its item of RateLimit-Policy
	state     string // its item of RateLimit, up to the seconds
}

// compilePolicies checks every policy and returns them ready for use.
func compilePolicies(cfg Config, p *problems) []policy {
	namespace := cfg.Namespace
	if namespace == "" {
		namespace = "default"
	} else if !isName(namespace) {
		p.addf("Namespace", namespace, nameRule)
	}
	seen := map[string]bool{}
	out := make([]policy, len(cfg.Policies))
	for i, in := range cfg.Policies {
		field := fmt.Sprintf("Policies[%d].", i)
		if !isName(in.Name) {
			p.addf(field+"Name", in.Name, nameRule)
		} else if seen[in.Name] {
			p.addf(field+"Name", in.Name, "is the name of another policy")
		}
		seen[in.Name] = true
		out[i] = in.compile(p, field)
		out[i].index = i
		out[i].keyPrefix = "handrail:{" + namespace + ":" + in.Name + ":"
	}
	return out
}

func (in Policy) compile(p *problems, field string) policy {
	out := policy{
		name:   in.Name,
		limit:  Limit{Count: in.Limit, Window: in.Window},
		v6bits: in.IPv6Prefix,
		shadow: in.Mode == Shadow,
		fixed:  in.RetryAfter == RetryFixed,
	}
	out.quota = fmt.Sprintf("%q;q=%d;w=%d", in.Name, in.Limit, (in.Window+time.Second-1)/time.Second)
	out.state = fmt.Sprintf("%q;r=0;t=", in.Name)
	checkCount(p, field+"Limit", in.Limit, MaxCount)
	checkTime(p, field+"Window", in.Window)
	out.methods = slices.Clone(in.Methods)
	for i, method := range in.Methods {
		if !isToken(method) || method != strings.ToUpper(method) {
			p.addf(fmt.Sprintf("%sMethods[%d]", field, i), method, "must be a method in upper case")
		}
	}
	if len(in.Paths) > 0 {
		set, err := route.Compile(in.Paths, in.Exact)
		out.paths = set
		addJoined(p, field+"Paths", err)
	}
	compileKey(&out, in, p, field)
	var err error
	out.allow, err = clientip.ParsePrefixes(in.Allow)
	addJoined(p, field+"Allow", err)
	out.onError = in.OnStoreError
	switch in.OnStoreError {
	case "":
		out.onError = Local
	case Local, Deny, Pass:
	default:
		p.addf(field+"OnStoreError", string(in.OnStoreError), "must be %q, %q or %q", Local, Deny, Pass)
	}
	if in.Mode != "" && in.Mode != Enforce && in.Mode != Shadow {
		p.addf(field+"Mode", string(in.Mode), "must be %q or %q", Enforce, Shadow)
	}
	if in.RetryAfter != "" && in.RetryAfter != RetryExact && in.RetryAfter != RetryFixed {
		p.addf(field+"RetryAfter", string(in.RetryAfter), "must be %q or %q", RetryExact, RetryFixed)
	}
	return out
}

func compileKey(out *policy, in Policy, p *problems, field string) {
	if out.v6bits == 0 {
		out.v6bits = 64
	} else if out.v6bits < 1 || out.v6bits > 128 {
		p.addf(field+"IPv6Prefix", fmt.Sprint(out.v6bits), "must be between 1 and 128")
	}
	key := in.Key
	if len(key) == 0 {
		key = []string{"ip"}
	}
	for i, text := range key {
		at := fmt.Sprintf("%sKey[%d]", field, i)
		part, reason := parsePart(text)
		switch {
		case reason != "":
			p.addf(at, text, "%s", reason)
		case slices.ContainsFunc(out.parts, part.equal):
			p.addf(at, text, "is there twice")
		case part.inBody() && bodiless(in.Methods):
			p.addf(at, text, "is in the body of a request, which %s has none of", strings.Join(in.Methods, " or "))
		}
		out.parts = append(out.parts, part)
		out.readsBody = out.readsBody || part.inBody()
	}
	compileMaxBody(out, in, p, field)
	out.ipOnly = len(out.parts) == 1 && out.parts[0].kind == 'i'
}

func compileMaxBody(out *policy, in Policy, p *problems, field string) {
	out.maxBody = in.MaxBodyBytes
	switch {
	case in.MaxBodyBytes == 0:
		out.maxBody = defaultMaxBodyBytes
	case in.MaxBodyBytes < 0 || in.MaxBodyBytes > maxMaxBodyBytes:
		p.addf(field+"MaxBodyBytes", strconv.FormatInt(in.MaxBodyBytes, 10), "must be between 1 and %d", maxMaxBodyBytes)
	case !out.readsBody:
		p.addf(field+"MaxBodyBytes", strconv.FormatInt(in.MaxBodyBytes, 10), "is for a key in the body, as json:/email")
	}
}

// bodiless reports whether requests by methods carry nothing.
func bodiless(methods []string) bool {
	for _, m := range methods {
		if m != http.MethodGet && m != http.MethodHead {
			return false
		}
	}
	return len(methods) > 0
}

// newResolver reads who is trusted.
func newResolver(cfg Config, p *problems) *clientip.Resolver {
	trusted, err := clientip.ParsePrefixes(cfg.TrustedProxies)
	addJoined(p, "TrustedProxies", err)
	switch {
	case cfg.DangerouslyTrustAllProxies:
		trusted, _ = clientip.ParsePrefixes([]string{"0.0.0.0/0", "::/0"})
	case trusted.Everyone():
		p.addf("TrustedProxies", strings.Join(cfg.TrustedProxies, ","),
			"trusts every address: any client could forge its own; DangerouslyTrustAllProxies says that this is meant")
	}
	resolver, err := clientip.New(trusted, cfg.ForwardedHeader)
	if err != nil {
		p.addf("ForwardedHeader", cfg.ForwardedHeader, "must be %s or %s", clientip.XForwardedFor, clientip.Forwarded)
	}
	return resolver
}

// addJoined adds each of the errors joined in err as a problem of field.
func addJoined(p *problems, field string, err error) {
	if err == nil {
		return
	}
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, e := range list {
		if bad, ok := errors.AsType[*route.PatternError](e); ok {
			p.addf(field, bad.Pattern, "%s", bad.Reason)
			continue
		}
		p.addf(field, "", "%v", e)
	}
}

const nameRule = "must be 1 to 64 characters of A-Z a-z 0-9 . _ -"

// isName accepts what is safe in a key of the store, in a structured-field
// string and as a metric's label.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}
