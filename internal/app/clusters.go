package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/control/publish"
	"sluice/internal/gateway/identity"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/outbound"
)

// How long a target cluster that was replaced or removed keeps running for the
// client connections that began on it. Those of a removed one end with their
// grants; those of a replaced one may go on, and start over only when they need
// something looked up after it is gone.
const (
	removedFor  = 5 * time.Second
	replacedFor = 15 * time.Minute
)

type clusterDeps struct {
	log      *slog.Logger
	version  string
	outbound *outbound.Client
	now      func() time.Time
	learn    func([]upstream.Broker)

	// Of applications' users: what their names are made of, and whether what is in force
	// is the newest.
	seed        []byte
	environment string
	fresh       func() bool
}

// clusters are the target clusters in use. Reading is safe for concurrent use;
// update, retire and start are called by one goroutine at a time.
type clusters struct {
	deps    clusterDeps
	current atomic.Pointer[map[string]*cluster]
	gone    map[*cluster]time.Duration
	wanted  backings
	ctx     context.Context // of what runs; nil before start
	wg      sync.WaitGroup
}

// cluster is one target cluster at work.
type cluster struct {
	*upstream.Cluster
	spec   publish.Cluster
	login  *login
	keeper *identity.Keeper
	cancel context.CancelFunc
}

func newClusters(deps clusterDeps) *clusters {
	c := &clusters{deps: deps, gone: map[*cluster]time.Duration{}}
	c.current.Store(&map[string]*cluster{})
	return c
}

// Cluster returns a target cluster by name, or nil.
func (c *clusters) Cluster(name string) *upstream.Cluster {
	if found := (*c.current.Load())[name]; found != nil {
		return found.Cluster
	}
	return nil
}

// All returns every target cluster.
func (c *clusters) All() []*upstream.Cluster {
	var all []*upstream.Cluster
	for _, cl := range c.inOrder() {
		all = append(all, cl.Cluster)
	}
	return all
}

// inOrder returns all clusters by name.
func (c *clusters) inOrder() []*cluster {
	current := *c.current.Load()
	all := make([]*cluster, 0, len(current))
	for _, name := range slices.Sorted(maps.Keys(current)) {
		all = append(all, current[name])
	}
	return all
}

// update makes the clusters those of the list. One that is reached as before
// stays, with its new secrets; what is gone runs on until retire.
func (c *clusters) update(list []publish.Cluster, s *grant.Snapshot) {
	old := *c.current.Load()
	next := make(map[string]*cluster, len(list))
	for _, spec := range list {
		before := old[spec.Name]
		switch {
		case before != nil && before.spec.Fingerprint == spec.Fingerprint:
			next[spec.Name] = before
			continue
		case before != nil && sameReach(before.spec, spec):
			before.spec = spec
			before.login.spec.Store(spec.SASL)
			next[spec.Name] = before
			c.deps.log.Info("target cluster has new secrets or another upstream identity, used from the next connection on", "cluster", spec.Name)
			continue
		case before != nil:
			c.gone[before] = replacedFor
			before.keeper.Freeze()
			c.deps.log.Info("target cluster has changed", "cluster", spec.Name)
		}
		next[spec.Name] = c.newCluster(spec)
	}
	for name, before := range old {
		if next[name] == nil {
			c.gone[before] = removedFor
			before.keeper.Freeze()
			c.deps.log.Info("target cluster is removed", "cluster", name)
		}
	}
	wanted := c.wanted.of(s)
	for name, cl := range next {
		cl.Wanted(wanted[name])
		cl.keeper.Set(identityOf(cl.spec), s)
		if c.ctx != nil && cl.cancel == nil {
			c.run(cl)
		}
	}
	c.current.Store(&next)
}

// retire lets the clusters go that update replaced or removed.
func (c *clusters) retire() {
	for cl, after := range c.gone {
		delete(c.gone, cl)
		if cl.cancel != nil {
			stop := time.AfterFunc(after, cl.cancel)
			context.AfterFunc(c.ctx, func() { stop.Stop() })
		}
	}
}

// start runs the clusters until the context ends.
func (c *clusters) start(ctx context.Context) {
	c.ctx = ctx
	for _, cl := range *c.current.Load() {
		c.run(cl)
	}
}

func (c *clusters) run(cl *cluster) {
	ctx, cancel := context.WithCancel(c.ctx)
	cl.cancel = cancel
	c.wg.Go(func() {
		defer cancel()
		cl.Run(ctx)
	})
	c.wg.Go(func() { cl.keeper.Run(ctx, cl.Cluster, cl.Ready()) })
}

// notReady says which clusters have never been reached, and why.
func (c *clusters) notReady() []string {
	var out []string
	for _, cl := range c.All() {
		select {
		case <-cl.Ready():
		default:
			out = append(out, fmt.Sprint(cl.Err()))
		}
	}
	return out
}

