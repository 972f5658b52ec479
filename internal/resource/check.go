package resource

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/control/contract/lint"
	"sluice/internal/strictyaml"
)

// What a plan lets its subscribers manage.
const (
	DeleteRecords = "deleteRecords"
	AlterConfigs  = "alterConfigs"
)

// The words a field accepts.
var (
	VersionStates      = []string{"draft", "preview", "published", "deprecated", "retired", "blocked"}
	SubscriptionStates = []string{"pending", "active", "suspended", "closed", "rejected", "expired"}
	CredentialStates   = []string{"active", "retiring", "revoked", "expired"}
	Methods            = []string{"plain", "scram", "oauth", "mtls"}
	rightWords         = []string{"read", "write", "readwrite", "none"}
	manageWords        = []string{DeleteRecords, AlterConfigs}
	operationWords     = []string{"send", "receive"}
	QuestionTypes      = []string{"text", "number", "boolean", "date", "email", "choice"}
	approvals          = []string{"automatic", "manual"}
	visibilities       = []string{"private", "team", "partner", "public"}
	Icons              = []string{"bell", "box", "bus", "card", "cart", "chart", "cloud", "factory", "heart", "home", "key", "leaf", "map", "people", "shield", "stream", "tag", "truck"}
	compatibilities    = []string{"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}
	orgRoles           = []string{"org-admin", "publisher", "approver", "app-developer", "billing-admin", "auditor"}
	teamRoles          = []string{"publisher", "approver", "app-developer", "billing-admin", "auditor"}
	mechanisms         = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}
)

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	tagPattern     = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,39}$`)
	pagePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,92}\.md$`)
	versionPattern = regexp.MustCompile(`^(.+)\.v([1-9][0-9]{0,4})$`)
	clientIDText   = regexp.MustCompile(`^[\x21-\x7e]{1,255}$`)
	keyDigest      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	envVariable    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// VersionName splits a version's name into the API's name and the major number;
// false when it is not one.
func VersionName(name string) (api string, major int, ok bool) {
	m := versionPattern.FindStringSubmatch(name)
	if m == nil {
		return "", 0, false
	}
	major, err := strconv.Atoi(m[2])
	return m[1], major, err == nil
}

// ExposedTopic returns the name that clients see of a channel of a version: the
// channel's address, or else the channel's name, which carries the major number
// from v2 on.
func ExposedTopic(v *Version, channel string) string {
	return exposedTopic(v.Name(), channel, v.Spec.Contract.Channels[channel])
}

func exposedTopic(version, channel string, c Channel) string {
	if c.Address != "" {
		return c.Address
	}
	if _, major, ok := VersionName(version); ok && major >= 2 {
		return channel + ".v" + strconv.Itoa(major)
	}
	return channel
}

// ChannelProblem returns a problem of a channel of the contract, where the
// contract stands.
func ChannelProblem(v *Version, channel, field, message, fix string) Problem {
	path := strictyaml.Join("channels", channel)
	if field != "" {
		path = strictyaml.Join(path, field)
	}
	if v.Spec.Contract.source == nil {
		return v.Problem("spec.contract."+path, message, fix)
	}
	p := v.Spec.Contract.source.problem(path, message, fix)
	p.Kind, p.Name = v.Kind, v.Name()
	return p
}

// checker collects the problems of one document.
type checker struct {
	report func(path, message, fix string)
	warn   func(path, message, fix string)
}

func (c checker) oneOf(path, value string, words []string) {
	if value == "" || slices.Contains(words, value) {
		return
	}
	fix := "write one of " + strings.Join(words, ", ")
	if near := strictyaml.Nearest(value, words); near != "" {
		fix = "did you mean " + near + "?"
	}
	c.report(path, fmt.Sprintf("%q is not known here", clip(value)), fix)
}

func (c checker) required(path, value, fix string) bool {
	if value == "" {
		c.report(path, "is missing", fix)
		return false
	}
	return true
}

func (c checker) name(path, value string) {
	if value != "" && !namePattern.MatchString(value) {
		c.report(path, fmt.Sprintf("%q is not a name", clip(value)), "use up to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit")
	}
}

