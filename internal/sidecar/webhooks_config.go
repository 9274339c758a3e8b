package sidecar

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/webhook"
)

// Values of webhooks[].mode and webhooks[].signature.
const (
	modeSync  = "sync"
	modeInbox = "inbox"

	signatureForward = "forward"
	signatureFresh   = "fresh"
)

// This file translates webhooks of the configuration into the Configs of package
// webhook, and judges them.

// route is the webhook route of a name, nil without one.
func (c *Config) route(name string) *WebhookConfig {
	for i := range c.Webhooks {
		if c.Webhooks[i].Name == name {
			return &c.Webhooks[i]
		}
	}
	return nil
}

func (w *WebhookConfig) verifier() (webhook.Verifier, error) {
	return webhook.NewVerifier(w.verifierConfig())
}

func (w *WebhookConfig) verifierConfig() webhook.VerifierConfig {
	return webhook.VerifierConfig{
		Provider: w.Provider, Secrets: w.Secrets, Tolerance: w.Tolerance, PublicURL: w.PublicURL, ID: w.ID,
		HMAC: webhook.HMACConfig(w.HMAC),
	}
}

// config is that of the route's middleware, on a store that is an Inbox when the
// mode is inbox.
func (w *WebhookConfig) config(v webhook.Verifier, s webhook.Store) (webhook.Config, error) {
	cfg := webhook.Config{
		Route: w.Name, Verifier: v, Store: s, Timeout: w.Timeout, Retention: w.Retention,
		MaxBodyBytes: int64(w.MaxBody), DiscardStatuses: w.DiscardStatuses, DisableReplayGuard: !w.ReplayGuard,
	}
	if w.Mode != modeInbox {
		return cfg, nil
	}
	inbox, ok := s.(webhook.Inbox)
	if !ok {
		return cfg, errors.New("webhook: mode inbox needs a store that keeps messages")
	}
	cfg.Inbox = &webhook.InboxConfig{
		Store: inbox, Order: w.Inbox.Order, MaxAttempts: w.Inbox.MaxAttempts, MaxAge: w.Inbox.MaxAge,
		FirstRetry: w.Inbox.FirstRetry, LongestRetry: w.Inbox.LongestRetry, Concurrency: w.Inbox.Concurrency,
		Timeout: w.Inbox.Timeout,
	}
	if w.Signature == signatureFresh {
		signer, err := webhook.NewSigner(w.verifierConfig())
		if err != nil {
			return cfg, err
		}
		cfg.Inbox.Signer = signer
	}
	return cfg, nil
}

func (l *loader) validateWebhooks() {
	names, paths := map[string]int{}, map[string]int{}
	for i, w := range l.Webhooks {
		at := "webhooks[" + strconv.Itoa(i) + "]"
		l.unique(names, at+".name", w.Name, i)
		l.unique(paths, at+".path", strings.ToLower(strings.TrimSuffix(w.Path, "/")), i)
		l.onePath(at+".path", w.Path)
		if slices.Contains(l.probes(), strings.ToLower(strings.TrimSuffix(w.Path, "/"))) {
			l.problem(at+".path", "is where the sidecar answers health probes")
		}
		for key, value := range map[string]any{"timeout": w.Timeout, "tolerance": w.Tolerance, "id": w.ID, "public_url": w.PublicURL} {
			if l.seen(at + "." + key) {
				l.notZero(at+"."+key, value)
			}
		}
		l.notZero(at+".retention", w.Retention)
		l.notZero(at+".max_body", w.MaxBody)
		l.oneOf(at+".store", w.Store, storeAuto, storePostgres, storeRedis, storeSQLite, storeMemory)
		if w.Store == storePostgres && l.Database == "" {
			l.problem(at+".store", "needs database (DATABASE_URL)")
		}
		if w.Store == storeRedis && l.Redis == "" {
			l.problem(at+".store", "needs redis (REDIS_URL)")
		}
		l.validateInbox(at, &w)
		l.warnOfWebhook(&w)
	}
}

