package upstream

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/kafka/wire"
)

// scripted is a broker that answers each request of a connection with what
// script returns, and hangs up on nil.
func scripted(t *testing.T, script func(key, version int16, corr uint32) []byte) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					frame, err := readFrame(r, 1<<20)
					if err != nil || len(frame) < 8 {
						return
					}
					b := binary.BigEndian
					answer := script(int16(b.Uint16(frame)), int16(b.Uint16(frame[2:])), b.Uint32(frame[4:]))
					if answer == nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// framed is an honest frame around resp.
func framed(corr uint32, resp kmsg.Response) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), corr)
	if resp.IsFlexible() && resp.Key() != 18 {
		b = append(b, 0)
	}
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// allVersions answers ApiVersions with all that we know.
func allVersions(version int16, corr uint32) []byte {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = version
	for key := range wire.APIKeys() {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey = key
		k.MinVersion, k.MaxVersion, _ = wire.APIVersions(key)
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	return framed(corr, resp)
}

func be32(v ...uint32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

// patience is a short timeout where it is to be met, and a long one elsewhere.
func patience(want string) time.Duration {
	if want == "no answer in time" {
		return time.Second
	}
	return 20 * time.Second
}

func TestHostileFirstAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(version int16, corr uint32) []byte
		want   string
	}{
		"another correlation id":  {func(v int16, corr uint32) []byte { return allVersions(v, corr+1) }, "correlation id 2 instead of 1"},
		"negative size":           {func(int16, uint32) []byte { return be32(1 << 31) }, "frame of -2147483648 bytes"},
		"no room for an id":       {func(int16, uint32) []byte { return be32(3, 0) }, "frame of 3 bytes"},
		"size of two gigabytes":   {func(int16, uint32) []byte { return be32(1<<31-1, 1) }, "exceeds the limit"},
		"garbage":                 {func(int16, uint32) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, "exceeds the limit"},
		"a TLS alert":             {func(int16, uint32) []byte { return []byte{0x15, 3, 3, 0, 2, 2, 80} }, "no tls setting"},
		"hangs up":                {func(int16, uint32) []byte { return nil }, "may speak TLS"},
		"hangs up half way":       {func(_ int16, c uint32) []byte { return nil }, "closed the connection"},
		"huge count":              {func(_ int16, c uint32) []byte { return append(be32(12, c), 0, 0, 0xff, 0xff, 0xff, 0xff, 7, 0) }, "malformed answer: ApiVersions"},
		"trailing bytes":          {func(v int16, c uint32) []byte { b := append(allVersions(v, c), 0); b[3]++; return b }, "left over"},
		"never understands":       {func(_ int16, c uint32) []byte { return append(be32(10, c), 0, 35, 0, 0, 0, 0) }, "UNSUPPORTED_VERSION"},
		"an error":                {func(_ int16, c uint32) []byte { return append(be32(14, c), 0, 42, 1, 0, 0, 0, 0, 0, 0, 0) }, ""},
		"silence until too late":  {func(int16, uint32) []byte { return []byte{} }, "no answer in time"},
		"announced but not given": {func(_ int16, c uint32) []byte { return be32(200_000, c) }, "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := scripted(t, func(_, version int16, corr uint32) []byte { return test.answer(version, corr) })
			cfg := quick(addr)
			cfg.DialTimeout = patience(test.want)
			_, err := NewCluster(cfg).Dial(context.Background(), AnyNode, "x")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			var step *DialError
			if !errors.As(err, &step) || step.Step != StepVersions {
				t.Errorf("step of %v", err)
			}
		})
	}
}

