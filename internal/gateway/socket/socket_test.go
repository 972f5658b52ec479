package socket

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"sluice/internal/kafka/wire"
)

// pair returns the two ends of a TCP connection.
func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	theirs, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	for _, c := range []net.Conn{ours, theirs} {
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return ours, theirs
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// connected returns one of our connections and its peer, in plaintext or TLS.
func connected(t *testing.T, secure bool) (*Conn, net.Conn) {
	ours, theirs := pair(t)
	c := New(ours, new(wire.Buffers))
	if !secure {
		return c, theirs
	}
	server := tls.Server(c.Beneath(), &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := errors.Join(server.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	c.Secure(server)
	return c, client
}

func each(t *testing.T, f func(t *testing.T, secure bool)) {
	for name, secure := range map[string]bool{"plaintext": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { f(t, secure) })
	}
}

func TestWaitsWithoutABuffer(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		c, peer := connected(t, secure)
		waits := make(chan struct{}, 100)
		var lent, back int
		buf := make([]byte, 1<<16)
		read := func() (int, error) {
			return c.ReadReady(func() []byte { lent++; return buf }, func() { back++ }, func() error {
				if lent != back {
					t.Error("waits with a buffer")
				}
				waits <- struct{}{}
				return nil
			})
		}
		want := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
		go func() {
			<-waits // the first wait has begun
			peer.Write(want)
			peer.Close()
		}()
		var got []byte
		for {
			n, err := read()
			if lent != back+1 {
				t.Fatalf("%d buffers lent, %d given back", lent, back)
			}
			back++
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes, or others", len(got), len(want))
		}
	})
}

func TestReadDeadlineIsNotTheEnd(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		c, peer := connected(t, secure)
		buf := make([]byte, 100)
		read := func(within time.Duration) (int, error) {
			return c.ReadReady(func() []byte { return buf }, func() {}, func() error { return c.tcp.SetReadDeadline(time.Now().Add(within)) })
		}
		if _, err := read(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		c.tcp.SetReadDeadline(time.Time{})
		go peer.Write([]byte("later"))
		if n, err := read(10 * time.Second); err != nil || string(buf[:n]) != "later" {
			t.Errorf("after the deadline: %q, %v", buf[:n], err)
		}
		stop := errors.New("enough")
		if _, err := c.ReadReady(func() []byte { return buf }, func() {}, func() error { return stop }); !errors.Is(err, stop) {
			t.Errorf("stopped before the wait: %v", err)
		}
	})
}

// held keeps what is written until it is let go.
type held struct {
	net.Conn
	hold bool
	kept []byte
}

func (h *held) Write(b []byte) (int, error) {
	if !h.hold {
		return h.Conn.Write(b)
	}
	h.kept = append(h.kept, b...)
	return len(b), nil
}

