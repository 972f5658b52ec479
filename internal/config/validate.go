package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/strictyaml"
)

var (
	mechanisms  = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}
	algorithms  = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	levels      = []string{"debug", "info", "warn", "error"}
	formats     = []string{"text", "json"}
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

// validator collects problems.
type validator struct{ problems []Problem }

func (v *validator) report(path, message, fix string) {
	v.problems = append(v.problems, Problem{Path: path, Message: message, Fix: fix})
}

func (v *validator) warn(path, message, fix string) {
	v.problems = append(v.problems, Problem{Path: path, Message: message, Fix: fix, Warning: true})
}

func (v *validator) oneOf(path, value string, words []string) {
	if slices.Contains(words, value) {
		return
	}
	fix := "write one of " + strings.Join(words, ", ")
	if near := strictyaml.Nearest(value, words); near != "" {
		fix = "did you mean " + near + "?"
	}
	v.report(path, fmt.Sprintf("%q is not known here", value), fix)
}

// Validate checks the settings as a whole, without opening anything, and returns
// every problem with the path of its field.
func (c *Config) Validate() []Problem {
	v := &validator{}
	if !namePattern.MatchString(c.Environment) {
		v.report("environment", fmt.Sprintf("%q is not a name", c.Environment), "write the name of an environment, as prod")
	}
	if len(c.Listeners) == 0 {
		v.report("listeners", "is empty", "write at least one listener, or remove the line for the default one")
	}
	for i := range c.Listeners {
		c.validateListener(v, i)
	}
	c.validateSockets(v)
	c.validateIssuers(v)
	c.validateLimits(v)
	c.validateTelemetry(v)
	if _, port, ok := hostPort(c.Operations.Address); !ok {
		v.report("operations.address", fmt.Sprintf("%q is not host:port", c.Operations.Address), "write it as 127.0.0.1:19644")
	} else if port >= 0 && !loopback(c.Operations.Address) {
		v.warn("operations.address", "metrics name applications and topics, and other machines can read them here", "use 127.0.0.1, or keep the network closed")
	}
	c.validateManagement(v)
	c.validatePortal(v)
	for i, address := range []string{c.Feed.Address, c.Feed.AdvertisedAddress, c.Feed.Control} {
		if _, _, ok := hostPort(address); !ok && (address != "" || i == 0) {
			v.report([]string{"feed.address", "feed.advertisedAddress", "feed.control"}[i], fmt.Sprintf("%q is not host:port", address), "write it as 127.0.0.1:18081")
		}
	}
	v.oneOf("log.level", c.Log.Level, levels)
	v.oneOf("log.format", c.Log.Format, formats)
	for i, host := range c.Outbound.AllowHosts {
		if !hostPattern.MatchString(host) {
			v.report(fmt.Sprintf("outbound.allowHosts[%d]", i), fmt.Sprintf("%q is not a host name", host), "write a name without port; addresses go to allowNetworks")
		}
	}
	networks(v, "outbound.allowNetworks", c.Outbound.AllowNetworks)
	return v.problems
}

func (c *Config) validateManagement(v *validator) {
	m := c.Management
	if _, port, ok := hostPort(m.Address); !ok {
		v.report("management.address", fmt.Sprintf("%q is not host:port", m.Address), "write it as 127.0.0.1:18080")
	} else if port >= 0 && m.TLS == nil && !loopback(m.Address) {
		v.report("management.address", "is reached by other machines without TLS, so that everybody between reads passwords and tokens", "write management.tls, or use 127.0.0.1")
	}
	if t := m.TLS; t != nil {
		v.keyPair("management.tls", t.Certificate, t.Key)
	}
	v.oneOfTwo("management.postgres", m.Postgres)
	m.validateLogin(v)
	m.validateOpenID(v, c.Outbound.AllowHTTP)
	m.validateAudit(v)
	m.validateMail(v)
}

