package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/handler"
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

// patienceFor is how long a request may wait for its answer: never less than
// the client itself is ready to wait.
func patienceFor(r kmsg.Request) time.Duration {
	own := answerPatience
	millis := func(ms int32) { own = max(own, time.Duration(ms)*time.Millisecond) }
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
	return min(own, maxPatience) + answerSlack
}

// forward sends a request to the broker, dialling it first if need be.
func (c *clientConn) forward(p *pending, req kmsg.Request, header wire.RequestHeader, size int) error {
	return c.send(p, req.GetVersion(), header, size, nil, func(b []byte) ([]byte, int) { return req.AppendTo(b), 0 })
}

// forwardRaw sends the client's own body with patches.
func (c *clientConn) forwardRaw(p *pending, body []byte, patches []wire.Patch, header wire.RequestHeader) error {
	rest, size := wire.Gather(make(net.Buffers, 0, 2*len(patches)+1), body, patches)
	return c.send(p, header.APIVersion, header, 0, rest, func(b []byte) ([]byte, int) { return b, size })
}

// send writes one request: a header of our own, what body appends, and rest,
// whose size body returns.
func (c *clientConn) send(p *pending, version int16, header wire.RequestHeader, size int, rest net.Buffers, body func([]byte) ([]byte, int)) error {
	up, err := c.broker()
	if err != nil {
		return err
	}
	if offered, ok := up.Versions()[p.key]; !ok || version < offered.Min || version > offered.Max {
		return endedBy("upstream", "broker %d does not take %s version %d", up.NodeID(), p.name, version)
	}
	frame := c.g.buffers.Get(size + 512)
	defer c.g.buffers.Put(frame)
	b := append((*frame)[:0], 0, 0, 0, 0)
	b = wire.AppendRequestHeader(b, wire.RequestHeader{
		APIKey: p.key, APIVersion: version, CorrelationID: header.CorrelationID,
		ClientID: handler.ClientID(c.credential.Load().Grant, header.ClientID), HasClientID: true,
	})
	b, more := body(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4+more))
	*frame = b

	p.sent = version
	if p.upstream {
		p.sentAt = time.Now()
		first := c.ring.awaited() == nil
		if !c.ring.push(p) {
			return c.ended()
		}
		if first {
			up.SetReadDeadline(p.sentAt.Add(p.patience))
		}
	}
	if _, err := c.g.write(up.NetConn(), b, rest); err != nil {
		return endedBy("upstream", "send %s to broker %d: %w", p.name, up.NodeID(), err)
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
		c.ring.drained()
		old := c.upstream
		c.upstream = nil
		old.Close()
		c.up.Wait()
	}
	node := c.l.addressing.node(c.port, c.serverName)
	g := c.credential.Load().Grant
	up, err := c.cluster.Dial(c.ctx, node, handler.ClientID(g, "gateway"))
	if err != nil {
		c.g.metrics.upstreamDials.WithLabelValues("failed").Inc()
		return nil, endedBy("upstream", "open target cluster %q: %w", g.Cluster, err)
	}
	c.g.metrics.upstreamDials.WithLabelValues("ok").Inc()
	c.upstream = up
	c.up.Go(func() {
		defer up.Close()
		if err := c.contained(func() error { return c.pump(up) }); err != nil && !errors.Is(err, errRecycled) {
			c.close(err)
		}
	})
	return up, nil
}

var errRecycled = errors.New("broker connection replaced")

// answerLeap is how much of a broker's answer has to be there before its buffer
// takes the announced size.
const answerLeap = 32 << 10

// firstBytes is how much memory a frame gets before anything of it has come,
// after the login and from brokers: a batch of usual size is read at once.
const firstBytes = 64 << 10

// pump carries the broker's answers to the client.
func (c *clientConn) pump(up *upstream.Conn) error {
	frames := wire.NewFrameReader(up.Reader(), wire.FrameConfig{FirstBytes: firstBytes, LeapBytes: answerLeap, Buffers: c.g.buffers, Budget: c.application.budget})
	limit := wire.Limit{Name: "max_answer_bytes", Bytes: c.g.config.Limits.MaxAnswerBytes}
	stop := context.AfterFunc(c.ctx, func() { up.Close() })
	defer stop()
	for {
		frame, err := frames.Next(c.ctx, limit)
		if err != nil {
			return c.upstreamError(up, err)
		}
		if err := c.pass(up, frame); err != nil {
			return err
		}
	}
}

func (c *clientConn) upstreamError(up *upstream.Conn, err error) error {
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

// pass gives one answer of the broker to the request it belongs to.
func (c *clientConn) pass(up *upstream.Conn, frame *wire.Frame) error {
	defer func() { frame.Release() }()
	p := c.ring.awaited()
	if p == nil {
		return endedBy("upstream", "broker %d sent an answer that nobody waits for", up.NodeID())
	}
	b := frame.Bytes()
	correlationID, body, err := wire.ParseResponseHeader(p.key, p.sent, b)
	if err != nil {
		return endedBy("upstream", "broker %d: answer to %s: %w", up.NodeID(), p.name, err)
	}
	if correlationID != p.correlationID {
		return endedBy("upstream", "broker %d answered request %d, %s is %d", up.NodeID(), correlationID, p.name, p.correlationID)
	}
	c.g.metrics.byKey[p.key].latency.Observe(time.Since(p.sentAt).Seconds())
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
	if patched {
		var size int
		p.rest, size = wire.Gather(make(net.Buffers, 0, 2*len(patches)+1), body, patches)
		out = c.frameOf(p, 64, func(dst []byte) []byte { return dst })
		binary.BigEndian.PutUint32(*out, uint32(len(*out)-4+size))
		p.behind, frame = frame, nil // until it is written
	} else if p.respond == nil && shape.UnknownTags == 0 {
		out = c.frameOf(p, len(b)+16, func(dst []byte) []byte { return append(dst, body...) })
	} else {
		if out, err = c.rewritten(up, p, body, shape); err != nil {
			return err
		}
	}
	if frame != nil && len(b) > maxReady/64 { // the copy counts against the budget as well
		p.behind, frame = frame, nil
	}
	p.size = len(b)
	err = c.ring.complete(p, out)
	c.ring.room(maxReady)
	for { // the client's goroutine may have pushed meanwhile
		next, deadline := c.ring.awaited(), time.Time{}
		if next != nil {
			deadline = time.Now().Add(next.patience)
		}
		up.SetReadDeadline(deadline)
		if c.ring.awaited() == next {
			break
		}
	}
	return err
}
