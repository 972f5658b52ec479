package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// listening is the forwarder's answer.
type listening struct{ Address string }

// halves is a connection whose halves end one by one: *net.TCPConn or *tls.Conn.
type halves interface {
	net.Conn
	CloseWrite() error
}

// serveForwarder forwards connections to job.Forward until ctx ends: with io.Copy, which lets the kernel splice, or as
// the floor does; with Go's TLS on the client's side if the job has a certificate.
func serveForwarder(ctx context.Context, job Job, answer func(any) error) error {
	front := func(conn net.Conn) halves { return conn.(*net.TCPConn) }
	if job.Cert != "" {
		pair, err := tls.LoadX509KeyPair(job.Cert, job.Key)
		if err != nil {
			return err
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}}
		front = func(conn net.Conn) halves { return tls.Server(conn, config) }
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	if err := answer(listening{l.Addr().String()}); err != nil {
		return err
	}
	toBroker, toClient := copyAll, copyAll
	if job.Floor {
		toBroker = func(dst, src halves) error { return copyFrames(dst, src, 12) }
		toClient = func(dst, src halves) error { return copyFrames(dst, src, 8) }
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			client := front(conn)
			defer client.Close()
			up, err := net.Dial("tcp", job.Forward)
			if err != nil {
				return
			}
			broker := up.(*net.TCPConn)
			defer broker.Close()
			var both sync.WaitGroup
			both.Go(func() {
				_ = toBroker(broker, client)
				_ = broker.CloseWrite()
			})
			both.Go(func() {
				_ = toClient(client, broker)
				_ = client.CloseWrite()
			})
			both.Wait()
		}()
	}
}

func copyAll(dst, src halves) error {
	_, err := io.Copy(dst, src)
	return err
}

const (
	floorBuffer = 64 << 10
	floorSplice = 32 << 10 // a body of which more than this is missing does not come through our memory
)

// copyFrames is the floor: what any gateway for Kafka has to do and nothing else. It reads what is there, looks at the
// head of each frame (requests: length, key, version, correlation id, 12 bytes; answers: length, correlation id, 8
// bytes), writes everything it has with one write, and leaves the rest of a large body to the kernel where there is no
// TLS.
func copyFrames(dst, src halves, head int) error {
	to, plain := dst.(*net.TCPConn)
	_, alsoPlain := src.(*net.TCPConn)
	splices := plain && alsoPlain
	buf := make([]byte, floorBuffer)
	have := 0    // bytes in buf that are not written: the beginning of a head
	missing := 0 // of the present frame's body, before what is read next
	for {
		n, err := src.Read(buf[have:])
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		end, at := have+n, 0
		for at < end {
			if missing > 0 {
				step := min(missing, end-at)
				at, missing = at+step, missing-step
				continue
			}
			if end-at < head {
				break
			}
			size := int(int32(binary.BigEndian.Uint32(buf[at:])))
			if size < head-4 {
				return errors.New("a frame is shorter than its head")
			}
			// The rest of the head is here too; nothing is decided by it.
			missing = size + 4 - head
			at += head
		}
		if _, err := dst.Write(buf[:at]); err != nil {
			return err
		}
		have = copy(buf, buf[at:end])
		if splices && missing > floorSplice {
			got, err := to.ReadFrom(&io.LimitedReader{R: src, N: int64(missing)})
			if err != nil {
				return err
			}
			if missing -= int(got); missing > 0 {
				return io.ErrUnexpectedEOF
			}
		}
	}
}
