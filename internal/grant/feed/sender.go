package feed

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"sluice/internal/grant"
)

// SenderConfig is what a Sender works with.
type SenderConfig struct {
	Authority *Authority
	// Admit says which environment a gateway is of, by its name and the key that it has
	// proved; an error says why it may not be here, in words for its log. It is asked
	// when a gateway comes, and every few seconds again.
	Admit func(name, key string) (environment string, err error)
	// Join redeems the secret of a token for a key: from then on the gateway has it.
	Join func(ctx context.Context, secret, key, address string) (name, environment string, err error)
	// Reported gets what a gateway of an environment tells of itself; it may be nil. It
	// must not wait.
	Reported func(name, environment string, r Report)
	Log      *slog.Logger
	Now      func() time.Time
}

// Sender is the control plane's end of the feed. It is safe for concurrent use.
type Sender struct {
	config SenderConfig
	tls    *tls.Config

	mu       sync.Mutex // guards what follows
	lines    map[string]*line
	gateways map[string]*peer // by name, those that have been here
	issued   *tls.Certificate
	issuedAt time.Time
	conns    int
}

// What one sender may have of connections, and of those that are no gateway's yet.
const (
	maxConnections = 20_000
	maxHandshakes  = 256
)

// line is what the gateways of one environment get. Its fields are guarded by Sender.mu.
type line struct {
	state *held
	whole *whole        // a frame of it
	steps []step        // that led to it, the oldest first
	bytes int           // of steps
	next  chan struct{} // closed when there is another state
}

// whole is a frame of all of a state. It is made when somebody needs it, which takes long:
// once for all who do, and without Sender.mu.
type whole struct {
	once  sync.Once
	frame []byte
	err   error
}

func (w *whole) of(key ed25519.PrivateKey, h *held) ([]byte, error) {
	w.once.Do(func() { w.frame, w.err = wholeFrame(key, h) })
	return w.frame, w.err
}

type step struct {
	from    grant.Number
	fromSum sum
	to      grant.Number
	toSum   sum
	frame   []byte
}

// What is kept of steps, for gateways that have missed some.
const (
	maxSteps      = 1024
	maxStepsBytes = 8 << 20
)

// peer is a gateway that has been here.
type peer struct {
	environment string
	conns       int       // more than one for a moment, when it comes again
	since       time.Time // connected or not
	heard       time.Time // the last report
	report      Report
	rejected    uint64 // the number of the last rejection that came
}

// Gateway is what is known of one.
type Gateway struct {
	Name, Environment string
	Connected         bool
	// Since is since when it is connected, or is not any more.
	Since time.Time
	// Heard is when Report came.
	Heard  time.Time
	Report Report
	// Current is the number of the newest state of its environment; Behind says that
	// this one is not in force there.
	Current grant.Number
	Behind  bool
}

// NewSender returns a sender that has nothing to send yet.
func NewSender(c SenderConfig) *Sender {
	s := &Sender{config: c, lines: map[string]*line{}, gateways: map[string]*peer{}}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		pair, err := s.certificate()
		if err != nil {
			return nil, err
		}
		t := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*pair}, SessionTicketsDisabled: true}
		switch {
		case slices.Contains(h.SupportedProtos, feedProtocol):
			t.NextProtos, t.ClientAuth, t.ClientCAs = []string{feedProtocol}, tls.RequireAndVerifyClientCert, c.Authority.pool()
		case slices.Contains(h.SupportedProtos, joinProtocol):
			t.NextProtos = []string{joinProtocol}
		default:
			return nil, errors.New("no protocol of a gateway")
		}
		return t, nil
	}}
	return s
}

// certificate returns that of the control plane, a new one in time.
func (s *Sender) certificate() (*tls.Certificate, error) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issued == nil || now.Sub(s.issuedAt) > controlLife/2 {
		pair, err := s.config.Authority.control(now)
		if err != nil {
			return nil, err
		}
		s.issued, s.issuedAt = pair, now
	}
	return s.issued, nil
}

