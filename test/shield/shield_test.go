// Package shield sends what the published Kafka advisories of 2026 describe through the gateway, to a real Apache Kafka
// that has none of the fixes and a small heap: counts of tagged fields and arrays beyond any frame (CVE-2026-111115,
// CVE-2026-111108), telemetry that unpacks to many times its size (CVE-2026-111073), and tokens that nobody signed
// (CVE-2026-110985). Nothing of it may arrive. What the gateway writes to the broker is recorded and examined byte by
// byte; the broker has to go on serving, and the gateway must not pay for it either.
package shield

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway"
	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/kafka/wire"
	"sluice/internal/kafka/wire/wiretest"
	"sluice/internal/kafkatest"
)

const (
	unpatched = "4.1.2" // the fixes are in 4.2.2, 4.3.2 and later
	secret    = "a-secret-of-some-length"
	backing   = "shielded"
)

// recorder stands between the gateway and the broker, and keeps what it has to say about every frame.
type recorder struct {
	mu       sync.Mutex // guards what follows
	dials    int
	frames   map[string]int // by Kafka API, on connections for clients
	problems []string
}

func (r *recorder) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.dials++
	r.mu.Unlock()
	return &recorded{Conn: conn, r: r}, nil
}

// recorded is a connection to the broker; the gateway writes it from one goroutine at a time.
type recorded struct {
	net.Conn
	r    *recorder
	rest []byte // of a frame that is not complete
}

func (c *recorded) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for len(c.rest) >= 4 {
		size := int(int32(binary.BigEndian.Uint32(c.rest)))
		if size < 8 || size > 100<<20 {
			c.r.problem("a frame of %d bytes", size)
			break
		}
		if len(c.rest) < 4+size {
			break
		}
		c.r.look(c.rest[4 : 4+size])
		c.rest = slices.Clone(c.rest[4+size:])
	}
	return c.Conn.Write(b)
}

func (r *recorder) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.problems) < 10 {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

func (r *recorder) look(frame []byte) {
	header, body, err := wire.ParseRequestHeader(frame)
	if err != nil {
		r.problem("%v: %x", err, frame[:min(len(frame), 100)])
		return
	}
	r.mu.Lock()
	if strings.Contains(header.ClientID, "/") {
		r.frames[wire.APIName(header.APIKey)]++
	}
	r.mu.Unlock()
	shape, err := wire.CheckRequest(header.APIKey, header.APIVersion, body, 0)
	switch {
	case err != nil:
		r.problem("%v: %x", err, frame[:min(len(frame), 100)])
	case shape.UnknownTags > 0 || shape.Left > 0:
		r.problem("%s: %d tags nobody knows, %d bytes after the end", wire.APIName(header.APIKey), shape.UnknownTags, shape.Left)
	case wire.Flexible(header.APIKey, header.APIVersion) && !bytes.Equal(frame[:len(frame)-len(body)], wire.AppendRequestHeader(nil, header)):
		r.problem("%s: a header with tags: %x", wire.APIName(header.APIKey), frame[:len(frame)-len(body)])
	case header.APIKey == 71 || header.APIKey == 72:
		r.problem("%s arrives", wire.APIName(header.APIKey))
	}
}

func (r *recorder) clientFrames() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.frames {
		n += f
	}
	return n
}

// world is a gateway with a recorder behind it.
type world struct {
	kafka    *kafkatest.Cluster
	gateway  *gateway.Gateway
	registry *prometheus.Registry
	behind   *recorder
	direct   *kgo.Client
}

