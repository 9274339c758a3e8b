package http1

import (
	"errors"
	"net/http"
	"strings"
)

// maxAnnounced bounds the names of one Trailer.
const maxAnnounced = 100

// ErrAnnounced: Trailer names a field that frames a message, or too many.
var ErrAnnounced = errors.New("a trailer that names what frames, or too much")

// TrailerNames returns the names in the lines of Trailer, in canonical form.
func TrailerNames(lines []string) ([]string, error) {
	var names []string
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); name == "" {
				continue
			}
			switch name {
			case "Transfer-Encoding", "Trailer", "Content-Length":
				return nil, ErrAnnounced
			}
			if names = append(names, name); len(names) > maxAnnounced {
				return nil, ErrAnnounced
			}
		}
	}
	return names, nil
}
