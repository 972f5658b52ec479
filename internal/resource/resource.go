// Package resource reads the documents of sluice/v1: what a provider and an
// operator write into YAML files. Its main type is Set, everything that was
// read, each document with the place of every field. It checks each document by
// itself and reports all problems at once. It knows nothing of how documents
// refer to each other, of grants or of Kafka.
package resource

import (
	"strings"
	"time"

	"sluice/internal/strictyaml"
)

// APIVersion is what each document names.
const APIVersion = "sluice/v1"

//go:generate go test -run TestPageIsUpToDate -update .

// Kind is a sort of document.
type Kind string

// The kinds of documents.
const (
	KindOrganisation Kind = "Organisation"
	KindTeam         Kind = "Team"
	KindEnvironment  Kind = "Environment"
	KindCluster      Kind = "Cluster"
	KindGateway      Kind = "Gateway"
	KindAPI          Kind = "API"
	KindVersion      Kind = "Version"
	KindProduct      Kind = "Product"
	KindApplication  Kind = "Application"
	KindSubscription Kind = "Subscription"
	KindCredential   Kind = "Credential"
)

// Kinds are all kinds in the order in which people write them: what others refer
// to comes first.
var Kinds = []Kind{KindOrganisation, KindTeam, KindEnvironment, KindCluster, KindGateway, KindAPI, KindVersion, KindProduct, KindApplication, KindSubscription, KindCredential}

// Plural is the kind in paths and commands, as "subscriptions".
func (k Kind) Plural() string { return strings.ToLower(string(k)) + "s" }

// Metadata is what documents of all kinds have.
type Metadata struct {
	// Name is the identity within a kind: up to 128 letters, digits, dots, dashes and
	// underscores, beginning with a letter or digit. Required.
	Name string `json:"name,omitzero"`
	// Environment is where the document counts. Required for Cluster, Gateway,
	// Subscription and Credential, and not there for the other kinds.
	Environment string `json:"environment,omitzero"`
	// Team is the owner. The control plane wants one for API, Product and Application; a
	// gateway that reads files by itself does not use it.
	Team string `json:"team,omitzero"`
	// Labels are for people and tools.
	Labels map[string]string `json:"labels,omitzero"`
	// Annotations are for people and tools.
	Annotations map[string]string `json:"annotations,omitzero"`
}

// Document is one document of a kind.
type Document[S any] struct {
	APIVersion string   `json:"apiVersion,omitzero"`
	Kind       Kind     `json:"kind,omitzero"`
	Metadata   Metadata `json:"metadata,omitzero"`
	Spec       S        `json:"spec,omitzero"`
	// Source is where the document stands.
	Source Source `json:"-"`
}

// Name returns the document's name.
func (d *Document[S]) Name() string { return d.Metadata.Name }

// Problem returns a problem of a field of the document, at its place.
func (d *Document[S]) Problem(path, message, fix string) Problem {
	p := d.Source.problem(path, message, fix)
	p.Kind, p.Name = d.Kind, d.Metadata.Name
	return p
}

// Warning is Problem for what does not stop anything.
func (d *Document[S]) Warning(path, message, fix string) Problem {
	p := d.Problem(path, message, fix)
	p.Warning = true
	return p
}

// The documents.
type (
	Organisation = Document[OrganisationSpec]
	Team         = Document[TeamSpec]
	Environment  = Document[EnvironmentSpec]
	Cluster      = Document[ClusterSpec]
	Gateway      = Document[GatewaySpec]
	API          = Document[APISpec]
	Version      = Document[VersionSpec]
	Product      = Document[ProductSpec]
	Application  = Document[ApplicationSpec]
	Subscription = Document[SubscriptionSpec]
	Credential   = Document[CredentialSpec]
)

// Set is everything that was read, documents in the order of files and lines.
type Set struct {
	Organisations []*Organisation
	Teams         []*Team
	Environments  []*Environment
	Clusters      []*Cluster
	Gateways      []*Gateway
	APIs          []*API
	Versions      []*Version
	Products      []*Product
	Applications  []*Application
	Subscriptions []*Subscription
	Credentials   []*Credential
	// Files are all files that were read or that a document refers to, sorted:
	// when one changes, so may the set.
	Files []string
	// Stamp is what [Stamp] said of the paths that were read and of Files when each
	// was met for the first time, before it was opened: what changes meanwhile, or
	// later, gives another one.
	Stamp string
	// Read are the files of which the set was made, sorted: documents, and contracts
	// that they refer to.
	Read []string
	// Digest is what [Digest] said of their content.
	Digest string
}

