package outbound

import "net/netip"

// refused lists the addresses that are not the public internet, most telling
// first: an address is named after the first network it is in. Sources: the IANA
// special-purpose registries (RFC 6890) and the metadata services of the clouds.
var refused = []struct {
	network netip.Prefix
	reason  string
}{
	{netip.MustParsePrefix("169.254.169.254/32"), metadata}, // AWS, Azure, Google and most others
	{netip.MustParsePrefix("169.254.170.2/32"), metadata},   // AWS container credentials
	{netip.MustParsePrefix("169.254.170.23/32"), metadata},  // AWS pod identity
	{netip.MustParsePrefix("100.100.100.200/32"), metadata}, // Alibaba
	{netip.MustParsePrefix("192.0.0.192/32"), metadata},     // Oracle
	{netip.MustParsePrefix("168.63.129.16/32"), metadata},   // Azure's host, though a public address
	{netip.MustParsePrefix("fd00:ec2::/32"), metadata},      // AWS
	{netip.MustParsePrefix("fd20:ce::254/128"), metadata},   // Google
	{netip.MustParsePrefix("fd00:42::42/128"), metadata},    // Scaleway
	{netip.MustParsePrefix("0.0.0.0/8"), unspecified},       // reaches this host on Linux
	{netip.MustParsePrefix("::/128"), unspecified},
	{netip.MustParsePrefix("127.0.0.0/8"), loopback},
	{netip.MustParsePrefix("::1/128"), loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal},
	{netip.MustParsePrefix("fe80::/10"), linkLocal},
	{netip.MustParsePrefix("10.0.0.0/8"), private},
	{netip.MustParsePrefix("172.16.0.0/12"), private},
	{netip.MustParsePrefix("192.168.0.0/16"), private},
	{netip.MustParsePrefix("100.64.0.0/10"), private}, // shared by carriers
	{netip.MustParsePrefix("fc00::/7"), private},      // unique local
	{netip.MustParsePrefix("fec0::/10"), private},     // site-local, deprecated
	{netip.MustParsePrefix("224.0.0.0/4"), multicast},
	{netip.MustParsePrefix("ff00::/8"), multicast},
	{netip.MustParsePrefix("192.0.0.0/24"), reserved},        // IETF
	{netip.MustParsePrefix("192.0.2.0/24"), reserved},        // documentation
	{netip.MustParsePrefix("192.88.99.0/24"), reserved},      // 6to4 relays
	{netip.MustParsePrefix("198.18.0.0/15"), reserved},       // benchmarks
	{netip.MustParsePrefix("198.51.100.0/24"), reserved},     // documentation
	{netip.MustParsePrefix("203.0.113.0/24"), reserved},      // documentation
	{netip.MustParsePrefix("240.0.0.0/4"), reserved},         // and broadcast
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64"}, // any IPv4 address may be inside
	{netip.MustParsePrefix("2001::/23"), reserved},           // IETF, Teredo among it
	{netip.MustParsePrefix("2001:db8::/32"), reserved},       // documentation
	{netip.MustParsePrefix("2002::/16"), "6to4"},             // any IPv4 address may be inside
	{netip.MustParsePrefix("3fff::/20"), reserved},           // documentation
}

const (
	metadata    = "cloud metadata"
	unspecified = "unspecified"
	loopback    = "loopback"
	linkLocal   = "link-local"
	private     = "private"
	multicast   = "multicast"
	reserved    = "reserved"
)

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	v4InV6     = netip.MustParsePrefix("::/96") // deprecated IPv4-compatible addresses
	globalIPv6 = netip.MustParsePrefix("2000::/3")
)

// classify says why an address is not to be connected to; "" means it may be.
// carried is the IPv4 address that packets to it end up at, or ip itself.
func classify(ip netip.Addr) (reason string, carried netip.Addr) {
	carried = ip.Unmap().WithZone("")
	if nat64.Contains(carried) || v4InV6.Contains(carried) && carried != netip.IPv6Unspecified() && carried != netip.IPv6Loopback() {
		b := carried.As16()
		carried = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, r := range refused {
		if r.network.Contains(carried) {
			return r.reason, carried
		}
	}
	if carried.Is6() && !globalIPv6.Contains(carried) {
		return reserved, carried
	}
	return "", carried
}

// check returns why we do not connect to an address of a host, or "".
func (c *Client) check(host string, ip netip.Addr) (reason string) {
	reason, carried := classify(ip)
	if reason == "" {
		return ""
	}
	for _, p := range c.config.AllowPrivate {
		// A metadata service hands out credentials: a wide network does not open it.
		if p.Contains(carried) && (reason != metadata || p.IsSingleIP()) {
			return ""
		}
	}
	if (reason == private || reason == loopback) && c.allowedHosts[host] {
		return ""
	}
	return reason
}
