// Package config is the settings of a Sluice process: one YAML file, sluice.yaml,
// read strictly. Its main type is Config. It is the only package that reads
// environment variables; it opens no listener and knows nothing of what the
// settings do.
package config

import (
	"time"

	"sluice/internal/strictyaml"
)

//go:generate go test -run TestPageIsUpToDate -update .

// Problem is one thing that is wrong with a configuration, or worth knowing.
type Problem = strictyaml.Problem

// SecretRef says where a secret is: {env: VARIABLE} or {file: path}. A path is
// relative to the configuration file.
type SecretRef = strictyaml.SecretRef

// Size is a count of bytes, written 512, 100KiB, 5MiB or 2GB.
type Size = strictyaml.Size

// Config is everything that a Sluice process is told. Relative paths are
// relative to the configuration file.
type Config struct {
	// The environment that the gateway serves; resource documents of others are checked, but not used.
	Environment string `json:"environment"`
	// A directory for what lets the gateway restart: the installation's seed, the last good grants, learned ports. Only the gateway writes there.
	DataDir string `json:"dataDir"`
	// Files and directories of resource documents. The flag -f of `sluice serve` replaces them.
	Resources []string `json:"resources"`
	// Where Kafka clients connect.
	Listeners []Listener `json:"listeners"`
	// Who issues the tokens of OAUTHBEARER.
	OAuth OAuth `json:"oauth"`
	// What one client, or all together, may take.
	Limits Limits `json:"limits"`
	// What Kafka clients are asked to tell of themselves.
	Telemetry Telemetry `json:"telemetry"`
	// The management API, where no resources are named: documents are then in the control plane's store.
	Management Management `json:"management"`
	// What people see in their browsers, at the address of the management API.
	Portal Portal `json:"portal"`
	// The feed between control plane and gateways that run apart: `sluice control` and `sluice gateway`.
	Feed Feed `json:"feed"`
	// Health and metrics over HTTP.
	Operations Operations `json:"operations"`
	// What is logged.
	Log Log `json:"log"`
	// Requests that Sluice itself makes over HTTP, for instance for the keys of an issuer.
	Outbound Outbound `json:"outbound"`
}

// Listener is one place where Kafka clients connect.
type Listener struct {
	// A name for logs and metrics, unique.
	Name string `json:"name"`
	// Host and port to listen on. The default is 127.0.0.1:19092, with sni 127.0.0.1:19443.
	Address string `json:"address"`
	// Ports for brokers, one each, as 19093-19192; the first that connects gets the first one. Not with sni. The default is 19093-19192.
	BrokerPorts PortRange `json:"brokerPorts"`
	// One port for all brokers, with a host name for each. Needs tls.
	SNI *SNI `json:"sni"`
	// The host that clients are told. The default is the host of address.
	AdvertisedHost string `json:"advertisedHost"`
	// The port that clients are told, where a load balancer listens on another one. The default is the port of address.
	AdvertisedPort int `json:"advertisedPort"`
	// TLS of clients; plaintext without it.
	TLS *ListenerTLS `json:"tls"`
	// SASL mechanisms that clients may use: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER. The default is all that are safe here: no PLAIN and no OAUTHBEARER in plaintext beyond loopback, and with files of resources no OAUTHBEARER without an issuer.
	Mechanisms []string `json:"mechanisms"`
	// Permit a listener without tls on an address that other machines reach. They, and everybody between, can read and change what clients send.
	AllowPlaintextBeyondLoopback bool `json:"allowPlaintextBeyondLoopback"`
	// PROXY protocol, version 2, of load balancers in front of the listener.
	ProxyProtocol ProxyProtocol `json:"proxyProtocol"`
}

// SNI is addressing by host name.
type SNI struct {
	// Clients connect to bootstrap.DOMAIN and are told b<id>.DOMAIN for brokers; DNS must lead all of them here.
	Domain string `json:"domain"`
}

