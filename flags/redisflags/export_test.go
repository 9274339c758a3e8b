package redisflags

import "time"

// ReadReply reads an answer of the server, and tells the definitions in it.
func ReadReply(raw any, known string, now time.Time) (version string, data []byte, written time.Time, err error) {
	r, err := readReply(raw, known, now)
	return r.version, r.data, r.written, err
}

// ReadEntries reads an answer about the audit log.
var ReadEntries = readEntries

// Key is where the definitions are.
func (s *Source) Key() string { return s.key }

// PollPause is how long Watch waits.
func (s *Source) PollPause() time.Duration { return s.pollPause() }