func (c *Config) validateListener(v *validator, i int) {
	l, path := c.Listeners[i], fmt.Sprintf("listeners[%d]", i)
	if !namePattern.MatchString(l.Name) {
		v.report(path+".name", fmt.Sprintf("%q is not a name", l.Name), "write a name of letters, digits, dots, dashes and underscores")
	}
	for j := range i {
		if c.Listeners[j].Name == l.Name {
			v.report(path+".name", fmt.Sprintf("%q is the name of another listener", l.Name), "write another one")
		}
	}
	host, _, ok := hostPort(l.Address)
	if !ok {
		v.report(path+".address", fmt.Sprintf("%q is not host:port", l.Address), "write it as 127.0.0.1:19092")
		return
	}
	if l.AdvertisedHost != "" && !hostPattern.MatchString(l.AdvertisedHost) && net.ParseIP(l.AdvertisedHost) == nil {
		v.report(path+".advertisedHost", fmt.Sprintf("%q is not a host", l.AdvertisedHost), "write a name or an address, without port")
	}
	if l.AdvertisedPort < 0 || l.AdvertisedPort > 65535 {
		v.report(path+".advertisedPort", "is not a port", "write a number from 1 to 65535")
	}
	if ip := net.ParseIP(host); l.SNI == nil && l.AdvertisedHost == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		v.report(path+".advertisedHost", "is missing, and clients cannot connect to "+strconv.Quote(host), "write the host name under which clients reach this machine")
	}
	if l.SNI != nil {
		if !hostPattern.MatchString(l.SNI.Domain) || !strings.Contains(l.SNI.Domain, ".") {
			v.report(path+".sni.domain", fmt.Sprintf("%q is not a domain", l.SNI.Domain), "write a domain whose names lead here, as kafka.example.com")
		}
		if l.TLS == nil {
			v.report(path+".sni", "needs TLS, which carries the host name", "add tls: {certificate: {file: …}, key: {file: …}}, or remove sni")
		}
		if l.BrokerPorts != (PortRange{}) {
			v.report(path+".brokerPorts", "is not used with sni", "remove one of them")
		}
		if l.AdvertisedHost != "" {
			v.report(path+".advertisedHost", "is not used with sni", "remove it: clients are told names below sni.domain")
		}
	}
	v.listenerTLS(path, l)
	for j, m := range l.Mechanisms {
		v.oneOf(fmt.Sprintf("%s.mechanisms[%d]", path, j), m, mechanisms)
		if m == "OAUTHBEARER" && len(c.OAuth.Issuers) == 0 && len(c.Resources) > 0 {
			v.report(fmt.Sprintf("%s.mechanisms[%d]", path, j), "OAUTHBEARER needs an issuer of tokens", "add one to oauth.issuers, or remove OAUTHBEARER")
		}
	}
	if len(l.Mechanisms) == 0 && (l.TLS == nil || l.TLS.ClientCA.IsZero()) {
		v.report(path+".mechanisms", "is empty, so nobody could log in", "name some, or remove the line")
	}
	networks(v, path+".proxyProtocol.trustedNetworks", l.ProxyProtocol.TrustedNetworks)
}

func (v *validator) keyPair(path string, certificate, key SecretRef) {
	if certificate.IsZero() {
		v.report(path+".certificate", "is missing", "write {file: tls.crt}")
	}
	if key.IsZero() {
		v.report(path+".key", "is missing", "write {file: tls.key}")
	}
	v.oneOfTwo(path+".certificate", certificate)
	v.oneOfTwo(path+".key", key)
}

func (v *validator) oneOfTwo(path string, ref SecretRef) {
	if ref.Env != "" && ref.File != "" {
		v.report(path, "names both an environment variable and a file", "keep one")
	}
}

func (v *validator) listenerTLS(path string, l Listener) {
	if t := l.TLS; t != nil {
		v.keyPair(path+".tls", t.Certificate, t.Key)
		v.oneOfTwo(path+".tls.clientCA", t.ClientCA)
		if l.AllowPlaintextBeyondLoopback {
			v.warn(path+".allowPlaintextBeyondLoopback", "has no meaning with tls", "remove it")
		}
		return
	}
	switch {
	case loopback(l.Address):
		if l.AllowPlaintextBeyondLoopback {
			v.warn(path+".allowPlaintextBeyondLoopback", "has no meaning on a loopback address", "remove it")
		}
	case !l.AllowPlaintextBeyondLoopback:
		v.report(path+".address", fmt.Sprintf("other machines reach %s, and the listener has no tls", l.Address), "add tls, or listen on 127.0.0.1, or write allowPlaintextBeyondLoopback: true if the network is trusted")
	default:
		for j, m := range l.Mechanisms {
			if m == "PLAIN" || m == "OAUTHBEARER" {
				v.report(fmt.Sprintf("%s.mechanisms[%d]", path, j), m+" in plaintext shows secrets to the network", "add tls, or remove "+m+" and use SCRAM-SHA-512")
			}
		}
	}
}

