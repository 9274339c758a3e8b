package flags

import (
	"strings"
	"time"
)

// Bounds of a definition file. A file beyond one of them is an error, never
// read in part.
const (
	MaxFileBytes   = 8 << 20   // size of a definition file
	MaxFlags       = 10_000    // flags in a set
	MaxListEntries = 1_000_000 // allowList and denyList entries of a set, together
	MaxKeyBytes    = 256       // length of a flag's key, and of a salt
	MaxTextBytes   = 1024      // length of description and of owner
	MaxVariants    = 100       // variants of a flag
	MaxMetadata    = 50        // entries of a flag's metadata
	MaxWarnings    = 100       // warnings that a set keeps
	FullRollout    = 100_000   // thousandths of a percent in 100 %
)

// MaxTargetingKeyBytes is the longest targeting key that a list may hold and
// that [Middleware] takes from a request. A longer one counts as missing, so
// that a client cannot make every flag hash a header of a megabyte. To OFREP and
// OpenFeature it is an error. A [Set] and a [Client] that are asked directly take
// any length, and allocate for a longer one: who hands them keys bounds those.
const MaxTargetingKeyBytes = 512

// Definition is one flag as it stands in a definition file, with the defaults
// filled in. [Set.Lookup] returns copies, which the caller may keep and change.
type Definition struct {
	// Key names the flag: [A-Za-z0-9][A-Za-z0-9._:/-]{0,255}.
	Key string
	// Description and Owner are for people. At most MaxTextBytes each.
	Description string
	Owner       string
	// Enabled is the kill switch. The file's default is true.
	Enabled bool
	// RolloutThousandths is rolloutPercentage in thousandths of a percent:
	// 5 % is 5000, FullRollout is everyone. The file's default is 0.
	RolloutThousandths int
	// AllowList and DenyList are targeting keys, sorted, each once.
	AllowList []string
	DenyList  []string
	// Salt is hashed before the targeting key. The file's default is Key.
	Salt string
	// Hash is how users are bucketed. The file's default is HashFlagd2.
	Hash Hash
	// Created and Expires are midnight UTC of their day; zero when not given.
	// A flag has expired when the day of Expires has ended, UTC.
	Created time.Time
	Expires time.Time
	// OnExpiry says what an expired flag does. The file's default is ExpiryKeep.
	OnExpiry OnExpiry
	// Inject lets the flag appear in Handrail-Flags. The file's default is true.
	Inject bool
	// Public lets the flag be asked about by clients that nobody vouches for,
	// such as browsers. The file's default is false.
	Public bool
	// Metadata is told with each Decision: strings, booleans, int64, float64.
	Metadata map[string]any
	// Variants are what the flag answers where it is on, by weight and in this
	// order; none means true. See [Variant].
	Variants []Variant
	// OffVariant is the one of Variants that it answers where it is off. Empty:
	// no value, so that the caller's default counts.
	OffVariant string
	// VariantSalt is hashed before the targeting key to pick a variant. The
	// file's default is Salt with "/variants" behind.
	VariantSalt string
}

// Expired reports whether the day of d.Expires has ended in UTC at now. A
// definition without an expiry never expires.
func (d Definition) Expired(now time.Time) bool {
	return !d.Expires.IsZero() && !now.Before(endOfDay(d.Expires))
}

func endOfDay(day time.Time) time.Time { return day.AddDate(0, 0, 1) }

// OnExpiry is what a flag does once it has expired.
type OnExpiry string

const (
	// ExpiryKeep goes on as before: an expired flag is for a report, not an
	// outage. It is the default.
	ExpiryKeep OnExpiry = "keep"
	// ExpiryOn turns the flag on for everyone but the deny list.
	ExpiryOn OnExpiry = "on"
	// ExpiryOff turns the flag off for everyone, the allow list included.
	ExpiryOff OnExpiry = "off"
)

// onExpiryNames are the values of onExpiry, the default first.
var onExpiryNames = []string{string(ExpiryKeep), string(ExpiryOn), string(ExpiryOff)}

// validKey reports whether s may name a flag. The characters are chosen so that
// a key stands in a header, a URL path and a metric label as it is.
func validKey(s string) bool {
	if s == "" || len(s) > MaxKeyBytes || !alphanumeric(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !alphanumeric(s[i]) && strings.IndexByte("._:/-", s[i]) < 0 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
