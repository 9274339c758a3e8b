package clientip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Names that ParsePrefixes takes beside CIDRs and addresses.
const (
	Private  = "private"
	Loopback = "loopback"
)

func named(name string) []netip.Prefix {
	loopback := []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("::1/128"),
	}
	switch name {
	case Loopback:
		return loopback
	case Private:
		return append(loopback,
			netip.MustParsePrefix("10.0.0.0/8"),     // RFC 1918
			netip.MustParsePrefix("172.16.0.0/12"),  // RFC 1918
			netip.MustParsePrefix("192.168.0.0/16"), // RFC 1918
			netip.MustParsePrefix("100.64.0.0/10"),  // RFC 6598, carrier and cloud internal
			netip.MustParsePrefix("169.254.0.0/16"), // RFC 3927, link-local
			netip.MustParsePrefix("fc00::/7"),       // RFC 4193
			netip.MustParsePrefix("fe80::/10"),      // RFC 4291, link-local
		)
	}
	return nil
}

// Prefixes is a set of networks. The zero value is empty.
type Prefixes struct {
	list []netip.Prefix
}

// ParsePrefixes reads CIDRs ("10.0.0.0/8"), addresses ("192.0.2.1") and the
// names "private" and "loopback". Every bad entry is reported, joined.
func ParsePrefixes(entries []string) (Prefixes, error) {
	var out Prefixes
	var errs []error
	for _, entry := range entries {
		if nets := named(strings.ToLower(entry)); nets != nil {
			out.list = append(out.list, nets...)
			continue
		}
		p, err := parsePrefix(entry)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out.list = append(out.list, p)
	}
	if err := errors.Join(errs...); err != nil {
		return Prefixes{}, err
	}
	return out, nil
}

func parsePrefix(entry string) (netip.Prefix, error) {
	bad := fmt.Errorf("%q is neither a CIDR, an address, %q nor %q", entry, Private, Loopback)
	if !strings.Contains(entry, "/") {
		a, err := netip.ParseAddr(entry)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, bad
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(entry)
	if err != nil {
		return netip.Prefix{}, bad
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, bad
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%q has bits set beyond its prefix: write %s", entry, p.Masked())
	}
	return p, nil
}

// Contains reports whether a lies in one of the networks. IPv4-mapped
// addresses count as IPv4, zones are ignored.
func (p Prefixes) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range p.list {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Everyone reports whether the set covers all of IPv4 or all of IPv6: trusting
// it lets any client forge its address.
func (p Prefixes) Everyone() bool {
	for _, n := range p.list {
		if n.Bits() == 0 {
			return true
		}
	}
	return false
}

// Subject is the network that stands for a in limits: an IPv4 address by
// itself, an IPv6 address by its first v6bits bits.
func Subject(a netip.Addr, v6bits int) netip.Prefix {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return netip.PrefixFrom(a, 32)
	}
	p, err := a.Prefix(v6bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
