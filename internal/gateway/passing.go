package gateway

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/socket"
	"sluice/internal/gateway/upstream"
	"sluice/internal/kafka/wire"
)

// Large requests to produce and large answers to fetches are passed on while
// they arrive: a connection holds a window of them, not the whole, and records
// move from socket to socket without coming through our memory where the system
// can do that.

const (
	// passFrom is how much of a frame has to be missing for it to be passed on
	// while it arrives.
	passFrom = 32 << 10
	// moveStall is how long a broker may be silent in the middle of records.
	moveStall = 30 * time.Second
)

// passAnswer passes the broker's answer to a fetch, whose size bytes come next,
// to the client. It says no where the answer has to be read as a whole; nothing
// has happened to it then.
func (c *clientConn) passAnswer(up *upstream.Conn, sock *socket.Conn, frames *wire.FrameReader, size int) (bool, error) {
	p := c.ring.awaited()
	if p == nil || p.pass == nil {
		return false, nil
	}
	if err := frames.Need(c.ctx, min(size, passHead), 0, 0, size); err != nil {
		return false, err
	}
	window := frames.Window()
	correlationID, body, err := wire.ParseResponseHeader(p.key, p.sent, window)
	if err != nil || correlationID != p.correlationID {
		return false, nil // whoever reads the whole says what is wrong
	}
	view := p.pass()
	if view == nil {
		return false, nil
	}
	if !c.ring.own(p) {
		return false, c.ended()
	}
	head := len(window) - len(body)
	begun := time.Now()
	c.answeredAt = begun
	var out *[]byte
	passage := &wire.Passage{
		Context: c.ctx, In: frames, Size: size, Head: head, Left: size - head,
		Write: func(pieces net.Buffers, size int, more bool) error {
			n, err := c.sock.WriteSome(pieces, size, c.g.config.Limits.WriteTimeout, more)
			c.wrote(n)
			c.answeredAt = time.Now() // the client's time is not the broker's
			return c.writeError(err)
		},
	}
	if c.sock.MovesFrom(sock) {
		passage.Move = func(n int) (int, bool, error) {
			c.upBy.Store(1) // the next wait sets its own
			if err := up.SetReadDeadline(time.Now().Add(moveStall)); err != nil {
				return 0, false, err
			}
			n, late, err := c.sock.Move(sock, n, c.g.config.Limits.WriteTimeout)
			c.wrote(n)
			c.answeredAt = time.Now()
			if err != nil && !socket.OfSource(err) {
				err = c.writeError(err)
			}
			if late && n == 0 {
				err = endedBy("upstream", "broker %d is silent for %v in the middle of its answer to %s", up.NodeID(), moveStall, p.name)
			}
			return n, late, err
		}
	}
	err = wire.PassFetchResponse(passage, p.sent, *view, func(size int) []byte {
		out = c.frameOf(p, 64, func(b []byte) []byte { return b })
		setSize(*out, len(*out)-4+size)
		return *out
	})
	if out != nil {
		c.g.buffers.Put(out)
	}
	if errors.Is(err, wire.ErrNotPassed) {
		c.ring.giveBack()
		return false, nil
	}
	if err != nil {
		var by *ended
		if !errors.As(err, &by) && !errors.Is(err, errClientGone) {
			err = endedBy("upstream", "broker %d: answer to %s: %w", up.NodeID(), p.name, err)
		}
		return false, err
	}
	c.g.metrics.byKey[p.key].latency.Observe(begun.Sub(p.sentAt).Seconds())
	c.ring.disown(p)
	return true, nil
}