func (c checker) secret(path string, r SecretRef) {
	switch {
	case r.Env != "" && r.File != "":
		c.report(path, "names both an environment variable and a file", "keep one")
	case r.Env != "" && !envVariable.MatchString(r.Env):
		c.report(path+".env", "is not the name of an environment variable", "use letters, digits and underscores; if this is the secret itself, change it and keep it out of files")
	}
}

func (c checker) order(path string, from, to time.Time, what string) {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		c.report(path, what, "swap or correct the times")
	}
}

// api checks what an API says of itself.
func (c checker) api(s *APISpec) {
	const maxTags = 20
	c.oneOf("spec.visibility", s.Visibility, visibilities)
	c.oneOf("spec.icon", s.Icon, Icons)
	c.pages(s.Docs)
	if len(s.Tags) > maxTags {
		c.report("spec.tags", fmt.Sprintf("are %d", len(s.Tags)), fmt.Sprintf("write at most %d", maxTags))
	}
	for i, tag := range s.Tags {
		path := fmt.Sprintf("spec.tags[%d]", i)
		switch {
		case !tagPattern.MatchString(tag) || strings.TrimSpace(tag) != tag:
			c.report(path, fmt.Sprintf("%q is not a tag", clip(tag)), "use up to 40 letters, digits, spaces, dots, dashes and underscores, beginning with a letter or digit")
		case slices.Contains(s.Tags[:i], tag):
			c.report(path, fmt.Sprintf("%q is there twice", tag), "remove one")
		}
	}
}

// What the pages of an API may be.
const (
	MaxPages     = 64
	MaxPageBytes = 256 << 10
	MaxPagesSize = 2 << 20 // bytes of all of them
)

// pages checks the pages of an API.
func (c checker) pages(d Docs) {
	if d.Pages != nil && (d.Dir != "" || d.Digest != "") {
		c.report("spec.docs", "has pages besides a directory, or the digest of others", "keep one")
	}
	if len(d.Pages) > MaxPages {
		c.report("spec.docs.pages", fmt.Sprintf("are %d", len(d.Pages)), fmt.Sprintf("write at most %d", MaxPages))
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(d.Pages)) {
		text := d.Pages[name]
		size += len(text)
		path := strictyaml.Join("spec.docs.pages", name)
		switch {
		case !pagePattern.MatchString(name):
			c.report(path, fmt.Sprintf("%q is not the name of a page", clip(name)), "use up to 96 letters, digits, dots, dashes and underscores, beginning with a letter or digit, and .md at the end")
		case len(text) > MaxPageBytes:
			c.report(path, fmt.Sprintf("has %d bytes", len(text)), fmt.Sprintf("shorten it to %d, or make two of it", MaxPageBytes))
		case !utf8.ValidString(text) || strings.Contains(text, "\x00"):
			c.report(path, "is no text in UTF-8", "save it as UTF-8")
		}
	}
	if size > MaxPagesSize {
		c.report("spec.docs.pages", fmt.Sprintf("have %d bytes together", size), fmt.Sprintf("shorten them to %d", MaxPagesSize))
	}
}

func (c checker) metadata(m Metadata, scoped bool) {
	if c.required("metadata.name", m.Name, "write metadata: {name: …}") {
		c.name("metadata.name", m.Name)
	}
	c.name("metadata.team", m.Team)
	c.name("metadata.environment", m.Environment)
	switch {
	case scoped && m.Environment == "":
		c.report("metadata.environment", "is missing", "name the environment, as metadata: {name: …, environment: prod}")
	case !scoped && m.Environment != "":
		c.report("metadata.environment", "does not belong here: this kind spans environments", "remove it")
	}
}

// roles checks who has which roles, members or groups.
func (c checker) roles(path string, by map[string][]string, words []string) {
	for _, name := range slices.Sorted(maps.Keys(by)) {
		at := strictyaml.Join(path, name)
		if name == "" || len(name) > 256 || strings.TrimSpace(name) != name {
			c.report(at, fmt.Sprintf("%q names nobody", clip(name)), "write the name as people log in, or as the identity provider sends it")
		}
		if len(by[name]) == 0 {
			c.report(at, "has no roles", "write some, or remove the line")
		}
		for i, role := range by[name] {
			c.oneOf(fmt.Sprintf("%s[%d]", at, i), role, words)
		}
	}
}