// Source is where a document stands.
type Source struct {
	File string
	doc  *strictyaml.Document
	// places are those of fields in a file that is not read as YAML of ours.
	places map[string]strictyaml.Position
}

// Line returns the line of a field, or of what is above it.
func (s Source) Line(path string) int { return s.position(path).Line }

func (s Source) position(path string) strictyaml.Position {
	if s.doc == nil {
		for path != "" {
			if p, ok := s.places[path]; ok {
				return p
			}
			path = path[:max(strings.LastIndexByte(path, '.'), 0)]
		}
		return strictyaml.Position{Line: min(len(s.places), 1), Column: min(len(s.places), 1)}
	}
	return s.doc.Position(path)
}

func (s Source) problem(path, message, fix string) Problem {
	at := s.position(path)
	return Problem{File: s.File, Line: at.Line, Column: at.Column, Path: path, Message: message, Fix: fix}
}

// OrganisationSpec is a company, or a part of one that keeps to itself. Every team
// belongs to one. A gateway that reads files by itself does not use it.
type OrganisationSpec struct {
	// Title is for people.
	Title string `json:"title,omitzero"`
	// Members have roles in all of the organisation, by login name: org-admin,
	// publisher, approver, app-developer, billing-admin, auditor.
	Members map[string][]string `json:"members,omitzero"`
	// Groups are those of the identity provider whose people have roles, by name.
	Groups map[string][]string `json:"groups,omitzero"`
}

// TeamSpec is people who own things together. A gateway that reads files by itself
// does not use it.
type TeamSpec struct {
	// Organisation is the name of the one that the team belongs to. Required.
	Organisation string `json:"organisation,omitzero"`
	// Title is for people.
	Title string `json:"title,omitzero"`
	// Email is where the team is told what it should know.
	Email string `json:"email,omitzero"`
	// Notify are further places where it is told. Without any address, e-mails go to those
	// members whom it concerns and whose account has one.
	Notify Notify `json:"notify,omitzero"`
	// Members have roles in the team, by login name: publisher, approver,
	// app-developer, billing-admin, auditor.
	Members map[string][]string `json:"members,omitzero"`
	// Groups are those of the identity provider whose people have roles, by name.
	Groups map[string][]string `json:"groups,omitzero"`
}

// Notify is where a team is told what happens to what it has.
type Notify struct {
	// Webhook gets each notification as a CloudEvent, signed with a secret that sluice
	// notifications secret makes.
	Webhook *Webhook `json:"webhook,omitzero"`
	// Email are addresses that get each notification, at most 10.
	Email []string `json:"email,omitzero"`
}

// Webhook is where notifications are posted to.
type Webhook struct {
	// URL is whole, as https://chat.example.com/hooks/sluice. It is no secret: all who
	// may see the team see it. Required.
	URL string `json:"url,omitzero"`
}

// EnvironmentSpec describes one stage, such as dev, qa or prod. Environments need
// no document; when there is one, all that are used must have one.
type EnvironmentSpec struct {
	// Title is for people.
	Title string `json:"title,omitzero"`
	// After is the environment that comes before this one: revisions of versions are
	// promoted from there, and come here in no other way. Without it, what is applied is
	// deployed here at once. A gateway that reads files by itself does not use it, nor
	// what follows.
	After string `json:"after,omitzero"`
	// FourEyes wants a second person, an approver, for each revision that is deployed
	// here, and for subscriptions that somebody approves. The default is false.
	FourEyes bool `json:"fourEyes,omitzero"`
	// Compatibility counts here instead of that of versions, as NONE in an environment
	// for trying things out.
	Compatibility string `json:"compatibility,omitzero"`
	// Lint are packs of rules, as docs-complete, whose errors and warnings keep a revision
	// out; see contracts.md.
	Lint []string `json:"lint,omitzero"`
	// MaxStaleness is how long its gateways serve without word from the control plane;
	// without limit by default. Then topics are withheld, as of a suspended subscription.
	MaxStaleness Duration `json:"maxStaleness,omitzero"`
	// Clients says where Kafka clients find the environment, which whoever gets a
	// credential is told. Without it, only a gateway in one process with the control plane
	// is known: by its first listener.
	Clients *EnvironmentClients `json:"clients,omitzero"`
	// Sandbox makes it an environment for trying things out, with made-up records.
	Sandbox *EnvironmentSandbox `json:"sandbox,omitzero"`
}

