package flags

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/handrail-go/handrail/internal/route"
)

// Gate closes paths while a flag is off. A flag that does not exist, or cannot
// be evaluated for the request, is off.
type Gate struct {
	// Flag is the key of the flag that opens the paths. Required.
	Flag string

	// Paths are what the gate stands before: "*" or "{name}" is one segment,
	// "/page.*" that name with any suffix, "**" zero or more, so "/v2/**" covers
	// "/v2" too. Required.
	Paths []string

	// Exact turns off that letter case (ASCII), one trailing slash and
	// ";params" are ignored in the match.
	Exact bool

	// Otherwise is the status while the flag is off, 400 to 599. Zero means
	// 404. Statuses that oblige to a header which the gate cannot know (401,
	// 405, 407, 426) are errors.
	Otherwise int
}

// gate is a Gate ready for requests.
type gate struct {
	flag   string
	paths  *route.Set
	status int
	code   string
}

// compileGate checks g, which stands at field in its Config.
func compileGate(field string, g Gate) (gate, []error) {
	var errs []error
	if !validKey(g.Flag) {
		errs = append(errs, &ConfigError{Field: field + ".Flag", Value: shorten(g.Flag), Reason: "is not a flag's key"})
	}
	if len(g.Paths) == 0 {
		errs = append(errs, &ConfigError{Field: field + ".Paths", Reason: "is required"})
	}
	for i, pattern := range g.Paths {
		if _, err := route.Compile([]string{pattern}, g.Exact); err != nil {
			errs = append(errs, &ConfigError{Field: fmt.Sprintf("%s.Paths[%d]", field, i), Reason: err.Error()})
		}
	}
	out := gate{flag: g.Flag, status: g.Otherwise}
	if out.status == 0 {
		out.status = http.StatusNotFound
	}
	if !gateStatus(out.status) {
		errs = append(errs, &ConfigError{Field: field + ".Otherwise", Value: strconv.Itoa(g.Otherwise), Reason: "is not a status that a gate can answer"})
	}
	if errs != nil {
		return gate{}, errs
	}
	out.code = snakeCase(http.StatusText(out.status))
	out.paths, _ = route.Compile(g.Paths, g.Exact) // each was compiled above
	return out, nil
}

func gateStatus(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusUpgradeRequired:
		return false
	}
	return status >= 400 && status <= 599 && http.StatusText(status) != ""
}

// snakeCase makes a stable code of a status text: "Not Found" is not_found.
func snakeCase(text string) string {
	return strings.NewReplacer(" ", "_", "-", "_", "'", "").Replace(strings.ToLower(text))
}

// shorten keeps one bad value from filling a log.
func shorten(s string) string {
	const limit = 64
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
