package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"

	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/wire"
)

// scriptedBroker is a cluster of one broker that answers what a script tells
// it to answer on connections for clients, and the truth to the gateway itself.
type scriptedBroker struct {
	t        testing.TB
	listener net.Listener
	topics   map[string][16]byte // the cluster's, by name
	// script answers a request; it writes what it likes to the connection.
	// False hangs up. It is called by one goroutine per connection.
	script atomic.Pointer[func(*brokerConn, brokerRequest) bool]
	// versions edits what a client's connection is told of the broker's versions.
	versions atomic.Pointer[func(*kmsg.ApiVersionsResponse)]

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

type brokerConn struct {
	net.Conn
	b *scriptedBroker
}

// brokerRequest is a request as the broker received it.
type brokerRequest struct {
	wire.RequestHeader
	Body []byte
}

func newScriptedBroker(t testing.TB, topics ...string) *scriptedBroker {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &scriptedBroker{t: t, listener: ln, topics: map[string][16]byte{}, conns: map[net.Conn]bool{}}
	for _, name := range topics {
		b.topics[name] = physicalID(name)
	}
	b.done.Go(b.accept)
	t.Cleanup(func() {
		ln.Close()
		b.mu.Lock()
		for c := range b.conns {
			c.Close()
		}
		b.mu.Unlock()
		b.done.Wait()
	})
	return b
}

// physicalID is the id a topic has on the scripted broker.
func physicalID(name string) (id [16]byte) {
	sum := sha256.Sum256([]byte(name))
	copy(id[copy(id[:], "PHYSID"):], sum[:])
	return id
}

func (b *scriptedBroker) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.conns[conn] = true
		b.mu.Unlock()
		b.done.Go(func() {
			defer func() {
				conn.Close()
				b.mu.Lock()
				delete(b.conns, conn)
				b.mu.Unlock()
			}()
			b.serve(&brokerConn{conn, b})
		})
	}
}

func (b *scriptedBroker) serve(c *brokerConn) {
	in := bufio.NewReader(c.Conn)
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(in, frame); err != nil {
			return
		}
		header, body, err := wire.ParseRequestHeader(frame)
		if err != nil {
			b.t.Errorf("the broker received %x: %v", frame, err)
			return
		}
		r := brokerRequest{header, body}
		script := b.script.Load()
		if header.APIKey == 18 || !strings.Contains(header.ClientID, "/") || script == nil {
			err = c.answer(r, b.truth(r))
		} else if !(*script)(c, r) {
			return
		}
		if err != nil {
			return
		}
	}
}

// truth is an honest answer to what the gateway itself and simple clients ask.
func (b *scriptedBroker) truth(r brokerRequest) kmsg.Response {
	req := kmsg.RequestForKey(r.APIKey)
	req.SetVersion(r.APIVersion)
	if err := req.ReadFrom(r.Body); err != nil {
		b.t.Errorf("the broker received %s v%d %x: %v", wire.APIName(r.APIKey), r.APIVersion, r.Body, err)
	}
	kr := req.ResponseKind()
	kr.SetVersion(r.APIVersion)
	switch resp := kr.(type) {
	case *kmsg.ApiVersionsResponse:
		for key := range wire.APIKeys() {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey = key
			k.MinVersion, k.MaxVersion, _ = wire.APIVersions(key)
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
		if edit := b.versions.Load(); edit != nil && strings.Contains(r.ClientID, "/") {
			(*edit)(resp)
		}
	case *kmsg.MetadataResponse:
		host, port, _ := net.SplitHostPort(b.listener.Addr().String())
		n, _ := strconv.Atoi(port)
		mb := kmsg.NewMetadataResponseBroker()
		mb.NodeID, mb.Host, mb.Port = 1, host, int32(n)
		resp.Brokers, resp.ControllerID, resp.ClusterID = append(resp.Brokers, mb), 1, kmsg.StringPtr("physical-CANARY-cluster")
		asked := req.(*kmsg.MetadataRequest).Topics
		if asked == nil {
			for name := range b.topics {
				asked = append(asked, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(name)})
			}
		}
		for _, at := range asked {
			mt := kmsg.NewMetadataResponseTopic()
			if mt.Topic, mt.TopicID = at.Topic, at.TopicID; mt.Topic == nil {
				mt.ErrorCode = 100
				for name, id := range b.topics {
					if id == at.TopicID {
						mt.Topic, mt.ErrorCode = kmsg.StringPtr(name), 0
					}
				}
			} else if id, ok := b.topics[*at.Topic]; ok {
				mt.TopicID = id
			} else {
				mt.ErrorCode = 3
			}
			if mt.ErrorCode == 0 {
				mp := kmsg.NewMetadataResponseTopicPartition()
				mp.Leader, mp.Replicas, mp.ISR = 1, []int32{1}, []int32{1}
				mt.Partitions = append(mt.Partitions, mp)
			}
			resp.Topics = append(resp.Topics, mt)
		}
	case *kmsg.OffsetFetchResponse:
		// What a client committed is its own: its name.
		for _, at := range req.(*kmsg.OffsetFetchRequest).Topics {
			ft := kmsg.NewOffsetFetchResponseTopic()
			ft.Topic = at.Topic
			for _, p := range at.Partitions {
				fp := kmsg.NewOffsetFetchResponseTopicPartition()
				fp.Partition, fp.Metadata = p, kmsg.StringPtr(r.ClientID)
				ft.Partitions = append(ft.Partitions, fp)
			}
			resp.Topics = append(resp.Topics, ft)
		}
	}
	return kr
}

