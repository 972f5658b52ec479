package gateway

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/socket"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// clientConn is one client's connection and the one broker connection behind
// it. The client's requests are read by one goroutine, the broker's answers by
// another; answers go out through the ring.
type clientConn struct {
	g          *Gateway
	l          *listener
	raw        net.Conn     // as accepted: deadlines and a close from any goroutine
	sock       *socket.Conn // over raw; its own goroutines' only
	tls        *tls.Conn    // nil for plaintext
	address    netip.Addr
	port       int
	serverName string
	inside     *grant.Key // who it acts as, for a connection from this process; nil for all others
	log        *slog.Logger
	ctx        context.Context
	cancel     context.CancelCauseFunc

	frames *wire.FrameReader
	header wire.RequestHeader // of the request at hand
	readBy time.Time          // the read deadline that has been set
	active time.Time          // when the last request came
	out    outbox             // requests for the broker, not yet written
	ring   *ring
	pieces net.Buffers  // of answers that are being written; whoever writes them has it
	idling func() error // beforeWait

	whoWroteIt string // what clientID was made of
	clientID   string // as brokers get it
	clientOf   *grant.Grant

	credential  atomic.Pointer[grant.Credential] // nil before the login
	secret      atomic.Int64                     // of the credential, that it logged in with
	login       login
	state       *handler.Conn
	cluster     *upstream.Cluster
	application *application           // nil before the login
	muteUntil   atomic.Int64           // Unix nanoseconds
	sent        atomic.Int64           // bytes
	software    atomic.Pointer[string] // what the client calls itself, nil until it did
	named       atomic.Pointer[string] // its client.id, as whoWroteIt
	expiry      atomic.Pointer[time.Timer]
	regranting  sync.Mutex // one regrant at a time

	stopping   atomic.Bool // no further request is read
	upstream   *upstream.Conn
	upSock     *socket.Conn   // of upstream, for writing
	up         sync.WaitGroup // the goroutine that reads the broker's answers
	upBy       atomic.Int64   // its read deadline, Unix nanoseconds; 0 for none
	answeredAt time.Time      // when the last answer came; that goroutine's

	closeOnce sync.Once
	dismissed atomic.Bool // by run, or by a panic's watch over it

	newcomer newcomer
}

func newClientConn(l *listener, conn net.Conn, address netip.Addr, port int) *clientConn {
	c := &clientConn{
		g: l.g, l: l, raw: conn, sock: socket.New(conn, l.g.buffers), address: address, port: port,
		log: l.g.log.With("client", address.String(), "listener", l.config.Name),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.ring = newRing(l.g.config.Limits.MaxInFlight, c.writeAnswers)
	c.idling = c.beforeWait
	return c
}

// errors that end a connection without a fault on anybody's side.
var (
	errClientGone = errors.New("the client closed the connection")
	errFinished   = errors.New("finished")
)

// ended is an error with the side that caused it, a bounded label.
type ended struct {
	by  string
	err error
}

func (e *ended) Error() string { return e.err.Error() }
func (e *ended) Unwrap() error { return e.err }

func endedBy(by string, format string, args ...any) error {
	return &ended{by, fmt.Errorf(format, args...)}
}

// run serves the connection until it ends.
func (c *clientConn) run() {
	err := c.contained(c.serve)
	if c.ctx.Err() == nil {
		c.raw.SetWriteDeadline(time.Now().Add(time.Second))
		c.sock.Close() // says goodbye where TLS has a word for it
	}
	c.close(err)
	c.up.Wait()
	if !c.dismissed.CompareAndSwap(false, true) {
		return // given up, and counted, before
	}
	defer c.g.dismiss(c)
	by := "client"
	var e *ended
	switch {
	case errors.As(err, &e):
		by = e.by
		level := slog.LevelInfo
		if c.credential.Load() == nil {
			c.g.sometimes("ended "+e.by, "connection ended before its login", "client", c.address, "listener", c.l.config.Name, "reason", err)
			break
		}
		c.log.Log(c.ctx, level, "connection ended", "by", by, "reason", err)
	case errors.Is(err, errFinished):
		by = "gateway"
	}
	c.g.metrics.closed.WithLabelValues(by).Inc()
}

// panicWithin is how long the goroutines of a connection have to end after a
// panic in one of them, until they are given up.
const panicWithin = 2 * time.Second

// contained turns a panic into an error: a bug that one client's bytes find
// must not end the connections of all others. The connection is closed at once,
// so that its other goroutine ends; one that waits for a lock which the panic
// left behind never will, and must not keep the gateway from stopping.
func (c *clientConn) contained(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.g.metrics.panics.Inc()
			c.log.Error("bug: panic while serving a connection", "panic", r, "stack", string(debug.Stack()))
			err = endedBy("gateway", "internal error")
			c.close(err)
			time.AfterFunc(panicWithin, func() {
				if c.dismissed.CompareAndSwap(false, true) {
					defer c.g.dismiss(c)
					c.log.Error("bug: a goroutine does not end after a panic, its connection is given up", "after", panicWithin)
					c.g.metrics.closed.WithLabelValues("gateway").Inc()
				}
			})
		}
	}()
	return f()
}

