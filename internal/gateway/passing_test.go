package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/kafka/wire"
)

// framed is a request as it goes over the wire.
func framed(correlationID int32, req kmsg.Request) []byte {
	b := wire.AppendRequestHeader(make([]byte, 4), wire.RequestHeader{
		APIKey: req.Key(), APIVersion: req.GetVersion(), CorrelationID: correlationID, ClientID: "raw", HasClientID: true,
	})
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func produceOf(topic string, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 8, -1, 10_000
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rt.Topic, rp.Records = topic, records
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// only returns the gateway's only connection.
func (w *world) only() *clientConn {
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	for c := range w.gateway.conns {
		return c
	}
	w.t.Fatal("no connection")
	return nil
}

// Half a request that was being passed on is never answered: a stop does not
// wait for that.
func TestAStopDoesNotWaitForHalfARequest(t *testing.T) {
	b := newScriptedBroker(t, "phys.orders")
	w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())))
	conn := w.rawLogin("acme")
	frame := framed(3, produceOf("orders", make([]byte, 1<<20)))
	conn.Write(frame[:300<<10])
	c := w.only()
	eventually(t, "the request is not passed on", func() bool { return !c.ring.idle() })
	began := time.Now()
	c.finish(0, 15*time.Second)
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ended after %v", took)
	}
}

// The broker is not late with an answer to what a slow client has not sent yet.
func TestPatienceBeginsOnceTheBrokerHasTheRequest(t *testing.T) {
	b := newScriptedBroker(t, "phys.orders")
	w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())))
	conn := w.rawLogin("acme")
	frame := framed(3, produceOf("orders", make([]byte, 1<<20)))
	conn.Write(frame[:300<<10])
	c := w.only()
	eventually(t, "the request is not passed on", func() bool { return c.ring.awaited() != nil })
	p := c.ring.awaited()
	eventually(t, "nothing has gone out", func() bool { return p.passedAt.Load() != 0 })
	half := c.due(p) // nothing has been answered: this is nobody else's
	conn.Write(frame[300<<10 : 900<<10])
	eventually(t, "the patience has begun before the broker has the request", func() bool { return c.due(p).After(half) })
}

// What came before a login in the same segment is on its way while the login is
// thought about.
func TestRequestsBeforeAReauthenticationAreSent(t *testing.T) {
	b := newScriptedBroker(t, "phys.orders")
	script := func(c *brokerConn, r brokerRequest) bool {
		resp := kmsg.NewPtrProduceResponse()
		rt, rp := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
		rt.Topic, rt.Partitions = "phys.orders", append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return c.answer(r, resp) == nil
	}
	b.script.Store(&script)
	w := startBehind(t, b, DefaultLimits(), credential("acme", app("acme", orders())), credential("other", app("other")))
	conn := w.rawLogin("acme")
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	w.roundTrip(conn, handshake)
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version, auth.SASLAuthBytes = 1, []byte("\x00other\x00"+secret)
	produce := produceOf("orders", nil)
	if _, err := conn.Write(append(framed(1, produce), framed(2, auth)...)); err != nil {
		t.Fatal(err)
	}
	if resp, err := receive(conn, 1, produce); err != nil || resp.(*kmsg.ProduceResponse).Topics[0].Topic != "orders" {
		t.Errorf("what came before: %v, %+v", err, resp)
	}
	if resp, err := receive(conn, 2, auth); err != nil || resp.(*kmsg.SASLAuthenticateResponse).ErrorCode == 0 {
		t.Errorf("the refusal: %v, %+v", err, resp)
	}
}

func tlsListener(t *testing.T, ca *authority) ListenerConfig {
	server := ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	return ListenerConfig{
		Name: "main", Address: "127.0.0.1:0", Mechanisms: []string{sasl.Plain},
		TLS: &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ca.pool, ClientAuth: tls.VerifyClientCertIfGiven},
	}
}

// The first request of a client with a certificate is read before there is an
// idle deadline; what it left behind must not stand for one.
func TestAClientWithACertificateIsIdleTooAfterASlowFirstRequest(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	uri, _ := url.Parse("spiffe://example.test/partner")
	own := ca.issue(t, func(c *x509.Certificate) { c.URIs = []*url.URL{uri} })
	limits := DefaultLimits()
	limits.IdleTimeout = wire.DefaultPace().Grace + time.Second
	w := startLimited(t, limits, tlsListener(t, ca), &grant.Credential{Name: "partner-cert", Method: grant.MTLS, Identity: "uri:" + uri.String(), Grant: open("partner")})
	conn, err := tls.Dial("tcp", w.gateway.Bootstrap("main"), &tls.Config{RootCAs: ca.pool, ServerName: "localhost", Certificates: []tls.Certificate{own}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 12
	frame := framed(1, metadata)
	conn.Write(frame[:8]) // enough to be let in
	eventually(t, "not let in", func() bool { return w.only().credential.Load() != nil })
	time.Sleep(50 * time.Millisecond) // it waits for the rest
	conn.Write(frame[8:])
	if _, err := receive(conn, 1, metadata); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(3 * limits.IdleTimeout))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("idle: %v", err)
	}
}

// A bug in a handshake ends its connection, and not the turns of all.
func TestAPanicInAHandshakeGivesItsTurnBack(t *testing.T) {
	ca := newAuthority(t)
	listener := tlsListener(t, ca)
	listener.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "panic" {
			panic("in a handshake")
		}
		return nil, nil
	}
	w := startWith(t, listener, credential("acme", open("acme")))
	dial := func(name string) error {
		d := &net.Dialer{Timeout: 5 * time.Second}
		conn, err := tls.DialWithDialer(d, "tcp", w.gateway.Bootstrap("main"), &tls.Config{RootCAs: ca.pool, ServerName: name})
		if err == nil {
			conn.Close()
		}
		return err
	}
	for range runtime.GOMAXPROCS(0) {
		if err := dial("panic"); err == nil {
			t.Fatal("shaken hands with a panic")
		}
	}
	if err := dial("localhost"); err != nil {
		t.Errorf("after the panics: %v", err)
	}
}
