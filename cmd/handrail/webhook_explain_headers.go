package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/handrail-go/handrail/internal/sidecar"
)

var (
	requestLine = regexp.MustCompile(`^[A-Z]+ (\S+)( HTTP/[0-9.]+)?$`)
	statusLine  = regexp.MustCompile(`^HTTP/[0-9.]+ [0-9]{3}( |$)`)
	headerLine  = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:(.*)$")
	curlNotes   = regexp.MustCompile(`^([*] |[{}] \[)`)
)

// parseHeaders reads headers as people have them: lines of NAME: VALUE, with a
// request line or without, as curl -v shows them with > before them, or a JSON
// object. What follows an empty line is not read. Errors quote nothing.
func parseHeaders(data []byte) (header http.Header, query string, err error) {
	text := strings.TrimPrefix(string(data), "\uFEFF")
	if strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		var h sidecar.WebhookHeaders
		if json.Unmarshal([]byte(text), &h) != nil {
			return nil, "", errors.New("must be a JSON object of texts, or lines of NAME: VALUE")
		}
		return http.Header(h), "", nil
	}
	lines := strings.Split(text, "\n")
	prefix := shownPrefix(lines)
	header = http.Header{}
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		if prefix != "" {
			if !strings.HasPrefix(line, prefix) {
				continue
			}
			line = strings.TrimPrefix(line[len(prefix):], " ")
		}
		request := requestLine.FindStringSubmatch(line)
		named := headerLine.FindStringSubmatch(line)
		path, pseudo := strings.CutPrefix(line, ":path:")
		switch {
		case strings.TrimSpace(line) == "" && len(header) > 0:
			return header, query, nil
		case strings.TrimSpace(line) == "", statusLine.MatchString(line), curlNotes.MatchString(line):
		case pseudo:
			_, query, _ = strings.Cut(strings.TrimSpace(path), "?")
		case strings.HasPrefix(line, ":"):
		case named != nil:
			header.Add(named[1], strings.TrimSpace(named[2]))
		case request != nil:
			_, query, _ = strings.Cut(request[1], "?")
		default:
			return nil, "", fmt.Errorf("line %d is not a header: write NAME: VALUE", i+1)
		}
	}
	return header, query, nil
}

// shownPrefix is what curl -v puts before the headers of a request, or of an
// answer where no request is shown.
func shownPrefix(lines []string) string {
	for _, prefix := range []string{">", "<"} {
		for _, line := range lines {
			if strings.HasPrefix(line, prefix) {
				return prefix
			}
		}
	}
	return ""
}