// Publish makes a state the newest of its environment. Its number has to be greater than
// that of the one before, unless it is the same state.
func (s *Sender) Publish(state State) error {
	environment, number := state.Grants.Environment(), state.Grants.Number()
	s.mu.Lock()
	before := s.lines[environment]
	s.mu.Unlock() // the rest takes time; there is one publisher
	if before == nil {
		next, err := hold(state)
		if err != nil {
			return fmt.Errorf("publish state %v of %s: %w", number, environment, err)
		}
		s.mu.Lock()
		s.lines[environment] = &line{state: next, whole: new(whole), next: make(chan struct{})}
		s.mu.Unlock()
		return nil
	}
	old := before.state.Grants.Number()
	d, common, err := before.state.step(state)
	if err != nil {
		return fmt.Errorf("publish state %v of %s: %w", number, environment, err)
	}
	if number == old && common == nil && len(d.Put)+len(d.Remove) == 0 {
		return nil
	}
	next, err := before.state.follow(d, common)
	if err != nil {
		return fmt.Errorf("publish state %v of %s: %w", number, environment, err)
	}
	next.State = state
	frame, err := deltaFrame(s.config.Authority.signing, environment, d, common, next.sum)
	if err != nil {
		return fmt.Errorf("publish state %v of %s: %w", number, environment, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := before
	l.steps = append(l.steps, step{old, l.state.sum, number, next.sum, frame})
	l.bytes += len(frame)
	for len(l.steps) > maxSteps || l.bytes > maxStepsBytes && len(l.steps) > 1 {
		l.bytes -= len(l.steps[0].frame)
		l.steps = slices.Delete(l.steps, 0, 1)
	}
	l.state, l.whole = next, new(whole)
	close(l.next)
	l.next = make(chan struct{})
	return nil
}

// Gateways returns what is known of those that have been here, by name.
func (s *Sender) Gateways() []Gateway {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Gateway, 0, len(s.gateways))
	for name, p := range s.gateways {
		out = append(out, s.known(name, p))
	}
	slices.SortFunc(out, func(a, b Gateway) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Gateway returns what is known of one; false when it has not been here.
func (s *Sender) Gateway(name string) (Gateway, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.gateways[name]
	if p == nil {
		return Gateway{}, false
	}
	return s.known(name, p), true
}

// known is called with mu held.
func (s *Sender) known(name string, p *peer) Gateway {
	g := Gateway{Name: name, Environment: p.environment, Connected: p.conns > 0, Since: p.since, Heard: p.heard, Report: p.report}
	if l := s.lines[p.environment]; l != nil {
		g.Current = l.state.Grants.Number()
		g.Behind = p.report.Number != g.Current
	}
	return g
}

// Forget drops what is known of gateways that are not there any more. Admit is what
// ends their connections.
func (s *Sender) Forget(there func(name string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.gateways {
		if !there(name) {
			delete(s.gateways, name)
		}
	}
}

// Serve answers gateways until the context ends, and closes the listener.
func (s *Sender) Serve(ctx context.Context, listener net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	handshakes := make(chan struct{}, maxHandshakes)
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept gateways: %w", err)
		}
		if err != nil { // descriptors are used up, for instance
			s.config.Log.Error("accept gateways", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		select {
		case handshakes <- struct{}{}:
		default: // more than a control plane has at a time: they come again
			conn.Close()
			continue
		}
		conns.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			s.answer(ctx, tls.Server(conn, s.tls), func() { <-handshakes })
		})
	}
}

// answer is one connection; greeted is called once it is a gateway's, or nobody's.
func (s *Sender) answer(ctx context.Context, conn *tls.Conn, greeted func()) {
	greeted = sync.OnceFunc(greeted)
	defer greeted()
	log := s.config.Log.With("address", conn.RemoteAddr().String())
	handshake, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(handshake); err != nil {
		log.Debug("somebody who is no gateway", "err", err)
		return
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol == joinProtocol {
		if err := s.join(ctx, conn); err != nil {
			log.Warn("a gateway cannot join", "err", err)
		}
		return
	}
	leaf := state.PeerCertificates[0]
	name := leaf.Subject.CommonName
	log = log.With("gateway", name)
	environment, err := s.config.Admit(name, keyOf(leaf))
	if err != nil {
		log.Warn("a gateway is refused", "err", err)
		_ = say(conn, sendRefusal, refusal{err.Error()}) // it comes again and may hear it then
		return
	}
	m, err := readMessage(conn, false, handshakeTime)
	var have hello
	if err == nil && m.kind != tellHello {
		err = fmt.Errorf("it begins with a message of kind %d", m.kind)
	}
	if err == nil {
		err = m.as(&have)
	}
	if err != nil {
		log.Debug("a gateway does not say what it has", "err", err)
		return
	}
	greeted()
	if err := s.serve(ctx, conn, log, name, environment, leaf, have); err != nil && ctx.Err() == nil {
		log.Info("a gateway has gone", "why", quietEnd(err))
	}
}

func quietEnd(err error) error {
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		return fmt.Errorf("it has said nothing for %v, or not read", silence)
	}
	return err
}

// serve feeds one gateway.
func (s *Sender) serve(ctx context.Context, conn *tls.Conn, log *slog.Logger, name, environment string, leaf *x509.Certificate, have hello) error {
	s.mu.Lock()
	if s.conns >= maxConnections {
		s.mu.Unlock()
		return fmt.Errorf("there are %d gateways already", maxConnections)
	}
	s.conns++
	p := s.gateways[name]
	if p == nil {
		p = &peer{}
		s.gateways[name] = p
	}
	if p.conns++; p.conns == 1 {
		p.since = s.config.Now()
	}
	p.environment, p.report.Number = environment, have.Number
	s.mu.Unlock()
	log.Info("a gateway is here", "environment", environment, "has", have.Number)
	ctx, cancel := context.WithCancel(ctx)
	asks := make(chan struct{}, 1)
	var reader sync.WaitGroup
	var heard error
	reader.Go(func() {
		defer cancel()
		heard = s.listen(conn, name, environment, p, asks)
	})
	err := s.feed(ctx, conn, log, name, environment, p, leaf, have, asks)
	conn.Close()
	reader.Wait()
	cancel()
	s.mu.Lock()
	s.conns--
	if p.conns--; p.conns == 0 {
		p.since = s.config.Now()
	}
	s.mu.Unlock()
	if err == nil {
		err = heard
	}
	return err
}

// listen takes what a gateway says.
func (s *Sender) listen(conn net.Conn, name, environment string, p *peer, asks chan struct{}) error {
	for {
		m, err := readMessage(conn, false, silence+reportEvery)
		if err != nil {
			return err
		}
		switch m.kind {
		case tellReport:
			var report Report
			if err := m.as(&report); err != nil {
				return err
			}
			if len(report.Logins) > MaxLogins {
				return fmt.Errorf("a report has %d logins, it may have %d", len(report.Logins), MaxLogins)
			}
			if len(report.Rejections) > MaxRejections {
				return fmt.Errorf("a report has %d rejections, it may have %d", len(report.Rejections), MaxRejections)
			}
			if s.config.Reported != nil {
				s.config.Reported(name, environment, report)
			}
			rejections := report.Rejections
			report.Logins, report.Rejections = nil, nil
			s.mu.Lock()
			if n := len(rejections); n > 0 {
				p.rejected = rejections[n-1].Number
			}
			p.report, p.heard = report, s.config.Now()
			s.mu.Unlock()
		case askWhole:
			ask(asks)
		}
	}
}

// feed sends a gateway what it lacks, as it comes, and a beat when there is nothing.
func (s *Sender) feed(ctx context.Context, conn net.Conn, log *slog.Logger, name, environment string, p *peer, leaf *x509.Certificate, have hello, asks <-chan struct{}) error {
	if s.config.Now().After(leaf.NotAfter.Add(-renewBefore)) {
		der, err := s.config.Authority.gateway(name, leaf.PublicKey, s.config.Now())
		if err != nil {
			return err
		}
		if err := say(conn, sendCertificate, certificate{der}); err != nil {
			return err
		}
		log.Info("a gateway gets a new certificate")
	}
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	ahead := false
	for {
		frames, now, next, err := s.lacking(environment, have)
		switch {
		case errors.Is(err, ErrOlder), errors.Is(err, ErrGeneration), errors.Is(err, ErrTwofold):
			if !ahead {
				ahead = true
				log.Error("a gateway has a newer state than this control plane ever made, or another one with the same number, and keeps it: the data of this one was set back, which only sluice restore does so that gateways follow", "has", have.Number, "err", err)
			}
		case err != nil:
			return err
		default:
			ahead = false
		}
		for _, f := range frames {
			if err := writeMessage(conn, sendState, f); err != nil {
				return err
			}
		}
		if len(frames) > 0 {
			have = now
		}
		s.mu.Lock()
		rejected := p.rejected
		s.mu.Unlock()
		if err := say(conn, sendBeat, beat{now.Number, &now.Sum, &rejected}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		case <-asks:
			have = hello{}
		case <-ticker.C:
			of, err := s.config.Admit(name, keyOf(leaf))
			if err == nil && of != environment {
				err = fmt.Errorf("%s is of environment %s now: let it join again", name, of)
			}
			if err != nil {
				_ = say(conn, sendRefusal, refusal{err.Error()}) // it comes again and may hear it then
				return err
			}
		}
	}
}

// lacking returns the frames that lead a gateway to the newest state, which that is, and
// what is closed when there is another.
func (s *Sender) lacking(environment string, have hello) (frames [][]byte, now hello, next <-chan struct{}, err error) {
	s.mu.Lock()
	l := s.lines[environment]
	if l == nil { // until the first one, the next beat looks again
		s.mu.Unlock()
		return nil, hello{}, nil, nil
	}
	state, all := l.state, l.whole
	next, now = l.next, hello{state.Grants.Number(), state.sum}
	frames, there, err := l.since(have, now)
	s.mu.Unlock()
	if there || err != nil {
		return frames, now, next, err
	}
	frame, err := all.of(s.config.Authority.signing, state)
	if err != nil {
		return nil, now, next, err
	}
	return [][]byte{frame}, now, next, nil
}

// since returns the steps from what a gateway has to what there is now, if they are still
// there. It is called with Sender.mu held.
func (l *line) since(have, now hello) (frames [][]byte, there bool, err error) {
	if have == now {
		return nil, true, nil
	}
	if have.Number == (grant.Number{}) {
		return nil, false, nil
	}
	if err := after(have.Number, now.Number); err != nil {
		return nil, false, err
	}
	for i, st := range l.steps {
		if st.from == have.Number && st.fromSum == have.Sum {
			for _, st := range l.steps[i:] {
				frames = append(frames, st.frame)
			}
			return frames, true, nil
		}
	}
	if have.Number == now.Number { // and says something else: it refuses, and tells
		return nil, false, fmt.Errorf("state %v: %w", now.Number, ErrTwofold)
	}
	return nil, false, nil
}

// join answers somebody who has a token.
func (s *Sender) join(ctx context.Context, conn net.Conn) error {
	m, err := readMessage(conn, false, handshakeTime)
	if err != nil {
		return err
	}
	var asked join
	if m.kind != askJoin {
		return fmt.Errorf("it begins with a message of kind %d", m.kind)
	}
	if err := m.as(&asked); err != nil {
		return err
	}
	given, err := s.admitted(ctx, asked, conn.RemoteAddr().String())
	if err != nil {
		_ = say(conn, sendRefusal, refusal{err.Error()}) // whoever asks sees it end in any case
		return err
	}
	return say(conn, sendIdentity, given)
}

func (s *Sender) admitted(ctx context.Context, asked join, address string) (identity, error) {
	proof, err := x509.ParseCertificateRequest(asked.Proof)
	if err != nil {
		return identity{}, fmt.Errorf("the proof of the key: %w", err)
	}
	if err := proof.CheckSignature(); err != nil {
		return identity{}, fmt.Errorf("the proof of the key: %w", err)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	key := sha256.Sum256(proof.RawSubjectPublicKeyInfo)
	name, environment, err := s.config.Join(ctx, asked.Secret, hex.EncodeToString(key[:]), host)
	if err != nil {
		return identity{}, err
	}
	der, err := s.config.Authority.gateway(name, proof.PublicKey, s.config.Now())
	if err != nil {
		return identity{}, err
	}
	return identity{Name: name, Environment: environment, Certificate: der, Signing: s.config.Authority.signing.Public().(ed25519.PublicKey)}, nil
}