// TLS looks for an alert behind the data it returns; one of which only a part is
// there must not take the data with it.
func TestDataBeforeHalfAnAlertIsRead(t *testing.T) {
	ours, theirs := pair(t)
	c, h := New(ours, new(wire.Buffers)), &held{Conn: theirs}
	server := tls.Server(c.Beneath(), &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MaxVersion: tls.VersionTLS12})
	client := tls.Client(h, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := errors.Join(server.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	c.Secure(server)
	h.hold = true
	client.Write([]byte("the last words"))
	n := len(h.kept)
	client.CloseWrite()
	theirs.SetDeadline(time.Now().Add(20 * time.Second)) // the alert has left another one
	theirs.Write(h.kept[:n+3])
	buf := make([]byte, 100)
	read := func() (int, error) {
		return c.ReadReady(func() []byte { return buf }, func() {}, func() error { return nil })
	}
	later := time.AfterFunc(100*time.Millisecond, func() { theirs.Write(h.kept[n+3:]) })
	defer later.Stop()
	if got, err := read(); err != nil || string(buf[:got]) != "the last words" {
		t.Errorf("got %q, %v", buf[:got], err)
	}
	if _, err := read(); err != io.EOF {
		t.Errorf("behind it: %v", err)
	}
}

// TLS answers to a change of keys while it reads. An error of that write would
// stay with the connection.
func TestTLSSpeaksAfterALongSilence(t *testing.T) {
	c, peer := connected(t, true)
	if _, err := c.WriteAll(net.Buffers{{1}}, 1, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	c.writeBy = time.Now().Add(-time.Second) // the silence
	if err := c.tcp.SetWriteDeadline(c.writeBy); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Beneath().Write(nil); err != nil {
		t.Errorf("an empty record: %v", err)
	}
	if _, err := c.Beneath().Write([]byte{0}); err != nil {
		t.Errorf("a record: %v", err)
	}
}

func TestWritesManyPiecesInOrder(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		for _, sizes := range [][]int{{1}, {10, 20, 30}, {5, 70_000, 5}, {1 << 20}, {100, 300_000, 1, 600_000, 7}} {
			c, peer := connected(t, secure)
			var pieces net.Buffers
			var want []byte
			for i, n := range sizes {
				b := bytes.Repeat([]byte{byte('a' + i)}, n)
				pieces, want = append(pieces, b), append(want, b...)
			}
			got := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(io.LimitReader(peer, int64(len(want))))
				got <- b
			}()
			n, err := c.WriteAll(pieces, len(want), 10*time.Second)
			if err != nil || n != len(want) || !bytes.Equal(<-got, want) {
				t.Errorf("%v: wrote %d of %d, %v", sizes, n, len(want), err)
			}
		}
	})
}

func TestWhatIsKeptBackGoesOutWithWhatFollows(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		c, peer := connected(t, secure)
		var want []byte
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(peer)
			got <- b
		}()
		for i := range 200 {
			few, many := bytes.Repeat([]byte{'f'}, 1+i), bytes.Repeat([]byte{byte(i)}, 50_000)
			for _, w := range []struct {
				b    []byte
				more bool
			}{{few, true}, {many, i%2 == 0}} {
				want = append(want, w.b...)
				n, err := c.WriteSome(net.Buffers{w.b[:len(w.b)/2], w.b[len(w.b)/2:]}, len(w.b), 10*time.Second, w.more)
				if err != nil || n != len(w.b) {
					t.Fatalf("wrote %d of %d: %v", n, len(w.b), err)
				}
			}
		}
		c.Close()
		if !bytes.Equal(<-got, want) {
			t.Error("other bytes")
		}
	})
}

func TestWriteEndsWhenNobodyReads(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		c, _ := connected(t, secure)
		_, err := c.WriteAll(net.Buffers{make([]byte, 64<<20)}, 64<<20, 20*time.Millisecond)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMovesBytesPastOurMemory(t *testing.T) {
	from, sender := connected(t, false)
	to, receiver := connected(t, false)
	if !to.MovesFrom(from) {
		t.Fatal("two TCP connections")
	}
	if secured, _ := connected(t, true); secured.MovesFrom(from) || to.MovesFrom(secured) {
		t.Error("TLS has to pass through our memory")
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 70_000)
	go sender.Write(append(want, "rest"...))
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(receiver, int64(len(want))))
		got <- b
	}()
	for moved := 0; moved < len(want); {
		n, _, err := to.Move(from, len(want)-moved, 10*time.Second)
		if err != nil || n > chunk {
			t.Fatal(n, err)
		}
		moved += n
	}
	if !bytes.Equal(<-got, want) {
		t.Fatal("other bytes")
	}
	rest := make([]byte, 4)
	if _, err := io.ReadFull(from, rest); err != nil || string(rest) != "rest" {
		t.Errorf("behind it: %q, %v", rest, err)
	}
	sender.Write([]byte("few"))
	from.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, late, err := to.Move(from, 10, 10*time.Second); n != 3 || !late || !OfSource(err) {
		t.Errorf("few bytes in time: %d, %v, %v", n, late, err)
	}
	from.SetReadDeadline(time.Time{})
	sender.Close()
	if _, _, err := to.Move(from, 10, 10*time.Second); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("from a closed connection: %v", err)
	}
}