// close ends both sides, once.
func (c *clientConn) close(cause error) {
	c.closeOnce.Do(func() {
		c.cancel(cause)
		c.ring.close()
		if t := c.expiry.Load(); t != nil {
			t.Stop()
		}
		c.raw.Close()
	})
}

// finish lets the connection answer what is in flight after a delay, and ends
// it; by force once within has passed. Without a delay, no request is begun once
// it has returned.
func (c *clientConn) finish(after, within time.Duration) {
	stop := func() {
		c.stopping.Store(true)
		c.raw.SetReadDeadline(time.Unix(1, 0))
		c.ring.release()
	}
	if after > 0 {
		time.AfterFunc(after, stop)
	} else {
		stop()
	}
	force := time.AfterFunc(within, func() { c.close(errFinished) })
	context.AfterFunc(c.ctx, func() { force.Stop() })
}

func (c *clientConn) serve() error {
	limits := c.g.config.Limits
	c.raw.SetDeadline(c.g.deps.Now().Add(limits.AuthDeadline))
	if err := c.handshake(); err != nil {
		return err
	}
	c.frames = wire.NewFrameReader(stranger{c}, wire.FrameConfig{
		Buffers: c.g.buffers, Budget: c.g.budget, Pace: wire.DefaultPace(), SetReadDeadline: c.setReadDeadline,
	})
	defer c.frames.Close()
	login := c.enter
	if c.inside == nil {
		if err := c.sniff(); err != nil {
			return err
		}
		login = c.authenticate
	}
	if err := login(); err != nil {
		return err
	}
	c.readBy = time.Time{}             // that of a first request, which came with its certificate, is over
	c.raw.SetReadDeadline(time.Time{}) // the one for writes moves with each write, and socket remembers it; await sees to it that a stop in between is not lost
	c.active = c.g.deps.Now()
	defer c.out.close(c.g.buffers)
	for {
		if err := c.next(); err != nil {
			if flushErr := c.flush(); flushErr != nil && c.stopping.Load() {
				return flushErr
			}
			if c.stopping.Load() {
				c.ring.drained()
				return errFinished
			}
			return err
		}
	}
}

// setReadDeadline is the frame reader's: a connection that is to stop keeps its
// deadline in the past, and the login keeps its own.
func (c *clientConn) setReadDeadline(t time.Time) error {
	if c.credential.Load() == nil {
		return nil // the deadline of the login holds for all of it
	}
	c.readBy = t
	err := c.raw.SetReadDeadline(t)
	if c.stopping.Load() { // after it was set: a stop in between must not be lost
		c.readBy = time.Unix(1, 0)
		return c.raw.SetReadDeadline(c.readBy)
	}
	return err
}

// handshake does TLS where the listener wants it.
func (c *clientConn) handshake() error {
	if c.l.config.TLS == nil {
		return nil
	}
	gated := &gatedConn{Conn: c.sock.Beneath(), c: c, within: c.g.config.Limits.AuthDeadline}
	conn := tls.Server(gated, c.l.config.TLS)
	err := func() error {
		defer gated.over() // a panic must not keep its turn
		return conn.HandshakeContext(c.ctx)
	}()
	if err != nil {
		c.g.metrics.handshakes.WithLabelValues("failed").Inc()
		var notTLS tls.RecordHeaderError
		if errors.As(err, &notTLS) {
			return endedBy("client", "plaintext on the TLS listener %s: set the client's security.protocol to SASL_SSL or SSL", c.l.config.Address)
		}
		if errors.Is(err, io.EOF) {
			return endedBy("client", "closed during the TLS handshake")
		}
		if errors.Is(err, errNoTurn) {
			return endedBy("gateway", "%w", err)
		}
		return endedBy("client", "TLS handshake: %w", err)
	}
	c.g.metrics.handshakes.WithLabelValues("ok").Inc()
	c.sock.Secure(conn)
	c.tls = conn
	c.serverName = conn.ConnectionState().ServerName
	return nil
}