// maxSandboxRate is how many records a second are made up for a topic, at most.
const maxSandboxRate = 100

func (c checker) environment(name string, s *EnvironmentSpec) {
	c.name("spec.after", s.After)
	if s.After != "" && s.After == name {
		c.report("spec.after", "is the environment itself", "name the one before it, or remove the line")
	}
	c.oneOf("spec.compatibility", s.Compatibility, compatibilities)
	for i, pack := range s.Lint {
		c.oneOf(fmt.Sprintf("spec.lint[%d]", i), pack, lint.Packs())
	}
	if s.Clients != nil {
		for address := range strings.SplitSeq(s.Clients.Bootstrap, ",") {
			c.address("spec.clients.bootstrap", strings.TrimSpace(address))
		}
		if s.Clients.CA != "" && !certificates(s.Clients.CA) {
			c.report("spec.clients.ca", "holds no certificates in PEM, or something besides", "write those of the authority, and no key")
		}
	}
	if s.Sandbox != nil {
		if s.Sandbox.Rate < 0 || s.Sandbox.Rate > maxSandboxRate {
			c.report("spec.sandbox.rate", fmt.Sprintf("is %d", s.Sandbox.Rate), fmt.Sprintf("write 0 to %d records a second", maxSandboxRate))
		}
		c.name("spec.sandbox.guest", s.Sandbox.Guest)
	}
}

func (c checker) organisation(s *OrganisationSpec) {
	c.roles("spec.members", s.Members, orgRoles)
	c.roles("spec.groups", s.Groups, orgRoles)
}

func (c checker) team(s *TeamSpec) {
	c.required("spec.organisation", s.Organisation, "name the organisation that the team belongs to")
	c.name("spec.organisation", s.Organisation)
	c.roles("spec.members", s.Members, teamRoles)
	c.roles("spec.groups", s.Groups, teamRoles)
	c.notify(s)
}

// maxEmails is how many addresses a team may have besides the one of spec.email.
const maxEmails = 10

func (c checker) notify(s *TeamSpec) {
	const fix = "write it as shop@example.com"
	address := func(path, text string) {
		if a, err := mail.ParseAddress(text); err != nil || a.Address != text || len(text) > 254 {
			c.report(path, fmt.Sprintf("%q is not an e-mail address", clip(text)), fix)
		}
	}
	if s.Email != "" {
		address("spec.email", s.Email)
	}
	if len(s.Notify.Email) > maxEmails {
		c.report("spec.notify.email", fmt.Sprintf("are %d addresses, more than %d", len(s.Notify.Email), maxEmails), "use a mailing list")
	}
	for i, text := range s.Notify.Email {
		address(fmt.Sprintf("spec.notify.email[%d]", i), text)
	}
	if w := s.Notify.Webhook; w != nil && c.required("spec.notify.webhook.url", w.URL, "write it as https://chat.example.com/hooks/sluice") {
		u, err := url.Parse(w.URL)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || len(w.URL) > 2048:
			c.report("spec.notify.webhook.url", "is not a URL without user and fragment", "write it as https://chat.example.com/hooks/sluice")
		case u.Scheme == "http":
			c.warn("spec.notify.webhook.url", "everybody between here and there reads the notifications", "use https")
		}
	}
}

// address checks host:port, and returns the host.
func (c checker) address(path, address string) string {
	host, port, err := net.SplitHostPort(address)
	n, perr := strconv.Atoi(port)
	if err != nil || host == "" || perr != nil || n < 1 || n > 65535 {
		c.report(path, fmt.Sprintf("%q is not host:port", clip(address)), "write it as kafka-1:9092")
	}
	return host
}

