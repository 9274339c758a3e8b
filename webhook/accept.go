package webhook

import (
	"context"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// accept keeps the message, and only then is it acknowledged.
func (d *inbound) accept(ctx context.Context) reply {
	if rep, ok := d.passGuardOfInbox(ctx); !ok {
		return rep
	}
	var claim Claim
	stored := d.stored()
	err := d.patiently(ctx, func(ctx context.Context) (_ bool, err error) {
		claim, err = d.m.cfg.Inbox.Store.Put(ctx, d.key, stored, d.claimRequest())
		return claim.Status == InFlight, err
	})
	if err != nil {
		return unavailable(OutcomeStoreError, "webhook_store_unavailable", err)
	}
	d.note(claim)
	if claim.Status == Accepted {
		d.m.Wake()
		return reply{outcome: OutcomeAccepted, status: http.StatusOK, said: "accepted", mark: "accepted"}
	}
	return d.known(claim)
}

// passGuardOfInbox makes the guard done by this id, or the message one of the id
// that it is done by: see there.
func (d *inbound) passGuardOfInbox(ctx context.Context) (reply, bool) {
	if d.guard.key == "" {
		return reply{}, true
	}
	lookup, cancel := context.WithTimeout(ctx, storeTimeout)
	rec, err := d.m.cfg.Store.Lookup(lookup, d.key)
	cancel()
	if err == nil && rec.State != StateAbsent && rec.BodyDigest != d.digest {
		return d.known(Claim{Status: OtherBody}), false
	}
	var r ruling
	if err == nil {
		r, err = d.askGuard(ctx)
	}
	switch {
	case err == nil && r.verdict == verdictOwner:
		d.as(r.owner)
		return reply{}, true
	case err != nil || r.verdict != verdictPass:
		return d.guarded(r, err), false
	}
	ctx, cancel = context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := d.guard.close(ctx, d, guardKept); err != nil {
		_ = d.guard.open(ctx, d, false) // else its lease ends
		return d.guarded(r, err), false
	}
	return reply{}, true
}

// stored is the message as the inbox keeps it.
func (d *inbound) stored() Stored {
	target := d.r.URL.RequestURI()
	order := d.m.order.inHeader(d.r.Header)
	if d.m.order.json != nil {
		order = string(text(field(d.body, d.m.order.json)))
	}
	if order != "" {
		order = boundedID(order)
	}
	return Stored{
		Route: d.m.cfg.Route, Order: order, Event: d.verified,
		Target: target, Host: d.r.Host, RemoteAddr: d.r.RemoteAddr,
		Header: d.keptHeader(), Body: d.body,
	}
}

// keptHeader is the header without what belongs to the connection that the
// message came on, and without what the middleware sets itself. Neither is
// GitLab's secret token kept where each attempt gets it anew.
func (d *inbound) keptHeader() http.Header {
	h := d.r.Header.Clone()
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range [...]string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Content-Length", "Expect",
	} {
		delete(h, name)
	}
	if d.m.cfg.Inbox.Signer != nil {
		delete(h, gitlabToken)
	}
	for name := range h {
		if reserved(name) {
			delete(h, name)
		}
	}
	return h
}

// received is the request of a message as it was kept.
func received(ctx context.Context, s Stored) *http.Request {
	path, query, queried := strings.Cut(s.Target, "?")
	u := &url.URL{RawQuery: query, ForceQuery: queried && query == ""}
	var err error
	if u.Path, err = url.PathUnescape(path); err != nil {
		u.Path = path
	} else if u.EscapedPath() != path {
		u.RawPath = path
	}
	h := s.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	r := &http.Request{
		Method: http.MethodPost, URL: u, RequestURI: s.Target, Host: s.Host, RemoteAddr: s.RemoteAddr,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
	}
	return r.WithContext(ctx)
}