// validateSockets finds listeners that want the same port.
func (c *Config) validateSockets(v *validator) {
	type socket struct {
		path, host string
		ports      PortRange
	}
	var sockets []socket
	add := func(path, address string, brokers PortRange) {
		host, port, ok := hostPort(address)
		if !ok {
			return
		}
		mine := []socket{{path + ".address", host, PortRange{port, port}}}
		if brokers != (PortRange{}) {
			mine = append(mine, socket{path + ".brokerPorts", host, brokers})
		}
		for _, m := range mine {
			for _, s := range sockets {
				if m.ports.First == 0 || s.ports.First == 0 || !meet(m.host, s.host) || m.ports.First > s.ports.Last || s.ports.First > m.ports.Last {
					continue
				}
				v.report(m.path, fmt.Sprintf("wants port %d, as %s does", max(m.ports.First, s.ports.First), s.path), "write another port")
			}
			sockets = append(sockets, m)
		}
	}
	for i, l := range c.Listeners {
		add(fmt.Sprintf("listeners[%d]", i), l.Address, l.BrokerPorts)
	}
	add("operations", c.Operations.Address, PortRange{})
	add("management", c.Management.Address, PortRange{})
	add("feed", c.Feed.Address, PortRange{})
}

// meet says whether sockets of two hosts may collide on one port.
func meet(a, b string) bool {
	wild := func(h string) bool { ip := net.ParseIP(h); return h == "" || ip != nil && ip.IsUnspecified() }
	return a == b || wild(a) || wild(b) || a == "localhost" && loopback(b+":1") || b == "localhost" && loopback(a+":1")
}

func (c *Config) validateIssuers(v *validator) {
	for i, is := range c.OAuth.Issuers {
		path := fmt.Sprintf("oauth.issuers[%d]", i)
		if is.Issuer == "" {
			v.report(path+".issuer", "is missing", "write the iss claim of its tokens")
		}
		for j := range i {
			if c.OAuth.Issuers[j].Issuer == is.Issuer {
				v.report(path+".issuer", "is there already", "remove one of them")
			}
		}
		if len(is.Audience) == 0 || slices.Contains(is.Audience, "") {
			v.report(path+".audience", "is missing or empty", "write the aud claim of tokens meant for this gateway: others would be accepted too")
		}
		if len(is.Algorithms) == 0 {
			v.report(path+".algorithms", "is empty", "name some, or remove the line")
		}
		for j, a := range is.Algorithms {
			v.oneOf(fmt.Sprintf("%s.algorithms[%d]", path, j), a, algorithms)
		}
		if (is.JWKS.File == "") == (is.JWKS.URL == "") {
			v.report(path+".jwks", "needs a file or a URL, and not both", "write {file: keys.json} or {url: https://…}")
		}
		if is.JWKS.URL != "" {
			v.outside(path+".jwks.url", is.JWKS.URL, c.Outbound.AllowHTTP)
		}
	}
}

// outside checks a URL that keys are fetched from.
func (v *validator) outside(path, text string, allowHTTP bool) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.report(path, "is not a URL", "begin it with https://")
	case u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "80")):
		v.report(path, "anybody on the way can replace keys that are fetched over http", "use https")
	case u.Scheme == "http" && !allowHTTP:
		v.report(path, "is http, which outbound does not permit", "use https, or write outbound: {allowHTTP: true}")
	}
}