// EnvironmentSandbox says what an environment for trying things out has.
type EnvironmentSandbox struct {
	// Rate is how many records a second are made up for each topic, 100 at most; none by
	// default.
	Rate int `json:"rate,omitzero"`
	// Guest is the application as which people without an account watch records: all that
	// it may read there is public then. Nobody may by default.
	Guest string `json:"guest,omitzero"`
}

// EnvironmentClients is how Kafka clients reach an environment.
type EnvironmentClients struct {
	// Bootstrap is host:port, or several with commas. Required.
	Bootstrap string `json:"bootstrap,omitzero"`
	// TLS says that its listeners speak TLS. The default is false.
	TLS bool `json:"tls,omitzero"`
	// CA is the authority of the listener's certificate in PEM, where it is none that
	// everybody trusts: whoever gets a credential gets it as well.
	CA string `json:"ca,omitzero"`
}

// ClusterSpec is a target cluster, the real Kafka, in one environment.
type ClusterSpec struct {
	// Bootstrap are host:port addresses of brokers. Required.
	Bootstrap []string `json:"bootstrap,omitzero"`
	// TLS 1.2 or newer is used when it is there, even if empty.
	TLS *ClusterTLS `json:"tls,omitzero"`
	// SASL is who the gateway is there; nobody when it is missing.
	SASL *ClusterSASL `json:"sasl,omitzero"`
	// System marks the cluster that an application without topics is on, where an
	// environment has several. The default is false.
	System bool `json:"system,omitzero"`
	// Identity lets the cluster know applications apart; without it all of them go by the
	// gateway's user. See Upstream identity.
	Identity *ClusterIdentity `json:"identity,omitzero"`
	// Publish says which backing topics teams may publish through the control plane: by
	// a team's name, beginnings of topics' names, or "*" for all. What is not here only
	// a platform-admin publishes. A gateway that reads files by itself does not use it.
	Publish map[string][]string `json:"publish,omitzero"`
}

// ClusterIdentity is who applications are at a target cluster.
type ClusterIdentity struct {
	// PerApplication gives each application a SCRAM user of its own, with ACLs and quotas
	// that follow its rights. Written as false it takes such users away again. The default
	// is false.
	PerApplication bool `json:"perApplication,omitzero"`
	// Mechanism of these users is SCRAM-SHA-256 or SCRAM-SHA-512, the default.
	Mechanism string `json:"mechanism,omitzero"`
	// MasterKey is what their secrets are derived from, 32 bytes or more, the same at all
	// gateways. Required with perApplication.
	MasterKey SecretRef `json:"masterKey,omitzero"`
}

// ClusterTLS is how the gateway speaks TLS to a target cluster.
type ClusterTLS struct {
	// CA holds PEM certificates of authorities; the system's are used without it.
	CA SecretRef `json:"ca,omitzero"`
	// Certificate is the gateway's own, PEM, for mutual TLS. Needs key.
	Certificate SecretRef `json:"certificate,omitzero"`
	// Key belongs to certificate, PEM.
	Key SecretRef `json:"key,omitzero"`
	// ServerName is expected in the brokers' certificates instead of their host names.
	ServerName string `json:"serverName,omitzero"`
	// InsecureSkipVerify accepts any certificate, so that anybody between may read
	// and change everything. The default is false.
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitzero"`
}