// ListenerTLS is the TLS of a listener. Changed files are used without a restart.
type ListenerTLS struct {
	// The certificate chain, PEM.
	Certificate SecretRef `json:"certificate"`
	// Its private key, PEM.
	Key SecretRef `json:"key"`
	// Authorities of client certificates, PEM. With it, clients may log in by certificate.
	ClientCA SecretRef `json:"clientCA"`
	// The oldest version of TLS: 1.2 or 1.3. The default is 1.2.
	MinVersion TLSVersion `json:"minVersion"`
}

// ProxyProtocol is whom to believe about a client's address.
type ProxyProtocol struct {
	// Networks, as 10.0.0.0/8, whose connections begin with a PROXY header. Headers of others are not read.
	TrustedNetworks []string `json:"trustedNetworks"`
}

// OAuth is the set-up of OAUTHBEARER.
type OAuth struct {
	// The issuers that are trusted.
	Issuers []Issuer `json:"issuers"`
}

// Issuer is one issuer of tokens.
type Issuer struct {
	// The exact iss claim.
	Issuer string `json:"issuer"`
	// Values of the aud claim, one of which a token must have.
	Audience []string `json:"audience"`
	// Signature algorithms accepted. The default is RS256, PS256, ES256, ES384, EdDSA.
	Algorithms []string `json:"algorithms"`
	// The claim that is the principal. The default is sub.
	PrincipalClaim string `json:"principalClaim"`
	// Where its keys are.
	JWKS JWKS `json:"jwks"`
}

// JWKS is where the keys of an issuer are: a file or a URL.
type JWKS struct {
	// A file with a JSON Web Key Set.
	File string `json:"file"`
	// A URL of a JSON Web Key Set, https; http only on loopback.
	URL string `json:"url"`
}

// Limits bounds what clients may take.
type Limits struct {
	// Largest request after the login.
	MaxFrameBytes Size `json:"maxFrameBytes"`
	// Largest request before the login.
	MaxUnauthenticatedFrameBytes Size `json:"maxUnauthenticatedFrameBytes"`
	// Largest answer of a broker.
	MaxAnswerBytes Size `json:"maxAnswerBytes"`
	// Connections of clients, all listeners together; fewer when the limit of open files does not carry them, two for each.
	MaxConnections int `json:"maxConnections"`
	// Of these, before their login. When all places are taken, one that waits for its client, for a second if that has said nothing yet and else for four, makes room for the next one.
	MaxUnauthenticatedConnections int `json:"maxUnauthenticatedConnections"`
	// Of these, of one client address, a /64 of IPv6 being one, so that one address cannot keep others from logging in; 0 means no limit.
	MaxUnauthenticatedPerAddress int `json:"maxUnauthenticatedPerAddress"`
	// Connections of one client address; 0 means no limit.
	ConnectionsPerAddress int `json:"connectionsPerAddress"`
	// Memory for requests and answers in flight, all connections together.
	MemoryBudget Size `json:"memoryBudget"`
	// Of this, what the connections of one application may take, so that one cannot stop the others; 0 means a quarter of it, or the largest request or answer if that is more.
	MemoryPerApplication Size `json:"memoryPerApplication"`
	// From accepting a connection to the end of its login.
	AuthDeadline time.Duration `json:"authDeadline"`
	// After so long without a request a connection is closed.
	IdleTimeout time.Duration `json:"idleTimeout"`
	// For a client or a broker that does not read.
	WriteTimeout time.Duration `json:"writeTimeout"`
	// Requests of one connection that wait for their answers; more are not read.
	MaxInFlight int `json:"maxInFlight"`
	// What one partition of a fetch by name may ask for; more is reduced to it.
	FetchPartitionMaxBytes Size `json:"fetchPartitionMaxBytes"`
	// What a whole fetch by name may ask for; more is reduced to it.
	FetchMaxBytes Size `json:"fetchMaxBytes"`
	// After so long a client must log in again (KIP-368); 0 means as long as its credential.
	MaxSessionLifetime time.Duration `json:"maxSessionLifetime"`
	// How long a stopping gateway waits for requests in flight.
	DrainTimeout time.Duration `json:"drainTimeout"`
}

