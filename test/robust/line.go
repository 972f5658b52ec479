package robust

import (
	"bytes"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Line carries TCP connections to an address, with the faults it is told. Close ends it and waits for all of it.
type Line struct {
	listener net.Listener
	to       string
	fault    atomic.Pointer[Fault]
	hits     atomic.Int64

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]bool
	closed bool
	done   sync.WaitGroup
}

// Fault is what happens to the connections whose first bytes contain About; all of them when that is "".
type Fault struct {
	About    string
	Up, Down Way // from who dials, and back to it
}

// Way is one direction. The zero value passes everything on.
type Way struct {
	Cut     bool // after At bytes: by FIN, or with Reset by RST
	At      int
	Reset   bool
	Swallow bool // after At bytes nothing comes through any more, and nobody is told
	Segment int  // bytes that are sent at a time; less than zero: what comes within a moment is sent at once
}

// NewLine listens on loopback and carries to an address.
func NewLine(to string) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Line{listener: listener, to: to, conns: map[net.Conn]bool{}}
	l.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.done.Go(func() { l.carry(conn.(*net.TCPConn)) })
		}
	})
	return l, nil
}

// Addr is where the line begins.
func (l *Line) Addr() net.Addr { return l.listener.Addr() }

// Break puts a fault in force for the connections to come, nil for none.
func (l *Line) Break(f *Fault) { l.fault.Store(f) }

// Hits is how many times a cut or a swallow has struck.
func (l *Line) Hits() int64 { return l.hits.Load() }

// Close ends the line and its connections.
func (l *Line) Close() {
	l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.done.Wait()
}

// keep notes a connection for Close; false when that has been called.
func (l *Line) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return false
	}
	l.conns[c] = true
	return true
}

func (l *Line) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	c.Close()
}

func (l *Line) carry(up *net.TCPConn) {
	if !l.keep(up) {
		return
	}
	defer l.drop(up)
	first := make([]byte, 64<<10)
	n, err := up.Read(first)
	if err != nil {
		return
	}
	first = first[:n]
	f := l.fault.Load()
	if f == nil || !bytes.Contains(first, []byte(f.About)) {
		f = &Fault{}
	}
	conn, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	down := conn.(*net.TCPConn)
	if !l.keep(down) {
		return
	}
	defer l.drop(down)
	var both sync.WaitGroup
	both.Go(func() { l.pipe(down, up, f.Up, first) })
	both.Go(func() { l.pipe(up, down, f.Down, nil) })
	both.Wait()
}

// pipe carries one direction to its end.
func (l *Line) pipe(dst, src *net.TCPConn, way Way, pending []byte) {
	sent, buf := 0, make([]byte, 64<<10)
	for {
		for len(pending) > 0 || (way.Cut || way.Swallow) && sent == way.At {
			b := pending
			if way.Cut || way.Swallow {
				b = b[:min(len(b), way.At-sent)]
			}
			if way.Segment > 0 {
				b = b[:min(len(b), way.Segment)]
			}
			if len(b) > 0 {
				if _, err := dst.Write(b); err != nil {
					src.Close()
					return
				}
				sent += len(b)
				pending = pending[len(b):]
			}
			if way.Segment > 0 {
				// So that they are not one again on arrival; a sleep takes a millisecond.
				for sent := time.Now(); time.Since(sent) < 20*time.Microsecond; {
					runtime.Gosched()
				}
			}
			switch {
			case way.Cut && sent == way.At:
				l.hits.Add(1)
				if way.Reset {
					dst.SetLinger(0)
					src.SetLinger(0)
					dst.Close()
					src.Close()
					return
				}
				dst.CloseWrite() // the other direction ends when the peer has drawn its conclusion
				for {
					if _, err := src.Read(buf); err != nil {
						return
					}
				}
			case way.Swallow && sent == way.At:
				l.hits.Add(1)
				for {
					if _, err := src.Read(buf); err != nil {
						return
					}
				}
			}
		}
		n, err := src.Read(buf)
		for err == nil && way.Segment < 0 && n < len(buf) { // wait for more
			src.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
			m, e := src.Read(buf[n:])
			src.SetReadDeadline(time.Time{})
			n += m
			if e != nil {
				if timeout, ok := e.(net.Error); !ok || !timeout.Timeout() {
					err = e
				}
				break
			}
		}
		pending = buf[:n]
		if err != nil {
			if n > 0 {
				dst.Write(pending)
			}
			dst.CloseWrite()
			return
		}
	}
}
