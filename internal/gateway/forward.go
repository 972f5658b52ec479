package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/socket"
	"sluice/internal/gateway/upstream"
	"sluice/internal/kafka/wire"
)

// How long the broker may take for an answer, beyond what the request itself
// allows for.
const (
	answerSlack    = 30 * time.Second
	answerPatience = 60 * time.Second
	maxPatience    = 30 * time.Minute
)

// patienceFor is [patience] for a request, never less than the client itself is
// ready to wait.
func patienceFor(r kmsg.Request) time.Duration {
	own := time.Duration(0)
	millis := func(ms int32) { own = time.Duration(ms) * time.Millisecond }
	switch r := r.(type) {
	case *kmsg.FetchRequest:
		millis(r.MaxWaitMillis)
	case *kmsg.ProduceRequest:
		millis(r.TimeoutMillis)
	case *kmsg.JoinGroupRequest:
		millis(max(r.RebalanceTimeoutMillis, r.SessionTimeoutMillis))
	case *kmsg.CreateTopicsRequest:
		millis(r.TimeoutMillis)
	case *kmsg.DeleteTopicsRequest:
		millis(r.TimeoutMillis)
	}
	return patience(own)
}

// patience is how long a request may wait for its answer whose client waits for
// own at least.
func patience(own time.Duration) time.Duration {
	return min(max(answerPatience, own), maxPatience) + answerSlack
}

// outbox collects requests for the broker, as views of the client's window,
// until they are written with one call.
type outbox struct {
	heads  *[]byte // our headers, and what is not the client's
	pieces net.Buffers
	size   int
}

// Beyond these, collected requests are written.
const (
	outboxBytes  = 256 << 10
	outboxPieces = 256
	outboxHeads  = 4 << 10
)

func (o *outbox) close(buffers *wire.Buffers) {
	if o.heads != nil {
		buffers.Put(o.heads)
	}
	*o = outbox{}
}

// forward sends a request to the broker, dialling it first if need be.
func (c *clientConn) forward(p *pending, req kmsg.Request, header wire.RequestHeader, size int) error {
	up, err := c.broker()
	if err != nil {
		return err
	}
	version := req.GetVersion()
	frame := c.g.buffers.Get(size + 512)
	defer c.g.buffers.Put(frame)
	b := append((*frame)[:0], 0, 0, 0, 0)
	b = c.appendHeader(b, p, version, header)
	b = req.AppendTo(b)
	setSize(b, len(b)-4)
	*frame = b
	if err := c.announce(up, p, version); err != nil {
		return err
	}
	return c.write(up, p.name, net.Buffers{b}, len(b))
}

// forwardRaw sends the client's own body with patches, together with what comes
// behind it in the window.
func (c *clientConn) forwardRaw(p *pending, body []byte, patches []wire.Patch, header wire.RequestHeader) error {
	up, err := c.broker()
	if err != nil {
		return err
	}
	if err := c.announce(up, p, header.APIVersion); err != nil {
		return err
	}
	o := &c.out
	if o.heads == nil {
		o.heads = c.g.buffers.Get(outboxHeads)
	}
	at := len(*o.heads)
	b := append(*o.heads, 0, 0, 0, 0)
	b = c.appendHeader(b, p, header.APIVersion, header)
	*o.heads = b
	head := b[at:len(b):len(b)]
	var more int
	o.pieces, more = wire.Gather(append(o.pieces, head), body, patches)
	setSize(head, len(head)-4+more)
	if o.size += len(head) + more; o.size > outboxBytes || len(o.pieces) > outboxPieces {
		return c.flush()
	}
	return nil
}

// flush writes the requests that were collected.
func (c *clientConn) flush() error {
	o := &c.out
	if o.size == 0 {
		return nil
	}
	err := c.write(c.upstream, "requests", o.pieces, o.size)
	clear(o.pieces)
	o.pieces, o.size = o.pieces[:0], 0
	if cap(*o.heads) > outboxHeads {
		*o.heads = make([]byte, 0, outboxHeads)
	}
	*o.heads = (*o.heads)[:0]
	return err
}

