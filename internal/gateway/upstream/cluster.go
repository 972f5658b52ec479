package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	firstBackoff = 100 * time.Millisecond
	longBackoff  = 5 * time.Second
	// failedFor is how long an address that could not be reached is tried last.
	failedFor = 5 * time.Second
	// versionsFor is how long what a broker said of its versions holds, unless
	// a connection to it tells earlier.
	versionsFor  = 5 * time.Minute
	probeTimeout = 2 * time.Second
	probesAtOnce = 4
	maxBrokers   = 4096
)

// ErrUnknownNode says that the cluster has no broker of that id.
var ErrUnknownNode = errors.New("no such broker")

// Cluster is one target cluster: its directory and a way to its brokers. All
// methods are safe for concurrent use; they answer from memory unless they
// take a ctx.
type Cluster struct {
	cfg Config
	d   *dialer

	dir       atomic.Pointer[directory]
	ready     chan struct{}
	readyOnce sync.Once

	// notify orders changes of dir and the calls of onBrokers. It is taken
	// before mu.
	notify    sync.Mutex
	onBrokers func([]Broker)

	mu       sync.Mutex // guards what follows
	err      error
	peers    map[string]*peer // by address
	lastGood string
	admin    string // address of the admin connection

	topics  topicCache
	listing shared[[]Topic]  // of all topics
	search  shared[struct{}] // for a node that the directory does not have
	calls   chan *call
	wake    chan struct{}
	probes  sync.WaitGroup
}

// directory is what is known of a cluster; immutable.
type directory struct {
	brokers    []Broker // by NodeID
	clusterID  string
	controller int32
	refreshed  bool
	api        *apiVersions // what all brokers have in common; nil until one was reached
}

type peer struct {
	api      *apiVersions
	at       time.Time // of api
	failedAt time.Time
}

// call is one request for the admin connection; req nil asks for a refresh.
type call struct {
	ctx  context.Context
	req  kmsg.Request
	done chan result // of capacity 1
}

type result struct {
	resp kmsg.Response
	err  error
}

// NewCluster returns a cluster that knows nothing until Run runs; Dial of
// AnyNode works before.
func NewCluster(cfg Config) *Cluster {
	cfg = cfg.withDefaults()
	c := &Cluster{
		cfg:   cfg,
		d:     newDialer(cfg),
		ready: make(chan struct{}),
		peers: map[string]*peer{},
		calls: make(chan *call),
		wake:  make(chan struct{}, 1),
	}
	c.topics.init()
	c.dir.Store(&directory{controller: AnyNode})
	return c
}

// Name returns the name of the target cluster.
func (c *Cluster) Name() string { return c.cfg.Name }

// Ready is closed after the first successful refresh, and stays closed.
func (c *Cluster) Ready() <-chan struct{} { return c.ready }

// Err returns why the cluster cannot be used now, in words fit for operators,
// or nil. Before the first attempt it says so.
func (c *Cluster) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.dir.Load().refreshed {
		err = errors.New("not reached yet")
	}
	if err != nil {
		return fmt.Errorf("target cluster %q: %w", c.cfg.Name, err)
	}
	return nil
}

// OnBrokers sets what to call with all brokers whenever they change. It must
// be set before Run; f must not call LearnBrokers, and returns quickly.
func (c *Cluster) OnBrokers(f func([]Broker)) { c.onBrokers = f }

// Brokers returns the last known brokers by node id. The slice must not be changed.
func (c *Cluster) Brokers() []Broker { return c.dir.Load().brokers }

// ClusterID returns the target cluster's own id, or "".
func (c *Cluster) ClusterID() string { return c.dir.Load().clusterID }

// ControllerID returns the broker to send administrative requests to, or
// AnyNode. With KRaft any broker forwards them.
func (c *Cluster) ControllerID() int32 { return c.dir.Load().controller }

// Versions returns what all brokers reached so far have in common, or nil
// before one was. The map must not be changed.
func (c *Cluster) Versions() map[int16]Range {
	if api := c.dir.Load().api; api != nil {
		return api.ranges
	}
	return nil
}

// Features returns the features all brokers reached so far support, and the
// finalized levels with their epoch, which is -1 when unknown. The maps must
// not be changed.
func (c *Cluster) Features() (supported, finalized map[string]Range, epoch int64) {
	if api := c.dir.Load().api; api != nil {
		return api.supported, api.finalized, api.epoch
	}
	return nil, nil, -1
}

