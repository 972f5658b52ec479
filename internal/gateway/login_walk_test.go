package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/kafka/wire"
)

// loginState is what a connection is in, as Kafka's protocol has it.
type loginState struct {
	mechanism string // agreed on and not used up; "" for none
	half      bool   // SCRAM's first message has been answered
	principal string // "" before the login
}

// loginFrame is something a client may send, in any state.
type loginFrame struct {
	name string
	// next is the state it leads to; refused says that an error is answered
	// and the connection closed, closed that it is closed without a word.
	next func(loginState) (next loginState, refused, closed bool)
}

// walker is one connection on its way through states.
type walker struct {
	conn    net.Conn
	session sasl.Session // of SCRAM, once begun
	final   []byte       // its last message, once the broker has answered the first
	n       int32
}

// TestEveryFrameInEveryLoginState sends each kind of frame in each state of a
// login: none leads past it but a login, and nobody becomes somebody else.
func TestEveryFrameInEveryLoginState(t *testing.T) {
	closed := func(s loginState) (loginState, bool, bool) { return s, false, true }
	handshake := func(mechanism string) func(loginState) (loginState, bool, bool) {
		return func(s loginState) (loginState, bool, bool) {
			s.mechanism, s.half = mechanism, false
			return s, false, false
		}
	}
	// authenticate with what mechanism wants: as principal, if half is as it has to be.
	authenticate := func(mechanism, principal string, half bool) func(loginState) (loginState, bool, bool) {
		return func(s loginState) (loginState, bool, bool) {
			switch {
			case s.mechanism == "":
				return s, false, true
			case s.mechanism != mechanism || s.half != half:
				return s, true, false
			case principal == "": // SCRAM's first message
				s.half = true
				return s, false, false
			case s.principal != "" && s.principal != principal:
				return s, true, false // re-authentication keeps the principal
			}
			return loginState{principal: principal}, false, false
		}
	}
	afterLogin := func(s loginState) (loginState, bool, bool) { return s, false, s.principal == "" }
	frames := []loginFrame{
		{"ApiVersions", func(s loginState) (loginState, bool, bool) { return s, false, false }},
		{"handshake PLAIN", handshake("PLAIN")},
		{"handshake SCRAM", handshake("SCRAM-SHA-256")},
		{"handshake of a mechanism not offered", func(s loginState) (loginState, bool, bool) { return s, true, false }},
		{"handshake version 0", closed},
		{"PLAIN as acme", authenticate("PLAIN", "plain acme", false)},
		{"PLAIN as other", authenticate("PLAIN", "plain other", false)},
		{"SCRAM first", authenticate("SCRAM-SHA-256", "", false)},
		{"SCRAM final", authenticate("SCRAM-SHA-256", "scram acme", true)},
		{"nothing to authenticate with", func(s loginState) (loginState, bool, bool) { return s, s.mechanism != "", s.mechanism == "" }},
		{"SaslAuthenticate version 3", closed},
		{"a raw token", closed},
		{"Metadata", afterLogin},
		{"Heartbeat", afterLogin},
		{"Heartbeat of a later version", closed},
		{"Envelope", closed},
		{"an API nobody knows", closed},
	}
	byName := map[string]loginFrame{}
	for _, f := range frames {
		byName[f.name] = f
	}
	states := [][]string{
		{},
		{"ApiVersions"},
		{"handshake PLAIN"},
		{"handshake SCRAM"},
		{"handshake PLAIN", "handshake SCRAM"},
		{"handshake SCRAM", "SCRAM first"},
		{"handshake SCRAM", "SCRAM first", "handshake PLAIN"},
		{"handshake SCRAM", "SCRAM first", "handshake SCRAM"},
		{"handshake SCRAM", "SCRAM first", "ApiVersions"},
		{"handshake PLAIN", "PLAIN as acme"},
		{"handshake SCRAM", "SCRAM first", "SCRAM final"},
		{"handshake PLAIN", "PLAIN as acme", "handshake PLAIN"},
		{"handshake PLAIN", "PLAIN as acme", "handshake SCRAM"},
		{"handshake PLAIN", "PLAIN as acme", "handshake SCRAM", "SCRAM first"},
		{"handshake PLAIN", "PLAIN as acme", "handshake PLAIN", "PLAIN as acme"},
		{"handshake SCRAM", "SCRAM first", "SCRAM final", "handshake SCRAM", "SCRAM first"},
	}
	b := newScriptedBroker(t, "phys.orders")
	limits := DefaultLimits()
	limits.MaxUnauthenticatedPerAddress, limits.AuthDeadline = 0, 5*time.Minute
	w := startBehind(t, b, limits, credential("acme", open("acme")), credential("other", open("other")), scramCredential(t, "acme", open("acme")))

	var all sync.WaitGroup
	walking := make(chan struct{}, 50) // refusals take a second each, and brokers are dialled in ten
	for _, path := range states {
		for _, f := range frames {
			all.Go(func() {
				walking <- struct{}{}
				defer func() { <-walking }()
				where := fmt.Sprintf("%s, then %s", strings.Join(append([]string{"connected"}, path...), ", "), f.name)
				conn, err := net.Dial("tcp", w.gateway.Bootstrap("main"))
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				c, s := &walker{conn: conn}, loginState{}
				for _, step := range path {
					if outcome := c.send(byName[step].name); outcome != "answered" {
						t.Errorf("%s: on the way, %s was %s", where, step, outcome)
						return
					}
					s, _, _ = byName[step].next(s)
				}
				next, refused, closed := f.next(s)
				want := "answered"
				if refused {
					want = "refused"
				} else if closed {
					want = "closed"
				}
				if got := c.send(f.name); got != want {
					t.Errorf("%s: %s, want %s", where, got, want)
				}
				// Only a login opens the way, and no refusal leaves it open.
				want = "closed"
				if !refused && !closed && next.principal != "" {
					want = "answered"
				}
				if got := c.send("Metadata"); got != want {
					t.Errorf("%s: Metadata is %s, want %s", where, got, want)
				}
			})
		}
	}
	all.Wait()
	if n := testutil.ToFloat64(w.gateway.metrics.panics); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// send sends one kind of frame and says what came of it: "answered", "refused"
// with an error of the login, or "closed".
func (c *walker) send(name string) string {
	c.n++
	var req kmsg.Request
	authenticate := func(b []byte) {
		auth := kmsg.NewPtrSASLAuthenticateRequest()
		auth.Version, auth.SASLAuthBytes = 2, b
		req = auth
	}
	handshake := func(version int16, mechanism string) {
		h := kmsg.NewPtrSASLHandshakeRequest()
		h.Version, h.Mechanism = version, mechanism
		req = h
	}
	switch name {
	case "ApiVersions":
		req = kmsg.NewPtrApiVersionsRequest()
	case "handshake PLAIN":
		handshake(1, "PLAIN")
	case "handshake SCRAM":
		handshake(1, "SCRAM-SHA-256")
	case "handshake of a mechanism not offered":
		handshake(1, "GSSAPI")
	case "handshake version 0":
		handshake(0, "PLAIN")
	case "PLAIN as acme":
		authenticate([]byte("\x00acme\x00" + secret))
	case "PLAIN as other":
		authenticate([]byte("\x00other\x00" + secret))
	case "SCRAM first":
		session, first, err := scram.Auth{User: "acme", Pass: secret}.AsSha256Mechanism().Authenticate(context.Background(), "")
		if err != nil {
			return err.Error()
		}
		c.session = session
		authenticate(first)
	case "SCRAM final":
		final := []byte("c=biws,r=nonce,p=AAAA")
		if c.session != nil && c.final != nil {
			final = c.final
		}
		authenticate(final)
	case "nothing to authenticate with":
		authenticate(nil)
	case "SaslAuthenticate version 3":
		authenticate([]byte("\x00acme\x00" + secret))
		return c.raw(36, 3, req.AppendTo(nil))
	case "a raw token":
		token := "\x00acme\x00" + secret
		c.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
		c.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...))
		return c.read(nil)
	case "Metadata":
		req = metadataOf("orders")
	case "Heartbeat":
		req = heartbeat()
	case "Heartbeat of a later version":
		return c.raw(12, 5, heartbeat().AppendTo(nil))
	case "Envelope":
		return c.raw(58, 0, []byte{1, 0, 0, 0})
	case "an API nobody knows":
		return c.raw(999, 0, nil)
	default:
		panic("bug: frame " + name)
	}
	if err := send(c.conn, c.n, req); err != nil {
		return "closed"
	}
	return c.read(req)
}

func (c *walker) raw(key, version int16, body []byte) string {
	b := wire.AppendRequestHeader(make([]byte, 4), wire.RequestHeader{APIKey: key, APIVersion: version, CorrelationID: c.n})
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.conn.Write(b); err != nil {
		return "closed"
	}
	return c.read(nil)
}

func (c *walker) read(req kmsg.Request) string {
	f, err := readFrame(c.conn, time.Minute)
	switch {
	case errors.Is(err, errTooLate):
		return "left without an answer"
	case err != nil:
		return "closed"
	case req == nil || f.correlationID != c.n:
		return fmt.Sprintf("answered %x", f.bytes)
	}
	_, body, err := wire.ParseResponseHeader(req.Key(), req.GetVersion(), f.bytes)
	if err != nil {
		return err.Error()
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(body); err != nil {
		return err.Error()
	}
	switch resp := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		if resp.ErrorCode != 0 {
			return "refused"
		}
	case *kmsg.SASLAuthenticateResponse:
		if resp.ErrorCode != 0 {
			return "refused"
		}
		if c.session != nil {
			if _, final, err := c.session.Challenge(resp.SASLAuthBytes); err == nil && len(final) > 0 {
				c.final = final
			}
		}
	}
	return "answered"
}