// appendHeader appends a request header of our own.
func (c *clientConn) appendHeader(b []byte, p *pending, version int16, header wire.RequestHeader) []byte {
	if g := c.credential.Load().Grant; c.clientOf != g || c.whoWroteIt != header.ClientID || c.clientID == "" {
		c.clientOf, c.whoWroteIt, c.clientID = g, header.ClientID, handler.ClientID(g, header.ClientID)
		c.named.Store(new(header.ClientID))
	}
	return wire.AppendRequestHeader(b, wire.RequestHeader{
		APIKey: p.key, APIVersion: version, CorrelationID: header.CorrelationID, ClientID: c.clientID, HasClientID: true,
	})
}

// announce puts a request into the ring before it goes to the broker.
func (c *clientConn) announce(up *upstream.Conn, p *pending, version int16) error {
	if offered, ok := up.Versions()[p.key]; !ok || version < offered.Min || version > offered.Max {
		return endedBy("upstream", "broker %d does not take %s version %d", up.NodeID(), p.name, version)
	}
	p.sent = version
	if !p.upstream {
		return nil
	}
	p.sentAt = time.Now()
	if err := c.push(p); err != nil {
		return err
	}
	c.answerBy(up, p.sentAt.Add(p.patience))
	return nil
}

// answerBy sees to it that the wait for the broker ends at that time or before;
// a wait that ends too early is begun again.
func (c *clientConn) answerBy(up *upstream.Conn, by time.Time) {
	if set := c.upBy.Load(); set == 0 || set > by.UnixNano() {
		c.upBy.Store(by.UnixNano())
		up.SetReadDeadline(by)
	}
}

func (c *clientConn) write(up *upstream.Conn, what string, pieces net.Buffers, size int) error {
	if _, err := c.upSock.WriteAll(pieces, size, c.g.config.Limits.WriteTimeout); err != nil {
		return endedBy("upstream", "send %s to broker %d: %w", what, up.NodeID(), err)
	}
	return nil
}

// broker returns the connection to the broker that this connection is for. A
// broker connection whose own login runs out is replaced while nothing is in
// flight.
func (c *clientConn) broker() (*upstream.Conn, error) {
	if c.upstream != nil {
		if at := c.upstream.ReauthAt(); at.IsZero() || time.Now().Before(at) {
			return c.upstream, nil
		}
		if err := c.flush(); err != nil {
			return nil, err
		}
		c.ring.drained()
		old := c.upstream
		c.upstream = nil
		old.Close()
		c.up.Wait()
	}
	node := c.l.addressing.node(c.port, c.serverName)
	g := c.credential.Load().Grant
	up, err := c.cluster.DialFor(c.ctx, node, handler.ClientID(g, "gateway"), g.Application)
	if err != nil {
		c.g.metrics.upstreamDials.WithLabelValues("failed").Inc()
		return nil, endedBy("upstream", "open target cluster %q: %w", g.Cluster, &unreached{err})
	}
	c.g.metrics.upstreamDials.WithLabelValues("ok").Inc()
	if c.upSock, err = up.HandOver(); err != nil {
		up.Close()
		return nil, endedBy("upstream", "open target cluster %q: %w", g.Cluster, err)
	}
	c.upstream = up
	c.upBy.Store(0)
	sock := c.upSock
	c.up.Go(func() {
		defer up.Close()
		if err := c.contained(func() error { return c.pump(up, sock) }); err != nil && !errors.Is(err, errRecycled) {
			c.close(err)
		}
	})
	return up, nil
}

// unreached says that the broker could not be dialled: nothing was sent to it.
type unreached struct{ error }

func (e *unreached) Unwrap() error { return e.error }

var errRecycled = errors.New("broker connection replaced")