// ClusterSASL is who the gateway is at a target cluster.
type ClusterSASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. Required.
	Mechanism string `json:"mechanism,omitzero"`
	// Username is the gateway's user. Required, but not with OAUTHBEARER.
	Username string `json:"username,omitzero"`
	// Password is the user's. Required, but not with OAUTHBEARER.
	Password SecretRef `json:"password,omitzero"`
	// Token is the bearer token of OAUTHBEARER; either it or issuer is required there.
	Token SecretRef `json:"token,omitzero"`
	// Issuer gets tokens for OAUTHBEARER.
	Issuer *TokenIssuer `json:"issuer,omitzero"`
	// Extensions are SASL extensions of OAUTHBEARER (KIP-342).
	Extensions map[string]string `json:"extensions,omitzero"`
}

// TokenIssuer is where OAUTHBEARER gets tokens by client credentials (RFC 6749 §4.4).
type TokenIssuer struct {
	// TokenEndpoint is the issuer's URL for tokens. Required.
	TokenEndpoint string `json:"tokenEndpoint,omitzero"`
	// ClientID is the gateway's client id there. Required.
	ClientID string `json:"clientId,omitzero"`
	// ClientSecret is the gateway's secret there. Required.
	ClientSecret SecretRef `json:"clientSecret,omitzero"`
	// Scope is what tokens are asked for with; none by default.
	Scope string `json:"scope,omitzero"`
}

// GatewaySpec is a gateway that runs apart from the control plane and gets from it what
// is in force in its environment. sluice gateway invite makes the token with which it
// joins. A gateway that reads files by itself does not use it.
type GatewaySpec struct {
	// Title is for people.
	Title string `json:"title,omitzero"`
}

// APISpec is a stable name with an owner. The control plane shows it to whom its
// visibility says; a gateway that reads files by itself does not use its fields.
type APISpec struct {
	// Title is for people.
	Title string `json:"title,omitzero"`
	// Description is for people.
	Description string `json:"description,omitzero"`
	// Visibility is one of private, team, partner or public.
	Visibility string `json:"visibility,omitzero"`
	// Tags are words to find the API by, at most 20, each up to 40 letters, digits, spaces,
	// dots, dashes and underscores. What it belongs to, a catalog takes from the label domain.
	Tags []string `json:"tags,omitzero"`
	// Icon is what is drawn beside the title: one of bell, box, bus, card, cart, chart, cloud,
	// factory, heart, home, key, leaf, map, people, shield, stream, tag or truck.
	Icon string `json:"icon,omitzero"`
	// Docs are the API's pages. See control-plane.md.
	Docs Docs `json:"docs,omitzero"`
	// Support is whom to ask.
	Support Support `json:"support,omitzero"`
}

// Docs are an API's pages for people, in Markdown.
type Docs struct {
	// Dir is a directory with pages, as quickstart.md, relative to the document's file: at
	// most 64 of up to 256 KiB, 2 MiB together. Apply sends what is in them. A page may begin
	// with its title and its order between two lines of ---, as title: Quick start.
	Dir string `json:"dir,omitzero"`
	// Pages are the texts of pages, by name, instead of a directory.
	Pages map[string]string `json:"pages,omitzero"`
	// Digest is that of the pages which the control plane has; it keeps their texts beside
	// the document.
	Digest string `json:"digest,omitzero"`
}

// Support is whom to ask.
type Support struct {
	// Email is an address for questions.
	Email string `json:"email,omitzero"`
	// URL is a page for questions.
	URL string `json:"url,omitzero"`
}

// VersionSpec is a major line of an API that consumers see. The document's name is
// the API's name, ".v" and the major number, as orders.v1.
type VersionSpec struct {
	// Contract is what may be done with each channel. Required.
	Contract Contract `json:"contract,omitzero"`
	// Compatibility is what a revision must be to follow another one in an environment:
	// BACKWARD, with which clients of the old one go on working; FORWARD, with which clients
	// of the new one also work with the old one; FULL, which is both; each also with
	// _TRANSITIVE, towards all that the environment has had; or NONE. The default is
	// BACKWARD. A gateway that reads files by itself does not use it.
	Compatibility string `json:"compatibility,omitzero"`
	// Channels map each channel of the contract, by environment, to its backing
	// topic. A channel without one is not offered in that environment.
	Channels map[string]map[string]Backing `json:"channels,omitzero"`
	// Lifecycle is where the version stands; see States.
	Lifecycle Lifecycle `json:"lifecycle,omitzero"`
	// deployed is what environments have instead; see Deployed.
	deployed map[string]Offer
}