// ApplicationMemory is the memory that one application may take, with its
// default worked out.
func (l Limits) ApplicationMemory() Size {
	if l.MemoryPerApplication > 0 {
		return l.MemoryPerApplication
	}
	return max(l.MemoryBudget/4, l.MaxFrameBytes, l.MaxAnswerBytes)
}

// Telemetry is client telemetry (KIP-714): clients that can, and whose users do not switch it off, push metrics about
// themselves, which end in the gateway and are shown per application.
type Telemetry struct {
	// Ask clients for metrics.
	Enabled bool `json:"enabled"`
	// How often a client pushes them, from 100ms to 1h.
	Interval time.Duration `json:"interval"`
	// Beginnings of the names of those asked for, as org.apache.kafka.consumer.; without any, all that metrics.md lists as sluice_client_….
	Metrics []string `json:"metrics"`
	// Largest push, as it is sent; at most 2MiB. Decompressed it may have 4 MiB.
	MaxBytes Size `json:"maxBytes"`
}

// Management is the control plane: its API over HTTP, and where it keeps documents. It is there when no resources are named.
type Management struct {
	// Host and port of the management API.
	Address string `json:"address"`
	// TLS of the API. Needed on an address that other machines reach.
	TLS *ManagementTLS `json:"tls"`
	// The address of a PostgreSQL database, as postgres://user:password@host/database. Without it, documents are in a file of the data directory.
	Postgres SecretRef `json:"postgres"`
	// Where people's browsers reach the API, as https://sluice.example.com. Identity providers send people back to /v1/login/oidc/callback below it.
	URL string `json:"url"`
	// Rules for logins.
	Login Login `json:"login"`
	// Identity providers through which people log in.
	OpenID []OpenID `json:"openid"`
	// Where the audit log is sent besides.
	Audit Audit `json:"audit"`
	// The mail server that notifications are sent by. Without it, teams are told by webhooks only.
	Mail *Mail `json:"mail"`
}

// Mail is a mail server (SMTP).
type Mail struct {
	// Host and port, as mail.example.com:587.
	Server string `json:"server"`
	// The address that e-mails are from.
	From string `json:"from"`
	// The user's name there; none by default.
	Username string `json:"username"`
	// The user's password.
	Password SecretRef `json:"password"`
	// starttls, implicit (TLS from the first byte, as on port 465) or none. The default is starttls.
	TLS string `json:"tls"`
	// Authorities to trust instead of the system's, PEM.
	CA SecretRef `json:"ca"`
}

// Login is rules for logins.
type Login struct {
	// Who may log in with a password: everybody, platform-admins or nobody.
	Passwords string `json:"passwords"`
	// After so long without a request a login ends.
	IdleTimeout time.Duration `json:"idleTimeout"`
	// After so long it ends in any case.
	MaxLifetime time.Duration `json:"maxLifetime"`
	// How long an API token works, unless its maker wants it shorter.
	MaxTokenLifetime time.Duration `json:"maxTokenLifetime"`
	// How long the groups that an identity provider named give roles. API tokens of somebody who left there lose them with it. With maxLifetime they last no longer than a login.
	GroupsLifetime time.Duration `json:"groupsLifetime"`
}

// OpenID is an identity provider (OpenID Connect).
type OpenID struct {
	// What it is called here; login names of its people begin with it and a colon.
	Name string `json:"name"`
	// Its URL, exactly as it calls itself.
	Issuer string `json:"issuer"`
	// What it knows Sluice by.
	ClientID string `json:"clientId"`
	// The secret that goes with it; none for a public client.
	ClientSecret SecretRef `json:"clientSecret"`
	// What is asked for.
	Scopes []string `json:"scopes"`
	// The claim that login names are made of. It must be one that is never given to somebody else, and no e-mail address.
	NameClaim string `json:"nameClaim"`
	// The claim with the groups, which documents of organisations and teams give roles to.
	GroupsClaim string `json:"groupsClaim"`
	// Organisations in which the groups count. Needed when there are several providers; all by default.
	Organisations []string `json:"organisations"`
}