// validateInbox judges what is for one mode alone.
func (l *loader) validateInbox(at string, w *WebhookConfig) {
	l.oneOf(at+".mode", w.Mode, modeSync, modeInbox)
	l.oneOf(at+".signature", w.Signature, signatureForward, signatureFresh)
	if w.Mode == modeInbox {
		if w.Store == storeRedis || w.Store == storeMemory {
			l.problem(at+".store", "must be postgres, sqlite or auto with mode inbox, which keeps messages")
		}
		l.notZero(at+".inbox.max_attempts", w.Inbox.MaxAttempts)
		l.notZero(at+".inbox.max_age", w.Inbox.MaxAge)
		l.notZero(at+".inbox.first_retry", w.Inbox.FirstRetry)
		l.notZero(at+".inbox.longest_retry", w.Inbox.LongestRetry)
		l.notZero(at+".inbox.concurrency", w.Inbox.Concurrency)
		for key, value := range map[string]any{".inbox.order": w.Inbox.Order, ".inbox.timeout": w.Inbox.Timeout} {
			if l.seen(at + key) {
				l.notZero(at+key, value)
			}
		}
		return
	}
	if l.seen(at + ".inbox") {
		l.problem(at+".inbox", "is for mode inbox")
	}
	if w.Signature == signatureFresh {
		l.problem(at+".signature", "is for mode inbox: else the app gets the message while its signature is fresh")
	}
}

// warnOfWebhook tells of what works and will be regretted.
func (l *loader) warnOfWebhook(w *WebhookConfig) {
	if w.Store == storeMemory && l.Environment == Production {
		l.warn("webhook %s keeps its deliveries in memory: a restart forgets which events were handled", w.Name)
	}
	if p, _ := webhook.ProviderNamed(w.Provider); p.NeverRetries && w.Mode == modeSync {
		advice := "with mode inbox it is kept until the app has taken it"
		if p.ReplayAnswers {
			advice = "where it does not need the app's answer, mode inbox keeps it until the app has taken it"
		}
		l.warn("webhook %s: %s does not send a failed delivery again: %s", w.Name, w.Provider, advice)
	}
	if l.deliveryStore(w) == storeSQLite && l.Replicas > 1 {
		l.warn("webhook %s keeps its deliveries in SQLite, which is for one machine, and replicas is %d: "+
			"a copy that reaches another machine is a new event there; set database or redis", w.Name, l.Replicas)
	}
}

func (l *loader) checkWebhook(i int) {
	at := "webhooks[" + strconv.Itoa(i) + "]."
	w := &l.Webhooks[i]
	v, err := w.verifier()
	l.translate(err, at, map[string]string{"PublicURL": "public_url", "HMAC": "hmac", "ID": "id"})
	if err != nil {
		// The other fields are judged all the same, against a stand-in.
		v = standIn{provider: w.Provider}
	}
	judged := *w
	if w.Signature == signatureFresh && w.Mode == modeInbox {
		if err := webhook.CanSignFresh(w.verifierConfig()); err != nil {
			_, reason := fieldOf(err)
			l.problem(at+"signature", "cannot be fresh: %s %s", w.Provider, reason)
		}
		judged.Signature = signatureForward
	}
	if p := v.Provider(); p.AnswerUsed && w.Mode == modeInbox {
		l.problem(at+"mode", "must be sync: %s uses the app's answer to every message", p.Name)
		judged.Mode = modeSync
	}
	cfg, err := judged.config(v, standInStore{})
	if err == nil {
		_, err = webhook.New(cfg)
	}
	l.translate(err, at, map[string]string{"Route": "name", "MaxBodyBytes": "max_body"})
}

// A standInStore is the store of a route that is only judged.
type standInStore struct{ webhook.Inbox }

// A standIn is the verifier of a route whose own could not be made.
type standIn struct {
	webhook.Verifier
	provider string
}

// Provider implements webhook.Verifier.
func (s standIn) Provider() webhook.Provider {
	p, _ := webhook.ProviderNamed(s.provider)
	return p
}