// passProduce passes a request to produce, whose size bytes come next, to the
// broker. It says no where the request has to be read as a whole; nothing has
// happened to it then.
func (c *clientConn) passProduce(api *handler.API, header wire.RequestHeader, head, size int) (bool, error) {
	prefix, ok := wire.PeekProduceRequest(header.APIVersion, c.frames.Window()[head:], size-head)
	if !ok || len(prefix.TransactionalID) > maxString || len(prefix.Topic.Name) > maxString { // for whoever reads the whole
		return false, nil
	}
	x := &handler.Exchange{
		Context: c.ctx, Version: header.APIVersion, Grant: c.credential.Load().Grant,
		Now: c.g.deps.Now(), Conn: c.state,
	}
	action, ok, err := api.ServePassing(x, prefix)
	if err != nil {
		return false, endedBy("upstream", "%s: %w", api.Name, err)
	}
	if !ok {
		return false, nil
	}
	up, err := c.broker()
	if err != nil {
		return false, err
	}
	p := &pending{key: header.APIKey, version: header.APIVersion, correlationID: header.CorrelationID, name: api.Name,
		respond: action.Response, patch: action.RawResponse, upstream: true, patience: patience(action.Patience)}
	frame := c.g.buffers.Get(512)
	defer c.g.buffers.Put(frame)
	b := c.appendHeader(append((*frame)[:0], 0, 0, 0, 0), p, header.APIVersion, header)
	*frame = b
	left := size - head
	longer := 0
	for _, patch := range action.Patches {
		longer += len(patch.With) - patch.Len
	}
	setSize(b, len(b)-4+left+longer)
	passage := &wire.Passage{
		Context: c.ctx, In: c.frames, Size: size, Head: head, Left: left,
		Write: func(pieces net.Buffers, size int, more bool) error {
			if !p.inRing {
				if err := c.announce(up, p, header.APIVersion); err != nil {
					return err
				}
			}
			if _, err := c.upSock.WriteSome(pieces, size, c.g.config.Limits.WriteTimeout, more); err != nil {
				return endedBy("upstream", "send %s to broker %d: %w", p.name, up.NodeID(), err)
			}
			p.passedAt.Store(time.Now().UnixNano())
			return nil
		},
	}
	if c.upSock.MovesFrom(c.sock) {
		passage.Move = func(n int) (int, bool, error) {
			n, late, err := c.upSock.Move(c.sock, n, c.g.config.Limits.WriteTimeout)
			p.passedAt.Store(time.Now().UnixNano())
			if err != nil && !socket.OfSource(err) {
				err = endedBy("upstream", "send %s to broker %d: %w", p.name, up.NodeID(), err)
			}
			return n, late, err
		}
	}
	err = wire.PassProduceRequest(passage, header.APIVersion, prefix, action.Patches, b, action.Batch)
	if err != nil && p.inRing { // nobody will answer half a request
		c.ring.abandon(p)
	}
	var by *ended
	switch {
	case err == nil:
		c.active = c.g.deps.Now()
		p.passedAt.Store(time.Now().UnixNano())
		c.g.metrics.received.Add(float64(size))
		c.g.metrics.byKey[header.APIKey].requests.Inc()
		return true, nil
	case errors.Is(err, wire.ErrNotPassed):
		return false, nil
	case errors.As(err, &by):
		return false, err
	}
	return false, c.readError(err)
}

// passRequest tries to pass on the request at hand, of which much is missing.
func (c *clientConn) passRequest(size int) (bool, error) {
	if err := c.frames.Need(c.ctx, min(size, passHead), 0, 0, size); err != nil {
		return false, c.readError(err)
	}
	window := c.frames.Window()
	if binary.BigEndian.Uint16(window) != 0 { // Produce
		return false, nil
	}
	body, err := c.header.Parse(window)
	api := handler.Lookup(c.header.APIKey)
	if err != nil || api == nil || c.header.APIVersion < api.Min || c.header.APIVersion > api.Max || c.login.expired(c.active) {
		return false, nil // whoever reads the whole says what is wrong
	}
	if err := c.sit(); err != nil {
		return false, err
	}
	return c.passProduce(api, c.header, len(window)-len(body), size)
}

// passHead is how much of a request is looked at before it is passed on.
const passHead = 1 << 10
