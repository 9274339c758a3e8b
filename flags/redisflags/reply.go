package redisflags

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/flags"
)

var (
	errOddReply = errors.New("the server's answer makes no sense")
	entryID     = regexp.MustCompile(`^[0-9]{1,19}-[0-9]{1,19}$`)
)

// reply is what read.lua returned.
type reply struct {
	version string
	written time.Time // by our clock; zero: not known
	data    []byte    // nil: the version is the one that was known
}

// readReply reads what came at now for one who knows a version.
func readReply(raw any, known string, now time.Time) (reply, error) {
	list, ok := raw.([]any)
	if !ok {
		return reply{}, errOddReply
	}
	parts := make([]string, len(list))
	for i, v := range list {
		if parts[i], ok = v.(string); !ok {
			return reply{}, errOddReply
		}
	}
	if len(parts) == 2 {
		switch parts[1] {
		case "missing":
			return reply{}, ErrMissing
		case "damaged":
			return reply{}, ErrDamaged
		case "large":
			return reply{}, ErrTooLarge
		}
		return reply{}, errOddReply
	}
	if len(parts) < 3 || len(parts) > 4 {
		return reply{}, errOddReply
	}
	r := reply{version: parts[1], written: localTime(parts[2], parts[0], now)}
	if len(parts) == 3 {
		if r.version != known || known == "" {
			return reply{}, errOddReply
		}
		return r, nil
	}
	if r.data = []byte(parts[3]); flags.VersionOf(r.data) != r.version {
		return reply{}, ErrDamaged
	}
	return r, nil
}

// localTime is a moment of the server's clock, which shows serverNow, by ours.
// Later than now is now.
func localTime(at, serverNow string, now time.Time) time.Time {
	a, err := strconv.ParseInt(at, 10, 64)
	b, otherErr := strconv.ParseInt(serverNow, 10, 64)
	if err != nil || otherErr != nil || a <= 0 || b <= 0 {
		return time.Time{}
	}
	ago := min(max(b-a, 0), int64(100*365*24*time.Hour/time.Microsecond))
	return now.Add(-time.Duration(ago) * time.Microsecond)
}

// readEntries reads what audit.lua returned.
func readEntries(raw any) ([]Entry, error) {
	list, ok := raw.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, errOddReply
	}
	entries := make([]Entry, 0, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		id, idOK := list[i].(string)
		line, lineOK := list[i+1].(string)
		millis, _, _ := strings.Cut(id, "-")
		at, err := strconv.ParseInt(millis, 10, 64)
		if !idOK || !lineOK || !entryID.MatchString(id) || err != nil {
			return nil, errOddReply
		}
		entries = append(entries, Entry{ID: id, At: time.UnixMilli(at), Line: []byte(line)})
	}
	return entries, nil
}
