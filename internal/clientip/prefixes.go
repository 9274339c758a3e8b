package clientip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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

// reachable are the addresses that hosts of the internet have: for IPv4 what
// is left of the whole by notPublic, for IPv6 global unicast (RFC 4291).
var (
	reachable = [...]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("2000::/3")}
	notPublic = append(named(Private),
		netip.MustParsePrefix("0.0.0.0/8"),   // RFC 1122, this network
		netip.MustParsePrefix("224.0.0.0/3"), // RFC 1112, multicast and reserved
	)
)

// Everyone reports whether the set covers the whole public internet of IPv4 or
// of IPv6, by one network or by several together ("0.0.0.0/1", "128.0.0.0/1"):
// trusting it lets any client forge its address.
func (p Prefixes) Everyone() bool {
	list := append(slices.Clone(p.list), notPublic...)
	return slices.ContainsFunc(reachable[:], func(all netip.Prefix) bool { return covered(all, list) })
}

// covered reports whether the networks of list together hold all of p. It
// halves p for as long as a network lies inside it.
func covered(p netip.Prefix, list []netip.Prefix) bool {
	inside := false
	for _, n := range list {
		if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
			return true
		}
		inside = inside || p.Overlaps(n)
	}
	if !inside {
		return false
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	return covered(low, list) && covered(upperHalf(p), list)
}

// upperHalf is the half of p whose first own bit is set.
func upperHalf(p netip.Prefix) netip.Prefix {
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(a, p.Bits()+1)
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