// tlsAlert tells a TLS client that there is no TLS here: a fatal alert,
// protocol_version (RFC 8446 §6).
var tlsAlert = []byte{21, 3, 1, 0, 2, 2, 70}

// sniff waits for the first byte and recognises TLS on a plaintext listener.
func (c *clientConn) sniff() error {
	if err := c.frames.Await(nil); err != nil {
		return c.readError(err)
	}
	if c.frames.Window()[0] == 22 && c.l.config.TLS == nil { // a TLS handshake record
		c.sock.Write(tlsAlert)
		return endedBy("client", "TLS on the plaintext listener %s: set the client's security.protocol to SASL_PLAINTEXT, or use a TLS listener", c.l.config.Address)
	}
	return nil
}

func (c *clientConn) readError(err error) error {
	switch {
	case c.stopping.Load():
		return errFinished
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		if cause := context.Cause(c.ctx); cause != nil {
			return cause
		}
		return errClientGone
	case errors.Is(err, wire.ErrSlowFrame):
		return endedBy("client", "%w", err)
	case errors.Is(err, os.ErrDeadlineExceeded) && c.credential.Load() == nil:
		return endedBy("client", "no login within auth_deadline=%v", c.g.config.Limits.AuthDeadline)
	case errors.Is(err, wire.ErrBudget):
		return endedBy("gateway", "%w", err)
	}
	var refused *net.OpError
	if errors.As(err, &refused) {
		if cause := context.Cause(c.ctx); cause != nil {
			return cause
		}
		return errClientGone
	}
	return endedBy("client", "%w", err)
}

// next serves one request after the login, reading it first unless it came with
// the one before.
func (c *clientConn) next() error {
	if !c.frames.Whole() {
		// What has come is on its way before anything is waited for.
		if err := c.flush(); err != nil {
			return err
		}
	}
	if err := c.await(); err != nil {
		return err
	}
	size, err := c.frames.Size(c.ctx, wire.Limit{Name: "max_frame_bytes", Bytes: c.g.config.Limits.MaxFrameBytes})
	if err != nil {
		return c.readError(err)
	}
	if size > largestWithout {
		if err := c.frames.Need(c.ctx, 2, 0, 0, size); err != nil {
			return c.readError(err)
		}
		if key := int16(binary.BigEndian.Uint16(c.frames.Window())); size > largest(key) {
			return endedBy("client", "%s request of %d bytes, at most %d are accepted", wire.APIName(key), size, largest(key))
		}
	}
	c.active = c.g.deps.Now()
	if size-c.frames.Buffered() >= passFrom {
		if passed, err := c.passRequest(size); err != nil || passed {
			return err
		}
	}
	frame, err := c.frames.View(c.ctx, size)
	if err != nil {
		return c.readError(err)
	}
	c.active = c.g.deps.Now()
	err = c.serveFrame(frame)
	c.frames.Discard(size)
	return err
}

// serveFrame serves one request, which lies in the window.
func (c *clientConn) serveFrame(frame []byte) error {
	c.g.metrics.received.Add(float64(len(frame)))
	body, err := c.header.Parse(frame)
	header := c.header
	if err != nil {
		return endedBy("client", "%w", err)
	}
	api := handler.Lookup(header.APIKey)
	if api == nil {
		return endedBy("client", "Kafka API %d (%s) is not offered", header.APIKey, wire.APIName(header.APIKey))
	}
	c.g.metrics.byKey[header.APIKey].requests.Inc()
	if wire.PreAuth(header.APIKey) {
		// Its answer waits for those of the requests before it, and a refusal
		// for a while.
		if err := c.flush(); err != nil {
			return err
		}
		return c.administer(header, body)
	}
	if c.login.expired(c.active) {
		return endedBy("client", "session expired without re-authentication (KIP-368)")
	}
	if header.APIVersion < api.Min || header.APIVersion > api.Max {
		return endedBy("client", "%s version %d is not offered, only %d to %d", api.Name, header.APIVersion, api.Min, api.Max)
	}
	if !api.Coordination {
		if err := c.sit(); err != nil {
			return err
		}
	}
	return c.handle(api, header, body)
}

