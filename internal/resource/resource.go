// Package resource reads the documents of sluice/v1: what a provider and an
// operator write into YAML files. Its main type is Set, everything that was
// read, each document with the place of every field. It checks each document by
// itself and reports all problems at once. It knows nothing of how documents
// refer to each other, of grants or of Kafka.
package resource

import (
	"time"

	"sluice/internal/strictyaml"
)

// APIVersion is what each document names.
const APIVersion = "sluice/v1"

// Kind is a sort of document.
type Kind string

// The kinds of documents.
const (
	KindEnvironment  Kind = "Environment"
	KindCluster      Kind = "Cluster"
	KindAPI          Kind = "API"
	KindVersion      Kind = "Version"
	KindProduct      Kind = "Product"
	KindApplication  Kind = "Application"
	KindSubscription Kind = "Subscription"
	KindCredential   Kind = "Credential"
)

// Metadata is what documents of all kinds have. Name is the identity within a
// kind.
type Metadata struct {
	Name        string            `yaml:"name"`
	Environment string            `yaml:"environment"`
	Team        string            `yaml:"team"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Document is one document of a kind.
type Document[S any] struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       Kind     `yaml:"kind"`
	Metadata   Metadata `yaml:"metadata"`
	Spec       S        `yaml:"spec"`
	// Source is where the document stands.
	Source Source `yaml:"-"`
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
	Environment  = Document[EnvironmentSpec]
	Cluster      = Document[ClusterSpec]
	API          = Document[APISpec]
	Version      = Document[VersionSpec]
	Product      = Document[ProductSpec]
	Application  = Document[ApplicationSpec]
	Subscription = Document[SubscriptionSpec]
	Credential   = Document[CredentialSpec]
)

// Set is everything that was read, documents in the order of files and lines.
type Set struct {
	Environments  []*Environment
	Clusters      []*Cluster
	APIs          []*API
	Versions      []*Version
	Products      []*Product
	Applications  []*Application
	Subscriptions []*Subscription
	Credentials   []*Credential
	// Files are all files that were read or that a document refers to, sorted:
	// when one changes, so may the set.
	Files []string
}

// Source is where a document stands.
type Source struct {
	File string
	doc  *strictyaml.Document
}

// Line returns the line of a field, or of what is above it.
func (s Source) Line(path string) int { return s.position(path).Line }

func (s Source) position(path string) strictyaml.Position {
	if s.doc == nil {
		return strictyaml.Position{}
	}
	return s.doc.Position(path)
}

func (s Source) problem(path, message, fix string) Problem {
	at := s.position(path)
	return Problem{File: s.File, Line: at.Line, Column: at.Column, Path: path, Message: message, Fix: fix}
}

// EnvironmentSpec describes one stage of a promotion order. Environments need
// no document; when there is one, all that are used must have one.
type EnvironmentSpec struct {
	Title string `yaml:"title"`
}

// ClusterSpec is a target cluster in one environment.
type ClusterSpec struct {
	// Bootstrap are host:port addresses.
	Bootstrap []string `yaml:"bootstrap"`
	// TLS is used when it is there, even if empty.
	TLS  *ClusterTLS  `yaml:"tls"`
	SASL *ClusterSASL `yaml:"sasl"`
	// System marks the cluster that holds Sluice's own topics.
	System bool `yaml:"system"`
}

// ClusterTLS is how the gateway speaks TLS to a target cluster.
type ClusterTLS struct {
	// CA holds PEM certificates; the system's are used without it.
	CA SecretRef `yaml:"ca"`
	// Certificate and Key are the gateway's own, PEM, for mutual TLS.
	Certificate SecretRef `yaml:"certificate"`
	Key         SecretRef `yaml:"key"`
	// ServerName is expected in the brokers' certificates instead of their host names.
	ServerName string `yaml:"serverName"`
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool `yaml:"insecureSkipVerify"`
}

// ClusterSASL is who the gateway is at a target cluster.
type ClusterSASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	Mechanism string    `yaml:"mechanism"`
	Username  string    `yaml:"username"`
	Password  SecretRef `yaml:"password"`
	// Token is the bearer token of OAUTHBEARER; Issuer gets one instead.
	Token  SecretRef    `yaml:"token"`
	Issuer *TokenIssuer `yaml:"issuer"`
	// Extensions are SASL extensions of OAUTHBEARER (KIP-342).
	Extensions map[string]string `yaml:"extensions"`
}

// TokenIssuer is where OAUTHBEARER gets tokens by client credentials (RFC 6749 §4.4).
type TokenIssuer struct {
	TokenEndpoint string    `yaml:"tokenEndpoint"`
	ClientID      string    `yaml:"clientId"`
	ClientSecret  SecretRef `yaml:"clientSecret"`
	Scope         string    `yaml:"scope"`
}

// APISpec is a stable name with an owner.
type APISpec struct {
	Title       string  `yaml:"title"`
	Description string  `yaml:"description"`
	Visibility  string  `yaml:"visibility"`
	Docs        Docs    `yaml:"docs"`
	Support     Support `yaml:"support"`
}

// Docs is where an API's pages are.
type Docs struct {
	Dir string `yaml:"dir"`
}

// Support is whom to ask.
type Support struct {
	Email string `yaml:"email"`
	URL   string `yaml:"url"`
}

// VersionSpec is a consumer-visible major line. The document's name is the
// API's name, ".v" and the major number.
type VersionSpec struct {
	Contract      Contract `yaml:"contract"`
	Compatibility string   `yaml:"compatibility"`
	// Channels map each channel of the contract to its backing topic per
	// environment.
	Channels  map[string]map[string]Backing `yaml:"channels"`
	Lifecycle Lifecycle                     `yaml:"lifecycle"`
}

// Contract is what may be done with each channel, inline or in a file.
type Contract struct {
	File     string             `yaml:"file"`
	Channels map[string]Channel `yaml:"channels"`
	// source is the file of the channels, when it is not the document's own.
	source *Source
}

// Channel is one stream of a contract. Send and Receive are said of the
// provider: what it sends, a subscriber may read; what it receives, a subscriber
// may write.
type Channel struct {
	// Address is the exposed topic; see ExposedTopic.
	Address     string   `yaml:"address"`
	Description string   `yaml:"description"`
	Send        bool     `yaml:"send"`
	Receive     bool     `yaml:"receive"`
	Operations  []string `yaml:"operations"`
}

// Backing is where a channel's records are in one environment.
type Backing struct {
	Cluster string `yaml:"cluster"`
	Topic   string `yaml:"topic"`
}

// Lifecycle is where a version stands and what is planned.
type Lifecycle struct {
	// State is draft, preview, published, deprecated, retired or blocked; the
	// default is draft.
	State string `yaml:"state"`
	// Sunset and Grace after it end a deprecated version; Grace is 0 by default.
	Sunset    time.Time     `yaml:"sunset"`
	Grace     time.Duration `yaml:"grace"`
	Successor string        `yaml:"successor"`
	// RetiredAt and BlockedAt say since when, if that was not just now.
	RetiredAt time.Time `yaml:"retiredAt"`
	BlockedAt time.Time `yaml:"blockedAt"`
	Brownouts []Window  `yaml:"brownouts"`
}

// Window is a span of time, To excluded.
type Window struct {
	From time.Time `yaml:"from"`
	To   time.Time `yaml:"to"`
}

// ProductSpec is what people subscribe to.
type ProductSpec struct {
	Title       string          `yaml:"title"`
	Description string          `yaml:"description"`
	Versions    []string        `yaml:"versions"`
	Plans       map[string]Plan `yaml:"plans"`
	Terms       string          `yaml:"terms"`
}

// Plan is on which conditions.
type Plan struct {
	// Auth are the methods admitted: plain, scram, oauth, mtls.
	Auth []string `yaml:"auth"`
	// Rights narrow the contract per channel: read, write, readwrite or none. A
	// channel that is not named keeps the rights of the contract.
	Rights   map[string]string `yaml:"rights"`
	Limits   Limits            `yaml:"limits"`
	Approval string            `yaml:"approval"`
	Price    Price             `yaml:"price"`
}

// Price is where a plan's price is.
type Price struct {
	File string `yaml:"file"`
}

// Limits are what a plan holds a client to; nil means no limit. They are
// carried and not enforced yet.
type Limits struct {
	ReadBytesPerSecond    *Size          `yaml:"readBytesPerSecond"`
	WriteBytesPerSecond   *Size          `yaml:"writeBytesPerSecond"`
	ReadRecordsPerSecond  *int64         `yaml:"readRecordsPerSecond"`
	WriteRecordsPerSecond *int64         `yaml:"writeRecordsPerSecond"`
	ReadBytesPerMonth     *Size          `yaml:"readBytesPerMonth"`
	WriteBytesPerMonth    *Size          `yaml:"writeBytesPerMonth"`
	Replay                *time.Duration `yaml:"replay"`
	RequestsPerSecond     *int64         `yaml:"requestsPerSecond"`
	Connections           *int64         `yaml:"connections"`
	ConnectionsPerSecond  *int64         `yaml:"connectionsPerSecond"`
}

// ApplicationSpec is a consumer's registered program.
type ApplicationSpec struct {
	Description string    `yaml:"description"`
	Suspended   bool      `yaml:"suspended"`
	Namespace   Namespace `yaml:"namespace"`
	Adopt       Adopt     `yaml:"adopt"`
	// Clusters name the target cluster per environment for an application
	// without topics; needed only where an environment has several.
	Clusters map[string]string `yaml:"clusters"`
}

// Namespace is how many topics and partitions an application may create.
type Namespace struct {
	Topics     int `yaml:"topics"`
	Partitions int `yaml:"partitions"`
}

// Adopt are names of the target cluster that are used as they are.
type Adopt struct {
	Groups           []string `yaml:"groups"`
	TransactionalIDs []string `yaml:"transactionalIds"`
}

// SubscriptionSpec is an application's agreement to a plan in one environment.
type SubscriptionSpec struct {
	Application string `yaml:"application"`
	Product     string `yaml:"product"`
	Plan        string `yaml:"plan"`
	// State is pending, active, suspended, closed, rejected or expired; the
	// default is active.
	State string `yaml:"state"`
	// Since begins and Expires ends an active subscription.
	Since   time.Time `yaml:"since"`
	Expires time.Time `yaml:"expires"`
	// ClosedAt says since when it is closed, if that was not just now.
	ClosedAt time.Time `yaml:"closedAt"`
}

// CredentialSpec is one way into an application's virtual cluster.
type CredentialSpec struct {
	Application string `yaml:"application"`
	// Type is plain, scram, oauth or mtls.
	Type string `yaml:"type"`
	// ClientID is what plain and scram log in with; the document's name by default.
	ClientID string    `yaml:"clientId"`
	Secret   SecretRef `yaml:"secret"`
	// Issuer and Subject are the claims that oauth matches exactly.
	Issuer  string `yaml:"issuer"`
	Subject string `yaml:"subject"`
	// SAN is one subject alternative name of mtls: dns:…, uri:… or email:….
	SAN      string    `yaml:"san"`
	NotAfter time.Time `yaml:"notAfter"`
	// State is active, retiring (until Until) or revoked; the default is active.
	State string    `yaml:"state"`
	Until time.Time `yaml:"until"`
	// Subscriptions narrow the credential to some of the application's; all when
	// the field is missing.
	Subscriptions []string `yaml:"subscriptions"`
}