// answerLeap is how much of a broker's answer has to be there before its buffer
// takes the announced size.
const answerLeap = 32 << 10

// firstBytes is how much memory a frame gets before anything of it has come,
// after the login and from brokers: a batch of usual size is read at once.
const firstBytes = 64 << 10

// copiedAnswer is up to which size an answer is copied out of the window; a
// larger one gets the memory it was read into.
const copiedAnswer = 32 << 10

// pump carries the broker's answers to the client.
func (c *clientConn) pump(up *upstream.Conn, sock *socket.Conn) error {
	frames := wire.NewFrameReader(sock, wire.FrameConfig{FirstBytes: firstBytes, LeapBytes: answerLeap, Buffers: c.g.buffers, Budget: c.application.budget,
		OnDeadline: func() error { return c.stillPatient(up) }})
	defer frames.Close()
	limit := wire.Limit{Name: "max_answer_bytes", Bytes: c.g.config.Limits.MaxAnswerBytes}
	stop := context.AfterFunc(c.ctx, func() { up.Close() })
	defer stop()
	defer c.ring.flush()
	for {
		if !frames.Whole() {
			if err := c.ring.flush(); err != nil {
				return err
			}
			c.ring.room(maxReady)
		}
		size, err := frames.Size(c.ctx, limit)
		if err != nil {
			return c.upstreamError(up, err)
		}
		if size-frames.Buffered() >= passFrom {
			if passed, err := c.passAnswer(up, sock, frames, size); err != nil {
				return c.upstreamError(up, err)
			} else if passed {
				continue
			}
		}
		if err := frames.Need(c.ctx, size, 0, 0, size); err != nil {
			return c.upstreamError(up, err)
		}
		if size <= copiedAnswer {
			err = c.pass(up, frames.Window()[:size], nil)
			frames.Discard(size)
		} else {
			frame, bodyErr := frames.Body(c.ctx, size)
			if err = bodyErr; err != nil {
				return c.upstreamError(up, err)
			}
			err = c.pass(up, frame.Bytes(), frame)
		}
		if err != nil {
			return err
		}
	}
}

// stillPatient is asked when a read from the broker met a deadline: it is over
// when the oldest request has waited for longer than its patience.
func (c *clientConn) stillPatient(up *upstream.Conn) error {
	waiting := c.ring.awaited()
	if waiting != nil && !time.Now().Before(c.due(waiting)) {
		return os.ErrDeadlineExceeded
	}
	for { // the client's goroutine may push meanwhile
		by, unix := time.Time{}, int64(0)
		if waiting != nil {
			by = c.due(waiting)
			unix = by.UnixNano()
		}
		c.upBy.Store(unix)
		if err := up.SetReadDeadline(by); err != nil {
			return err
		}
		next := c.ring.awaited()
		if next == waiting {
			return nil
		}
		waiting = next
	}
}

// due is when a request must have been answered: its patience begins once the
// one before it has been, and once the broker has all of it: a client may be slow.
func (c *clientConn) due(p *pending) time.Time {
	from := p.sentAt
	if c.answeredAt.After(from) {
		from = c.answeredAt
	}
	if passed := p.passedAt.Load(); passed > from.UnixNano() {
		from = time.Unix(0, passed)
	}
	return from.Add(p.patience)
}

func (c *clientConn) upstreamError(up *upstream.Conn, err error) error {
	if by := new(ended); errors.As(err, &by) || errors.Is(err, errClientGone) {
		return err
	}
	waiting := c.ring.awaited()
	switch {
	case c.ctx.Err() != nil:
		return c.ended()
	case errors.Is(err, net.ErrClosed):
		return errRecycled
	case errors.Is(err, os.ErrDeadlineExceeded) && waiting != nil:
		return endedBy("upstream", "broker %d has not answered %s for %v", up.NodeID(), waiting.name, waiting.patience)
	case errors.Is(err, io.EOF) && waiting == nil:
		return endedBy("upstream", "broker %d closed the connection", up.NodeID())
	}
	return endedBy("upstream", "broker %d: %w", up.NodeID(), err)
}