func (c *Config) validateLimits(v *validator) {
	l := c.Limits
	positive := func(name string, value int64) {
		if value <= 0 {
			v.report("limits."+name, "must be more than zero", "write a positive value, or remove the line for the default")
		}
	}
	positive("maxFrameBytes", int64(l.MaxFrameBytes))
	positive("maxUnauthenticatedFrameBytes", int64(l.MaxUnauthenticatedFrameBytes))
	positive("maxAnswerBytes", int64(l.MaxAnswerBytes))
	positive("maxConnections", int64(l.MaxConnections))
	positive("maxUnauthenticatedConnections", int64(l.MaxUnauthenticatedConnections))
	positive("memoryBudget", int64(l.MemoryBudget))
	positive("authDeadline", int64(l.AuthDeadline))
	positive("idleTimeout", int64(l.IdleTimeout))
	positive("writeTimeout", int64(l.WriteTimeout))
	positive("maxInFlight", int64(l.MaxInFlight))
	positive("fetchPartitionMaxBytes", int64(l.FetchPartitionMaxBytes))
	positive("fetchMaxBytes", int64(l.FetchMaxBytes))
	positive("drainTimeout", int64(l.DrainTimeout))
	if l.MaxUnauthenticatedPerAddress < 0 {
		v.report("limits.maxUnauthenticatedPerAddress", "is negative", "write 0 for no limit")
	}
	if l.ConnectionsPerAddress < 0 {
		v.report("limits.connectionsPerAddress", "is negative", "write 0 for no limit")
	}
	if l.MaxSessionLifetime < 0 {
		v.report("limits.maxSessionLifetime", "is negative", "write 0 for as long as the credential")
	}
	const largest = 1<<31 - 1 // Kafka's frame length is an int32
	atMost := func(name string, value, limit int64, what string) {
		if value > limit {
			v.report("limits."+name, fmt.Sprintf("is more than %s", what), "lower it, or raise the other")
		}
	}
	atMost("maxFrameBytes", int64(l.MaxFrameBytes), largest, "2147483647, the largest frame of Kafka's protocol")
	atMost("maxAnswerBytes", int64(l.MaxAnswerBytes), largest, "2147483647, the largest frame of Kafka's protocol")
	atMost("maxUnauthenticatedFrameBytes", int64(l.MaxUnauthenticatedFrameBytes), int64(l.MaxFrameBytes), "limits.maxFrameBytes")
	atMost("maxUnauthenticatedConnections", int64(l.MaxUnauthenticatedConnections), int64(l.MaxConnections), "limits.maxConnections")
	atMost("fetchPartitionMaxBytes", int64(l.FetchPartitionMaxBytes), int64(l.FetchMaxBytes), "limits.fetchMaxBytes")
	atMost("fetchMaxBytes", int64(l.FetchMaxBytes), int64(l.MaxAnswerBytes), "limits.maxAnswerBytes")
	if l.MemoryBudget < l.MaxFrameBytes || l.MemoryBudget < l.MaxAnswerBytes {
		v.report("limits.memoryBudget", "is less than one frame may have", "raise it above limits.maxFrameBytes and limits.maxAnswerBytes, or lower those")
	}
	switch m := l.MemoryPerApplication; {
	case m < 0:
		v.report("limits.memoryPerApplication", "is negative", "write 0 for a quarter of limits.memoryBudget")
	case m > 0 && (m < l.MaxFrameBytes || m < l.MaxAnswerBytes):
		v.report("limits.memoryPerApplication", "is less than one frame may have", "raise it above limits.maxFrameBytes and limits.maxAnswerBytes, or lower those")
	}
	atMost("memoryPerApplication", int64(l.MemoryPerApplication), int64(l.MemoryBudget), "limits.memoryBudget")
}

func (c *Config) validateTelemetry(v *validator) {
	t := c.Telemetry
	if t.Interval < 100*time.Millisecond || t.Interval > time.Hour {
		v.report("telemetry.interval", fmt.Sprintf("is %v", t.Interval), "write 100ms to 1h")
	}
	if t.MaxBytes < 1<<10 || t.MaxBytes > 2<<20 {
		v.report("telemetry.maxBytes", fmt.Sprintf("is %d bytes", t.MaxBytes), "write 1KiB to 2MiB")
	}
	for i, m := range t.Metrics {
		if !strings.HasPrefix(m, "org.apache.kafka.producer.") && !strings.HasPrefix(m, "org.apache.kafka.consumer.") {
			v.report(fmt.Sprintf("telemetry.metrics[%d]", i), fmt.Sprintf("%q is not how the name of a metric of producers or consumers begins", m), "write it as org.apache.kafka.consumer.")
		}
	}
}

// networks checks a list of networks.
func networks(v *validator, path string, list []string) {
	for i, text := range list {
		prefix, err := Network(text)
		switch {
		case err != nil:
			v.report(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%q is not a network", text), "write it as 10.0.0.0/8 or 192.0.2.7")
		case prefix.Bits() == 0:
			v.report(fmt.Sprintf("%s[%d]", path, i), "is every address", "name the networks that are meant")
		}
	}
}

// Network reads a network, 10.0.0.0/8, or a single address.
func Network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// Networks reads a list that Validate has accepted.
func Networks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := Network(text)
		if err != nil {
			return nil, fmt.Errorf("network %q: %w", text, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func hostPort(address string) (host string, port int, ok bool) {
	host, text, err := net.SplitHostPort(address)
	n, perr := strconv.ParseUint(text, 10, 16)
	return host, int(n), err == nil && perr == nil
}

// loopback reports whether only this machine reaches an address. A name counts
// only if it is localhost, since others may lead anywhere.
func loopback(address string) bool {
	host, _, ok := hostPort(address)
	if !ok {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
