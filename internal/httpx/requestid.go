package httpx

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// NewRequestID returns a UUID version 7 (RFC 9562 section 5.7) in its usual
// text form: 48 bits of Unix milliseconds, which are now's, the rest random.
// The random bits make ids differ; they are no secret.
func NewRequestID(now time.Time) string {
	// The runtime's ChaCha8 (section 6.9 asks for a generator of that kind)
	// costs a tenth of crypto/rand for a few bytes.
	high, low := rand.Uint64(), rand.Uint64() //nolint:gosec // see above
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], uint64(now.UnixMilli())<<16|0x7<<12|high>>52)
	binary.BigEndian.PutUint64(u[8:], 0b10<<62|low>>2)
	var s [36]byte
	at := 0
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			s[at] = '-'
			at++
		}
		s[at], s[at+1] = lowerHex[c>>4], lowerHex[c&15]
		at += 2
	}
	return string(s[:])
}

const lowerHex = "0123456789abcdef"