func TestOldBrokerFallsBackToVersion0(t *testing.T) {
	addr := scripted(t, func(_, version int16, corr uint32) []byte {
		resp := kmsg.NewPtrApiVersionsResponse()
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MaxVersion = 18, 2
		resp.ApiKeys = append(resp.ApiKeys, k)
		if version > 2 {
			resp.ErrorCode = 35
		} else {
			resp.Version = version
		}
		return framed(corr, resp)
	})
	conn, err := NewCluster(quick(addr)).Dial(context.Background(), AnyNode, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.Versions()[18]; got != (Range{0, 2}) {
		t.Errorf("versions %v", got)
	}
}

func TestHostileLogin(t *testing.T) {
	answer := func(edit func(*kmsg.SASLAuthenticateResponse)) func(key, version int16, corr uint32) []byte {
		return func(key, version int16, corr uint32) []byte {
			switch key {
			case 18:
				return allVersions(version, corr)
			case 17:
				return framed(corr, &kmsg.SASLHandshakeResponse{Version: version})
			}
			resp := &kmsg.SASLAuthenticateResponse{Version: version}
			edit(resp)
			return framed(corr, resp)
		}
	}
	t.Run("repeats our secret", func(t *testing.T) {
		cfg := quick(scripted(t, answer(func(r *kmsg.SASLAuthenticateResponse) {
			r.ErrorCode, r.ErrorMessage = 58, kmsg.StringPtr("no such password: hunter2")
		})))
		cfg.SASL = with(plain.Auth{User: "u", Pass: "hunter2"}.AsMechanism())
		_, err := NewCluster(cfg).Dial(context.Background(), AnyNode, "x")
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "broker refused PLAIN user u") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("asks for work without end", func(t *testing.T) {
		cfg := quick(scripted(t, answer(func(r *kmsg.SASLAuthenticateResponse) {
			r.SASLAuthBytes = []byte("r=x,s=AAAA,i=2000000000")
		})))
		cfg.SASL = with(scram.Auth{User: "u", Pass: "hunter2"}.AsSha256Mechanism())
		_, err := NewCluster(cfg).Dial(context.Background(), AnyNode, "x")
		if err == nil || !strings.Contains(err.Error(), "iterations") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("gives a lifetime of eons", func(t *testing.T) {
		cfg := quick(scripted(t, answer(func(r *kmsg.SASLAuthenticateResponse) { r.SessionLifetimeMillis = 1<<63 - 1 })))
		cfg.SASL = with(plain.Auth{User: "u", Pass: "hunter2"}.AsMechanism())
		conn, err := NewCluster(cfg).Dial(context.Background(), AnyNode, "x")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if at := conn.ReauthAt(); !at.IsZero() && at.Before(time.Now()) {
			t.Errorf("login again at %v", at)
		}
	})
}

// A broker whose Metadata answers are bad keeps the cluster from being ready,
// and every question gets an error.
func TestHostileMetadata(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(version int16, corr uint32) []byte
		want   string
	}{
		"no brokers":  {func(v int16, c uint32) []byte { return framed(c, &kmsg.MetadataResponse{Version: v}) }, "knows of no brokers"},
		"garbage":     {func(_ int16, c uint32) []byte { return append(be32(12, c), "\x00\xff\xff\xff\xff\x0f00"...) }, "malformed answer"},
		"bad tags":    {func(_ int16, c uint32) []byte { return append(be32(8, c), 0xff, 0xff, 0xff, 0xff) }, "tags of the response header"},
		"silence":     {func(int16, uint32) []byte { return []byte{} }, "no answer in time"},
		"disconnects": {func(int16, uint32) []byte { return nil }, "no sasl setting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := scripted(t, func(key, version int16, corr uint32) []byte {
				if key == 18 {
					return allVersions(version, corr)
				}
				return test.answer(version, corr)
			})
			cfg := quick(addr)
			cfg.RequestTimeout = patience(test.want)
			c := run(t, cfg)
			eventually(t, test.want, func() bool { return strings.Contains(c.Err().Error(), test.want) })
			if _, _, err := c.TopicID(context.Background(), "t"); err == nil {
				t.Error("no error for a lookup")
			}
			select {
			case <-c.Ready():
				t.Error("ready")
			default:
			}
		})
	}
}

