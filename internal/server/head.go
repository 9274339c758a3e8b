package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/internal/http1"
)

// A head is the header of an answer on its way into bytes: begun as the handler
// has it when it writes the status, and ended once it is known how the body
// ends.
type head struct {
	complete bool
	close    bool // the connection ends with the answer
	trailers bool // some are announced, or have to be
	announce bool // the length is ours to tell

	status    int
	announced []string // names of trailers
	options   []string // of Connection, but for close and keep-alive
	has       struct{ contentType, coded, date bool }
}

// begin appends the status line and the fields of h.
func (d *head) begin(b []byte, status int, h http.Header) []byte {
	d.status = status
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else {
		b = strconv.AppendInt(append(b, "status code "...), int64(status), 10)
	}
	b = append(b, "\r\n"...)
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); isToken(name) && !framing(name) {
				d.announced = append(d.announced, name)
			}
		}
	}
	d.trailers = len(d.announced) > 0
	var stack [16]string
	names := stack[:0]
	for name, values := range h {
		if d.keeps(name, values) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // for whoever reads or compares answers
	for _, name := range names {
		b = appendField(b, name, h[name])
	}
	if len(d.announced) > 0 {
		b = append(append(append(b, "Trailer: "...), strings.Join(d.announced, ", ")...), "\r\n"...)
	}
	return b
}

// keeps reports whether a field of the handler's is sent as it stands, and
// remembers which ones are there.
func (d *head) keeps(name string, values []string) bool {
	switch name {
	case "Content-Type":
		d.has.contentType = true
	case "Content-Encoding":
		d.has.coded = len(values) > 0 && values[0] != ""
	case "Date":
		d.has.date = true
	case "Content-Length":
		return len(values) == 1 && d.status >= 200 && d.status != http.StatusNoContent
	case "Transfer-Encoding", "Trailer":
		return false
	case "Connection":
		d.close = d.close || names(values, "close")
		d.options = otherOptions(values)
		return false
	}
	if strings.HasPrefix(name, http.TrailerPrefix) {
		d.trailers = true
		return false
	}
	if aliases(name) {
		return false // it would be there twice
	}
	return len(d.announced) == 0 || !slices.Contains(d.announced, name)
}

// guesses reports whether the type of the body is to be found from how it begins.
func (d *head) guesses() bool {
	return !d.has.contentType && !d.has.coded && bodyAllowed(d.status)
}

// end appends what the server says itself, and the empty line. sample is how
// the body begins.
func (d *head) end(b []byte, w *response, sample []byte) []byte {
	d.complete = true
	if d.guesses() && len(sample) > 0 {
		b = append(append(append(b, "Content-Type: "...), http.DetectContentType(sample)...), "\r\n"...)
	}
	if !d.has.date {
		b = append(append(append(b, "Date: "...), w.c.server.date.at(time.Now())...), "\r\n"...)
	}
	switch {
	case w.ending == http1.Chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case d.announce:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	return append(d.connection(b, w.isOld), "\r\n"...)
}

// connection appends Connection, where there is something to say.
func (d *head) connection(b []byte, asked bool) []byte {
	options := d.options
	switch {
	case d.status == http.StatusSwitchingProtocols:
	case d.close:
		options = append(options, "close")
	case asked:
		options = append(options, "keep-alive")
	}
	if len(options) == 0 {
		return b
	}
	b = append(b, "Connection: "...)
	for i, option := range options {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, option...)
	}
	return append(b, "\r\n"...)
}

// otherOptions are those of Connection that are not the server's to say, as far
// as they are well-formed.
func otherOptions(values []string) []string {
	var options []string
	for _, line := range values {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.Trim(name, " \t")
			if isToken(name) && !http1.EqualFold(name, "close") && !http1.EqualFold(name, "keep-alive") {
				options = append(options, name)
			}
		}
	}
	return options
}

// trailer appends the trailer: what was announced, and what h holds under
// http.TrailerPrefix; and the empty line.
func (d *head) trailer(b []byte, h http.Header) []byte {
	for _, name := range d.announced {
		if values := h[name]; len(values) > 0 && !framing(name) {
			b = appendField(b, name, values)
		}
	}
	for name, values := range h {
		if short, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !framing(short) {
			b = appendField(b, http.CanonicalHeaderKey(short), values)
		}
	}
	return append(b, "\r\n"...)
}

// aliases reports whether name, which is none of these names, is one of them in
// other letters.
func aliases(name string) bool {
	switch len(name) {
	case len("Trailer"), len("Connection"), len("Content-Length"), len("Transfer-Encoding"):
		switch http.CanonicalHeaderKey(name) {
		case "Trailer", "Connection", "Content-Length", "Transfer-Encoding":
			return true
		}
	}
	return false
}

// framing names fields that a trailer must not have, since they say how a
// message, or its connection, goes on.
func framing(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Transfer-Encoding", "Content-Length", "Trailer", "Connection", "Host", "Te", "Upgrade":
		return true
	}
	return false
}

// appendField appends a line for each value. A name that is none is left out,
// and what would end a line is made a space.
func appendField(b []byte, name string, values []string) []byte {
	if !isToken(name) {
		return b
	}
	for _, v := range values {
		b = append(append(b, name...), ": "...)
		start := len(b)
		b = append(b, strings.Trim(v, " \t")...)
		if !http1.ValidValue(b[start:]) {
			for i, c := range b[start:] {
				if c < ' ' && c != '\t' || c == 0x7f {
					b[start+i] = ' '
				}
			}
		}
		b = append(b, "\r\n"...)
	}
	return b
}

func isToken(s string) bool {
	for i := range len(s) {
		if !http1.IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}
