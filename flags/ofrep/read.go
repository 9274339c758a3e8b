package ofrep

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/handrail-go/handrail/flags"
)

// refusal is why a request is not answered. It holds nothing of the request.
type refusal struct {
	status  int
	code    flags.ErrorCode
	details string
}

func invalid(details string) *refusal {
	return &refusal{http.StatusBadRequest, flags.ErrorInvalidContext, details}
}

// read reads the evaluation context that r brings. What it returns does not lie
// in b.
func (h *Handler) read(r *http.Request, b *buffer) (flags.EvaluationContext, *refusal) {
	if problem := h.readBody(r, b); problem != nil || len(b.body) == 0 {
		return flags.EvaluationContext{}, problem
	}
	if !isJSON(r.Header) {
		return flags.EvaluationContext{}, &refusal{
			http.StatusUnsupportedMediaType, flags.ErrorGeneral, "Content-Type must be application/json, and the body not encoded",
		}
	}
	d := decoder{text: string(b.body), bounds: h.bounds}
	ec, err := d.request()
	if err != nil {
		return flags.EvaluationContext{}, invalid(err.Error())
	}
	return ec, nil
}

// readBody reads the whole body into b.
func (h *Handler) readBody(r *http.Request, b *buffer) *refusal {
	if r.ContentLength > int64(h.bounds.bytes) {
		return tooLarge()
	}
	b.body = b.body[:0]
	if r.Body == nil {
		return nil
	}
	if b.body == nil {
		b.body = make([]byte, 0, 1024)
	}
	for {
		if len(b.body) == cap(b.body) {
			b.body = append(b.body, 0)[:len(b.body)]
		}
		n, err := r.Body.Read(b.body[len(b.body):cap(b.body)])
		b.body = b.body[:len(b.body)+n]
		switch {
		case len(b.body) > h.bounds.bytes:
			return tooLarge()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return unread(err)
		}
	}
}

func tooLarge() *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, flags.ErrorInvalidContext, "the request is too large"}
}

// unread is what becomes of an error of the connection, or of a limit before.
func unread(err error) *refusal {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge()
	}
	return &refusal{http.StatusBadRequest, flags.ErrorGeneral, "the request broke off"}
}

// isJSON reports whether the body is JSON as it stands: a form of another site,
// or a script's request that its browser asks nobody about, cannot say so.
func isJSON(h http.Header) bool {
	if encoding := h["Content-Encoding"]; len(encoding) > 1 || len(encoding) == 1 && !strings.EqualFold(encoding[0], "identity") {
		return false
	}
	given := lone(h["Content-Type"])
	switch given {
	case "application/json", "application/json; charset=utf-8":
		return true
	}
	media, params, err := mime.ParseMediaType(given)
	charset, said := params["charset"]
	return err == nil && media == "application/json" && (!said || strings.EqualFold(charset, "utf-8"))
}