func TestForeignTopicsInAnswerAreIgnored(t *testing.T) {
	var addr string
	addr = scripted(t, func(key, version int16, corr uint32) []byte {
		if key == 18 {
			return allVersions(version, corr)
		}
		host, port := addr[:strings.LastIndex(addr, ":")], 0
		for _, d := range addr[len(host)+1:] {
			port = port*10 + int(d-'0')
		}
		resp := &kmsg.MetadataResponse{Version: version, Brokers: []kmsg.MetadataResponseBroker{
			{NodeID: 1, Host: host, Port: int32(port)}, {NodeID: 1, Host: "twice", Port: 1}, {NodeID: 2, Host: "", Port: 1}, {NodeID: -5, Host: "x", Port: 1}, {NodeID: 3, Host: "x", Port: 70000}}}
		t := kmsg.NewMetadataResponseTopic()
		t.Topic, t.TopicID = kmsg.StringPtr("foreign"), [16]byte{7}
		resp.Topics = append(resp.Topics, t)
		return framed(corr, resp)
	})
	c := run(t, quick(addr))
	awaitReady(t, c)
	if b := c.Brokers(); len(b) != 1 {
		t.Errorf("brokers %v", b)
	}
	if _, ok, err := c.TopicID(context.Background(), "mine"); ok || err == nil {
		t.Errorf("a topic that was not answered: %v, %v", ok, err)
	}
	c.topics.mu.RLock()
	defer c.topics.mu.RUnlock()
	if _, ok := c.topics.names["foreign"]; ok {
		t.Error("a topic nobody asked for was learned")
	}
}

