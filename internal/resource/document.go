package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"sluice/internal/strictyaml"
)

// Key is what names a document: no two of a kind have the same name, whatever
// their environments.
type Key struct {
	Kind Kind
	Name string
}

// String returns the key in words, as "Subscription acme-orders".
func (k Key) String() string { return string(k.Kind) + " " + k.Name }

// Any is a document of any kind: a *Document.
type Any interface {
	Key() Key
	// Meta is the document's own metadata, not a copy.
	Meta() *Metadata
	// Problem is a problem of a field of the document, at its place where it has one.
	Problem(path, message, fix string) Problem
	into(*Set)
}

// Key returns what names the document.
func (d *Document[S]) Key() Key { return Key{d.Kind, d.Metadata.Name} }

// Meta returns the document's metadata.
func (d *Document[S]) Meta() *Metadata { return &d.Metadata }

func (d *Document[S]) into(s *Set) {
	switch d := any(d).(type) {
	case *Organisation:
		s.Organisations = append(s.Organisations, d)
	case *Team:
		s.Teams = append(s.Teams, d)
	case *Environment:
		s.Environments = append(s.Environments, d)
	case *Cluster:
		s.Clusters = append(s.Clusters, d)
	case *Gateway:
		s.Gateways = append(s.Gateways, d)
	case *API:
		s.APIs = append(s.APIs, d)
	case *Version:
		s.Versions = append(s.Versions, d)
	case *Product:
		s.Products = append(s.Products, d)
	case *Application:
		s.Applications = append(s.Applications, d)
	case *Subscription:
		s.Subscriptions = append(s.Subscriptions, d)
	case *Credential:
		s.Credentials = append(s.Credentials, d)
	default:
		panic(fmt.Sprintf("bug: no place for a %T", d))
	}
}

// NewSet returns a set of documents in the order given; it has no Files.
func NewSet(documents iter.Seq[Any]) *Set {
	s := &Set{}
	for d := range documents {
		d.into(s)
	}
	return s
}

// With returns a set with documents put in place of those of their names, and those
// removed whose key leads to nil. Each kind is in the order of names where it was
// before; kinds without a change are shared.
func (s *Set) With(changed map[Key]Any) *Set {
	next := *s
	with(&next.Organisations, KindOrganisation, changed)
	with(&next.Teams, KindTeam, changed)
	with(&next.Environments, KindEnvironment, changed)
	with(&next.Clusters, KindCluster, changed)
	with(&next.Gateways, KindGateway, changed)
	with(&next.APIs, KindAPI, changed)
	with(&next.Versions, KindVersion, changed)
	with(&next.Products, KindProduct, changed)
	with(&next.Applications, KindApplication, changed)
	with(&next.Subscriptions, KindSubscription, changed)
	with(&next.Credentials, KindCredential, changed)
	return &next
}

func with[S any](documents *[]*Document[S], kind Kind, changed map[Key]Any) {
	var names []string
	for key := range changed {
		if key.Kind == kind {
			names = append(names, key.Name)
		}
	}
	if names == nil {
		return
	}
	slices.Sort(names)
	before := *documents
	after := make([]*Document[S], 0, len(before)+len(names))
	for _, name := range names {
		i, there := slices.BinarySearchFunc(before, name, func(d *Document[S], name string) int { return strings.Compare(d.Name(), name) })
		after, before = append(after, before[:i]...), before[i:]
		if there {
			before = before[1:]
		}
		if d := changed[Key{kind, name}]; d != nil {
			after = append(after, d.(*Document[S]))
		}
	}
	*documents = append(after, before...)
}

// All yields every document, kind by kind in the order of Kinds.
func (s *Set) All() iter.Seq[Any] {
	return func(yield func(Any) bool) {
		_ = every(s.Organisations, yield) && every(s.Teams, yield) && every(s.Environments, yield) && every(s.Clusters, yield) && every(s.Gateways, yield) &&
			every(s.APIs, yield) && every(s.Versions, yield) && every(s.Products, yield) &&
			every(s.Applications, yield) && every(s.Subscriptions, yield) && every(s.Credentials, yield)
	}
}

func every[S any](documents []*Document[S], yield func(Any) bool) bool {
	for _, d := range documents {
		if !yield(d) {
			return false
		}
	}
	return true
}

// Marshal writes a document as JSON. Fields are those of files, what is not set is
// left out, and the same document gives the same bytes.
func Marshal(d Any) ([]byte, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", d.Key(), err)
	}
	return b, nil
}

// Unmarshal reads what Marshal wrote. It checks nothing; documents of others are
// for [Read] and [ReadRequest].
func Unmarshal(b []byte) (Any, error) {
	// Marshal begins with it. A text with another kind further on says so below.
	after, ok := bytes.CutPrefix(b, []byte(`{"apiVersion":"`+APIVersion+`","kind":"`))
	name, _, ended := bytes.Cut(after, []byte(`"`))
	kind := Kind(name)
	if k, known := kinds[kind]; ok && ended && known {
		d, err := k.read(b)
		if err != nil {
			return nil, fmt.Errorf("read a document of kind %s: %w", kind, err)
		}
		if d.Key().Kind == kind {
			return d, nil
		}
	}
	var head struct {
		Kind Kind `json:"kind"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("read a document: %w", err)
	}
	k, known := kinds[head.Kind]
	if !known {
		return nil, fmt.Errorf("read a document: %q is not a kind", head.Kind)
	}
	d, err := k.read(b)
	if err != nil {
		return nil, fmt.Errorf("read a document of kind %s: %w", head.Kind, err)
	}
	return d, nil
}

// YAML writes a document as files hold it.
func YAML(d Any) ([]byte, error) {
	b, err := Marshal(d)
	if err != nil {
		return nil, err
	}
	if b, err = strictyaml.FromJSON(b); err != nil {
		return nil, fmt.Errorf("write %s: %w", d.Key(), err)
	}
	return b, nil
}

// New returns an empty document, without even its kind; nil for what is no kind.
func New(kind Kind) Any {
	if k, ok := kinds[kind]; ok {
		return k.empty()
	}
	return nil
}

// kinds are how documents of each kind are made.
var kinds = map[Kind]struct {
	empty func() Any
	read  func([]byte) (Any, error)
}{
	KindOrganisation: {empty[OrganisationSpec], reading[OrganisationSpec]()},
	KindTeam:         {empty[TeamSpec], reading[TeamSpec]()},
	KindEnvironment:  {empty[EnvironmentSpec], reading[EnvironmentSpec]()},
	KindCluster:      {empty[ClusterSpec], reading[ClusterSpec]()},
	KindGateway:      {empty[GatewaySpec], reading[GatewaySpec]()},
	KindAPI:          {empty[APISpec], reading[APISpec]()},
	KindVersion:      {empty[VersionSpec], reading[VersionSpec]()},
	KindProduct:      {empty[ProductSpec], reading[ProductSpec]()},
	KindApplication:  {empty[ApplicationSpec], reading[ApplicationSpec]()},
	KindSubscription: {empty[SubscriptionSpec], reading[SubscriptionSpec]()},
	KindCredential:   {empty[CredentialSpec], reading[CredentialSpec]()},
}

func empty[S any]() Any { return &Document[S]{} }

func reading[S any]() func([]byte) (Any, error) {
	return func(b []byte) (Any, error) {
		d := &Document[S]{}
		return d, jsonv2.Unmarshal(b, d)
	}
}