// Contract is what may be done with each channel, inline or in a file.
type Contract struct {
	// File is an AsyncAPI document of 2.0 to 2.6, 3.0 or 3.1, from which the channels and
	// what may be done with them follow, or a YAML file with nothing but channels;
	// relative to the document's file. See contracts.md.
	File string `json:"file,omitzero"`
	// AsyncAPI is the text of an AsyncAPI document, instead of a file. Apply sends a file's
	// text in it, and what it refers to in other files with it.
	AsyncAPI string `json:"asyncapi,omitzero"`
	// Digest is that of the AsyncAPI document which the control plane has; it keeps the
	// text with the version's revisions.
	Digest string `json:"digest,omitzero"`
	// Channels are the streams, by name. Required, unless they follow from an AsyncAPI
	// document or are in the file.
	Channels map[string]Channel `json:"channels,omitzero"`
	// source is the file of the channels, when it is not the document's own.
	source *Source
}

// Channel is one stream of a contract. Send and Receive are said of the
// provider: what it sends, a subscriber may read; what it receives, a subscriber
// may write.
type Channel struct {
	// Address is the exposed topic, the name that clients see. The default is the
	// channel's name, from v2 on with the major number behind it, as placed.v2.
	Address string `json:"address,omitzero"`
	// Description is for people.
	Description string `json:"description,omitzero"`
	// Send says that the provider sends: subscribers may read. The default is false;
	// one of send and receive is required.
	Send bool `json:"send,omitzero"`
	// Receive says that the provider receives: subscribers may write. The default is
	// false.
	Receive bool `json:"receive,omitzero"`
	// Operations is another way to write the two: [send, receive].
	Operations []string `json:"operations,omitzero"`
}

// Backing is where a channel's records are in one environment.
type Backing struct {
	// Cluster is the name of a Cluster in that environment. Required.
	Cluster string `json:"cluster,omitzero"`
	// Topic is the backing topic, the name on the target cluster. Required.
	Topic string `json:"topic,omitzero"`
}

// Lifecycle is where a version stands and what is planned.
type Lifecycle struct {
	// State is one of draft, preview, published, deprecated, retired or blocked. The default
	// is draft, which offers nothing.
	State string `json:"state,omitzero"`
	// Sunset is when a deprecated version ends. Required with deprecated.
	Sunset time.Time `json:"sunset,omitzero"`
	// Grace is how long after its sunset the version still works. The default is 0.
	Grace Duration `json:"grace,omitzero"`
	// Successor is the version to move to; what refused clients are told names it.
	Successor string `json:"successor,omitzero"`
	// RetiredAt says since when the version is retired. The default is the sunset with
	// its grace, or else when the gateway first saw it.
	RetiredAt time.Time `json:"retiredAt,omitzero"`
	// BlockedAt says since when the version is blocked. The default is when the
	// gateway first saw it.
	BlockedAt time.Time `json:"blockedAt,omitzero"`
	// Brownouts are windows in which reading a deprecated version is silent and
	// writing slow, so that everybody notices before its sunset.
	Brownouts []Window `json:"brownouts,omitzero"`
}

// Window is a span of time, To excluded.
type Window struct {
	// From is when the window begins. Required.
	From time.Time `json:"from,omitzero"`
	// To is when it has ended. Required.
	To time.Time `json:"to,omitzero"`
}

// ProductSpec is what people subscribe to.
type ProductSpec struct {
	// Title is for people.
	Title string `json:"title,omitzero"`
	// Description is for people.
	Description string `json:"description,omitzero"`
	// Versions are the names of what the product holds. Required.
	Versions []string `json:"versions,omitzero"`
	// Plans are the conditions to choose from, by name. Required.
	Plans map[string]Plan `json:"plans,omitzero"`
	// Terms are for people.
	Terms string `json:"terms,omitzero"`
	// MaxStaleness is how long gateways serve its topics without word from the control
	// plane, where that is shorter than their environment permits.
	MaxStaleness Duration `json:"maxStaleness,omitzero"`
}