func (c checker) cluster(s *ClusterSpec) {
	if len(s.Bootstrap) == 0 {
		c.report("spec.bootstrap", "is missing", `name at least one broker, as ["kafka-1:9092"]`)
	}
	loopback := len(s.Bootstrap) > 0
	for i, address := range s.Bootstrap {
		host := c.address(fmt.Sprintf("spec.bootstrap[%d]", i), address)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			loopback = false
		}
	}
	if t := s.TLS; t != nil {
		c.secret("spec.tls.ca", t.CA)
		c.secret("spec.tls.certificate", t.Certificate)
		c.secret("spec.tls.key", t.Key)
		if t.Certificate.IsZero() != t.Key.IsZero() {
			c.report("spec.tls", "has a certificate without a key, or a key without a certificate", "give both or none")
		}
		if t.InsecureSkipVerify {
			c.warn("spec.tls.insecureSkipVerify", "anybody between here and the cluster can read and change everything", "give tls.ca instead")
		}
	}
	for _, team := range slices.Sorted(maps.Keys(s.Publish)) {
		c.name("spec.publish."+team, team)
		for i, prefix := range s.Publish[team] {
			if prefix == "" {
				c.report(fmt.Sprintf("spec.publish.%s[%d]", team, i), "is empty", `write the beginning of topics' names, or "*" for all`)
			}
		}
	}
	c.identity(s)
	sasl := s.SASL
	if sasl == nil {
		return
	}
	if c.required("spec.sasl.mechanism", sasl.Mechanism, "write one of "+strings.Join(mechanisms, ", ")) {
		c.oneOf("spec.sasl.mechanism", sasl.Mechanism, mechanisms)
	}
	c.secret("spec.sasl.password", sasl.Password)
	c.secret("spec.sasl.token", sasl.Token)
	if sasl.Mechanism == "OAUTHBEARER" {
		if sasl.Token.IsZero() == (sasl.Issuer == nil) {
			c.report("spec.sasl", "needs either a token or an issuer of tokens", "write token: {file: …} or issuer: {tokenEndpoint: …, clientId: …, clientSecret: {…}}")
		}
		if is := sasl.Issuer; is != nil {
			c.required("spec.sasl.issuer.tokenEndpoint", is.TokenEndpoint, "write the issuer's URL for tokens")
			if is.TokenEndpoint != "" && !strings.HasPrefix(is.TokenEndpoint, "https://") && !strings.HasPrefix(is.TokenEndpoint, "http://") {
				c.report("spec.sasl.issuer.tokenEndpoint", "is not a URL", "begin it with https://")
			}
			c.required("spec.sasl.issuer.clientId", is.ClientID, "write the client id")
			if is.ClientSecret.IsZero() {
				c.report("spec.sasl.issuer.clientSecret", "is missing", "write {env: VARIABLE} or {file: path}")
			}
			c.secret("spec.sasl.issuer.clientSecret", is.ClientSecret)
		}
	} else {
		c.required("spec.sasl.username", sasl.Username, "write the user name")
		if sasl.Password.IsZero() {
			c.report("spec.sasl.password", "is missing", "write {env: VARIABLE} or {file: path}")
		}
		if !sasl.Token.IsZero() || sasl.Issuer != nil {
			c.report("spec.sasl", "token and issuer belong to OAUTHBEARER", "remove them, or change the mechanism")
		}
	}
	if s.TLS == nil && !loopback && (sasl.Mechanism == "PLAIN" || sasl.Mechanism == "OAUTHBEARER") {
		c.warn("spec.sasl.mechanism", sasl.Mechanism+" without TLS shows the password to the network", "add tls: {}, or use SCRAM-SHA-512")
	}
}

