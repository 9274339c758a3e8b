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
	hasIP     bool
	readsBody bool
	maxBody   int64
	v6bits    int
	limit     Limit
	share     Limit // of this instance, while the store fails
	cost      func(*http.Request) int
	onError   OnStoreError
	shadow    bool
	fixed     bool
	success   []int // what gives a place back; nil counts every request
	allow     clientip.Prefixes
	deny      clientip.Prefixes
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
	if cfg.Replicas < 0 || cfg.Replicas > maxReplicas {
		p.addf("Replicas", strconv.Itoa(cfg.Replicas), "must be between 0 and %d", maxReplicas)
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
		out[i].share = out[i].limit.share(max(cfg.Replicas, 1))
		out[i].keyPrefix = "handrail:{" + namespace + ":" + in.Name + ":"
	}
	return out
}

func (in Policy) compile(p *problems, field string) policy {
	out := policy{
		name:   in.Name,
		limit:  Limit{Count: in.Limit, Window: in.Window, Algorithm: in.Algorithm, Burst: in.Burst},
		cost:   in.Cost,
		v6bits: in.IPv6Prefix,
		shadow: in.Mode == Shadow,
		fixed:  in.RetryAfter == RetryFixed,
	}
	out.quota = fmt.Sprintf("%q;q=%d;w=%d", in.Name, in.Limit, (in.Window+time.Second-1)/time.Second)
	out.state = fmt.Sprintf("%q;r=0;t=", in.Name)
	if len(in.Lockout) > 0 {
		out.limit.Lockout = &Lockout{Tiers: slices.Clone(in.Lockout)}
	}
	out.limit.check(p, field, "Limit")
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
	compileCount(&out, in, p, field)
	var err error
	out.allow, err = clientip.ParsePrefixes(in.Allow)
	addJoined(p, field+"Allow", err)
	out.deny, err = clientip.ParsePrefixes(in.Deny)
	addJoined(p, field+"Deny", err)
	compileModes(&out, in, p, field)
	return out
}

// compileModes reads what is one of a few words.
func compileModes(out *policy, in Policy, p *problems, field string) {
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
}

// compileCount reads what gives a place back.
func compileCount(out *policy, in Policy, p *problems, field string) {
	switch in.Count {
	case "", Requests:
		if len(in.SuccessStatuses) > 0 {
			p.addf(field+"SuccessStatuses", "", "is for Count %q", Failures)
		}
		return
	case Failures:
	default:
		p.addf(field+"Count", string(in.Count), "must be %q or %q", Requests, Failures)
		return
	}
	if len(in.SuccessStatuses) == 0 {
		p.addf(field+"SuccessStatuses", "", "is required with Count %q: the statuses of a success, such as 303", Failures)
	}
	for i, status := range in.SuccessStatuses {
		if status < 200 || status > 399 {
			p.addf(fmt.Sprintf("%sSuccessStatuses[%d]", field, i), strconv.Itoa(status), "must be between 200 and 399")
		}
	}
	out.success = slices.Clone(in.SuccessStatuses)
}

// maxReplicas bounds Config.Replicas.
const maxReplicas = 10_000

// share is what one of n instances admits of l: a limit as well. Its parts are
// rounded up, but for a burst that would take too long to be earned anew.
func (l Limit) share(n int) Limit {
	if n == 1 {
		return l
	}
	part := func(count int) int { return (count + n - 1) / n }
	l.Count, l.Burst = part(l.Count), part(l.Burst)
	if !l.refills() {
		l.Burst = int(float64(MaxWindow) / float64(l.Window) * float64(l.Count))
		for !l.refills() { // it was rounded to a float64
			l.Burst--
		}
	}
	if l.Lockout != nil {
		tiers := slices.Clone(l.Lockout.Tiers)
		for i := range tiers {
			tiers[i].Count = part(tiers[i].Count)
		}
		l.Lockout = &Lockout{Tiers: tiers}
	}
	return l
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
		part.text = text
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
	out.parts = pairUp(out.parts)
	if i := slices.IndexFunc(out.parts, func(p part) bool { return p.kind == 'i' }); i >= 0 {
		out.hasIP = true
		ip := out.parts[i]
		copy(out.parts[1:], out.parts[:i])
		out.parts[0] = ip
	}
	compileMaxBody(out, in, p, field)
	out.ipOnly = len(out.parts) == 1 && out.parts[0].kind == 'i'
}

func compileMaxBody(out *policy, in Policy, p *problems, field string) {
	out.maxBody = in.MaxBodyBytes
	switch {
	case in.MaxBodyBytes == 0:
		out.maxBody = DefaultMaxBodyBytes
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