// largestWithout is the largest request without records: decoding one takes
// several times its size.
const largestWithout = 4 << 20

// largest is how many bytes a request of a Kafka API may have, max_frame_bytes
// apart.
func largest(key int16) int {
	switch key {
	case 0: // Produce
		return math.MaxInt32
	case 11, 14: // JoinGroup, SyncGroup: a leader's assignments
		return 16 << 20
	}
	return largestWithout
}

// await waits for the first byte of the next request. A connection with
// something in flight is not idle.
func (c *clientConn) await() error {
	for {
		if c.stopping.Load() {
			return errFinished
		}
		err := c.frames.Await(c.idling)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.stopping.Load() {
			return c.readError(err)
		}
		c.readBy = time.Time{} // an earlier deadline, or it is time
		idle := c.g.config.Limits.IdleTimeout
		if c.ring.idle() && !time.Now().Before(c.active.Add(idle)) {
			return endedBy("gateway", "idle for idle_timeout=%v", idle)
		}
		if err := c.beforeWait(); err != nil {
			return err
		}
	}
}

// beforeWait sets the deadline of a wait between requests, unless there is one
// that comes before it: that one is set anew when it comes.
func (c *clientConn) beforeWait() error {
	by := c.active.Add(c.g.config.Limits.IdleTimeout)
	if now := time.Now(); !by.After(now) { // something is in flight
		by = now.Add(c.g.config.Limits.IdleTimeout)
	}
	if c.readBy.IsZero() || c.readBy.After(by) {
		c.readBy = by
		c.raw.SetReadDeadline(by)
	}
	if c.stopping.Load() { // set in between: the deadline must not hide it
		return errFinished
	}
	return nil
}

// sit keeps a muted connection waiting (KIP-219).
func (c *clientConn) sit() error {
	until := c.muteUntil.Load()
	if until == 0 {
		return nil
	}
	wait := time.Until(time.Unix(0, until))
	if wait <= 0 {
		c.muteUntil.CompareAndSwap(until, 0)
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case <-c.g.draining:
		return nil
	}
}

// requestOf makes an empty request of a key; nil for one that kmsg does not know.
func requestOf(key, version int16) kmsg.Request {
	r := kmsg.RequestForKey(key)
	if r != nil {
		r.SetVersion(version)
	}
	return r
}

// maxString leaves room for the prefix that a name gets: Kafka's strings end at
// 32767 bytes, and a longer one would be written with a negative length, which
// some messages read as null.
const maxString = 1<<15 - 1 - grant.PrefixLength

// What decoding a request or an answer takes counts against the budget, except
// for small ones.
const (
	freeDecodedBytes = 64 << 10
	decodeWait       = 10 * time.Second
)

// borrow takes memory for something to be decoded.
func (c *clientConn) borrow(b *borrowed, name string, decodedBytes int64) error {
	if decodedBytes <= freeDecodedBytes {
		return nil
	}
	b.from = c.application.budget
	if err := b.from.AcquireWithin(c.ctx, decodedBytes, decodeWait); err != nil {
		if c.ctx.Err() != nil {
			return c.ended()
		}
		return endedBy("gateway", "decode %s: %w", name, err)
	}
	b.n.Store(decodedBytes)
	return nil
}