func (c checker) version(name string, s *VersionSpec) {
	if name != "" {
		if _, _, ok := VersionName(name); !ok {
			c.report("metadata.name", fmt.Sprintf("%q is not the name of a version", clip(name)), "write the API's name, .v and the major number, as orders.v1")
		}
	}
	c.oneOf("spec.compatibility", s.Compatibility, compatibilities)
	l := s.Lifecycle
	c.oneOf("spec.lifecycle.state", l.State, VersionStates)
	over := l.State == "deprecated" || l.State == "retired" || l.State == "blocked"
	if l.State == "deprecated" {
		if l.Sunset.IsZero() {
			c.report("spec.lifecycle.sunset", "is missing", "a deprecated version names the day on which it ends, as sunset: 2026-12-31")
		}
		if l.Successor == "" {
			c.warn("spec.lifecycle.successor", "is missing", "name the version to move to")
		}
	}
	if !over && !l.Sunset.IsZero() {
		c.report("spec.lifecycle.sunset", "belongs to a deprecated version", "write state: deprecated, or remove it")
	}
	if l.State != "deprecated" && len(l.Brownouts) > 0 && !over {
		c.report("spec.lifecycle.brownouts", "belong to a deprecated version", "write state: deprecated, or remove them")
	}
	if l.Grace < 0 {
		c.report("spec.lifecycle.grace", "is negative", "write a duration such as 720h")
	}
	if !l.RetiredAt.IsZero() && l.State != "retired" {
		c.report("spec.lifecycle.retiredAt", "belongs to a retired version", "write state: retired, or remove it")
	}
	if !l.BlockedAt.IsZero() && l.State != "blocked" {
		c.report("spec.lifecycle.blockedAt", "belongs to a blocked version", "write state: blocked, or remove it")
	}
	for i, w := range l.Brownouts {
		path := fmt.Sprintf("spec.lifecycle.brownouts[%d]", i)
		if w.From.IsZero() || w.To.IsZero() {
			c.report(path, "needs from and to", "write {from: 2026-03-01T08:00:00Z, to: 2026-03-01T09:00:00Z}")
			continue
		}
		c.order(path, w.From, w.To, "ends before it begins")
	}
	for _, channel := range slices.Sorted(maps.Keys(s.Channels)) {
		for _, environment := range slices.Sorted(maps.Keys(s.Channels[channel])) {
			b, path := s.Channels[channel][environment], "spec.channels."+channel+"."+environment
			c.required(path+".cluster", b.Cluster, "name the target cluster")
			c.required(path+".topic", b.Topic, "name the topic on the target cluster")
		}
	}
}

// channels checks the contract; report takes a channel and a field.
func channels(s *Contract, report func(channel, field, message, fix string)) {
	for _, channel := range slices.Sorted(maps.Keys(s.Channels)) {
		ch := s.Channels[channel]
		for i, op := range ch.Operations {
			switch op {
			case "send":
				ch.Send = true
			case "receive":
				ch.Receive = true
			default:
				fix := "write send or receive"
				if near := strictyaml.Nearest(op, operationWords); near != "" {
					fix = "did you mean " + near + "?"
				}
				report(channel, fmt.Sprintf("operations[%d]", i), fmt.Sprintf("%q is not an operation", clip(op)), fix)
			}
		}
		s.Channels[channel] = ch
		if !ch.Send && !ch.Receive && len(ch.Operations) == 0 {
			report(channel, "", "nothing can be done with it", "write send: true if subscribers may read, receive: true if they may write")
		}
	}
}

// staleness is at least what a gateway needs to notice that it is alone.
func (c checker) staleness(d Duration) {
	if d != 0 && time.Duration(d) < 10*time.Second {
		c.report("spec.maxStaleness", fmt.Sprintf("is %v", time.Duration(d)), "write 10s or more, or remove the line for no limit")
	}
}

func (c checker) product(s *ProductSpec) {
	c.staleness(s.MaxStaleness)
	if len(s.Versions) == 0 {
		c.report("spec.versions", "is missing", "name what the product holds, as [orders.v1]")
	}
	for i, v := range s.Versions {
		if slices.Index(s.Versions, v) < i {
			c.report(fmt.Sprintf("spec.versions[%d]", i), fmt.Sprintf("names %s twice", v), "remove one")
		}
	}
	if len(s.Plans) == 0 {
		c.report("spec.plans", "is missing", "write at least one plan, as {free: {auth: [scram]}}")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Plans)) {
		p, path := s.Plans[name], "spec.plans."+name
		c.name(path, name)
		if len(p.Auth) == 0 {
			c.report(path+".auth", "is missing", "name the methods that the plan admits: plain, scram, oauth, mtls")
		}
		for i, m := range p.Auth {
			c.oneOf(fmt.Sprintf("%s.auth[%d]", path, i), m, Methods)
			if m == "" || slices.Index(p.Auth, m) < i {
				c.report(fmt.Sprintf("%s.auth[%d]", path, i), "is empty or there twice", "remove it")
			}
		}
		for _, channel := range slices.Sorted(maps.Keys(p.Rights)) {
			c.oneOf(path+".rights."+channel, p.Rights[channel], rightWords)
			c.required(path+".rights."+channel, p.Rights[channel], "write read, write, readwrite or none")
		}
		for _, channel := range slices.Sorted(maps.Keys(p.Manage)) {
			words, path := p.Manage[channel], path+".manage."+channel
			if len(words) == 0 {
				c.report(path, "is empty", "name what may be done: "+strings.Join(manageWords, ", ")+", or remove it")
			}
			for i, word := range words {
				path := fmt.Sprintf("%s[%d]", path, i)
				c.oneOf(path, word, manageWords)
				if word == "" || slices.Index(words, word) < i {
					c.report(path, "is empty or there twice", "remove it")
				}
			}
		}
		c.oneOf(path+".approval", p.Approval, approvals)
		c.form(path+".form", p.Form)
		c.limits(path+".limits", p.Limits)
		if p.Price.File != "" {
			c.warn(path+".price", "is not charged in this release", "")
		}
	}
}

