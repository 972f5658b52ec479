// Package socket is a TCP connection, with or without TLS over it, as the
// gateway reads and writes it: it is waited for without a buffer, written with
// one call for many pieces, and its bytes move to another connection without
// passing through our memory where the system can do that. Its main type is
// Conn. It must not know Kafka's messages, logins or grants.
package socket

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"sluice/internal/kafka/wire"
)

// Conn is a connection. One goroutine may read while another writes; deadlines
// and Close are safe at any time.
type Conn struct {
	net.Conn // what is read and written: TLS once Secure was called
	tcp      net.Conn
	raw      syscall.RawConn // nil where there is no socket to wait for, as in tests
	secured  bool
	buffers  *wire.Buffers
	writeBy  time.Time   // the write deadline that has been set; the writer's, with TLS guarded by sealing
	gathered net.Buffers // being written

	// One ReadReady at work.
	try    func(fd uintptr) bool
	trying bool    // beneath reads fd and does not wait
	fd     uintptr // while trying
	lend   func() []byte
	back   func()
	block  func() error
	n      int
	err    error

	sealing sync.Mutex // guards pending, and keeps TLS records in order on TCP
	pending *[]byte    // what TLS writes, while it is collected; nil otherwise
}

// New returns a connection over a TCP one. The buffers are for what has to lie
// in one piece.
func New(tcp net.Conn, buffers *wire.Buffers) *Conn {
	c := &Conn{Conn: tcp, tcp: tcp, buffers: buffers}
	if s, ok := tcp.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	c.try = c.tryRead
	return c
}

// Beneath is what a TLS connection has to be layered over, before Secure is
// told of it.
func (c *Conn) Beneath() net.Conn { return beneath{c.tcp, c} }

// Secure puts a TLS connection over Beneath, whose handshake is done, in the
// place of TCP.
func (c *Conn) Secure(t *tls.Conn) { c.Conn, c.secured = t, true }

// beneath is the TCP connection as TLS sees it.
type beneath struct {
	net.Conn
	c *Conn
}

func (b beneath) Read(p []byte) (int, error) {
	if !b.c.trying {
		return b.Conn.Read(p)
	}
	n, err := read(b.c.fd, p)
	if err == syscall.EAGAIN {
		return n, again{}
	}
	return n, err
}

func (b beneath) Write(p []byte) (int, error) {
	b.c.sealing.Lock()
	defer b.c.sealing.Unlock()
	if b.c.pending == nil {
		b.c.beforeRecord()
		return b.Conn.Write(p)
	}
	*b.c.pending = append(*b.c.pending, p...)
	return len(p), nil
}

// again is what TLS gets when there is nothing to read: an error that passes,
// after which it can be asked again.
type again struct{}

func (again) Error() string   { return "nothing to read yet" }
func (again) Timeout() bool   { return false }
func (again) Temporary() bool { return true }