// Audit is where the audit log is sent besides the store.
type Audit struct {
	// A topic of Apache Kafka that gets each row as a CloudEvent, at least once, and the signed heads.
	Topic *AuditTopic `json:"topic"`
}

// AuditTopic is a topic on a cluster of Apache Kafka. It should have one partition, or order is that of rows of the same partition only.
type AuditTopic struct {
	// Its name. It has to be there.
	Name string `json:"name"`
	// Brokers to begin with, as host:port.
	Bootstrap []string `json:"bootstrap"`
	// TLS to the brokers.
	TLS *AuditTLS `json:"tls"`
	// The login there.
	SASL *AuditSASL `json:"sasl"`
}

// AuditTLS is TLS to the brokers of the audit topic.
type AuditTLS struct {
	// Authorities to trust instead of the system's, PEM.
	CA SecretRef `json:"ca"`
}

// AuditSASL is the login at the brokers of the audit topic.
type AuditSASL struct {
	// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism string `json:"mechanism"`
	// The user's name.
	Username string `json:"username"`
	// The user's password.
	Password SecretRef `json:"password"`
}

// ManagementTLS is the TLS of the management API. Changed files are used without a restart.
type ManagementTLS struct {
	// The certificate chain, PEM.
	Certificate SecretRef `json:"certificate"`
	// Its private key, PEM.
	Key SecretRef `json:"key"`
}

// Portal is the portal as its owner wants it.
type Portal struct {
	// What it is called, in titles and beside the mark.
	Name string `json:"name"`
	// One sentence about it, for search engines and previews of links.
	Description string `json:"description"`
	// A picture that stands in for mark and word: an SVG, PNG or WebP file of 256 KiB at most.
	Logo string `json:"logo"`
	// Whether people make accounts themselves: off or open. With open everybody who reaches the portal gets an account, with an organisation and a team of their own, and sees what has the visibility partner.
	SignUp string `json:"signUp"`
	// Colours of the light theme.
	Light PortalColours `json:"light"`
	// Colours of the dark theme.
	Dark PortalColours `json:"dark"`
}

// PortalColours are what may be changed of a theme, each as #0a6680. Those that text could not be read on, or marks not be seen on (WCAG 2.2 AA), are refused.
type PortalColours struct {
	// The one primary action of a page, and what is chosen.
	Accent string `json:"accent"`
	// The same under the pointer.
	AccentHover string `json:"accentHover"`
	// Links.
	AccentText string `json:"accentText"`
	// What text about it stands on.
	AccentSoft string `json:"accentSoft"`
	// Words on accent.
	OnAccent string `json:"onAccent"`
	// The ring around what has the focus.
	Focus string `json:"focus"`
}

// Tokens are the colours that are set, by the names of their tokens.
func (c PortalColours) Tokens() map[string]string {
	out := map[string]string{}
	for token, colour := range map[string]string{"accent": c.Accent, "accent-hover": c.AccentHover, "accent-text": c.AccentText, "accent-soft": c.AccentSoft, "on-accent": c.OnAccent, "focus": c.Focus} {
		if colour != "" {
			out[token] = colour
		}
	}
	return out
}

// Feed is where a control plane and its gateways meet. Both prove who they are with certificates (TLS 1.3) that the control plane makes.
type Feed struct {
	// Host and port where `sluice control` waits for gateways.
	Address string `json:"address"`
	// The host and port that invitations name, where gateways reach it under another one. The default is address.
	AdvertisedAddress string `json:"advertisedAddress"`
	// Host and port of the control plane, for `sluice gateway`. The default is where it has joined.
	Control string `json:"control"`
}

// Operations is the HTTP listener for health and metrics.
type Operations struct {
	// Host and port of /livez, /readyz and /metrics. They are for operators: keep them off public networks.
	Address string `json:"address"`
}

// Log is what is logged, to standard error.
type Log struct {
	// debug, info, warn or error.
	Level string `json:"level"`
	// text or json.
	Format string `json:"format"`
}

