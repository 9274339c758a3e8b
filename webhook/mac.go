package webhook

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// maxHeaderBytes is the longest header of a signature that is read.
	maxHeaderBytes = 4 << 10
	// maxSignatures bounds what is compared per message. While a secret is
	// being rotated a provider sends two.
	maxSignatures = 16
	// maxAsymmetric bounds signatures that cost more to judge than a body to
	// read.
	maxAsymmetric = 4
	// maxSum is the length of the longest sum, SHA-512's.
	maxSum = 64
)

// macKey makes MACs under one secret. The key schedule is computed once per
// mac, and macs are used again.
type macKey struct {
	macs sync.Pool // of *mac
}

// newMACKey keeps the secret.
func newMACKey(newHash func() hash.Hash, secret []byte) *macKey {
	return &macKey{macs: sync.Pool{New: func() any { return &mac{hash: hmac.New(newHash, secret)} }}}
}

// start returns a mac of nothing yet. It is given back with macKey.done.
func (k *macKey) start() *mac {
	m, _ := k.macs.Get().(*mac)
	m.hash.Reset()
	return m
}

func (k *macKey) done(m *mac) { k.macs.Put(m) }

// mac is one MAC under way.
type mac struct {
	hash    hash.Hash
	scratch [128]byte
	out     [maxSum]byte
}

func (m *mac) bytes(p []byte) { _, _ = m.hash.Write(p) }

// text writes s without allocating.
func (m *mac) text(s string) {
	for len(s) > 0 {
		n := copy(m.scratch[:], s)
		_, _ = m.hash.Write(m.scratch[:n])
		s = s[n:]
	}
}

// sum is the MAC, good until the mac is given back.
func (m *mac) sum() []byte { return m.hash.Sum(m.out[:0]) }

// candidates are the signatures that a message brings along.
type candidates struct {
	n    int
	size int // of each, in bytes
	max  int // 0 means maxSignatures
	sums [maxSignatures][maxSum + spill]byte
}

// spill is what base64 of the right length may decode to beyond a sum.
const spill = 2

// next is room for one more signature, nil when there are too many.
func (c *candidates) next() []byte {
	if c.n == maxSignatures || c.n == c.max && c.max > 0 {
		return nil
	}
	return c.sums[c.n][:]
}

// include reports whether sum is one of the signatures, in a time that does
// not depend on how much of one is right.
func (c *candidates) include(sum []byte) bool {
	found := false
	for i := range c.n {
		if hmac.Equal(sum, c.sums[i][:c.size]) {
			found = true
		}
	}
	return found
}

// one returns the value of a header that must be there once.
func one(h http.Header, name string) (string, error) {
	values := h[name]
	switch {
	case len(values) == 0 || values[0] == "":
		return "", ErrNoSignature
	case len(values) > 1 || len(values[0]) > maxHeaderBytes:
		return "", ErrMalformedSignature
	}
	return values[0], nil
}

// companion returns the value of a header that must come with a signature.
func companion(h http.Header, name string) (string, error) {
	s, err := one(h, name)
	if err != nil {
		return "", ErrMalformedSignature
	}
	return s, nil
}

// maxUnix is the last second of the year 9999: later ones are not what a clock
// says, and overflow the arithmetic of time.
const maxUnix = 253402300799

// unixSeconds reads a time that is written in digits alone, without leading
// zeros, so that no two texts mean the same second.
func unixSeconds(s string) (time.Time, bool) {
	n, ok := digits(s)
	if !ok || n > maxUnix {
		return time.Time{}, false
	}
	return time.Unix(n, 0), true
}

func digits(s string) (int64, bool) {
	if s == "" || len(s) > 18 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, true
}

func formatUnix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// textKeys are keys that are secrets as they stand.
func textKeys(newHash func() hash.Hash, secrets []string) []*macKey {
	keys := make([]*macKey, len(secrets))
	for i, s := range secrets {
		keys[i] = newMACKey(newHash, []byte(s))
	}
	return keys
}

// unix writes a time in seconds, and a short text.
func (m *mac) unix(at time.Time, text string) {
	_, _ = m.hash.Write(append(strconv.AppendInt(m.scratch[:0], at.Unix(), 10), text...))
}

// addHex takes a signature in hexadecimal, and passes over what is none. It
// reports false when there are too many.
func (c *candidates) addHex(s string) bool {
	if len(s) != hex.EncodedLen(c.size) {
		return true
	}
	to := c.next()
	if to == nil {
		return false
	}
	if _, err := hex.Decode(to, []byte(s)); err == nil {
		c.n++
	}
	return true
}

// addBase64 takes a signature in base64 with padding.
func (c *candidates) addBase64(encoding *base64.Encoding, s string) bool {
	if len(s) != encoding.EncodedLen(c.size) {
		return true
	}
	to := c.next()
	if to == nil {
		return false
	}
	if n, err := encoding.Decode(to, []byte(s)); err == nil && n == c.size {
		c.n++
	}
	return true
}