func TestSilenceEndsWithTheCallersContext(t *testing.T) {
	addr := scripted(t, func(int16, int16, uint32) []byte { return []byte{} })
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := NewCluster(quick(addr)).Dial(ctx, AnyNode, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestConnReadsThroughItsBuffer(t *testing.T) {
	addr := scripted(t, func(key, version int16, corr uint32) []byte {
		return append(allVersions(version, corr), "early"...)
	})
	conn, err := NewCluster(quick(addr)).Dial(context.Background(), AnyNode, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "early" {
		t.Errorf("read %q, %v", got, err)
	}
}

func FuzzSkipTags(f *testing.F) {
	f.Add([]byte{0, 1})
	f.Add([]byte{1, 0, 2, 9, 9, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		if rest, err := skipTags(b); err == nil && len(rest) >= len(b) {
			t.Errorf("%d bytes left of %d", len(rest), len(b))
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add(be32(4, 7))
	f.Add(be32(1<<31, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := readFrame(bufio.NewReader(strings.NewReader(string(b))), 1<<20)
		if err == nil && (len(frame) < 4 || len(frame) > len(b)-4) {
			t.Errorf("frame of %d bytes from %d", len(frame), len(b))
		}
	})
}

// BenchmarkIdleConn tells the memory of a plaintext connection that waits.
func BenchmarkIdleConn(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // one short-lived goroutine, so that only our side counts
				head := make([]byte, 64)
				n, _ := c.Read(head)
				if n >= 12 {
					c.Write(allVersions(4, binary.BigEndian.Uint32(head[8:])))
				}
			}()
		}
	}()
	c := NewCluster(quick(ln.Addr().String()).withDefaults())
	conns := make([]*Conn, 0, 500)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		for range cap(conns) {
			conn, err := c.Dial(context.Background(), AnyNode, "erp/consumer")
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, conn)
		}
		b.ReportMetric(float64(heap()-before)/float64(len(conns)), "B/conn")
		for _, conn := range conns {
			conn.Close()
		}
		clear(conns)
		conns = conns[:0]
	}
}

// Whatever a broker says during a login, dialling ends with an error that names
// the step and never our secret, or with a connection.
func TestNonsenseDuringTheLogin(t *testing.T) {
	const secret = "hunter2-is-the-secret"
	challenges := func(said ...string) func(key, version int16, corr uint32) []byte {
		round := 0
		return func(key, version int16, corr uint32) []byte {
			switch key {
			case 18:
				return allVersions(version, corr)
			case 17:
				return framed(corr, &kmsg.SASLHandshakeResponse{Version: version})
			}
			resp := &kmsg.SASLAuthenticateResponse{Version: version, SASLAuthBytes: []byte(said[min(round, len(said)-1)])}
			round++
			return framed(corr, resp)
		}
	}
	handshake := func(answer func(version int16, corr uint32) []byte) func(key, version int16, corr uint32) []byte {
		return func(key, version int16, corr uint32) []byte {
			if key == 18 {
				return allVersions(version, corr)
			}
			return answer(version, corr)
		}
	}
	plainLogin := plain.Auth{User: "u", Pass: secret}.AsMechanism()
	scramLogin := scram.Auth{User: "u", Pass: secret}.AsSha256Mechanism()
	bearer := oauth.Auth{Token: secret}.AsMechanism()
	for name, c := range map[string]struct {
		mechanism sasl.Mechanism
		script    func(key, version int16, corr uint32) []byte
		works     bool
	}{
		"handshake refused": {plainLogin, handshake(func(v int16, c uint32) []byte {
			return framed(c, &kmsg.SASLHandshakeResponse{Version: v, ErrorCode: 33})
		}), false},
		"handshake with an error nobody knows": {plainLogin, handshake(func(v int16, c uint32) []byte {
			return framed(c, &kmsg.SASLHandshakeResponse{Version: v, ErrorCode: -999})
		}), false},
		"handshake offers what looks like a log": {plainLogin, handshake(func(v int16, c uint32) []byte {
			return framed(c, &kmsg.SASLHandshakeResponse{Version: v, ErrorCode: 33, SupportedMechanisms: []string{"A\nlevel=ERROR", strings.Repeat("x", 30_000)}})
		}), false},
		"handshake with endless mechanisms":  {plainLogin, handshake(func(_ int16, c uint32) []byte { return append(be32(10, c), 0, 33, 0x7f, 0xff, 0xff, 0xff) }), false},
		"handshake answered with another id": {plainLogin, handshake(func(v int16, c uint32) []byte { return framed(c+1, &kmsg.SASLHandshakeResponse{Version: v}) }), false},
		"handshake never answered":           {plainLogin, handshake(func(int16, uint32) []byte { return []byte{} }), false},
		"handshake and then silence": {plainLogin, func(key, v int16, c uint32) []byte {
			if key == 36 {
				return []byte{}
			}
			return challenges("")(key, v, c)
		}, false},
		"PLAIN with a challenge":                 {plainLogin, challenges("what is your name?"), true}, // franz-go, as other clients, takes the error code's word
		"SCRAM with an empty challenge":          {scramLogin, challenges(""), false},
		"SCRAM with bytes":                       {scramLogin, challenges("\x00\xff\x00"), false},
		"SCRAM with somebody else's nonce":       {scramLogin, challenges("r=somebody-elses,s=AAAA,i=4096"), false},
		"SCRAM without iterations":               {scramLogin, challenges("r=x,s=AAAA"), false},
		"SCRAM with no iterations":               {scramLogin, challenges("r=x,s=AAAA,i=0"), false},
		"SCRAM with negative iterations":         {scramLogin, challenges("r=x,s=AAAA,i=-5"), false},
		"SCRAM with more than a number":          {scramLogin, challenges("r=x,s=AAAA,i=99999999999999999999"), false},
		"SCRAM with a salt that is none":         {scramLogin, challenges("r=x,s=!!!,i=4096"), false},
		"SCRAM with an extension":                {scramLogin, challenges("m=x,r=x,s=AAAA,i=4096"), false},
		"SCRAM that says the same for ever":      {scramLogin, challenges("e=other-error"), false},
		"SCRAM with commas only":                 {scramLogin, challenges(",,,,,,"), false},
		"OAUTHBEARER with a challenge":           {bearer, challenges(`{"status":"` + secret + `"}`), false},
		"OAUTHBEARER with half a challenge":      {bearer, challenges(`{"status":`), false},
		"OAUTHBEARER with an answer without end": {bearer, challenges(strings.Repeat("a", 200_000)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := quick(scripted(t, c.script))
			if strings.Contains(name, "never answered") || strings.Contains(name, "silence") || strings.Contains(name, "without end") {
				cfg.DialTimeout, cfg.RequestTimeout = time.Second, time.Second
			}
			cfg.SASL = with(c.mechanism)
			conn, err := NewCluster(cfg).Dial(context.Background(), AnyNode, "x")
			if conn != nil {
				conn.Close()
			}
			if c.works != (err == nil) {
				t.Fatalf("got %v", err)
			}
			var step *DialError
			switch {
			case err == nil:
			case !errors.As(err, &step) || step.Step != StepLogin:
				t.Errorf("step of %v", err)
			case strings.Contains(err.Error(), secret), len(err.Error()) > 5000, strings.Contains(err.Error(), "\n"):
				t.Errorf("text: %.300s", err)
			}
		})
	}
}

// FuzzVersions: whatever a broker says of its versions is refused or understood,
// and what two brokers have in common is no more than either has.
func FuzzVersions(f *testing.F) {
	seed := kmsg.NewPtrApiVersionsResponse()
	seed.Version = 4
	for _, r := range [][3]int16{{0, 3, 13}, {1, 4, 18}, {18, 0, 4}, {3, 9, 0}, {-1, -5, -1}, {18, 1, 1}} {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = r[0], r[1], r[2]
		seed.ApiKeys = append(seed.ApiKeys, k)
	}
	seed.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{{Name: "transaction.version", MaxVersionLevel: 2}, {Name: "", MaxVersionLevel: -1}}
	f.Add(int16(4), seed.AppendTo(nil))
	f.Add(int16(0), []byte("\x00\x23\x00\x00\x00\x01\x00\x12\x00\x00\x00\x04"))
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 0 || version > apiVersionsVersion {
			return
		}
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.Version = version
		if decode(resp, body, 0) != nil {
			return
		}
		api := newAPIVersions(resp)
		other := &apiVersions{ranges: map[int16]Range{0: {3, 9}, 1: {4, 11}, 18: {0, 3}}}
		for key, r := range intersect(api, other).ranges {
			a, b := api.ranges[key], other.ranges[key]
			if r.Min < a.Min || r.Min < b.Min || r.Max > a.Max || r.Max > b.Max {
				t.Errorf("key %d: %v and %v have %v in common", key, a, b, r)
			}
		}
	})
}