// LearnBrokers adds brokers, or their new addresses, from an answer that
// passed by. Brokers are forgotten by the cluster's own refresh only.
func (c *Cluster) LearnBrokers(brokers []Broker) {
	known := c.Brokers()
	if !slices.ContainsFunc(brokers, func(b Broker) bool { return b.valid() && !slices.Contains(known, b) }) {
		return
	}
	c.change(func(d *directory) {
		merged := map[int32]Broker{}
		for _, b := range slices.Concat(d.brokers, brokers) {
			merged[b.NodeID] = b
		}
		d.brokers = slices.Collect(maps.Values(merged))
	})
}

func (b Broker) valid() bool {
	return b.NodeID >= 0 && b.Host != "" && len(b.Host) <= 255 && b.Port > 0 && b.Port < 1<<16
}

func (b Broker) addr() string { return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))) }

// change replaces the directory by an edited copy whose brokers are in order,
// and tells of new brokers.
func (c *Cluster) change(edit func(*directory)) {
	c.notify.Lock()
	defer c.notify.Unlock()
	old := c.dir.Load()
	next := *old
	edit(&next)
	brokers := slices.DeleteFunc(slices.Clone(next.brokers), func(b Broker) bool { return !b.valid() })
	slices.SortFunc(brokers, func(a, b Broker) int { return int(a.NodeID) - int(b.NodeID) })
	next.brokers = brokers[:min(len(brokers), maxBrokers)]
	next.api = c.common(next.brokers)
	if old.api != nil && next.api != nil && old.api.equal(next.api) {
		next.api = old.api
	}
	c.dir.Store(&next)
	if c.onBrokers != nil && !slices.Equal(old.brokers, next.brokers) {
		c.onBrokers(next.brokers)
	}
}

// common intersects what the brokers, and whoever holds the admin connection,
// said of themselves.
func (c *Cluster) common(brokers []Broker) *apiVersions {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sum *apiVersions
	add := func(addr string) {
		if p := c.peers[addr]; p != nil && p.api != nil {
			sum = intersect(sum, p.api)
		}
	}
	add(c.admin)
	for _, b := range brokers {
		add(b.addr())
	}
	return sum
}

func intersect(a, b *apiVersions) *apiVersions {
	if a == nil || a == b {
		return b
	}
	sum := &apiVersions{ranges: overlap(a.ranges, b.ranges), supported: overlap(a.supported, b.supported), finalized: a.finalized, epoch: a.epoch}
	if b.epoch > a.epoch {
		sum.finalized, sum.epoch = b.finalized, b.epoch
	}
	return sum
}

func overlap[K comparable](a, b map[K]Range) map[K]Range {
	sum := make(map[K]Range, len(a))
	for k, x := range a {
		if y, ok := b[k]; ok {
			if r := (Range{max(x.Min, y.Min), min(x.Max, y.Max)}); r.Min <= r.Max {
				sum[k] = r
			}
		}
	}
	return sum
}

// heard notes what came of dialling an address.
func (c *Cluster) heard(addr string, api *apiVersions, failed bool) {
	c.mu.Lock()
	p := c.peers[addr]
	if p == nil {
		if len(c.peers) >= maxRemembered {
			clear(c.peers)
		}
		p = &peer{}
		c.peers[addr] = p
	}
	now := time.Now()
	p.failedAt = time.Time{}
	if failed {
		p.failedAt = now
	}
	changed := api != nil && api != p.api
	if api != nil {
		p.api, p.at = api, now
	}
	c.mu.Unlock()
	if changed {
		c.change(func(*directory) {})
	}
}

// Dial opens a connection to a broker and logs in, within DialTimeout. AnyNode
// means any broker that answers: the last good address first, then the
// bootstrap addresses in order, then all known brokers, those that failed
// lately at the end. An unknown id is looked up, by one refresh for all who ask within
// [sharedFor], before it is refused with ErrUnknownNode. Other errors wrap a *DialError. Nothing is retried.
func (c *Cluster) Dial(ctx context.Context, node int32, clientID string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	conn, err := c.dial(ctx, node, clientID, nil)
	if err != nil {
		return nil, fmt.Errorf("target cluster %q: %w", c.cfg.Name, err)
	}
	return conn, nil
}

