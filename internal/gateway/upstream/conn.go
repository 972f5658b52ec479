package upstream

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/socket"
	"sluice/internal/kafka/wire"
)

const (
	readBufferBytes       = 4 << 10
	maxLoginResponseBytes = 256 << 10
	maxAdminResponseBytes = 64 << 20
	maxAdminDecodedBytes  = 256 << 20
)

// Conn is a connection to one broker, logged in and ready for requests. One
// goroutine may read while another writes; it starts none of its own. Whoever
// dialled it closes it.
type Conn struct {
	net.Conn
	sock     *socket.Conn
	br       *bufio.Reader // of the login; nil once it was handed over
	d        *dialer
	node     int32
	addr     string
	clientID string
	user     *User // nil: the gateway's own
	api      *apiVersions
	corr     int32
	reauthAt atomic.Int64 // Unix nanoseconds; 0: never
}

// Read reads through the buffer that the login was read through.
func (c *Conn) Read(p []byte) (int, error) { return c.br.Read(p) }

// HandOver returns the connection beneath to whoever reads and writes requests
// of others over it, and frees what the login needed. From then on Read and
// Reauthenticate are not to be used. It is an error when the broker has sent
// something that nobody asked for.
func (c *Conn) HandOver() (*socket.Conn, error) {
	if n := c.br.Buffered(); n > 0 {
		return nil, c.fail(StepLogin, malformed("%d bytes behind the answer to the login", n))
	}
	c.br = nil
	return c.sock, nil
}

// NodeID returns the broker's id, or AnyNode when a bootstrap address was
// dialled that no broker advertises.
func (c *Conn) NodeID() int32 { return c.node }

// Addr returns the "host:port" that was dialled.
func (c *Conn) Addr() string { return c.addr }

// Versions returns what this very broker supports, which during a rolling
// upgrade may be less than the cluster did. The map must not be changed.
func (c *Conn) Versions() map[int16]Range { return c.api.ranges }

// ReauthAt returns when to call Reauthenticate, at 85 to 95 % of the lifetime
// that the broker gave this login (KIP-368), or the zero time when it gave none. It is
// over for a connection whose User has ended, which is to be replaced.
func (c *Conn) ReauthAt() time.Time {
	if c.user != nil && c.user.ended.Load() {
		return time.Unix(0, 1)
	}
	if at := c.reauthAt.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Reauthenticate logs in again on the same connection (KIP-368). Its caller
// makes sure that no request is unanswered and that nobody else reads or
// writes meanwhile, and closes the connection after an error. Deadlines that
// were set are gone afterwards. Without a ctx deadline, DialTimeout applies.
func (c *Conn) Reauthenticate(ctx context.Context) error {
	if n := c.br.Buffered(); n > 0 {
		return c.fail(StepLogin, fmt.Errorf("authenticate again: %d bytes of an answer are unread", n))
	}
	ctx, cancel := context.WithTimeout(ctx, c.d.cfg.DialTimeout)
	defer cancel()
	err := c.during(ctx, func() error { return c.login(ctx) })
	if err != nil {
		return c.fail(StepLogin, err)
	}
	return nil
}

func (c *Conn) setLifetime(d time.Duration) {
	if d <= 0 {
		c.reauthAt.Store(0)
		return
	}
	d = min(d, 365*24*time.Hour)
	share := 0.85 + 0.1*rand.Float64()
	c.reauthAt.Store(time.Now().Add(time.Duration(share * float64(d))).UnixNano())
}

// during runs f with the connection's deadline bound to ctx, and tells an
// error that ctx caused as such.
func (c *Conn) during(ctx context.Context, f func() error) error {
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() && err == nil {
		err = ctx.Err() // the deadline may be set at any moment from now on
	}
	if err != nil {
		return orCause(ctx, err)
	}
	return c.SetDeadline(time.Time{})
}

// orCause says that time ran out, or that the caller gave up, when that is
// what an I/O error means.
func orCause(ctx context.Context, err error) error {
	var timeout net.Error
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return cause
	} else if cause != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	}
	return err
}