// Plan is on which conditions.
type Plan struct {
	// Auth are the methods admitted: plain, scram, oauth, mtls. A credential of
	// another type does not see the product's topics. Required.
	Auth []string `json:"auth,omitzero"`
	// Rights narrow the contract, by channel, to read, write, readwrite or none. They
	// never widen it. None leaves the channel out: subscribers do not see its topic. A
	// channel that is not named keeps the rights of the contract.
	Rights map[string]string `json:"rights,omitzero"`
	// Manage gives what no contract gives, by channel: deleteRecords, to delete records
	// before an offset, and alterConfigs, to change the configurations of the topic that
	// an application may set on its own. Both act on everybody who has the topic.
	Manage map[string][]string `json:"manage,omitzero"`
	// Limits are checked and not enforced by gateways in this release; each gives a warning.
	// Brokers that know applications apart hold them to bytes per second, see Upstream
	// identity.
	Limits Limits `json:"limits,omitzero"`
	// Form are questions that whoever subscribes through the control plane answers.
	Form []Question `json:"form,omitzero"`
	// Approval of subscriptions through the control plane is automatic or manual. The
	// default is manual; a gateway that reads files by itself goes by the subscription's
	// state.
	Approval string `json:"approval,omitzero"`
	// Price is not charged in this release.
	Price Price `json:"price,omitzero"`
}

// Question is one of a plan's form.
type Question struct {
	// Name is what the answer is called. Required.
	Name string `json:"name,omitzero"`
	// Title is the question, for people.
	Title string `json:"title,omitzero"`
	// Help says more, for people.
	Help string `json:"help,omitzero"`
	// Type is text, number, boolean, date, email or choice. The default is text.
	Type string `json:"type,omitzero"`
	// Choices are the answers to choose from. Required for choice, and not there for the
	// others.
	Choices []string `json:"choices,omitzero"`
	// Required says that there has to be an answer. The default is false.
	Required bool `json:"required,omitzero"`
}

// Price is where a plan's price is.
type Price struct {
	// File is relative to the document's file.
	File string `json:"file,omitzero"`
}

// Limits are what a plan holds a client to; nil means no limit. They are
// carried and not enforced yet.
type Limits struct {
	// ReadBytesPerSecond is a size; no limit by default, as with all below.
	ReadBytesPerSecond *Size `json:"readBytesPerSecond,omitzero"`
	// WriteBytesPerSecond is a size.
	WriteBytesPerSecond *Size `json:"writeBytesPerSecond,omitzero"`
	// ReadRecordsPerSecond is a count.
	ReadRecordsPerSecond *int64 `json:"readRecordsPerSecond,omitzero"`
	// WriteRecordsPerSecond is a count.
	WriteRecordsPerSecond *int64 `json:"writeRecordsPerSecond,omitzero"`
	// ReadBytesPerMonth is a size.
	ReadBytesPerMonth *Size `json:"readBytesPerMonth,omitzero"`
	// WriteBytesPerMonth is a size.
	WriteBytesPerMonth *Size `json:"writeBytesPerMonth,omitzero"`
	// Replay is how old a record may be that is read.
	Replay *Duration `json:"replay,omitzero"`
	// RequestsPerSecond is a count.
	RequestsPerSecond *int64 `json:"requestsPerSecond,omitzero"`
	// Connections is how many there may be at once.
	Connections *int64 `json:"connections,omitzero"`
	// ConnectionsPerSecond is how many may be opened.
	ConnectionsPerSecond *int64 `json:"connectionsPerSecond,omitzero"`
}

// ApplicationSpec is a consumer's registered program. With an environment it is
// one virtual cluster.
type ApplicationSpec struct {
	// Description is for people.
	Description string `json:"description,omitzero"`
	// Suspended suspends everything that the application has, its own topics
	// included; see States. The default is false.
	Suspended bool `json:"suspended,omitzero"`
	// Namespace lets the application create topics of its own; none by default.
	Namespace Namespace `json:"namespace,omitzero"`
	// Adopt lets it use groups and transactional ids that exist on the target
	// cluster; see Moving a consumer group.
	Adopt Adopt `json:"adopt,omitzero"`
	// Clusters name the target cluster, by environment, of an application without
	// topics; needed only where an environment has several.
	Clusters map[string]string `json:"clusters,omitzero"`
}