// FuzzBrokers: whatever a broker says of the cluster's brokers, each node is
// known once and only those that can be dialled are.
func FuzzBrokers(f *testing.F) {
	seed := kmsg.NewPtrMetadataResponse()
	seed.Version = 12
	for _, b := range []Broker{{NodeID: 1, Host: "a", Port: 9092}, {NodeID: 1, Host: "b", Port: 1}, {NodeID: -1, Host: "c", Port: 1}, {NodeID: 2, Host: "", Port: 1}, {NodeID: 3, Host: "d", Port: 70000}, {NodeID: 4, Host: "x\x00y", Port: 1}} {
		mb := kmsg.NewMetadataResponseBroker()
		mb.NodeID, mb.Host, mb.Port = b.NodeID, b.Host, b.Port
		seed.Brokers = append(seed.Brokers, mb)
	}
	f.Add(int16(12), seed.AppendTo(nil))
	f.Add(int16(0), []byte("\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		resp := kmsg.NewPtrMetadataResponse()
		if version < 0 || version > resp.MaxVersion() {
			return
		}
		resp.Version = version
		if decode(resp, body, 0) != nil {
			return
		}
		c := NewCluster(quick("127.0.0.1:1"))
		c.LearnBrokers(brokersOf(resp))
		seen := map[int32]bool{}
		for _, b := range c.Brokers() {
			if seen[b.NodeID] || b.NodeID < 0 || b.Host == "" || b.Port < 1 || b.Port > 65535 {
				t.Errorf("knows %+v", b)
			}
			seen[b.NodeID] = true
		}
	})
}

// FuzzChallenge: whatever a broker asks for during a login, what is looked at
// first bounds the work, and the error has no secret in it.
func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{"r=x,s=AAAA,i=4096", "i=100001", "i=-1,i=2000000000", `{"status":"hunter2"}`, "", ",,,", "i=9999999999999999999999"} {
		f.Add("SCRAM-SHA-256", []byte(seed))
		f.Add("OAUTHBEARER", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, mechanism string, challenge []byte) {
		err := sane(mechanism, challenge, []string{"hunter2"})
		if err != nil && strings.Contains(err.Error(), "hunter2") && mechanism != "hunter2" && !strings.Contains(mechanism, "hunter2") && !strings.HasPrefix(mechanism, "SCRAM-") {
			t.Errorf("%v", err)
		}
	})
}