// frame is an honest frame around a body.
func (r brokerRequest) frame(body []byte) []byte {
	b := wire.AppendResponseHeader(make([]byte, 4), r.APIKey, r.APIVersion, r.CorrelationID)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *brokerConn) answer(r brokerRequest, resp kmsg.Response) error {
	resp.SetVersion(r.APIVersion)
	return c.send(r.frame(resp.AppendTo(nil)))
}

func (c *brokerConn) send(b []byte) error {
	c.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := c.Write(b)
	return err
}

// startBehind starts a gateway in front of a scripted broker.
func startBehind(t testing.TB, b *scriptedBroker, limits Limits, credentials ...*grant.Credential) *world {
	t.Helper()
	return startLogging(t, b, limits, nil, credentials...)
}

// startLogging is startBehind with a place for the logs.
func startLogging(t testing.TB, b *scriptedBroker, limits Limits, to slog.Handler, credentials ...*grant.Credential) *world {
	t.Helper()
	w := &world{t: t, number: 1, logs: testWriter{t, new(sync.Mutex), new(strings.Builder)}}
	if to == nil {
		to = slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelInfo})
	}
	log := slog.New(to)
	w.cluster = upstream.NewCluster(upstream.Config{Name: "main", Bootstrap: []string{b.listener.Addr().String()}, Log: log})
	snapshot, err := grant.New("test", grant.Number{Generation: 1, N: 1}, credentials)
	if err != nil {
		t.Fatal(err)
	}
	w.gateway, err = New(Config{Listeners: []ListenerConfig{plaintext}, Limits: limits, DataDir: t.TempDir()},
		Deps{Clusters: oneCluster{w.cluster}, Log: log, Registry: prometheus.NewRegistry(), Now: w.now}, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	w.run()
	return w
}

// rawFrames are what a client reads, undecoded.
type rawFrame struct {
	correlationID int32
	bytes         []byte // from the correlation id on
}

var errTooLate = errors.New("no answer in time")

// readFrame reads one frame of a client's connection.
func readFrame(conn net.Conn, within time.Duration) (rawFrame, error) {
	conn.SetReadDeadline(time.Now().Add(within))
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return rawFrame{}, errTooLate
		}
		return rawFrame{}, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 200<<20 {
		return rawFrame{}, fmt.Errorf("frame of %d bytes", n)
	}
	f := rawFrame{bytes: make([]byte, n)}
	_, err := io.ReadFull(conn, f.bytes)
	f.correlationID = int32(binary.BigEndian.Uint32(f.bytes))
	return f, err
}

// bystander is a client of another application that must not notice anything.
type bystander struct {
	w    *world
	conn net.Conn
	name string
	n    int32
}

func (w *world) bystander(name string) *bystander {
	return &bystander{w: w, conn: w.rawLogin(name), name: name}
}

// check asks for what it committed and gets it.
func (b *bystander) check(t *testing.T) {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = 7, "g"
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = "orders", []int32{0}
	req.Topics = append(req.Topics, rt)
	b.n++
	if err := send(b.conn, b.n, req); err != nil {
		t.Fatalf("another application's connection: %v", err)
	}
	kr, err := receive(b.conn, b.n, req)
	if err != nil {
		t.Fatalf("another application's connection: %v", err)
	}
	resp := kr.(*kmsg.OffsetFetchResponse)
	if len(resp.Topics) != 1 || resp.Topics[0].Topic != "orders" || !strings.HasPrefix(*resp.Topics[0].Partitions[0].Metadata, b.name+"/") {
		t.Fatalf("another application is answered %+v", resp)
	}
}

// canary stands in every name, host and text that no client may see.
const canary = "CANARY"

func leaks(b []byte) bool {
	return bytes.Contains(b, []byte(canary)) || bytes.Contains(b, []byte("PHYSID"))
}