func (c checker) identity(s *ClusterSpec) {
	id := s.Identity
	if id == nil {
		return
	}
	if id.Mechanism != "" {
		c.oneOf("spec.identity.mechanism", id.Mechanism, []string{"SCRAM-SHA-256", "SCRAM-SHA-512"})
	}
	c.secret("spec.identity.masterKey", id.MasterKey)
	if !id.PerApplication {
		return
	}
	if id.MasterKey.IsZero() {
		c.report("spec.identity.masterKey", "is missing", "write {env: VARIABLE} or {file: path}, with 32 random bytes or more")
	}
	if s.SASL == nil && (s.TLS == nil || s.TLS.Certificate.IsZero()) {
		c.report("spec.identity.perApplication", "needs a user of the gateway that makes the others", "add sasl, or a certificate in tls")
	}
}

func (c checker) limits(path string, l Limits) {
	for name, value := range l.All() {
		if value.Number <= 0 {
			c.report(path+"."+name, "must be more than zero", "write a positive number, or remove the limit")
		} else {
			c.warn(path+"."+name, "is not enforced in this release", "")
		}
	}
}

// maxQuestions bounds a form.
const maxQuestions = 50

func (c checker) form(path string, questions []Question) {
	if len(questions) > maxQuestions {
		c.report(path, fmt.Sprintf("has %d questions", len(questions)), fmt.Sprintf("ask at most %d", maxQuestions))
	}
	for i, q := range questions {
		at := fmt.Sprintf("%s[%d]", path, i)
		if c.required(at+".name", q.Name, "name the question") {
			c.name(at+".name", q.Name)
		}
		if first := slices.IndexFunc(questions, func(o Question) bool { return o.Name == q.Name }); first < i && q.Name != "" {
			c.report(at+".name", "is that of another question", "give one of them another")
		}
		c.oneOf(at+".type", q.Type, QuestionTypes)
		if (q.Type == "choice") != (len(q.Choices) > 0) {
			c.report(at+".choices", "belong to a question of type choice, which needs some", "write type: choice and choices: [a, b], or neither")
		}
	}
}

func (c checker) application(s *ApplicationSpec) {
	n := s.Namespace
	switch {
	case n.Topics < 0 || n.Partitions < 0:
		c.report("spec.namespace", "has a negative count", "write counts of zero or more")
	case (n.Topics == 0) != (n.Partitions == 0):
		c.report("spec.namespace", "needs both counts", "write {topics: 20, partitions: 60}")
	case n.Partitions < n.Topics:
		c.report("spec.namespace.partitions", "is less than the count of topics, each of which has one at least", "raise it")
	}
	for what, names := range map[string][]string{"groups": s.Adopt.Groups, "transactionalIds": s.Adopt.TransactionalIDs} {
		for i, name := range names {
			path := fmt.Sprintf("spec.adopt.%s[%d]", what, i)
			if name == "" || len(name) > 255 {
				c.report(path, "must have 1 to 255 bytes", "write a name of the target cluster")
			} else if slices.Index(names, name) < i {
				c.report(path, fmt.Sprintf("names %q twice", clip(name)), "remove one")
			}
		}
	}
}