// wait blocks until every cluster has been reached once.
func (c *clusters) wait(ctx context.Context) error {
	for _, cl := range c.All() {
		select {
		case <-cl.Ready():
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), cl.Err())
		}
	}
	return nil
}

func (c *clusters) newCluster(spec publish.Cluster) *cluster {
	l := newLogin(spec, c.deps)
	keeper := newKeeper(spec.Name, c.deps)
	config := upstreamConfig(spec, l, c.deps)
	config.Users = keeper
	u := upstream.NewCluster(config)
	u.OnBrokers(c.deps.learn)
	return &cluster{Cluster: u, spec: spec, login: l, keeper: keeper}
}

// upstreamConfig turns a compiled cluster into what dials it.
func upstreamConfig(spec publish.Cluster, l *login, deps clusterDeps) upstream.Config {
	u := upstream.Config{Name: spec.Name, Bootstrap: spec.Bootstrap, TLS: spec.TLS, SoftwareVersion: deps.version, Log: deps.log}
	if spec.SASL != nil {
		u.SASL = l.mechanism
	}
	return u
}

// sameReach reports whether two states of a cluster differ in nothing but the
// secrets of the login.
func sameReach(a, b publish.Cluster) bool {
	return slices.Equal(a.Bootstrap, b.Bootstrap) && a.System == b.System && sameTLS(a.TLS, b.TLS) && (a.SASL == nil) == (b.SASL == nil)
}

func sameTLS(a, b *tls.Config) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.ServerName != b.ServerName || a.InsecureSkipVerify != b.InsecureSkipVerify || !a.RootCAs.Equal(b.RootCAs) {
		return false
	}
	return slices.EqualFunc(a.Certificates, b.Certificates, func(x, y tls.Certificate) bool {
		return slices.EqualFunc(x.Certificate, y.Certificate, slices.Equal)
	})
}

// login is who the gateway is at a target cluster, with the secrets of now.
type login struct {
	cluster string
	spec    atomic.Pointer[publish.SASL]
	tokens  tokenSource
}

func newLogin(spec publish.Cluster, deps clusterDeps) *login {
	l := &login{cluster: spec.Name, tokens: tokenSource{client: deps.outbound, now: deps.now}}
	l.spec.Store(spec.SASL)
	return l
}

// mechanism is upstream.Config.SASL.
func (l *login) mechanism(ctx context.Context) (sasl.Mechanism, error) {
	s := l.spec.Load()
	if s == nil {
		return nil, nil
	}
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.Username, Pass: s.Password.Reveal()}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.Username, Pass: s.Password.Reveal()}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.Username, Pass: s.Password.Reveal()}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		token := s.Token.Reveal()
		if s.Issuer != nil {
			var err error
			if token, err = l.tokens.token(ctx, *s.Issuer); err != nil {
				return nil, err
			}
		}
		return oauth.Auth{Token: token, Extensions: s.Extensions}.AsMechanism(), nil
	}
	return nil, fmt.Errorf("bug: mechanism %q", s.Mechanism)
}

// clusterCollector shows which target clusters can be used.
type clusterCollector struct{ clusters *clusters }

var clusterUp = prometheus.NewDesc("sluice_gateway_target_cluster_up", "1 while a target cluster can be used, else 0.", []string{"cluster"}, nil)

// Describe is prometheus.Collector's.
func (c clusterCollector) Describe(ch chan<- *prometheus.Desc) { ch <- clusterUp }

// Collect is prometheus.Collector's.
func (c clusterCollector) Collect(ch chan<- prometheus.Metric) {
	for _, cl := range c.clusters.All() {
		up := 0.0
		if cl.Err() == nil {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(clusterUp, prometheus.GaugeValue, up, cl.Name())
	}
}

// backings counts the grants of each backing topic, by target cluster, so that following a
// change costs what changed.
type backings struct {
	grants map[*grant.Grant]bool
	topics map[string]map[string]int
}

// of returns the backing topics of a snapshot, by target cluster and in no order.
func (b *backings) of(s *grant.Snapshot) map[string][]string {
	if b.topics == nil {
		b.topics = map[string]map[string]int{}
	}
	grants := make(map[*grant.Grant]bool, len(b.grants))
	for g := range s.Grants() {
		if grants[g] = true; !b.grants[g] {
			b.count(g, 1)
		}
	}
	for g := range b.grants {
		if !grants[g] {
			b.count(g, -1)
		}
	}
	b.grants = grants
	out := make(map[string][]string, len(b.topics))
	for cluster, topics := range b.topics {
		out[cluster] = slices.Collect(maps.Keys(topics))
	}
	return out
}

func (b *backings) count(g *grant.Grant, n int) {
	topics := b.topics[g.Cluster]
	if topics == nil {
		topics = map[string]int{}
		b.topics[g.Cluster] = topics
	}
	for _, t := range g.Topics {
		if topics[t.Backing] += n; topics[t.Backing] == 0 {
			delete(topics, t.Backing)
		}
	}
}