func (c *Cluster) dial(ctx context.Context, node int32, clientID string, user *User) (*Conn, error) {
	if node == AnyNode {
		return c.dialAny(ctx, clientID, user)
	}
	addr, ok := c.addrOf(node)
	if !ok {
		_, _ = c.search.get(ctx, func(ctx context.Context) (struct{}, error) {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			_ = c.Refresh(ctx)
			return struct{}{}, nil // a failure also holds for a while
		})
		if addr, ok = c.addrOf(node); !ok {
			return nil, fmt.Errorf("dial node %d: %w", node, ErrUnknownNode)
		}
	}
	return c.dialAddr(ctx, addr, clientID, user)
}

func (c *Cluster) dialAddr(ctx context.Context, addr, clientID string, user *User) (*Conn, error) {
	conn, err := c.d.openAs(ctx, addr, clientID, true, user)
	if err != nil {
		if !errors.Is(err, context.Canceled) && (user == nil || !refusedLogin(err)) {
			c.heard(addr, nil, true)
		}
		return nil, err
	}
	c.heard(addr, conn.api, false)
	conn.node = c.nodeAt(addr)
	return conn, nil
}

func (c *Cluster) dialAny(ctx context.Context, clientID string, user *User) (*Conn, error) {
	addrs := c.candidates()
	if len(addrs) == 0 {
		return nil, errors.New("no bootstrap address is configured")
	}
	var first error
	for i, addr := range addrs {
		attempt, cancel := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok && i < len(addrs)-1 {
			share := max(time.Until(end)/time.Duration(len(addrs)-i), time.Second)
			attempt, cancel = context.WithTimeout(ctx, share)
		}
		conn, err := c.dialAddr(attempt, addr, clientID, user)
		cancel()
		if err == nil {
			c.mu.Lock()
			c.lastGood = addr
			c.mu.Unlock()
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(addrs) > 1 {
		return nil, fmt.Errorf("none of %d addresses can be used: %w", len(addrs), first)
	}
	return nil, first
}

func (c *Cluster) candidates() []string {
	brokers := c.Brokers()
	c.mu.Lock()
	defer c.mu.Unlock()
	var good, bad []string
	add := func(addr string) {
		if addr == "" || slices.Contains(good, addr) || slices.Contains(bad, addr) {
			return
		}
		if p := c.peers[addr]; p != nil && time.Since(p.failedAt) < failedFor {
			bad = append(bad, addr)
			return
		}
		good = append(good, addr)
	}
	add(c.lastGood)
	for _, addr := range c.cfg.Bootstrap {
		add(addr)
	}
	for _, b := range brokers[:min(len(brokers), 16)] {
		add(b.addr())
	}
	return append(good, bad...)
}

func (c *Cluster) addrOf(node int32) (string, bool) {
	brokers := c.Brokers()
	i, ok := slices.BinarySearchFunc(brokers, node, func(b Broker, id int32) int { return int(b.NodeID) - int(id) })
	if !ok {
		return "", false
	}
	return brokers[i].addr(), true
}

func (c *Cluster) nodeAt(addr string) int32 {
	for _, b := range c.Brokers() {
		if b.addr() == addr {
			return b.NodeID
		}
	}
	return AnyNode
}

// Request sends a request over the cluster's admin connection, in the highest
// version that both sides know, whatever version it is set to. Requests are
// sent one after the other, never twice, and each has RequestTimeout; when ctx
// ends earlier the caller stops waiting, but a request that was sent is not
// taken back, and req must not be used again. Which topics and groups it names
// is the caller's business.
func (c *Cluster) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	resp, err := c.call(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%s on target cluster %q: %w", kmsg.NameForKey(req.Key()), c.cfg.Name, err)
	}
	return resp, nil
}

// RequestNode sends a request to one broker over a connection of its own, for
// requests that only a coordinator or controller answers. AnyNode is Request.
func (c *Cluster) RequestNode(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	if node == AnyNode {
		return c.Request(ctx, req)
	}
	conn, err := c.Dial(ctx, node, c.cfg.ClientID)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	resp, err := c.exchange(ctx, conn, req)
	if err != nil {
		return nil, fmt.Errorf("%s on target cluster %q, node %d: %w", kmsg.NameForKey(req.Key()), c.cfg.Name, node, err)
	}
	return resp, nil
}

// Refresh looks at brokers, features and wanted topics now.
func (c *Cluster) Refresh(ctx context.Context) error {
	if _, err := c.call(ctx, nil); err != nil {
		return fmt.Errorf("refresh target cluster %q: %w", c.cfg.Name, err)
	}
	return nil
}

func (c *Cluster) call(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	call := &call{ctx: ctx, req: req, done: make(chan result, 1)}
	select {
	case c.calls <- call:
	case <-ctx.Done():
		return nil, c.waited(ctx)
	}
	select {
	case r := <-call.done:
		return r.resp, r.err
	case <-ctx.Done():
		return nil, c.waited(ctx)
	}
}

// waited says what a caller waited for in vain.
func (c *Cluster) waited(ctx context.Context) error {
	c.mu.Lock()
	last := c.err
	c.mu.Unlock()
	if last != nil {
		return fmt.Errorf("%w (%v)", ctx.Err(), last)
	}
	return ctx.Err()
}

// Run keeps the directory fresh over one admin connection, which it opens
// again, ever more slowly, when it is lost. It returns nil once ctx ends.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.probes.Wait()
	backoff := firstBackoff
	for {
		began := time.Now()
		reached, err := c.serve(ctx)
		if ctx.Err() != nil {
			c.topics.failAll(fmt.Errorf("target cluster %q: %w", c.cfg.Name, ctx.Err()))
			return nil
		}
		c.failing(err)
		if reached && time.Since(began) > time.Second {
			backoff = firstBackoff
			continue // a connection may end; whoever waits does not notice
		}
		c.topics.failAll(c.Err())
		c.pause(ctx, backoff/2+rand.N(backoff), err)
		if backoff = min(2*backoff, longBackoff); reached {
			backoff = firstBackoff
		}
	}
}