func start(t *testing.T) *world {
	w := &world{registry: prometheus.NewRegistry(), behind: &recorder{frames: map[string]int{}}}
	w.kafka = kafkatest.Start(t, kafkatest.Options{Version: unpatched, Heap: "192m", Settings: map[string]string{"log.cleaner.dedupe.buffer.size": "4194304"}})
	var err error
	if w.direct, err = kgo.NewClient(kgo.SeedBrokers(w.kafka.Bootstrap()...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.direct.Close)
	if _, err := kadm.NewClient(w.direct).CreateTopic(bounded(t), 1, 1, nil, backing); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	verifier, err := sasl.NewVerifier(sasl.Plain, secret, []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("acme"))
	acme := &grant.Grant{
		Application: "acme", Environment: "test", Cluster: "main", VirtualClusterID: "vc", Prefix: "tabcdefghijkl.", IDKey: grant.TopicID(sum[:16]),
		Topics: []*grant.Topic{{Exposed: "orders", Backing: backing, ID: grant.TopicID(sum[16:]), Read: grant.Right{Access: grant.Granted}, Write: grant.Right{Access: grant.Granted},
			Phases: []grant.Phase{{State: grant.Open}}}},
		Namespace: grant.Namespace{Topics: 5, Partitions: 50},
	}
	snapshot, err := grant.New("test", grant.Number{Generation: 1, N: 1}, []*grant.Credential{
		{Name: "acme", Method: grant.Plain, Identity: "acme", Verifiers: []grant.Verifier{{Mechanism: verifier.Mechanism, Salt: verifier.Salt, StoredKey: verifier.StoredKey}}, Grant: acme},
		{Name: "acme-token", Method: grant.OAuth, Identity: "https://issuer.test|acme", Grant: acme},
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"keys":[]}`), 0o600); err != nil { // whom nobody can sign for
		t.Fatal(err)
	}
	tokens, err := sasl.NewTokenValidator([]sasl.Issuer{{Issuer: "https://issuer.test", Audience: []string{"kafka"}, Keys: sasl.KeySource{File: keys}}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cluster := upstream.NewCluster(upstream.Config{Name: "main", Bootstrap: w.kafka.Bootstrap(), Log: log, Dial: w.behind.dial})
	limits := gateway.DefaultLimits()
	limits.MaxUnauthenticatedPerAddress = 0
	w.gateway, err = gateway.New(gateway.Config{
		Listeners: []gateway.ListenerConfig{{Name: "main", Address: "127.0.0.1:0", Mechanisms: []string{sasl.Plain, sasl.OAuthBearer}}},
		Limits:    limits, DataDir: t.TempDir(), Telemetry: &clientmetrics.Config{},
	}, gateway.Deps{Clusters: one{cluster}, Tokens: tokens, Log: log, Registry: w.registry, Now: time.Now}, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	cluster.OnBrokers(w.gateway.Learn)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- cluster.Run(ctx) }()
	go func() { done <- w.gateway.Run(ctx, time.Second) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	select {
	case <-cluster.Ready():
	case <-time.After(30 * time.Second):
		t.Fatal("the broker is not reached: ", cluster.Err())
	}
	return w
}

type one struct{ c *upstream.Cluster }

func (o one) Cluster(string) *upstream.Cluster { return o.c }
func (o one) All() []*upstream.Cluster         { return []*upstream.Cluster{o.c} }

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// serves fails unless the broker takes a record and gives it back, through the gateway and directly.
func (w *world) serves(t *testing.T) {
	t.Helper()
	for range 2 {
		if err := w.direct.ProduceSync(bounded(t), &kgo.Record{Topic: backing, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatalf("the broker no longer serves: %v", err)
		}
	}
	conn := w.login(t)
	defer conn.Close()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 7
	rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp = -1
	rt.Topic, rt.Partitions = "orders", append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := exchange(t, conn, req).(*kmsg.ListOffsetsResponse)
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.Offset < 2 {
		t.Fatalf("through the gateway: %+v", p)
	}
}

func (w *world) connect(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (w *world) login(t *testing.T) net.Conn {
	t.Helper()
	conn := w.connect(t)
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, sasl.Plain
	exchange(t, conn, handshake)
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version, auth.SASLAuthBytes = 2, []byte("\x00acme\x00"+secret)
	if resp := exchange(t, conn, auth).(*kmsg.SASLAuthenticateResponse); resp.ErrorCode != 0 {
		t.Fatalf("login: %d", resp.ErrorCode)
	}
	return conn
}

func frame(key, version int16, headerTags, body []byte) []byte {
	b := wire.AppendRequestHeader(make([]byte, 4), wire.RequestHeader{APIKey: key, APIVersion: version, CorrelationID: 7, ClientID: "c", HasClientID: true})
	if headerTags != nil {
		b = append(b[:len(b)-1], headerTags...)
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func exchange(t *testing.T, conn net.Conn, req kmsg.Request) kmsg.Response {
	t.Helper()
	if _, err := conn.Write(frame(req.Key(), req.GetVersion(), nil, req.AppendTo(nil))); err != nil {
		t.Fatal(err)
	}
	answer, err := read(conn)
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := wire.ParseResponseHeader(req.Key(), req.GetVersion(), answer)
	if err != nil {
		t.Fatal(err)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	return resp
}

func read(conn net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(conn, b)
	return b, err
}

// closes fails unless a frame ends its connection, soon and without an answer.
func closes(t *testing.T, conn net.Conn, what string, b []byte) {
	t.Helper()
	began := time.Now()
	// The connection may end while megabytes are still on their way; what was answered before can be read all the same.
	if _, err := conn.Write(b); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%s: %v", what, err)
	}
	answer, err := read(conn)
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("%s: answered %x, %v", what, answer, err)
	}
	if took := time.Since(began); took > 9*time.Second { // before a login takes too long
		t.Errorf("%s: took %v", what, took)
	}
	conn.Close()
}

// tagBombs are numbers of tagged fields that no frame has.
func tagBombs() [][]byte {
	var bombs [][]byte
	for _, n := range []uint64{1 << 20, 1 << 26, 1<<31 - 1, 1<<32 - 1} {
		bombs = append(bombs, binary.AppendUvarint(nil, n))
	}
	return bombs
}

func TestFramesOfTheAdvisoriesNeverArrive(t *testing.T) {
	w := start(t)
	w.serves(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	sent := 0

	// CVE-2026-111115: the count of tagged fields, before the login, in the body and in header version 2.
	quiet := w.behind.clientFrames()
	for _, bomb := range tagBombs() {
		closes(t, w.connect(t), "ApiVersions with tags in the body", frame(18, 3, nil, slices.Concat([]byte("\x02a\x02b"), bomb)))
		closes(t, w.connect(t), "ApiVersions with tags in the header", frame(18, 4, bomb, []byte("\x02a\x02b\x00")))
		closes(t, w.connect(t), "Metadata with tags in the header, before the login", frame(3, 12, bomb, []byte("\x01\x00\x00\x00")))
		closes(t, w.connect(t), "SaslAuthenticate with tags in the header", frame(36, 2, bomb, []byte("\x01\x00")))
		sent += 4
	}
	if n := w.behind.clientFrames(); n != quiet {
		t.Errorf("%d frames reached the broker before any login", n-quiet)
	}
	// The same after the login, and CVE-2026-111108, the count of an array, wherever one is in any request we offer.
	for _, api := range handler.Table {
		if api.Posture == handler.Refused || !wire.Flexible(api.Key, api.Max) {
			continue
		}
		g := wiretest.New(uint64(api.Key), wiretest.Shape{Elements: 2})
		m := g.Valid(api.Key, api.Max, false)
		for _, bomb := range tagBombs()[1:3] {
			closes(t, w.login(t), api.Name+" with tags in the header", frame(api.Key, api.Max, bomb, m.Body))
			sent++
		}
		tried := 0
		for i, s := range m.Spans {
			if s.Kind != wiretest.SpanCount && s.Kind != wiretest.SpanTags || tried == 4 && i < len(m.Spans)-1 {
				continue
			}
			tried++
			bomb := slices.Concat(m.Body[:s.At], binary.AppendUvarint(nil, 1<<31-1), m.Body[s.At+s.Len:])
			closes(t, w.login(t), fmt.Sprintf("%s with a count of two billion at %d", api.Name, s.At), frame(api.Key, api.Max, nil, bomb))
			sent++
		}
	}
	for key, body := range map[int16][]byte{3: []byte("\x7f\xff\xff\xff"), 9: []byte("\x00\x01g\x7f\xff\xff\xff"), 2: []byte("\xff\xff\xff\xff\x7f\xff\xff\xff")} { // before flexible versions
		closes(t, w.login(t), wire.APIName(key)+" of an old version with a count of two billion", frame(key, 1, nil, body))
		sent++
	}
	w.serves(t)

	// The same with as many tags and elements as are announced: megabytes that a decoder makes gigabytes of. Tags of a
	// header that nobody knows are legal, so a request with them is served, without them.
	many := func(n int) []byte {
		b := binary.AppendUvarint(nil, uint64(n))
		for tag := range n {
			b = append(binary.AppendUvarint(b, uint64(tag)), 0)
		}
		return b
	}
	conn := w.login(t)
	conn.Write(frame(12, 4, many(800_000), []byte("\x02g\x00\x00\x00\x00\x02m\x00\x00"))) // Heartbeat
	if _, err := read(conn); err != nil {
		t.Errorf("a request with 800,000 tags in its header: %v", err)
	}
	closes(t, w.connect(t), "three megabytes of tags before the login", frame(18, 3, many(800_000), []byte("\x02a\x02b\x00")))
	closes(t, w.login(t), "three megabytes of tags in the body", frame(12, 4, nil, append([]byte("\x02g\x00\x00\x00\x00\x02m\x00"), many(800_000)...)))
	closes(t, w.login(t), "four million topics", frame(3, 9, nil, slices.Concat(binary.AppendUvarint(nil, 4_000_001), bytes.Repeat([]byte{1}, 4_000_000), []byte{0, 0, 0, 0})))
	sent += 4
	w.serves(t)

	// CVE-2026-111073: telemetry that unpacks to many times its size.
	pushed := w.behind.clientFrames()
	for name, packed := range packages(t, 64<<20) {
		conn := w.login(t)
		sub := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
		exchange(t, conn, sub)
		push := kmsg.NewPtrPushTelemetryRequest()
		push.CompressionType, push.Metrics = packed.code, packed.bytes
		rand.Read(push.ClientInstanceID[:])
		conn.Write(frame(72, 0, nil, push.AppendTo(nil)))
		if answer, err := read(conn); err == nil {
			resp := kmsg.NewPtrPushTelemetryResponse()
			if _, body, err := wire.ParseResponseHeader(72, 0, answer); err != nil || resp.ReadFrom(body) != nil || resp.ErrorCode == 0 {
				t.Errorf("%s that unpacks to 64 MiB: %v %+v", name, err, resp)
			}
		}
		conn.Close()
		sent++
	}
	if n := w.behind.clientFrames(); n != pushed {
		t.Errorf("%d frames reached the broker while telemetry was pushed", n-pushed)
	}

	// CVE-2026-110985: tokens that nobody signed, and the like.
	unsigned := func(header string) string {
		claims, _ := json.Marshal(map[string]any{"iss": "https://issuer.test", "sub": "acme", "aud": "kafka", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()})
		enc := base64.RawURLEncoding.EncodeToString
		return enc([]byte(header)) + "." + enc(claims) + "."
	}
	signed := w.behind.clientFrames()
	for _, token := range []string{unsigned(`{"alg":"none"}`), unsigned(`{"alg":"None","typ":"JWT"}`), unsigned(`{"alg":"HS256"}`) + "AAAA", unsigned(`{"alg":"RS256"}`), unsigned(`{"alg":"RS256","kid":"x"}`) + "AAAA", unsigned(`{}`)} {
		conn := w.connect(t)
		handshake := kmsg.NewPtrSASLHandshakeRequest()
		handshake.Version, handshake.Mechanism = 1, sasl.OAuthBearer
		exchange(t, conn, handshake)
		auth := kmsg.NewPtrSASLAuthenticateRequest()
		auth.Version, auth.SASLAuthBytes = 2, []byte("n,,\x01auth=Bearer "+token+"\x01\x01")
		if resp := exchange(t, conn, auth).(*kmsg.SASLAuthenticateResponse); resp.ErrorCode == 0 && len(resp.SASLAuthBytes) == 0 {
			t.Errorf("logged in with %s", token)
		}
		conn.Write(frame(3, 12, nil, []byte("\x01\x00\x00\x00")))
		if answer, err := read(conn); err == nil {
			t.Errorf("Metadata after an unsigned token: %x", answer)
		}
		conn.Close()
		sent++
	}
	if n := w.behind.clientFrames(); n != signed {
		t.Errorf("%d frames reached the broker for unsigned tokens", n-signed)
	}

	w.serves(t)
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / uint64(sent); per > 2<<20 {
		t.Errorf("%d KiB were allocated for each of %d hostile frames", per>>10, sent)
	}
	if after.Sys > before.Sys+256<<20 {
		t.Errorf("the process grew by %d MiB", (after.Sys-before.Sys)>>20)
	}
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sluice_gateway_panics_total" && f.Metric[0].Counter.GetValue() != 0 {
			t.Error("a connection ended in a panic")
		}
	}
	w.behind.mu.Lock()
	defer w.behind.mu.Unlock()
	for _, p := range w.behind.problems {
		t.Error("the broker received ", p)
	}
	t.Logf("%d hostile frames and tokens; the broker received %v", sent, w.behind.frames)
}

type packed struct {
	code  int8
	bytes []byte
}

// packages are zeros, packed by each codec of Kafka that can pack them well.
func packages(t *testing.T, size int) map[string]packed {
	t.Helper()
	zeros := make([]byte, 1<<20)
	pack := func(open func(io.Writer) (io.WriteCloser, error)) []byte {
		var out bytes.Buffer
		w, err := open(&out)
		if err != nil {
			t.Fatal(err)
		}
		for range size >> 20 {
			w.Write(zeros)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	return map[string]packed{
		"gzip":                      {1, pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) })},
		"zstd":                      {4, pack(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })},
		"gzip that says it is zstd": {4, pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) })},
	}
}