// maxReady is how many bytes of answers may wait behind one that is held or
// slow before the broker is no longer read.
const maxReady = 4 << 20

// rewritten decodes an answer and makes the frame of what the client gets.
func (c *clientConn) rewritten(up *upstream.Conn, p *pending, body []byte, shape wire.Shape) (*[]byte, error) {
	var decoded borrowed
	if err := c.borrow(&decoded, p.name+" answer", shape.DecodedBytes); err != nil {
		return nil, err
	}
	defer decoded.release()
	resp := requestOf(p.key, p.sent).ResponseKind()
	resp.SetVersion(p.sent)
	if err := resp.ReadFrom(body); err != nil {
		return nil, endedBy("upstream", "broker %d: answer to %s: %w", up.NodeID(), p.name, err)
	}
	if shape.UnknownTags > 0 {
		stripUnknownTags(resp)
	}
	if p.respond != nil {
		var err error
		if resp, err = p.respond(resp); err != nil {
			return nil, endedBy("upstream", "answer to %s: %w", p.name, err)
		}
	}
	resp.SetVersion(p.version)
	return c.frameOf(p, len(body)+256, resp.AppendTo), nil
}

// pass gives one answer of the broker to the request it belongs to. The frame is
// b's memory, nil when that is the reader's.
func (c *clientConn) pass(up *upstream.Conn, b []byte, frame *wire.Frame) error {
	defer func() { frame.Release() }()
	p := c.ring.awaited()
	if p == nil {
		return endedBy("upstream", "broker %d sent an answer that nobody waits for", up.NodeID())
	}
	body, err := c.answerBody(up, p, b)
	if err != nil {
		return err
	}
	version := p.sent
	shape, err := wire.CheckResponse(p.key, version, body, 0)
	if err != nil {
		return endedBy("upstream", "broker %d: %w", up.NodeID(), err)
	}
	var out *[]byte
	var patches []wire.Patch
	patched := false
	if p.patch != nil && shape.UnknownTags == 0 {
		patches, patched = p.patch(body)
	}
	switch {
	case patched && frame != nil:
		var size int
		p.rest, size = wire.Gather(make(net.Buffers, 0, 2*len(patches)+1), body, patches)
		out = c.frameOf(p, 64, func(dst []byte) []byte { return dst })
		setSize(*out, len(*out)-4+size)
		p.behind, frame = frame, nil // until it is written
	case patched:
		out = c.frameOf(p, len(b)+64, func(dst []byte) []byte { return wire.AppendPatched(dst, body, patches) })
	case p.respond == nil && shape.UnknownTags == 0:
		out = c.frameOf(p, len(b)+16, func(dst []byte) []byte { return append(dst, body...) })
	default:
		if out, err = c.rewritten(up, p, body, shape); err != nil {
			return err
		}
	}
	if frame != nil && len(b) > maxReady/64 { // the copy counts against the budget as well
		p.behind, frame = frame, nil
	}
	p.size = len(b)
	return c.ring.readied(p, out)
}

// answerBody checks an answer's header and returns its body.
func (c *clientConn) answerBody(up *upstream.Conn, p *pending, b []byte) ([]byte, error) {
	correlationID, body, err := wire.ParseResponseHeader(p.key, p.sent, b)
	if err != nil {
		return nil, endedBy("upstream", "broker %d: answer to %s: %w", up.NodeID(), p.name, err)
	}
	if correlationID != p.correlationID {
		return nil, endedBy("upstream", "broker %d answered request %d, %s is %d", up.NodeID(), correlationID, p.name, p.correlationID)
	}
	c.answeredAt = time.Now()
	c.g.metrics.byKey[p.key].latency.Observe(c.answeredAt.Sub(p.sentAt).Seconds())
	return body, nil
}