// pause waits, answering calls with err meanwhile.
func (c *Cluster) pause(ctx context.Context, d time.Duration, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case call := <-c.calls:
			call.done <- result{err: err}
		}
	}
}

func (c *Cluster) failing(err error) {
	c.mu.Lock()
	before := c.err
	c.err = err
	c.mu.Unlock()
	if before == nil || before.Error() != err.Error() {
		c.cfg.Log.Warn("target cluster cannot be used", "cluster", c.cfg.Name, "err", err)
	}
}

func (c *Cluster) working() {
	c.mu.Lock()
	before := c.err
	c.err = nil
	c.mu.Unlock()
	first := false
	c.readyOnce.Do(func() { first = true; close(c.ready) })
	if first || before != nil {
		d := c.dir.Load()
		c.cfg.Log.Info("target cluster is ready", "cluster", c.cfg.Name, "cluster_id", d.clusterID, "brokers", len(d.brokers))
	}
}

// serve opens the admin connection and works on it until it fails. reached
// tells whether the first refresh succeeded.
func (c *Cluster) serve(ctx context.Context) (reached bool, err error) {
	dialCtx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	conn, err := c.dialAny(dialCtx, c.cfg.ClientID, nil)
	cancel()
	if err != nil {
		return false, err
	}
	defer conn.Close()
	c.mu.Lock()
	c.admin = conn.addr
	c.mu.Unlock()

	if err := c.refresh(ctx, conn, false); err != nil {
		if hungUp(err) && c.cfg.SASL == nil {
			err = fmt.Errorf("broker closed the connection at the first request after the versions; it may expect a login while the cluster has no sasl setting: %w", err)
		}
		return false, conn.fail(StepMetadata, err)
	}
	c.probe(ctx, true)
	c.working()
	if err := c.lookUp(ctx, conn); err != nil {
		return true, conn.fail(StepMetadata, err)
	}

	timer := time.NewTimer(c.nextRefresh())
	defer timer.Stop()
	for {
		var reauth <-chan time.Time
		if at := conn.ReauthAt(); !at.IsZero() {
			reauth = time.After(time.Until(at))
		}
		var err error
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case <-timer.C:
			if err = c.refresh(ctx, conn, true); err == nil {
				c.probe(ctx, false)
			}
			timer.Reset(c.nextRefresh())
		case <-c.wake:
			err = c.lookUp(ctx, conn)
		case call := <-c.calls:
			err = c.answer(ctx, conn, call)
		case <-reauth:
			err = conn.Reauthenticate(ctx)
		}
		var dial *DialError
		switch {
		case errors.As(err, &dial):
			return true, err
		case err != nil:
			return true, conn.fail(StepMetadata, err)
		}
	}
}