func (c *clientConn) handle(api *handler.API, header wire.RequestHeader, body []byte) error {
	shape, err := wire.CheckRequest(header.APIKey, header.APIVersion, body, 0)
	if err != nil {
		return endedBy("client", "%w", err)
	}
	if shape.LongestString > maxString {
		return endedBy("client", "%s: a string of %d bytes, at most %d are accepted", api.Name, shape.LongestString, maxString)
	}
	p := &pending{key: header.APIKey, version: header.APIVersion, correlationID: header.CorrelationID, name: api.Name}
	x := &p.exchange
	x.Context, x.Version, x.Grant, x.Now, x.Conn = c.ctx, header.APIVersion, c.credential.Load().Grant, c.g.deps.Now(), c.state
	if shape.UnknownTags == 0 && shape.Left == 0 {
		action, ok, err := api.ServeFast(x, body)
		if err != nil {
			return endedBy("upstream", "%s: %w", api.Name, err)
		}
		if ok {
			p.respond, p.patch, p.upstream = action.Response, action.RawResponse, true
			p.patience = patience(action.Patience)
			return c.forwardRaw(p, body, action.Patches, header)
		}
	}
	if err := c.flush(); err != nil { // what follows may ask the cluster, and waits
		return err
	}
	req := requestOf(header.APIKey, header.APIVersion)
	if req == nil {
		return endedBy("gateway", "no decoder for %s", api.Name)
	}
	if err := c.borrow(&p.decoded, api.Name, shape.DecodedBytes); err != nil {
		return err
	}
	defer func() {
		if !p.inRing { // otherwise its answer gives the memory back
			p.decoded.release()
		}
	}()
	if err := req.ReadFrom(body); err != nil {
		return endedBy("client", "%s request: %w", api.Name, err)
	}
	if shape.UnknownTags > 0 {
		stripUnknownTags(req)
	}
	p.patience = patienceFor(req)
	action, err := api.Serve(x, req)
	if err != nil {
		return endedBy("upstream", "%s: %w", api.Name, err)
	}
	p.respond, p.patch, p.pass, p.mute = action.Response, action.RawResponse, action.Pass, action.Mute
	switch {
	case action.Close != "":
		return endedBy("client", "%s", action.Close)
	case action.Upstream != nil:
		p.upstream = !action.Silent
		if action.Silent && action.Mute > 0 {
			c.mute(action.Mute)
		}
		err := c.forward(p, action.Upstream, header, len(body))
		if err != nil && errors.As(err, new(*unreached)) && c.ctx.Err() == nil {
			return c.elsewhere(p, action, err)
		}
		return err
	case action.Hold > 0:
		return c.hold(p, action, x.Grant)
	default:
		return c.answer(p, action.Answer)
	}
}

// elsewhere sends a client whose coordinator cannot be reached to look for it
// anew. The connection stays, for whatever else came with the request; requests
// that are not for a coordinator end it, for the reason given.
func (c *clientConn) elsewhere(p *pending, action handler.Action, reason error) error {
	resp := c.state.NotCoordinator(action.Upstream)
	if resp == nil {
		return reason
	}
	if p.respond != nil {
		var err error
		if resp, err = p.respond(resp); err != nil {
			return endedBy("gateway", "answer to %s without a broker: %w", p.name, err)
		}
	}
	c.g.sometimes("coordinator unreached", "a client is told to look for its coordinator elsewhere", "api", p.name, "client", c.address, "reason", reason)
	p.upstream = false
	p.last = p.key == 10 // FindCoordinator: another broker has to be asked
	return c.answer(p, resp)
}

// hold keeps an answer back, as a broker with nothing to say does.
func (c *clientConn) hold(p *pending, action handler.Action, under *grant.Grant) error {
	frame := c.encode(p, action.Answer)
	ready := make(chan struct{})
	p.hold = time.AfterFunc(action.Hold, func() {
		<-ready
		if err := c.contained(func() error { return c.ring.complete(p, frame) }); err != nil {
			c.close(err)
		}
	})
	pushed := c.push(p)
	close(ready)
	if pushed != nil {
		return pushed
	}
	if c.stopping.Load() || c.credential.Load().Grant != under { // meanwhile
		c.ring.release()
	}
	return nil
}

// ended is why a closed connection ended.
func (c *clientConn) ended() error {
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	return errClientGone
}

// answer sends an answer made here.
func (c *clientConn) answer(p *pending, r kmsg.Response) error {
	return c.answerFrame(p, c.encode(p, r))
}

func (c *clientConn) answerFrame(p *pending, frame *[]byte) error {
	if err := c.push(p); err != nil {
		return err
	}
	return c.ring.complete(p, frame)
}