// read is one read that does not wait.
func read(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (c *Conn) tryRead(fd uintptr) bool {
	b := c.lend()
	if c.secured {
		c.fd, c.trying = fd, true
		c.n, c.err = c.Conn.Read(b)
		c.trying = false
		if _, nothing := c.err.(again); !nothing {
			return true
		} else if c.n > 0 { // and behind it the beginning of an alert
			c.err = nil
			return true
		}
	} else if c.n, c.err = read(fd, b); c.err != syscall.EAGAIN {
		return true
	}
	c.back()
	c.n, c.err = 0, nil
	c.err = c.block()
	return c.err != nil
}

// ReadReady implements [wire.ReadyReader].
func (c *Conn) ReadReady(lend func() []byte, back func(), block func() error) (int, error) {
	if c.raw == nil {
		if err := block(); err != nil {
			return 0, err
		}
		return c.Conn.Read(lend())
	}
	c.lend, c.back, c.block = lend, back, block
	c.n, c.err = 0, nil
	if err := c.raw.Read(c.try); err != nil {
		return 0, err
	}
	return c.n, c.err
}

// chunk is what a slow reader has to take within one timeout.
const chunk = 256 << 10

// beforeWrite moves the write deadline, seldom: it is between one and one and a
// quarter timeouts ahead.
func (c *Conn) beforeWrite(timeout time.Duration) {
	now := time.Now()
	if c.writeBy.Sub(now) < timeout {
		c.writeBy = now.Add(timeout + timeout/4)
		_ = c.tcp.SetWriteDeadline(c.writeBy)
	}
}

// recordWithin is the write deadline of what TLS itself has to say.
const recordWithin = 5 * time.Second

// beforeRecord sees to it that TLS can say something of its own, such as new
// keys, also when the last write is long ago and its deadline has passed: an
// error would stay with the connection. sealing is held.
func (c *Conn) beforeRecord() {
	if now := time.Now(); c.secured && now.After(c.writeBy) {
		c.writeBy = now.Add(recordWithin)
		_ = c.tcp.SetWriteDeadline(c.writeBy)
	}
}

// WriteSome is WriteAll; with more, something follows at once, and little is kept
// back in the system to go out together with it.
func (c *Conn) WriteSome(pieces net.Buffers, size int, timeout time.Duration, more bool) (written int, err error) {
	if !more || size > fewBytes || c.secured || c.raw == nil || messageMore == 0 {
		return c.WriteAll(pieces, size, timeout)
	}
	buf := c.buffers.Get(fewBytes)
	defer c.buffers.Put(buf)
	b := (*buf)[:0]
	for _, piece := range pieces {
		b = append(b, piece...)
	}
	c.beforeWrite(timeout)
	wait := c.raw.Write(func(fd uintptr) bool {
		for len(b) > 0 && err == nil {
			var n int
			switch n, err = sendMore(fd, b); err {
			case nil:
				b, written = b[n:], written+n
			case syscall.EINTR:
				err = nil
			case syscall.EAGAIN:
				err = nil
				return false
			}
		}
		return true
	})
	if err == nil {
		err = wait
	}
	return written, err
}

// fewBytes is what is worth keeping back.
const fewBytes = 4 << 10

// WriteAll writes pieces of size bytes altogether, in one call where the system
// can gather them; the pieces are used up. The timeout is for each 256 KiB and
// not for the whole: a slow line is not a dead one. One goroutine may write at a
// time.
func (c *Conn) WriteAll(pieces net.Buffers, size int, timeout time.Duration) (written int, err error) {
	if c.secured {
		return c.writeSecured(pieces, timeout)
	}
	for size > chunk && err == nil {
		var n int
		if len(pieces[0]) > chunk {
			c.beforeWrite(timeout)
			n, err = c.Conn.Write(pieces[0][:chunk])
			pieces[0] = pieces[0][n:]
		} else {
			c.beforeWrite(timeout)
			n, err = c.Conn.Write(pieces[0])
			pieces = pieces[1:]
		}
		written, size = written+n, size-n
	}
	if err != nil || size == 0 {
		return written, err
	}
	c.beforeWrite(timeout)
	if len(pieces) == 1 {
		n, err := c.Conn.Write(pieces[0])
		return written + n, err
	}
	c.gathered = pieces // WriteTo takes an address: here it is one that stays
	n, err := c.gathered.WriteTo(c.Conn)
	c.gathered = nil
	return written + int(n), err
}

// writeSecured gives TLS large pieces, since each write becomes a record, and
// TCP what comes of them in one.
func (c *Conn) writeSecured(pieces net.Buffers, timeout time.Duration) (written int, err error) {
	whole, sealed := c.buffers.Get(sealAtOnce), c.buffers.Get(sealAtOnce+sealAtOnce/16)
	defer func() {
		c.buffers.Put(whole)
		c.buffers.Put(sealed)
	}()
	for len(pieces) > 0 {
		b := pieces[0]
		if len(pieces) > 1 && len(b) < sealAtOnce {
			*whole = (*whole)[:0]
			for len(pieces) > 0 && len(*whole)+len(pieces[0]) <= sealAtOnce {
				*whole = append(*whole, pieces[0]...)
				pieces = pieces[1:]
			}
			b = *whole
		} else {
			n := min(len(b), sealAtOnce)
			if b = b[:n]; n == len(pieces[0]) {
				pieces = pieces[1:]
			} else {
				pieces[0] = pieces[0][n:]
			}
		}
		*sealed = (*sealed)[:0]
		c.sealing.Lock()
		c.pending = sealed
		c.sealing.Unlock()
		_, err := c.Conn.Write(b)
		c.sealing.Lock() // until it is written: a record made meanwhile comes after it
		c.beforeWrite(timeout)
		c.pending = nil
		if err == nil {
			_, err = c.tcp.Write(*sealed)
		}
		c.sealing.Unlock()
		if err != nil {
			return written, err
		}
		written += len(b)
	}
	return written, nil
}

// sealAtOnce is how much is encrypted before it is written.
const sealAtOnce = 64 << 10

// sourceError is what kept Move from reading.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// OfSource reports whether an error of Move is that of the connection it read
// from. A reset may be either's, and counts as the other one's.
func OfSource(err error) bool { return errors.As(err, new(*sourceError)) }

// MovesFrom reports whether Move can take bytes of src past our memory.
func (c *Conn) MovesFrom(src *Conn) bool {
	_, to := c.Conn.(*net.TCPConn)
	_, from := src.Conn.(*net.TCPConn)
	return to && from
}

// Move carries up to n bytes of src, at most 256 KiB, to c past our memory, where
// MovesFrom says so. The timeout is for writing. Late says that src's read deadline
// came first; what was moved until then has arrived.
func (c *Conn) Move(src *Conn, n int, timeout time.Duration) (moved int, late bool, err error) {
	c.beforeWrite(timeout)
	got, err := c.Conn.(*net.TCPConn).ReadFrom(&io.LimitedReader{R: src.Conn, N: int64(min(n, chunk))})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(c.writeBy):
		late, err = true, &sourceError{err}
	case err == nil && got == 0:
		err = &sourceError{io.ErrUnexpectedEOF}
	}
	return int(got), late, err
}
