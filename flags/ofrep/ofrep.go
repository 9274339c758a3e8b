package ofrep

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/httpx"
)

// Path is where all flags are asked for. A single one is asked for at its key
// below; a slash in the key may be escaped or not.
const Path = "/ofrep/v1/evaluate/flags"

// Config is what [New] needs.
type Config struct {
	// Client answers. Required.
	Client *flags.Client

	// PublicOnly hides the flags that are not marked public: they are as if
	// they did not exist.
	PublicOnly bool

	// Tokens let in who sends one of them, as "Authorization: Bearer …" or
	// "X-API-Key: …". None: everybody is let in. An empty one is an error.
	Tokens []string

	// MaxBodyBytes bounds a request. Zero: 64 KiB.
	MaxBodyBytes int

	// MaxDepth bounds how deep objects and lists may be nested in a context,
	// which itself counts as one. Zero: 16. At most 1000.
	MaxDepth int

	// MaxAttributes bounds the members and elements of a context, those of its
	// objects and lists included. Zero: 1000.
	MaxAttributes int

	// RetryAfter is told to clients while no definitions were loaded yet,
	// rounded up to whole seconds. Zero: a second.
	RetryAfter time.Duration
}

// maxDepth keeps the reader's stack small.
const maxDepth = 1000

// Handler answers OFREP. It is safe for concurrent use.
type Handler struct {
	client     *flags.Client
	publicOnly bool
	tokens     [][sha256.Size]byte
	bounds     bounds
	retryAfter string
	buffers    sync.Pool
}

// bounds of a request.
type bounds struct{ bytes, depth, attributes int }

// New returns a Handler, or every problem of cfg as *flags.ConfigError.
func New(cfg Config) (*Handler, error) {
	var errs []error
	problem := func(field, value, reason string) {
		errs = append(errs, &flags.ConfigError{Field: "ofrep." + field, Value: value, Reason: reason})
	}
	h := &Handler{client: cfg.Client, publicOnly: cfg.PublicOnly}
	if cfg.Client == nil {
		problem("Client", "", "is required")
	}
	for i, token := range cfg.Tokens {
		if token == "" || strings.TrimSpace(token) != token {
			problem(fmt.Sprintf("Tokens[%d]", i), "", "is empty, or has spaces around it")
		}
		h.tokens = append(h.tokens, sha256.Sum256([]byte(token)))
	}
	bound := func(field string, given, otherwise, most int) int {
		if given < 0 || given > most {
			problem(field, strconv.Itoa(given), fmt.Sprintf("must be 0 to %d", most))
		}
		if given == 0 {
			return otherwise
		}
		return given
	}
	h.bounds = bounds{
		bytes:      bound("MaxBodyBytes", cfg.MaxBodyBytes, 64<<10, 1<<30),
		depth:      bound("MaxDepth", cfg.MaxDepth, 16, maxDepth),
		attributes: bound("MaxAttributes", cfg.MaxAttributes, 1000, 1<<30),
	}
	if cfg.RetryAfter < 0 {
		problem("RetryAfter", cfg.RetryAfter.String(), "is negative")
	}
	h.retryAfter = strconv.Itoa(httpx.RetryAfterSeconds(cfg.RetryAfter))
	h.buffers.New = func() any { return new(buffer) }
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return h, nil
}

// buffer is what an answer is made in.
type buffer struct {
	body      []byte
	answer    []byte
	decisions []flags.Decision
	names     []string // of an object, sorted
}

// A buffer that one large answer made large is not kept.
const (
	keptBytes    = 1 << 20
	keptElements = 4096
)

func (h *Handler) release(b *buffer) {
	if cap(b.body) > keptBytes || cap(b.answer) > keptBytes || cap(b.decisions) > keptElements || cap(b.names) > keptElements {
		return
	}
	clear(b.decisions) // definitions that are gone are not held
	h.buffers.Put(b)
}