func (c checker) subscription(s *SubscriptionSpec) {
	c.required("spec.application", s.Application, "name the application that subscribes")
	c.required("spec.product", s.Product, "name the product")
	c.required("spec.plan", s.Plan, "name one of the product's plans")
	c.oneOf("spec.state", s.State, SubscriptionStates)
	c.order("spec.expires", s.Since, s.Expires, "is before since")
	if !s.ClosedAt.IsZero() && s.State != "closed" {
		c.report("spec.closedAt", "belongs to a closed subscription", "write state: closed, or remove it")
	}
}

func (c checker) credential(s *CredentialSpec, r *reader) {
	c.required("spec.application", s.Application, "name the application")
	if c.required("spec.type", s.Type, "write one of "+strings.Join(Methods, ", ")) {
		c.oneOf("spec.type", s.Type, Methods)
	}
	c.oneOf("spec.state", s.State, CredentialStates)
	c.secret("spec.secret", s.Secret)
	belongs := func(path string, there bool, types ...string) {
		if there && s.Type != "" && slices.Contains(Methods, s.Type) && !slices.Contains(types, s.Type) {
			c.report(path, "does not belong to a credential of type "+s.Type, "remove it, or change the type to "+strings.Join(types, " or "))
		}
	}
	secrets := []string{"plain", "scram"}
	if s.OwnTokens() && r.open {
		secrets = append(secrets, "oauth")
	}
	belongs("spec.clientId", s.ClientID != "", secrets...)
	belongs("spec.secret", !s.Secret.IsZero(), secrets...)
	belongs("spec.issuer", s.Issuer != "", "oauth")
	belongs("spec.subject", s.Subject != "", "oauth")
	belongs("spec.san", s.SAN != "", "mtls")
	if s.Type == "plain" || s.Type == "scram" || s.OwnTokens() && r.open {
		switch {
		case r.asked && !s.Secret.IsZero():
			c.report("spec.secret", "is a reference, which the server cannot follow", "use sluice apply, which sends the secret, or leave it out for one that the server makes")
		case !r.open && s.Secret.IsZero() && s.State != "revoked" && s.State != "expired":
			c.report("spec.secret", "is missing", "write {env: VARIABLE} or {file: path}")
		}
		if s.ClientID != "" && !clientIDText.MatchString(s.ClientID) {
			c.report("spec.clientId", "has characters that SASL clients do not send alike", "use up to 255 letters, digits and signs, without spaces")
		}
	}
	switch s.Type {
	case "oauth":
		if s.OwnTokens() && r.open { // the control plane's token endpoint gives them
			break
		}
		c.required("spec.issuer", s.Issuer, "write the token's iss claim")
		c.required("spec.subject", s.Subject, "write the token's subject")
		if strings.Contains(s.Issuer, "|") {
			c.report("spec.issuer", `must not contain "|"`, "write the token's iss claim")
		}
	case "mtls":
		kind, value, _ := strings.Cut(s.SAN, ":")
		switch {
		case kind == "sha256" && !keyDigest.MatchString(value):
			c.report("spec.san", "is not the SHA-256 of a public key", "write sha256: and 64 digits of 0-9 a-f, those of the certificate's SubjectPublicKeyInfo")
		case kind != "dns" && kind != "uri" && kind != "email" && kind != "sha256" || value == "":
			c.report("spec.san", "is not one subject alternative name", "write dns:erp.acme.example, uri:spiffe://… or email:…, or sha256:… for a key")
		}
	}
	switch {
	case s.State == "retiring" && s.Until.IsZero():
		c.report("spec.until", "is missing", "a retiring credential names its end, as until: 2026-12-31")
	case s.State != "retiring" && s.State != "expired" && !s.Until.IsZero():
		c.report("spec.until", "belongs to a retiring credential", "write state: retiring, or use notAfter")
	}
	if s.Subscriptions != nil && len(s.Subscriptions) == 0 {
		c.report("spec.subscriptions", "is empty, so the credential could do nothing", "name some, or remove the line for all")
	}
}

// certificates reports whether a text holds certificates in PEM, and nothing else.
func certificates(text string) bool {
	rest := []byte(text)
	for n := 0; ; n++ {
		block, after := pem.Decode(rest)
		if block == nil {
			return n > 0 && strings.TrimSpace(string(rest)) == ""
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" {
			return false
		}
		rest = after
	}
}