func (c *Cluster) nextRefresh() time.Duration {
	d := c.cfg.RefreshEvery
	return d - d/10 + rand.N(d/5+1)
}

// answer serves one call. It returns an error when the connection is of no
// more use.
func (c *Cluster) answer(ctx context.Context, conn *Conn, call *call) error {
	if err := call.ctx.Err(); err != nil {
		call.done <- result{err: err}
		return nil
	}
	if call.req == nil {
		err := c.refresh(ctx, conn, true)
		call.done <- result{err: err}
		return err
	}
	if err := conn.chooseVersion(call.req); err != nil {
		call.done <- result{err: err}
		return nil
	}
	resp, err := c.exchange(ctx, conn, call.req)
	call.done <- result{resp, err}
	return err
}

// exchange sends a request and waits for the answer within RequestTimeout.
// After an error the connection is of no more use.
func (c *Cluster) exchange(ctx context.Context, conn *Conn, req kmsg.Request) (resp kmsg.Response, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	err = conn.during(ctx, func() error {
		resp, err = conn.request(req, maxAdminResponseBytes, maxAdminDecodedBytes)
		return err
	})
	return resp, err
}

// refresh asks for brokers, and for versions and features as well if again.
// Then it looks up wanted topics.
func (c *Cluster) refresh(ctx context.Context, conn *Conn, again bool) error {
	if again {
		var api *apiVersions
		bounded, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
		err := conn.during(bounded, func() (err error) { api, err = conn.askVersions(); return })
		cancel()
		if err != nil {
			return err
		}
		conn.api = c.d.shared(conn.addr, api)
		c.heard(conn.addr, conn.api, false)
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	req.AllowAutoTopicCreation = false
	answer, err := c.exchange(ctx, conn, req)
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.MetadataResponse)
	if resp.ErrorCode != 0 {
		return kerr.ErrorForCode(resp.ErrorCode)
	}
	if len(resp.Brokers) == 0 {
		return errors.New("broker knows of no brokers, not even itself")
	}
	c.change(func(d *directory) {
		d.refreshed = true
		d.controller = resp.ControllerID
		d.clusterID = ""
		if resp.ClusterID != nil {
			d.clusterID = *resp.ClusterID
		}
		d.brokers = brokersOf(resp)
	})
	conn.node = c.nodeAt(conn.addr)
	return c.lookUpWanted(ctx, conn)
}

func brokersOf(resp *kmsg.MetadataResponse) []Broker {
	seen := make(map[int32]bool, len(resp.Brokers))
	brokers := make([]Broker, 0, len(resp.Brokers))
	for _, b := range resp.Brokers {
		if seen[b.NodeID] {
			continue
		}
		seen[b.NodeID] = true
		broker := Broker{NodeID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		brokers = append(brokers, broker)
	}
	return brokers
}

// probe asks brokers that were not heard of lately for their versions, over
// connections of their own that end before a login. If wait, it gives them
// probeTimeout.
func (c *Cluster) probe(ctx context.Context, wait bool) {
	var addrs []string
	c.mu.Lock()
	for _, b := range c.dir.Load().brokers {
		addr := b.addr()
		p := c.peers[addr]
		if p == nil || time.Since(p.at) > versionsFor && time.Since(p.failedAt) > 6*failedFor {
			addrs = append(addrs, addr)
		}
	}
	c.mu.Unlock()
	if len(addrs) == 0 {
		return
	}
	addrs = addrs[:min(len(addrs), 64)]
	done := make(chan struct{})
	c.probes.Go(func() {
		defer close(done)
		var group sync.WaitGroup
		defer group.Wait()
		slots := make(chan struct{}, probesAtOnce)
		for _, addr := range addrs {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				ctx, cancel := context.WithTimeout(ctx, probeTimeout)
				defer cancel()
				conn, err := c.d.open(ctx, addr, c.cfg.ClientID, false)
				if err != nil {
					c.heard(addr, nil, true)
					return
				}
				conn.Close()
				c.heard(addr, conn.api, false)
			})
		}
	})
	if wait {
		timer := time.NewTimer(probeTimeout)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}