// ServeHTTP answers at [Path] and below, and 404 elsewhere.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := h.buffers.Get().(*buffer)
	defer h.release(b)
	rest, ours := strings.CutPrefix(r.URL.Path, Path)
	key, single := strings.CutPrefix(rest, "/")
	a := answer{w: w, buffer: b, key: key, single: single}
	if !ours || rest != "" && !single {
		a.single = false
		a.fail(http.StatusNotFound, flags.ErrorGeneral, "there is nothing here")
		return
	}
	if !h.admits(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="ofrep"`)
		a.fail(http.StatusUnauthorized, flags.ErrorGeneral, "a token is needed")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		a.fail(http.StatusMethodNotAllowed, flags.ErrorGeneral, "only POST is allowed")
		return
	}
	if !h.client.Ready() { // asked first: it stays ready once it is
		w.Header().Set("Retry-After", h.retryAfter)
		a.fail(http.StatusServiceUnavailable, flags.ErrorGeneral, "no definitions were loaded yet")
		return
	}
	ec, problem := h.read(r, b)
	if problem != nil {
		a.fail(problem.status, problem.code, problem.details)
		return
	}
	if single {
		h.answerOne(&a, h.evaluator(ec))
		return
	}
	if !h.evaluateAll(r.Context(), b, ec) {
		w.Header().Set("Retry-After", h.retryAfter)
		a.fail(http.StatusServiceUnavailable, flags.ErrorGeneral, "evaluating all flags takes too long")
		return
	}
	h.answerAll(&a, r.Header["If-None-Match"])
}

func (h *Handler) evaluator(ec flags.EvaluationContext) *flags.Evaluator {
	e := h.client.ForContext(ec)
	if h.publicOnly {
		e = e.Public()
	}
	return e
}

// answerOne answers about the flag that was asked for.
func (h *Handler) answerOne(a *answer, e *flags.Evaluator) {
	d := e.Evaluate(a.key)
	if d.ErrorCode == "" {
		if a.append(&d) {
			a.send(http.StatusOK, "")
			return
		}
		d.ErrorCode = flags.ErrorGeneral
	}
	status := http.StatusBadRequest
	if d.ErrorCode == flags.ErrorFlagNotFound {
		status = http.StatusNotFound
	}
	a.fail(status, codeOf(&d), h.details(&d))
}

// answerAll answers about every flag, or 304 when the client knows the answer.
// Flags that turn out not to exist are left out: the protocol has no place for
// them in a list.
func (h *Handler) answerAll(a *answer, known []string) {
	a.answer = append(a.answer[:0], `{"flags":[`...)
	for i := range a.decisions {
		d := &a.decisions[i]
		if d.ErrorCode == flags.ErrorFlagNotFound {
			continue
		}
		if a.answer[len(a.answer)-1] != '[' {
			a.answer = append(a.answer, ',')
		}
		start := len(a.answer)
		if d.ErrorCode == "" && a.append(d) {
			continue
		}
		a.answer = appendFailure(a.answer[:start], d.Key, true, codeOf(d), h.details(d))
	}
	a.answer = append(a.answer, "]}"...)
	var tag tag
	tag.of(a.answer)
	if tag.in(known) {
		a.send(http.StatusNotModified, tag.String())
		return
	}
	a.send(http.StatusOK, tag.String())
}

// codeOf is the code of the protocol for what went wrong with a flag.
func codeOf(d *flags.Decision) flags.ErrorCode {
	switch d.ErrorCode {
	case flags.ErrorFlagNotFound, flags.ErrorTargetingKeyMissing, flags.ErrorInvalidContext, flags.ErrorParse:
		return d.ErrorCode
	}
	return flags.ErrorGeneral
}

// details says why, to whom may know more than that with what the definition's
// reader had to say.
func (h *Handler) details(d *flags.Decision) string {
	if d.ErrorDetails != "" && !h.publicOnly {
		return d.ErrorDetails
	}
	switch d.ErrorCode {
	case flags.ErrorFlagNotFound:
		return "there is no such flag"
	case flags.ErrorTargetingKeyMissing:
		return "the flag needs a targetingKey"
	case flags.ErrorInvalidContext:
		return "the flag cannot be evaluated for this context"
	}
	return "the flag cannot be evaluated"
}