// push puts a request into the ring. Before it waits for room there, what the
// room depends on goes to the broker.
func (c *clientConn) push(p *pending) error {
	if c.ring.enter(p, false) {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	if !c.ring.push(p) {
		return c.ended()
	}
	return nil
}

// encode makes the frame of an answer.
func (c *clientConn) encode(p *pending, r kmsg.Response) *[]byte {
	r.SetVersion(p.version)
	return c.frameOf(p, 256, func(b []byte) []byte { return r.AppendTo(b) })
}

func (c *clientConn) frameOf(p *pending, size int, body func([]byte) []byte) *[]byte {
	frame := c.g.buffers.Get(size)
	b := append((*frame)[:0], 0, 0, 0, 0)
	b = wire.AppendResponseHeader(b, p.key, p.version, p.correlationID)
	b = body(b)
	setSize(b, len(b)-4)
	*frame = b
	return frame
}

// setSize writes the length of a frame to its beginning.
func setSize(frame []byte, size int) { binary.BigEndian.PutUint32(frame, uint32(size)) }

// writeAnswers writes complete answers to the client; the ring calls it in the
// client's order.
func (c *clientConn) writeAnswers(batch []*pending) error {
	pieces, size, last := c.pieces[:0], 0, false
	for i, p := range batch {
		pieces = append(append(pieces, *p.frame), p.rest...)
		size += len(*p.frame)
		for _, b := range p.rest {
			size += len(b)
		}
		if p.last {
			for _, behind := range batch[i+1:] {
				behind.behind.Release()
			}
			batch, last = batch[:i+1], true
			break
		}
	}
	c.pieces = pieces
	n, err := c.sock.WriteAll(pieces, size, c.g.config.Limits.WriteTimeout)
	c.wrote(n)
	if clear(c.pieces); cap(c.pieces) > 2*maxBatch {
		c.pieces = nil
	}
	for _, p := range batch {
		c.g.buffers.Put(p.frame)
		p.behind.Release()
		p.frame, p.rest, p.behind = nil, nil, nil
		if p.mute > 0 && err == nil {
			c.mute(p.mute)
		}
	}
	if err == nil && last {
		return errFinished
	}
	return c.writeError(err)
}

// wrote counts bytes that went to the client.
func (c *clientConn) wrote(n int) {
	c.g.metrics.sent.Add(float64(n))
	c.sent.Add(int64(n))
}

// writeError says what an error of a write to the client means.
func (c *clientConn) writeError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return endedBy("client", "does not read: an answer waited for write_timeout=%v", c.g.config.Limits.WriteTimeout)
	case err != nil:
		return errClientGone
	}
	return nil
}

// stripUnknownTags empties the tagged fields that a message's version does not
// have: nobody here knows what they name, so they do not pass.
func stripUnknownTags(message any) { strip(reflect.ValueOf(message)) }

var tagsType = reflect.TypeFor[kmsg.Tags]()

func strip(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			strip(v.Elem())
		}
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k == reflect.Struct || k == reflect.Pointer {
			for i := range v.Len() {
				strip(v.Index(i))
			}
		}
	case reflect.Struct:
		if v.Type() == tagsType {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			strip(v.Field(i))
		}
	}
}

// maxMute is the longest a connection is not read for one answer: beyond it,
// clients with one connection for everything lose their group.
const maxMute = time.Second

func (c *clientConn) mute(d time.Duration) {
	c.muteUntil.Store(time.Now().Add(min(d, maxMute)).UnixNano())
}

// regrant puts the connection under the snapshot in force.
func (c *clientConn) regrant() {
	c.regranting.Lock()
	defer c.regranting.Unlock()
	old := c.credential.Load()
	if old == nil {
		return // its login will look it up
	}
	now := c.g.Snapshot().Lookup(old.Method, old.Identity)
	if now == old {
		return
	}
	if now == nil || now.SecretUsable(int(c.secret.Load()), c.g.deps.Now()) != "" {
		c.log.Info("credential or secret ended, closing its connection", "principal", old.Name)
		c.finish(0, closeWithin)
		return
	}
	if now.Grant.Cluster != old.Grant.Cluster || now.Grant.Prefix != old.Grant.Prefix {
		c.finish(0, closeWithin) // another virtual cluster: the client starts over
		return
	}
	c.credential.Store(now)
	c.watchExpiry(now)
	c.ring.release()
}

// closeWithin is how soon the connection of an ended credential is closed.
const closeWithin = 700 * time.Millisecond

// watchExpiry ends the connection with its credential, or the secret that it logged
// in with.
func (c *clientConn) watchExpiry(cred *grant.Credential) {
	var next *time.Timer
	end := cred.NotAfter
	if secret, _ := cred.SecretEnd(int(c.secret.Load())); !secret.IsZero() && (end.IsZero() || secret.Before(end)) {
		end = secret
	}
	if !end.IsZero() {
		next = time.AfterFunc(end.Sub(c.g.deps.Now()), func() { c.finish(0, closeWithin) })
	}
	if old := c.expiry.Swap(next); old != nil {
		old.Stop()
	}
	if next != nil && c.ctx.Err() != nil { // closed meanwhile: nobody else stops it
		next.Stop()
	}
}