// Outbound is which addresses Sluice itself may call over HTTP. Public addresses
// always, others only if named here.
type Outbound struct {
	// Host names that may be at private or loopback addresses.
	AllowHosts []string `json:"allowHosts"`
	// Networks, as 10.1.0.0/16, that may be called though they are not public.
	AllowNetworks []string `json:"allowNetworks"`
	// Permit http: URLs.
	AllowHTTP bool `json:"allowHTTP"`
}

// Default returns the settings of a process that is told nothing.
func Default() Config {
	c := Config{
		Environment: "prod",
		DataDir:     "sluice-data",
		Limits: Limits{
			MaxFrameBytes: 100 << 20, MaxUnauthenticatedFrameBytes: 64 << 10, MaxAnswerBytes: 128 << 20,
			MaxConnections: 10_000, MaxUnauthenticatedConnections: 1000, MaxUnauthenticatedPerAddress: 100,
			MemoryBudget: 512 << 20,
			AuthDeadline: 10 * time.Second, IdleTimeout: 9 * time.Minute, WriteTimeout: 30 * time.Second,
			MaxInFlight: 64, FetchPartitionMaxBytes: 1 << 20, FetchMaxBytes: 8 << 20,
			DrainTimeout: 30 * time.Second,
		},
		Telemetry: Telemetry{Enabled: true, Interval: time.Minute, MaxBytes: 1 << 20},
		Management: Management{Address: "127.0.0.1:18080", Login: Login{
			Passwords: "everybody", IdleTimeout: time.Hour, MaxLifetime: 12 * time.Hour, MaxTokenLifetime: 90 * 24 * time.Hour, GroupsLifetime: 30 * 24 * time.Hour,
		}},
		Portal: Portal{
			Name: "Sluice", Description: "Find an API, watch it live, subscribe. Your Kafka client keeps its protocol, its groups and its offsets.", SignUp: "off",
		},
		Feed:       Feed{Address: "127.0.0.1:18081"},
		Operations: Operations{Address: "127.0.0.1:19644"},
		Log:        Log{Level: "info", Format: "text"},
	}
	c.complete()
	return c
}

// complete gives listeners and issuers the defaults that depend on their other
// fields.
func (c *Config) complete() {
	if c.Listeners == nil {
		c.Listeners = []Listener{{Name: "kafka"}}
	}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.Address == "" {
			l.Address = "127.0.0.1:19092"
			if l.SNI != nil {
				l.Address = "127.0.0.1:19443"
			}
		}
		if l.SNI == nil && l.BrokerPorts == (PortRange{}) {
			l.BrokerPorts = PortRange{19093, 19192}
		}
		if l.TLS != nil && l.TLS.MinVersion == 0 {
			l.TLS.MinVersion = TLS12
		}
		if l.Mechanisms == nil {
			l.Mechanisms = c.safeMechanisms(l)
		}
	}
	if m := c.Management.Mail; m != nil && m.TLS == "" {
		m.TLS = "starttls"
	}
	for i := range c.Management.OpenID {
		o := &c.Management.OpenID[i]
		if o.Scopes == nil {
			o.Scopes = []string{"openid", "profile", "email"}
		}
		if o.NameClaim == "" {
			o.NameClaim = "sub"
		}
		if o.GroupsClaim == "" {
			o.GroupsClaim = "groups"
		}
	}
	for i := range c.OAuth.Issuers {
		is := &c.OAuth.Issuers[i]
		if is.Algorithms == nil {
			is.Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}
		}
		if is.PrincipalClaim == "" {
			is.PrincipalClaim = "sub"
		}
	}
}

func (c *Config) safeMechanisms(l *Listener) []string {
	var out []string
	for _, m := range mechanisms {
		secret := m == "PLAIN" || m == "OAUTHBEARER"
		if secret && l.TLS == nil && !loopback(l.Address) || m == "OAUTHBEARER" && len(c.OAuth.Issuers) == 0 && len(c.Resources) > 0 {
			continue
		}
		out = append(out, m)
	}
	return out
}