// Namespace is how many topics and partitions an application may create.
type Namespace struct {
	// Topics is how many there may be. The default is 0.
	Topics int `json:"topics,omitzero"`
	// Partitions is how many they may have together, at least one for each topic. The
	// default is 0.
	Partitions int `json:"partitions,omitzero"`
}

// Adopt are names of the target cluster that are used as they are.
type Adopt struct {
	// Groups are names of consumer groups; one application only may adopt each.
	Groups []string `json:"groups,omitzero"`
	// TransactionalIDs are adopted by one application only, too.
	TransactionalIDs []string `json:"transactionalIds,omitzero"`
}

// SubscriptionSpec is an application's agreement to a plan in one environment. No
// two that are open may bring the same topic to an application, and all topics of
// an application in an environment are on one target cluster.
type SubscriptionSpec struct {
	// Application is the name of the one that subscribes. Required.
	Application string `json:"application,omitzero"`
	// Product is the name of what it subscribes to. Required.
	Product string `json:"product,omitzero"`
	// Plan is the name of one of the product's plans. Required.
	Plan string `json:"plan,omitzero"`
	// Answers are those to the questions of the plan's form, by name; a number, a date
	// (2026-12-31) and true or false are written as text. The control plane checks them.
	Answers map[string]string `json:"answers,omitzero"`
	// State is one of pending, active, suspended, closed, rejected or expired; see States.
	// The default is active; through the control plane, a new one is pending until it is
	// approved, and a document without it leaves the state as it is.
	State string `json:"state,omitzero"`
	// Since begins an active subscription; at once by default.
	Since time.Time `json:"since,omitzero"`
	// Expires ends it; never by default.
	Expires time.Time `json:"expires,omitzero"`
	// ClosedAt says since when it is closed. The default is when the gateway first saw
	// it.
	ClosedAt time.Time `json:"closedAt,omitzero"`
}

// CredentialSpec is one way into an application's virtual cluster.
type CredentialSpec struct {
	// Application is the name of the one that logs in. Required.
	Application string `json:"application,omitzero"`
	// Type is one of plain, scram, oauth or mtls; see Credentials by type. Required.
	Type string `json:"type,omitzero"`
	// ClientID is the user name of plain and scram, and what oauth without an issuer asks
	// for tokens with: up to 255 letters, digits and signs. The default is the document's
	// name.
	ClientID string `json:"clientId,omitzero"`
	// Secret is the password of plain and scram, and the client secret of oauth without an
	// issuer, at least 16 characters. In files it is required for plain and scram, unless
	// the credential is revoked; a control plane makes one where there is none.
	Secret SecretRef `json:"secret,omitzero"`
	// Issuer is the iss claim that tokens of oauth have, exactly. Without issuer and
	// subject, the control plane's own token endpoint gives them; files need both.
	Issuer string `json:"issuer,omitzero"`
	// Subject is the subject that tokens of oauth have, exactly. Required with an issuer.
	Subject string `json:"subject,omitzero"`
	// SAN is one subject alternative name of the client certificate of mtls, exactly:
	// dns:…, uri:… or email:…; or its public key, as sha256: and the hexadecimal digest of
	// the SubjectPublicKeyInfo. Required for it.
	SAN string `json:"san,omitzero"`
	// NotAfter ends the credential; never by default.
	NotAfter time.Time `json:"notAfter,omitzero"`
	// State is one of active, retiring, revoked or expired. The default is active.
	State string `json:"state,omitzero"`
	// Until is when a retiring credential ends. Required with retiring.
	Until time.Time `json:"until,omitzero"`
	// Subscriptions narrow the credential to some of the application's, by name; all
	// when the field is missing.
	Subscriptions []string `json:"subscriptions,omitzero"`
}

// OwnTokens says whether tokens of the credential come from the control plane's own
// token endpoint.
func (s *CredentialSpec) OwnTokens() bool {
	return s.Type == "oauth" && s.Issuer == "" && s.Subject == ""
}
