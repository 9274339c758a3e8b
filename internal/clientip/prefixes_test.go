package clientip_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/handrail-go/handrail/internal/clientip"
)

func TestParsePrefixesContains(t *testing.T) {
	tests := []struct {
		rule    string
		entries []string
		in, out []string
	}{
		{"nothing", nil, nil, []string{"127.0.0.1", "::1", "10.0.0.1"}},
		{"a network", []string{"10.1.0.0/16"}, []string{"10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"}, []string{"10.0.255.255", "10.2.0.0", "::10.1.0.0"}},
		{"an address", []string{"192.0.2.1"}, []string{"192.0.2.1", "::ffff:192.0.2.1"}, []string{"192.0.2.0", "192.0.2.2"}},
		{"an IPv6 network, zones aside", []string{"2001:db8::/32"}, []string{"2001:db8::1", "2001:db8:ffff::%eth0"}, []string{"2001:db9::"}},
		{"an IPv4-mapped address", []string{"::ffff:192.0.2.1"}, []string{"192.0.2.1"}, []string{"192.0.2.2"}},
		{"an IPv4-mapped network", []string{"::ffff:192.0.2.0/120"}, []string{"192.0.2.255"}, []string{"192.0.3.0"}},
		{"IPv6 does not stand for IPv4", []string{"::/1"}, []string{"::1", "2001:db8::"}, []string{"1.2.3.4", "8000::"}},
		{"loopback", []string{"loopback"}, []string{"127.0.0.1", "127.255.0.1", "::1"}, []string{"10.0.0.1", "::2"}},
		{
			"private, in any case", []string{"Private"},
			[]string{"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.1.1", "127.0.0.1", "::1", "fd12::1", "fe80::1%eth0"},
			[]string{"172.15.255.255", "172.32.0.0", "100.63.0.1", "100.128.0.0", "192.169.0.1", "11.0.0.1", "2001:db8::1", "fec0::1"},
		},
		{"several", []string{"loopback", "192.0.2.0/24", "2001:db8::1"}, []string{"127.0.0.1", "192.0.2.9", "2001:db8::1"}, []string{"2001:db8::2"}},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			p, err := clientip.ParsePrefixes(tc.entries)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range tc.in {
				if !p.Contains(netip.MustParseAddr(a)) {
					t.Errorf("%s is not in %v", a, tc.entries)
				}
			}
			for _, a := range tc.out {
				if p.Contains(netip.MustParseAddr(a)) {
					t.Errorf("%s is in %v", a, tc.entries)
				}
			}
			if p.Contains(netip.Addr{}) {
				t.Error("no address is in it")
			}
		})
	}
}

func TestParsePrefixesReportsEveryBadEntry(t *testing.T) {
	bad := []string{
		"", " ", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0/8", "10.0.0.1/8", "300.0.0.1", "example.com",
		"fe80::1%eth0", "fe80::%eth0/10", "::ffff:10.0.0.0/8", "2001:db8::1/32", "10.0.0.0/8,192.0.2.1", "*", "public",
	}
	p, err := clientip.ParsePrefixes(append([]string{"10.0.0.0/8"}, bad...))
	if err == nil {
		t.Fatal("no error")
	}
	if got := len(strings.Split(err.Error(), "\n")); got != len(bad) {
		t.Errorf("%d problems for %d bad entries:\n%v", got, len(bad), err)
	}
	for _, entry := range bad {
		if !strings.Contains(err.Error(), `"`+entry+`"`) {
			t.Errorf("%q is not named", entry)
		}
	}
	if p.Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Error("the good entry of a bad list is trusted")
	}
	if _, err := clientip.ParsePrefixes([]string{"10.0.0.1/8"}); err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") {
		t.Errorf("bits beyond the prefix: %v, want the network that was meant", err)
	}
}

