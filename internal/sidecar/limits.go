package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/handrail-go/handrail/internal/httpx"
	"github.com/handrail-go/handrail/ratelimit"
)

// LimitsPath is where the admin listener tells of limits; UnblockPath takes an
// Unblock.
const (
	LimitsPath  = "/api/v1/limits"
	UnblockPath = LimitsPath + "/unblock"
)

const maxUnblockBytes = 64 << 10

// Limits is what the admin API tells of limits.
type Limits struct {
	Store    string          `json:"store"` // redis or memory
	Degraded *Degraded       `json:"degraded,omitempty"`
	Policies []PolicyState   `json:"policies"`
	Blocked  []BlockedEntity `json:"blocked"` // those this instance refused and that are still blocked
}

// Check reports what every answer of a sidecar has and l lacks.
func (l *Limits) Check() error {
	if l.Store == "" || l.Policies == nil || l.Blocked == nil {
		return errors.New("it does not tell store, policies and blocked")
	}
	for _, p := range l.Policies {
		if p.Name == "" || len(p.Key) == 0 {
			return errors.New("it tells a policy without name or key")
		}
	}
	return nil
}

// Degraded is present while the store fails.
type Degraded struct {
	Since time.Time `json:"since"`
	Error string    `json:"error"`
}

// PolicyState is one policy and what it sees.
type PolicyState struct {
	Name         string   `json:"name"`
	Key          []string `json:"key"`
	Limit        int      `json:"limit"`
	Window       string   `json:"window"`
	Algorithm    string   `json:"algorithm"`
	Count        string   `json:"count"`
	Mode         string   `json:"mode"`
	OnStoreError string   `json:"on_store_error"`

	// One subject sends most of the requests.
	Dominated bool `json:"dominated"`

	// The highest number of accounts that one network tried, and of networks that
	// tried one account, about; 0 for policies by address alone.
	AccountsPerNetwork int `json:"accounts_per_network"`
	NetworksPerAccount int `json:"networks_per_account"`
}

// BlockedEntity is a subject that is refused. Its ID is the digest in the
// store's key; what it is made of is told of its address alone.
type BlockedEntity struct {
	Policy       string    `json:"policy"`
	ID           string    `json:"id"`
	Client       string    `json:"client,omitempty"`
	Until        time.Time `json:"until"`
	FirstRefused time.Time `json:"first_refused"`
	Refusals     int64     `json:"refusals"`
}

// Unblock names a subject, by its ID or by what it is made of: for each entry of
// the policy's key the value that a request would have.
type Unblock struct {
	Policy  string            `json:"policy"`
	ID      string            `json:"id,omitempty"`
	Subject map[string]string `json:"subject,omitempty"`
}

// Unblocked is the answer to an Unblock. WasBlocked is whether this instance had
// the subject among those that are blocked; what was counted of it is forgotten
// either way, here and in the store, where there may have been nothing.
type Unblocked struct {
	Policy     string `json:"policy"`
	ID         string `json:"id"`
	WasBlocked bool   `json:"was_blocked"`
}

// Check reports what every answer of a sidecar has and u lacks.
func (u *Unblocked) Check() error {
	if u.Policy == "" || u.ID == "" {
		return errors.New("it does not tell policy and id")
	}
	return nil
}

