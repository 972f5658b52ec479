package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	providerPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	passwordRules   = []string{"everybody", "platform-admins", "nobody"}
	mailTLS         = []string{"starttls", "implicit", "none"}
	auditMechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
)

func (m *Management) validateLogin(v *validator) {
	l := m.Login
	v.oneOf("management.login.passwords", l.Passwords, passwordRules)
	if l.Passwords == "nobody" && len(m.OpenID) == 0 {
		v.report("management.login.passwords", "nobody could log in: there is no identity provider either", "write management.openid, or let platform-admins in")
	}
	for name, d := range map[string]time.Duration{"idleTimeout": l.IdleTimeout, "maxLifetime": l.MaxLifetime, "maxTokenLifetime": l.MaxTokenLifetime, "groupsLifetime": l.GroupsLifetime} {
		if d <= 0 {
			v.report("management.login."+name, "must be more than zero", "write a positive value, or remove the line for the default")
		}
	}
	if l.IdleTimeout > l.MaxLifetime && l.MaxLifetime > 0 {
		v.report("management.login.idleTimeout", fmt.Sprintf("is longer than maxLifetime, %s", l.MaxLifetime), "write a shorter time")
	}
}

func (m *Management) validateOpenID(v *validator, allowHTTP bool) {
	if m.URL != "" {
		u, err := url.Parse(m.URL)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
			v.report("management.url", "is not a URL without query and fragment", "write it as https://sluice.example.com")
		case u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "80")):
			v.report("management.url", "browsers would send logins in the clear", "use https")
		}
	}
	for i, o := range m.OpenID {
		path := fmt.Sprintf("management.openid[%d]", i)
		if !providerPattern.MatchString(o.Name) {
			v.report(path+".name", fmt.Sprintf("%q is not a name", o.Name), "write lower-case letters, digits and dashes")
		}
		if slices.ContainsFunc(m.OpenID[:i], func(other OpenID) bool { return other.Name == o.Name }) {
			v.report(path+".name", "is that of another provider", "write another one")
		}
		v.outside(path+".issuer", o.Issuer, allowHTTP)
		if o.ClientID == "" {
			v.report(path+".clientId", "is missing", "write what the provider knows Sluice by")
		}
		v.oneOfTwo(path+".clientSecret", o.ClientSecret)
		if !slices.Contains(o.Scopes, "openid") {
			v.report(path+".scopes", "are without openid", "add it")
		}
		if strings.HasPrefix(strings.ToLower(o.NameClaim), "email") {
			v.report(path+".nameClaim", "is an e-mail address, which says who gets mail and not who somebody is", "write sub, or another claim that is never given to somebody else")
		}
		if len(m.OpenID) > 1 && o.Organisations == nil {
			v.report(path+".organisations", "are missing: there are several providers, and each would give roles everywhere", "name the organisations in which its groups count")
		}
	}
	if len(m.OpenID) > 0 && m.URL == "" {
		v.report("management.url", "is missing, and the identity provider has to know where to send people back to", "write where browsers reach the API, and register URL/v1/login/oidc/callback there")
	}
}

func (m *Management) validateAudit(v *validator) {
	t := m.Audit.Topic
	if t == nil {
		return
	}
	const path = "management.audit.topic"
	if t.Name == "" {
		v.report(path+".name", "is missing", "write the name of a topic")
	}
	if len(t.Bootstrap) == 0 {
		v.report(path+".bootstrap", "is missing", "write brokers as [\"kafka-1:9092\"]")
	}
	for i, b := range t.Bootstrap {
		if _, _, ok := hostPort(b); !ok {
			v.report(fmt.Sprintf("%s.bootstrap[%d]", path, i), fmt.Sprintf("%q is not host:port", b), "write it as kafka-1:9092")
		}
	}
	if t.TLS != nil {
		v.oneOfTwo(path+".tls.ca", t.TLS.CA)
	}
	if s := t.SASL; s != nil {
		v.oneOf(path+".sasl.mechanism", s.Mechanism, auditMechanisms)
		if s.Username == "" {
			v.report(path+".sasl.username", "is missing", "write the user's name")
		}
		if s.Password.IsZero() {
			v.report(path+".sasl.password", "is missing", "write {env: VARIABLE} or {file: path}")
		}
		v.oneOfTwo(path+".sasl.password", s.Password)
		if s.Mechanism == "PLAIN" && t.TLS == nil {
			v.warn(path+".sasl.mechanism", "sends the password in the clear", "add tls, or use SCRAM-SHA-512")
		}
	}
}

func (m *Management) validateMail(v *validator) {
	s := m.Mail
	if s == nil {
		return
	}
	const path = "management.mail"
	if _, port, ok := hostPort(s.Server); !ok || port == 0 {
		v.report(path+".server", fmt.Sprintf("%q is not host:port", s.Server), "write it as mail.example.com:587")
	}
	if a, err := mail.ParseAddress(s.From); err != nil || a.Address != s.From {
		v.report(path+".from", fmt.Sprintf("%q is not an e-mail address", s.From), "write it as sluice@example.com")
	}
	v.oneOf(path+".tls", s.TLS, mailTLS)
	v.oneOfTwo(path+".password", s.Password)
	v.oneOfTwo(path+".ca", s.CA)
	if (s.Username == "") != s.Password.IsZero() {
		v.report(path+".username", "goes with a password, and a password with it", "write both, or none")
	}
	if s.TLS == "none" && !loopback(s.Server) {
		if s.Username != "" {
			v.report(path+".tls", "the password would be sent in the clear", "use starttls or implicit")
		} else {
			v.warn(path+".tls", "everybody between here and the mail server reads the notifications", "use starttls or implicit")
		}
	}
}