// allBut lists the networks that together hold every address except one.
func allBut(address string) []string {
	var out []string
	a := netip.MustParseAddr(address)
	for bits := 1; bits <= a.BitLen(); bits++ {
		b := a.AsSlice()
		b[(bits-1)/8] ^= 0x80 >> ((bits - 1) % 8)
		other, _ := netip.AddrFromSlice(b)
		p, _ := other.Prefix(bits)
		out = append(out, p.String())
	}
	return out
}

func TestEveryoneFindsASetThatTrustsTheWholeInternet(t *testing.T) {
	var octets []string // all public IPv4 networks, one /8 at a time
	for i := 1; i < 224; i++ {
		octets = append(octets, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i)}), 8).String())
	}
	tests := []struct {
		rule    string
		entries []string
		want    bool
	}{
		{"nobody", nil, false},
		{"the private networks", []string{"private"}, false},
		{"all of IPv4", []string{"0.0.0.0/0"}, true},
		{"all of IPv6", []string{"::/0"}, true},
		{"all of IPv4, mapped", []string{"::ffff:0:0/96"}, true},
		{"two halves", []string{"128.0.0.0/1", "0.0.0.0/1"}, true},
		{"two halves of IPv6", []string{"::/1", "8000::/1"}, true},
		{"one half", []string{"0.0.0.0/1"}, false},
		{"one half of each", []string{"0.0.0.0/1", "8000::/1"}, false},
		{"halves and quarters", []string{"0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"}, true},
		{"all but a /8", octets[1:], false},
		{"all public /8", octets, true},
		{"all but what nobody has", []string{"private", "0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/3"}, true},
		{"all of IPv4 but an address that nobody has", allBut("0.0.0.0"), true},
		{"all of IPv4 but a private address", allBut("10.1.2.3"), true},
		{"all of IPv4 but one public address", allBut("203.0.113.7"), false},
		{"all of IPv6 but one public address", allBut("2001:db8::1"), false},
		{"global unicast of IPv6", []string{"2000::/3"}, true},
		{"global unicast in parts", []string{"2000::/4", "3000::/4"}, true},
		{"a provider's IPv6", []string{"2600::/12", "2a00::/12"}, false},
		{"a real list", []string{"173.245.48.0/20", "103.21.244.0/22", "2400:cb00::/32", "private"}, false},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			p, err := clientip.ParsePrefixes(tc.entries)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Everyone(); got != tc.want {
				t.Errorf("Everyone is %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSubject(t *testing.T) {
	tests := []struct {
		rule   string
		addr   string
		v6bits int
		want   string
	}{
		{"IPv4 stands for itself", "203.0.113.7", 64, "203.0.113.7/32"},
		{"IPv4-mapped is IPv4", "::ffff:203.0.113.7", 64, "203.0.113.7/32"},
		{"IPv4-mapped with a zone is IPv4", "::ffff:203.0.113.7%eth0", 64, "203.0.113.7/32"},
		{"IPv6 by its /64", "2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"},
		{"a neighbour in the /64 is the same", "2001:db8:1:2:ffff::", 64, "2001:db8:1:2::/64"},
		{"a zone changes nothing", "2001:db8:1:2::9%zone", 64, "2001:db8:1:2::/64"},
		{"by /56", "2001:db8:1:2ff::9", 56, "2001:db8:1:200::/56"},
		{"by /48", "2001:db8:1:2::9", 48, "2001:db8:1::/48"},
		{"by address", "2001:db8::9", 128, "2001:db8::9/128"},
	}
	for _, tc := range tests {
		t.Run(tc.rule, func(t *testing.T) {
			if got := clientip.Subject(netip.MustParseAddr(tc.addr), tc.v6bits); got != netip.MustParsePrefix(tc.want) {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	if got := clientip.Subject(netip.Addr{}, 64); got.IsValid() {
		t.Errorf("no address has the subject %s", got)
	}
	if got := clientip.Subject(netip.MustParseAddr("2001:db8::9"), 129); got.IsValid() {
		t.Errorf("129 bits give %s", got)
	}
}