func (s *Sidecar) serveLimits(w http.ResponseWriter, _ *http.Request) {
	a := s.current.Load()
	out := Limits{Store: "memory", Policies: []PolicyState{}, Blocked: []BlockedEntity{}}
	if s.stores.redis != nil {
		out.Store = "redis"
	}
	if since, cause := s.stores.degraded(); cause != nil {
		out.Degraded = &Degraded{Since: since.UTC(), Error: cause.Error()}
	}
	for _, p := range a.loaded.policies() {
		out.Policies = append(out.Policies, s.policyState(p))
	}
	for _, b := range s.watch.Refused() {
		entity := BlockedEntity{
			Policy: b.Policy, ID: b.ID, Until: b.Until.UTC(), FirstRefused: b.FirstRefused.UTC(), Refusals: b.Refusals,
		}
		if b.Client.IsValid() {
			entity.Client = b.Client.String()
		}
		out.Blocked = append(out.Blocked, entity)
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Sidecar) policyState(p ratelimit.Policy) PolicyState {
	state := PolicyState{
		Name: p.Name, Key: p.Key, Limit: p.Limit, Window: p.Window.String(), Algorithm: string(p.Algorithm),
		Count: string(p.Count), Mode: string(p.Mode), OnStoreError: string(p.OnStoreError),
	}
	for _, name := range s.watch.Dominant() {
		state.Dominated = state.Dominated || name == p.Name
	}
	for _, spray := range s.watch.Spray() {
		if spray.Policy == p.Name {
			state.AccountsPerNetwork, state.NetworksPerAccount = spray.AccountsPerNetwork, spray.NetworksPerAccount
		}
	}
	return state
}

// serveUnblock forgets what a subject has used up.
func (s *Sidecar) serveUnblock(w http.ResponseWriter, r *http.Request) {
	data, err := httpx.ReadBody(r, maxUnblockBytes, nil)
	if errors.Is(err, httpx.ErrBodyTooLarge) {
		httpx.WriteError(w, r, http.StatusRequestEntityTooLarge, "body_too_large")
		return
	}
	var in Unblock
	if err == nil {
		err = strictJSON(data, &in, "policy", "id", "subject")
	}
	if err != nil || (in.ID == "") == (in.Subject == nil) {
		writeDetail(w, http.StatusBadRequest, "bad_request", `the body must be {"policy": NAME, "id": ID} or {"policy": NAME, "subject": {KEY: VALUE}}`)
		return
	}
	limits := s.current.Load().limits
	id := in.ID
	if in.Subject != nil {
		id, err = limits.SubjectID(in.Policy, in.Subject)
	}
	wasBlocked := slices.ContainsFunc(s.watch.Refused(), func(b ratelimit.Refused) bool {
		return b.Policy == in.Policy && b.ID == id
	})
	if err == nil {
		err = limits.Unblock(r.Context(), in.Policy, id)
	}
	bad, isBad := errors.AsType[*ratelimit.SubjectError](err)
	switch {
	case errors.Is(err, ratelimit.ErrNoPolicy):
		writeDetail(w, http.StatusNotFound, "unknown_policy", "no policy has that name")
	case isBad:
		writeDetail(w, http.StatusBadRequest, "bad_subject", bad.Reason)
	case err != nil:
		s.log.Error("a subject could not be unblocked", "policy", in.Policy, "id", id, "error", err)
		httpx.WriteError(w, r, http.StatusServiceUnavailable, "rate_limiter_unavailable")
	default:
		s.log.Info("unblocked by hand", "policy", in.Policy, "id", id, "was_blocked", wasBlocked)
		writeJSON(w, http.StatusOK, Unblocked{Policy: in.Policy, ID: id, WasBlocked: wasBlocked})
	}
}

// strictJSON decodes one object whose members have these names, as they are
// written here, each once at most. Its values are text or objects of text.
func strictJSON(data []byte, into any, names ...string) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return checkMembers(json.NewDecoder(bytes.NewReader(data)), names)
}

// checkMembers refuses what package json lets pass: a member twice, or its name
// in another letter case. Nil names are any.
func checkMembers(d *json.Decoder, names []string) error {
	start, err := d.Token()
	if err != nil || start != json.Delim('{') {
		return err
	}
	seen := map[json.Token]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if seen[token] || names != nil && !slices.Contains(names, name) {
			return errors.New("a member is there twice, or in another letter case")
		}
		seen[token] = true
		if err := checkMembers(d, nil); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// writeDetail answers an operator with a code and what to do about it.
func writeDetail(w http.ResponseWriter, status int, code, detail string) {
	writeJSON(w, status, map[string]string{"error": code, "detail": detail})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client is gone
}

// watchLimits has health warn while one address sends most requests of a rate
// limit, which is looked at now and then.
func (s *Sidecar) watchLimits(ctx context.Context) {
	ticker := time.NewTicker(15 * time.Second)
	defer ticker.Stop()
	for {
		if len(s.watch.Dominant()) > 0 {
			s.monitor.Warn("rate_limits", "one address sends most requests of a policy: if it is a proxy's, trusted_proxies lacks it")
		} else {
			s.monitor.Clear("rate_limits")
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