// request sends one request and waits for its answer, in the highest version
// that the broker, the library and the structural check have in common.
func (c *Conn) request(req kmsg.Request, maxBytes, maxDecoded int) (kmsg.Response, error) {
	if err := c.chooseVersion(req); err != nil {
		return nil, err
	}
	body, err := c.exchange(req, maxBytes)
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	if err := decode(resp, body, maxDecoded); err != nil {
		return nil, err
	}
	return resp, nil
}

func (c *Conn) chooseVersion(req kmsg.Request) error {
	key := req.Key()
	offered, ok := c.api.ranges[key]
	lowest, highest, known := wire.APIVersions(key)
	if !ok || !known {
		return fmt.Errorf("broker %s does not know %s", c.addr, kmsg.NameForKey(key))
	}
	version := min(offered.Max, req.MaxVersion(), highest)
	if version < max(offered.Min, lowest) {
		return fmt.Errorf("broker %s offers versions %d to %d of %s, none of which is known here",
			c.addr, offered.Min, offered.Max, kmsg.NameForKey(key))
	}
	req.SetVersion(version)
	return nil
}

// exchange sends one request as it is and returns the body of its answer.
func (c *Conn) exchange(req kmsg.Request, maxBytes int) ([]byte, error) {
	c.corr++
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.clientID))
	if _, err := c.Write(formatter.AppendRequest(nil, req, c.corr)); err != nil {
		return nil, err
	}
	frame, err := readFrame(c.br, maxBytes)
	if err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != c.corr {
		return nil, malformed("answer has correlation id %d instead of %d", got, c.corr)
	}
	frame = frame[4:]
	if req.IsFlexible() && req.Key() != kmsg.ApiVersions.Int16() {
		return skipTags(frame)
	}
	return frame, nil
}

// MalformedError says that a broker's answer is not Kafka, or not the answer
// to what was asked.
type MalformedError struct{ Problem string }

func (e *MalformedError) Error() string { return "malformed answer: " + e.Problem }

func malformed(format string, args ...any) error {
	return &MalformedError{fmt.Sprintf(format, args...)}
}

// errTLSAlert is what a TLS listener answers to plaintext.
var errTLSAlert = errors.New("broker speaks TLS but the cluster has no tls setting")

// readFrame reads one frame without its size. It has at least four bytes, and
// memory grows with what arrives, not with what is declared.
func readFrame(r *bufio.Reader, maxBytes int) ([]byte, error) {
	head, err := r.Peek(4)
	if len(head) >= 2 && head[0] == 0x15 && head[1] == 0x03 {
		return nil, errTLSAlert
	}
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	_, _ = r.Discard(4)
	if size < 4 {
		return nil, malformed("frame of %d bytes", size)
	}
	if size > int64(maxBytes) {
		return nil, malformed("frame of %d bytes exceeds the limit of %d", size, maxBytes)
	}
	const step = 16 << 10
	frame := make([]byte, 0, min(int(size), step))
	for len(frame) < int(size) {
		n := min(int(size)-len(frame), max(len(frame), step))
		frame = slices.Grow(frame, n)
		got, err := io.ReadFull(r, frame[len(frame):len(frame)+n])
		frame = frame[:len(frame)+got]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return frame, nil
}

// skipTags steps over the tagged fields of a response header v1.
func skipTags(b []byte) ([]byte, error) {
	next := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<31-1 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	count, ok := next()
	for ; ok && count > 0; count-- {
		var size uint64
		if _, ok = next(); ok {
			if size, ok = next(); ok && size <= uint64(len(b)) {
				b = b[size:]
				continue
			}
		}
		ok = false
	}
	if !ok {
		return nil, malformed("tags of the response header")
	}
	return b, nil
}

// decode decodes a body into resp after the structural check. The check is
// what makes this safe; should a decoder panic all the same, the connection is
// lost and not the process.
func decode(resp kmsg.Response, body []byte, maxDecoded int) (err error) {
	if _, err := wire.CheckResponse(resp.Key(), resp.GetVersion(), body, maxDecoded); err != nil {
		return &MalformedError{err.Error()}
	}
	defer func() {
		if p := recover(); p != nil {
			err = malformed("decoder of %s v%d: %v", kmsg.NameForKey(resp.Key()), resp.GetVersion(), p)
		}
	}()
	if err := resp.ReadFrom(body); err != nil {
		return &MalformedError{err.Error()}
	}
	return nil
}
