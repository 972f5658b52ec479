package feed

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/grant"
	"sluice/internal/journal"
)

// patience is for what has to happen and takes no time of its own.
const patience = 30 * time.Second

const digits = "abcdefghijklmnopqrstuvwxyz234567"

func credential(i, version int) *grant.Credential {
	prefix := []byte("taaaaaaaaaaaa.")
	for at, rest := 1, i; rest > 0; at, rest = at+1, rest/32 {
		prefix[at] = digits[rest%32]
	}
	g := &grant.Grant{Application: fmt.Sprint("app", i), Environment: "prod", Cluster: "main", VirtualClusterID: "v", Prefix: string(prefix), IDKey: grant.TopicID{byte(i), 1}}
	for n := range 1 + version%3 {
		g.Topics = append(g.Topics, &grant.Topic{Exposed: fmt.Sprint("t", n), Backing: fmt.Sprint("b", n), ID: grant.TopicID{byte(n + 1)}, Subscription: "s", Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
	}
	return &grant.Credential{Name: fmt.Sprint("c", i), Method: grant.Scram, Identity: fmt.Sprint("c", i), Verifiers: []grant.Verifier{{Mechanism: "SCRAM-SHA-512", Salt: []byte{byte(version)}, Iterations: 4096, StoredKey: []byte{1}, ServerKey: []byte{2}}}, Grant: g}
}

func stateOf(t testing.TB, n uint64, credentials ...*grant.Credential) State {
	t.Helper()
	s, err := grant.New("prod", grant.Number{Generation: 7, N: n}, credentials)
	if err != nil {
		t.Fatal(err)
	}
	return State{Grants: s, Common: Common{Phantom: []byte("phantom"), Clusters: []Document{{"main", json.RawMessage(`{"kind":"Cluster"}`)}}}}
}

func held1(t testing.TB, s State) *held {
	t.Helper()
	h, err := hold(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// text is all that a state says.
func text(t testing.TB, s State) string {
	t.Helper()
	grants, err := json.Marshal(s.Grants)
	if err != nil {
		t.Fatal(err)
	}
	common, err := json.Marshal(s.Common)
	if err != nil {
		t.Fatal(err)
	}
	return string(grants) + string(common)
}

// Whatever happens to the credentials, the deltas lead to what a whole state says, byte
// by byte, and to its sum.
func TestDeltasLeadToTheWholeState(t *testing.T) {
	t.Parallel()
	public, private, _ := ed25519.GenerateKey(nil)
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 1))
		credentials := map[int]*grant.Credential{}
		for i := range 40 {
			credentials[i] = credential(i, 0)
		}
		list := func() (out []*grant.Credential) {
			for _, c := range credentials {
				out = append(out, c)
			}
			return out
		}
		sent := held1(t, stateOf(t, 1, list()...))
		got := sent
		for n := uint64(2); n < 16; n++ {
			for range random.IntN(4) {
				switch i := random.IntN(50); random.IntN(4) {
				case 0:
					delete(credentials, i)
				case 1: // the grant of another one
					if a, b := credentials[i], credentials[(i+1)%50]; a != nil && b != nil {
						c := *a
						c.Grant = b.Grant
						credentials[i] = &c
					}
				default:
					credentials[i] = credential(i, random.IntN(9))
				}
			}
			next := stateOf(t, n, list()...)
			if random.IntN(3) == 0 {
				next.Common.Phantom = fmt.Append(nil, n)
			} else {
				next.Common = sent.Common
			}
			d, common, err := sent.step(next)
			if err != nil {
				t.Fatal(err)
			}
			whole := held1(t, next)
			b, err := deltaFrame(private, "prod", d, common, whole.sum)
			if err != nil {
				t.Fatal(err)
			}
			f, err := open(public, b)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = f.on(got, "prod"); err != nil {
				t.Fatalf("seed %d, step to %d: %v", seed, n, err)
			}
			if got.sum != whole.sum || text(t, got.State) != text(t, next) {
				t.Fatalf("seed %d: the delta to %d leads elsewhere", seed, n)
			}
			if b, err = wholeFrame(private, whole); err != nil {
				t.Fatal(err)
			}
			if f, err = open(public, b); err != nil {
				t.Fatal(err)
			}
			if fresh, err := f.on(nil, "prod"); err != nil || fresh.sum != whole.sum || text(t, fresh.State) != text(t, next) {
				t.Fatalf("seed %d: the whole state %d is another one when it is read: %v", seed, n, err)
			}
			sent = whole
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	public, private, _ := ed25519.GenerateKey(nil)
	_, stranger, _ := ed25519.GenerateKey(nil)
	inForce := held1(t, stateOf(t, 5, credential(1, 0)))
	whole := func(key ed25519.PrivateKey, s State) []byte {
		b, err := wholeFrame(key, held1(t, s))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	newer := stateOf(t, 6, credential(1, 1), credential(2, 1))
	older, err := grant.New("prod", grant.Number{Generation: 6, N: 100}, nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := grant.New("qa", grant.Number{Generation: 8, N: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, common, err := held1(t, stateOf(t, 4, credential(1, 0))).step(newer)
	if err != nil {
		t.Fatal(err)
	}
	gap, err := deltaFrame(private, "prod", d, common, held1(t, newer).sum)
	if err != nil {
		t.Fatal(err)
	}
	d, common, err = inForce.step(newer)
	if err != nil {
		t.Fatal(err)
	}
	lie, err := deltaFrame(private, "prod", d, common, inForce.sum)
	if err != nil {
		t.Fatal(err)
	}
	flipped := whole(private, newer)
	flipped[len(flipped)/2] ^= 1
	for _, tc := range []struct {
		name  string
		frame []byte
		want  error
	}{
		{"the key of another control plane", whole(stranger, newer), ErrSignature},
		{"a flipped bit", flipped, ErrSignature},
		{"no frame at all", []byte("hello"), ErrDamaged},
		{"nothing", nil, ErrDamaged},
		{"an older number", whole(private, stateOf(t, 4, credential(1, 0))), ErrOlder},
		{"an older generation with a greater number", whole(private, State{Grants: older}), ErrGeneration},
		{"another environment", whole(private, State{Grants: elsewhere}), ErrEnvironment},
		{"the same number and another content", whole(private, stateOf(t, 5, credential(1, 1))), ErrTwofold},
		{"a delta from another number", gap, ErrGap},
		{"a delta that leads elsewhere than it says", lie, ErrDamaged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := open(public, tc.frame)
			if err == nil {
				_, err = f.on(inForce, "prod")
			}
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	f, err := open(public, whole(private, inForce.State))
	if err != nil {
		t.Fatal(err)
	}
	if same, err := f.on(inForce, "prod"); err != nil || same != inForce {
		t.Errorf("what is in force already: got %p, %v, want what there is", same, err)
	}
}

// replace is a Save without the care of the product's.
func replace(name string, data []byte) error { return os.WriteFile(name, data, 0o600) }

// plane is a control plane with one gateway that has joined.
type plane struct {
	t         *testing.T
	dir       string // of the gateway
	authority *Authority
	sender    *Sender
	address   string
	logs      *logs

	mu     sync.Mutex
	keys   map[string]string // of gateways, by name
	tokens map[string]string // names, by secret
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{t: t, dir: t.TempDir(), logs: &logs{}, keys: map[string]string{}, tokens: map[string]string{"secret": "gw-1", "second": "gw-2"}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.logs.String())
		}
	})
	control := filepath.Join(t.TempDir(), "feed")
	var err error
	for range 2 { // the second time it is read
		if p.authority, err = OpenAuthority(control, time.Now(), replace); err != nil {
			t.Fatal(err)
		}
	}
	p.sender = p.newSender()
	return p
}

func (p *plane) log() *slog.Logger { return slog.New(slog.NewTextHandler(p.logs, nil)) }

func (p *plane) newSender() *Sender {
	return NewSender(SenderConfig{
		Authority: p.authority, Log: p.log(), Now: time.Now,
		Admit: func(name, key string) (string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.keys[name] != key {
				return "", errors.New("there is no such gateway any more")
			}
			return "prod", nil
		},
		Join: func(_ context.Context, secret, key, _ string) (string, string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			name, ok := p.tokens[secret]
			if !ok {
				return "", "", errors.New("the token was used, or is too old")
			}
			delete(p.tokens, secret)
			p.keys[name] = key
			return name, "prod", nil
		},
	})
}

// serve runs a sender until stop, at the address of the one before.
func (p *plane) serve(s *Sender) (stop func()) {
	p.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
	p.t.Cleanup(stop)
	return stop
}

func (p *plane) join(secret, dir string) (*Identity, error) {
	return Join(p.t.Context(), JoinConfig{Dir: dir, Control: p.address, Token: p.authority.Token(secret), Save: replace})
}

// gateway runs a receiver until stop; states come out of the channel.
func (p *plane) gateway(id *Identity) (r *Receiver, states <-chan State, stop func()) {
	p.t.Helper()
	r, err := NewReceiver(ReceiverConfig{Dir: p.dir, Identity: id, Control: p.address, Save: replace, Log: p.log(), Now: time.Now,
		Report: func() Report { return Report{Release: "test", Connections: 3} }})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, out := make(chan struct{}), make(chan State, 100)
	go func() {
		defer close(done)
		r.Run(ctx, func(s State) error { out <- s; return nil })
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	p.t.Cleanup(stop)
	return r, out, stop
}

func (p *plane) publish(s *Sender, state State) {
	p.t.Helper()
	if err := s.Publish(state); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) comes(states <-chan State, want State) {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case got := <-states:
			if got.Grants.Number() != want.Grants.Number() {
				continue
			}
			if text(p.t, got) != text(p.t, want) {
				p.t.Fatalf("state %v is another one than was published", got.Grants.Number())
			}
			return
		case <-timer.C:
			p.t.Fatalf("state %v does not come", want.Grants.Number())
		}
	}
}

func (p *plane) within(what string, true_ func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !true_(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

// onDisk returns the frames that a gateway keeps.
func (p *plane) onDisk() (frames [][]byte) {
	p.t.Helper()
	f := journal.File{Name: filepath.Join(p.dir, stateFile)}
	if cut, err := f.Read(func(b []byte) error { frames = append(frames, b); return nil }); err != nil || cut {
		p.t.Fatalf("cut off %v: %v", cut, err)
	}
	return frames
}

func TestAGatewayFollowsItsControlPlane(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	stop := p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	if id.Name != "gw-1" || id.Environment != "prod" {
		t.Fatalf("joined as %q of %q", id.Name, id.Environment)
	}
	if _, err := p.join("secret", t.TempDir()); err == nil || !strings.Contains(err.Error(), "was used") {
		t.Errorf("a token works twice: %v", err)
	}
	if read, err := ReadIdentity(p.dir); err != nil || !read.Signing.Equal(id.Signing) {
		t.Errorf("who it is is not kept: %v", err)
	}

	first := stateOf(t, 1, credential(1, 0), credential(2, 0))
	p.publish(p.sender, first)
	r, states, end := p.gateway(id)
	p.comes(states, first)
	second := stateOf(t, 2, credential(1, 1), credential(3, 0))
	p.publish(p.sender, second)
	p.comes(states, second)
	p.within("the control plane knows what is in force", func() bool {
		g := p.sender.Gateways()
		return len(g) == 1 && g[0].Name == "gw-1" && g[0].Connected && !g[0].Behind && g[0].Report.Number == second.Grants.Number() && g[0].Report.Connections == 3
	})

	// The control plane goes: what is in force stays, over a restart of the gateway too.
	stop()
	p.within("the gateway notices", func() bool { return !r.Standing().Connected })
	end()
	r, _, end = p.gateway(id)
	if s := r.State(); s == nil || text(t, *s) != text(t, second) {
		t.Fatal("a restarted gateway does not have the last good state")
	}
	if s := r.Standing(); s.Contact.IsZero() || s.Age(time.Now()) > time.Minute {
		t.Errorf("after a restart it does not know when it was last told: %v", s.Contact)
	}
	end()

	// Another process of the control plane, which knows no steps of the old one.
	again := p.newSender()
	third := stateOf(t, 9, credential(1, 1), credential(3, 2))
	p.publish(again, third)
	p.serve(again)
	r, states, end = p.gateway(id)
	p.comes(states, third)
	fourth := stateOf(t, 10, credential(3, 2))
	p.publish(again, fourth)
	p.comes(states, fourth)
	end()
	if frames := p.onDisk(); len(frames) != 2 {
		t.Errorf("on disk are %d frames, want a whole state and a delta", len(frames))
	}

	// Who is not admitted any more is sent away, and keeps what it has.
	r, _, _ = p.gateway(id)
	p.within("it is connected", func() bool { return r.Standing().Connected })
	p.mu.Lock()
	key := p.keys["gw-1"]
	delete(p.keys, "gw-1")
	p.mu.Unlock()
	p.within("it is sent away", func() bool { return strings.Contains(r.Standing().Failure, "no such gateway") })
	if s := r.State(); s == nil || text(t, *s) != text(t, fourth) {
		t.Error("what was in force is not any more")
	}
	p.within("it is written down", func() bool { at, err := SentAway(p.dir); return err == nil && !at.IsZero() })
	away := r.Standing().SentAway
	if at, _ := SentAway(p.dir); at.UnixMilli() != away.UnixMilli() {
		t.Errorf("sent away at %v, on disk is %v", away, at)
	}
	again.Forget(func(string) bool { return false })
	if g := again.Gateways(); len(g) != 0 {
		t.Errorf("still known: %+v", g)
	}
	// Taken again, it is as if nothing had been.
	p.mu.Lock()
	p.keys["gw-1"], p.tokens["third"] = key, "gw-1"
	p.mu.Unlock()
	p.within("it is taken again", func() bool {
		at, err := SentAway(p.dir)
		return r.Standing().SentAway.IsZero() && err == nil && at.IsZero()
	})
	// Who joins anew was not sent away, though the one before was.
	if err := os.WriteFile(filepath.Join(p.dir, sentAwayFile), moment(away), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.join("third", p.dir); err != nil {
		t.Fatal(err)
	}
	if at, err := SentAway(p.dir); err != nil || !at.IsZero() {
		t.Errorf("joined anew, it was sent away at %v, %v", at, err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, sentAwayFile), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := SentAway(p.dir); err == nil || !strings.Contains(err.Error(), sentAwayFile) {
		t.Errorf("from a damaged file: %v", err)
	}
}

// A control plane whose data was set back does not set its gateways back.
func TestAControlPlaneThatWasSetBackIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	stop := p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	newest := stateOf(t, 50, credential(1, 0))
	p.publish(p.sender, newest)
	_, states, end := p.gateway(id)
	p.comes(states, newest)
	end()
	stop()

	back := p.newSender()
	p.publish(back, stateOf(t, 40, credential(1, 0), credential(2, 0)))
	p.serve(back)
	r, states, _ := p.gateway(id)
	p.within("it is said", func() bool { return strings.Contains(p.logs.String(), "was set back") })
	if s := r.State(); s.Grants.Number() != newest.Grants.Number() {
		t.Errorf("in force is %v", s.Grants.Number())
	}
	if g := back.Gateways(); len(g) != 1 || !g[0].Behind {
		t.Errorf("the control plane does not tell: %+v", g)
	}
	// A restore raises the generation, and all follow.
	grants, err := grant.New("prod", grant.Number{Generation: 8, N: 1}, []*grant.Credential{credential(2, 0)})
	if err != nil {
		t.Fatal(err)
	}
	restored := State{Grants: grants}
	p.publish(back, restored)
	p.comes(states, restored)
}

func TestTheLastGoodStateOnDisk(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	stop := p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	_, states, end := p.gateway(id)
	var published []State
	for n := range uint64(4) {
		s := stateOf(t, n+1, credential(1, int(n)), credential(2, 0))
		published = append(published, s)
		p.publish(p.sender, s)
		p.comes(states, s)
	}
	end()
	stop()
	name := filepath.Join(p.dir, stateFile)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	frames := p.onDisk()
	if len(frames) != 4 {
		t.Fatalf("%d frames", len(frames))
	}
	config := ReceiverConfig{Dir: p.dir, Identity: id, Save: replace, Log: p.log(), Now: time.Now}
	for _, tc := range []struct {
		name   string
		damage func([]byte) []byte
		want   int // in force then; 0: nothing
		log    string
	}{
		{"as it was", func(b []byte) []byte { return b }, 4, ""},
		{"cut off in the last frame", func(b []byte) []byte { return b[:len(b)-3] }, 3, "cut off"},
		{"cut off in its length", func(b []byte) []byte { return b[:len(b)-len(frames[3])-5] }, 3, "cut off"},
		{"a bit of the first frame", func(b []byte) []byte { b[200] ^= 1; return b }, 0, "damaged"},
		{"a bit of the last signature", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, 3, "cut off or damaged"},
		{"a bit of the last frame", func(b []byte) []byte { b[len(b)-len(frames[3])/2] ^= 1; return b }, 3, "cut off or damaged"},
		{"a bit of the last length", func(b []byte) []byte { b[len(b)-len(frames[3])-journal.HeadBytes] ^= 1; return b }, 3, "cut off or damaged"},
		{"nothing but zeros in the last place", func(b []byte) []byte { clear(b[len(b)-len(frames[3])-journal.HeadBytes:]); return b }, 3, "cut off or damaged"},
		{"a bit of the signature before the last", func(b []byte) []byte { b[len(b)-len(frames[3])-journal.HeadBytes-1] ^= 1; return b }, 0, "signature"},
		{"the last frame and the one before", func(b []byte) []byte {
			b[len(b)-1] ^= 1
			b[len(b)-len(frames[3])-journal.HeadBytes-1] ^= 1
			return b
		}, 0, "signature"},
		{"a bit of a length", func(b []byte) []byte { b[1] ^= 1; return b }, 0, "damaged"},
		{"a frame taken out", func(b []byte) []byte {
			at := 2*journal.HeadBytes + len(frames[0]) + len(frames[1])
			return append(b[:journal.HeadBytes+len(frames[0]):journal.HeadBytes+len(frames[0])], b[at:]...)
		}, 0, "does not follow"},
		{"empty", func([]byte) []byte { return nil }, 0, "damaged"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := os.WriteFile(name, tc.damage(bytes.Clone(good)), 0o600); err != nil {
				t.Fatal(err)
			}
			written := time.Now().Add(-time.Hour) // the contact since then was that of the last state
			if err := os.Chtimes(name, written, written); err != nil {
				t.Fatal(err)
			}
			p.logs.mu.Lock()
			p.logs.b.Reset()
			p.logs.mu.Unlock()
			r, err := NewReceiver(config)
			if err != nil {
				t.Fatal(err)
			}
			s := r.State()
			switch {
			case tc.want == 0 && s != nil:
				t.Errorf("in force is %v", s.Grants.Number())
			case tc.want > 0 && (s == nil || text(t, *s) != text(t, published[tc.want-1])):
				t.Errorf("not in force is state %d", tc.want)
			}
			if old := r.Standing().Age(time.Now()) >= time.Hour; old != (tc.want == 3) {
				t.Errorf("as old as the last change: %v", old)
			}
			if !strings.Contains(p.logs.String(), tc.log) {
				t.Errorf("the log does not speak of %q:\n%s", tc.log, p.logs)
			}
			if tc.want == 0 {
				if _, err := os.Stat(name + ".damaged"); err != nil {
					t.Errorf("the damaged file is not kept: %v", err)
				}
			}
		})
	}
}

// What cannot be written is in force all the same, and is written later.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	var mu sync.Mutex
	save := func(name string, data []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if full != nil {
			return full
		}
		return replace(name, data)
	}
	r, err := NewReceiver(ReceiverConfig{Dir: p.dir, Identity: id, Control: p.address, Save: save, Log: p.log(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	states := make(chan State, 10)
	running.Go(func() { r.Run(ctx, func(s State) error { states <- s; return nil }) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for n := range uint64(3) {
		s := stateOf(t, n+1, credential(1, int(n)))
		p.publish(p.sender, s)
		p.comes(states, s)
	}
	mu.Lock()
	full = nil
	mu.Unlock()
	p.within("it is on disk", func() bool {
		again, err := NewReceiver(ReceiverConfig{Dir: p.dir, Identity: id, Save: save, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		return err == nil && again.State() != nil && again.State().Grants.Number().N == 3
	})
}

// A restart with an older state, since the newer one could not be written, does not take
// the older one for the newest.
func TestAnOlderStateOnDiskIsAsOldAsItIs(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	first, second := stateOf(t, 1, credential(1, 1)), stateOf(t, 2, credential(1, 2))
	now, file := time.Now().Truncate(time.Millisecond), filepath.Join(p.dir, stateFile)
	follow := func(want State, save func(string, []byte) error) {
		t.Helper()
		at := now
		r, err := NewReceiver(ReceiverConfig{Dir: p.dir, Identity: id, Control: p.address, Save: save, Log: p.log(), Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		states, done := make(chan State, 10), make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx, func(s State) error { states <- s; return nil })
		}()
		p.comes(states, want)
		cancel()
		<-done
	}
	p.publish(p.sender, first)
	follow(first, replace)
	p.publish(p.sender, second)
	before := now
	now = now.Add(time.Hour)
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(file, file+".away") // so that nothing can be added to it
	follow(second, func(name string, data []byte) error {
		if name == file {
			return errors.New("no space left")
		}
		return replace(name, data)
	})
	rename(file+".away", file)
	r, err := NewReceiver(ReceiverConfig{Dir: p.dir, Identity: id, Save: replace, Log: p.log(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Standing(); s.Number.N != 1 || !s.Contact.Equal(before) {
		t.Errorf("state %v was the newest at %v, want 1 at %v", s.Number, s.Contact, before)
	}
}

// Without a time to count from, what is on disk is old rather than new.
func TestWhenTheControlPlaneWasReachedIsLost(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	p.publish(p.sender, stateOf(t, 1, credential(1, 1)))
	_, states, stop := p.gateway(id)
	p.comes(states, stateOf(t, 1, credential(1, 1)))
	stop()
	now := time.Now().Truncate(time.Second)
	written, long, ahead := now.Add(-3*time.Hour), time.Unix(0, 0), now.Add(1000*time.Hour)
	name, state := filepath.Join(p.dir, contactFile), filepath.Join(p.dir, stateFile)
	for what, tc := range map[string]struct {
		contact  string
		written  time.Time
		want     time.Time
		complain bool
	}{
		"whole":                         {fmt.Sprint(now.Add(-time.Hour).UnixMilli()), written, now.Add(-time.Hour), false},
		"empty":                         {"", written, written, true},
		"garbage":                       {"\x00\xff\n", written, written, true},
		"yet to come":                   {fmt.Sprint(ahead.UnixMilli()), written, written, true},
		"at the end of time":            {fmt.Sprint(int64(math.MaxInt64)), written, written, true},
		"missing":                       {"missing", written, written, true},
		"a directory":                   {"directory", written, written, true},
		"empty, a state yet to come":    {"", ahead, long, true},
		"a little ahead, as clocks are": {fmt.Sprint(now.Add(time.Minute).UnixMilli()), written, now.Add(time.Minute), false},
	} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		switch tc.contact {
		case "missing":
			err = nil
		case "directory":
			err = os.Mkdir(name, 0o700)
		default:
			err = os.WriteFile(name, []byte(tc.contact), 0o600)
		}
		if err := errors.Join(err, os.Chtimes(state, tc.written, tc.written)); err != nil {
			t.Fatal(err)
		}
		log := &logs{}
		r, err := NewReceiver(ReceiverConfig{Dir: p.dir, Identity: id, Save: replace, Log: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if s := r.Standing(); s.Number.N != 1 || !s.Contact.Equal(tc.want) {
			t.Errorf("%s: state %v was the newest at %v, want %v", what, s.Number, s.Contact, tc.want)
		}
		if strings.Contains(log.String(), "cannot be read") != tc.complain {
			t.Errorf("%s: the log says %q", what, log)
		}
	}
}

func TestWhoMayNotJoin(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.serve(p.sender)
	other, err := OpenAuthority(filepath.Join(t.TempDir(), "feed"), time.Now(), replace)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ token, want string }{
		"no token":                        {"hello", "not a token"},
		"a token without fingerprint":     {"sluice-join-secret", "not a token"},
		"a wrong secret":                  {p.authority.Token("wrong"), "was used, or is too old"},
		"a token of another installation": {other.Token("secret"), "not the control plane that made the token"},
	} {
		if _, err := Join(t.Context(), JoinConfig{Dir: t.TempDir(), Control: p.address, Token: tc.token, Save: replace}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	if len(p.keys) > 0 || p.tokens["secret"] == "" {
		t.Error("a token was used up")
	}
	// A certificate of another authority, and none at all.
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := id.pair()
	if err != nil {
		t.Fatal(err)
	}
	if id.Certificate, err = other.gateway("gw-1", pair.Leaf.PublicKey, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.publish(p.sender, stateOf(t, 1))
	r, _, _ := p.gateway(id)
	p.within("a certificate of another authority is refused", func() bool { return r.Standing().Failure != "" })
	if r.State() != nil || len(p.sender.Gateways()) > 0 {
		t.Error("a stranger was served")
	}
	if _, err := ReadIdentity(t.TempDir()); !errors.Is(err, ErrNotJoined) {
		t.Errorf("a gateway that has not joined: %v", err)
	}
}

// A certificate that is due is replaced over the stream.
func TestACertificateIsRenewed(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := id.pair()
	if err != nil {
		t.Fatal(err)
	}
	if id.Certificate, err = p.authority.gateway("gw-1", pair.Leaf.PublicKey, time.Now().Add(-gatewayLife+renewBefore-time.Hour)); err != nil {
		t.Fatal(err)
	}
	p.publish(p.sender, stateOf(t, 1))
	_, states, _ := p.gateway(id)
	p.comes(states, stateOf(t, 1))
	p.within("it is on disk", func() bool {
		next, err := ReadIdentity(p.dir)
		if err != nil {
			return false
		}
		pair, err := next.pair()
		return err == nil && time.Until(pair.Leaf.NotAfter) > gatewayLife-2*clockSkew
	})
}

// Gateways that have missed more steps than are kept get the whole state.
// A control plane that was set back and has come to the number in force again, with
// something else, is not taken for one that agrees.
func TestTheSameNumberWithAnotherContentIsNotTheNewest(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	stop := p.serve(p.sender)
	id, err := p.join("secret", p.dir)
	if err != nil {
		t.Fatal(err)
	}
	first := stateOf(t, 50, credential(1, 0))
	p.publish(p.sender, first)
	_, states, end := p.gateway(id)
	p.comes(states, first)
	end()
	stop()

	back := p.newSender()
	p.publish(back, stateOf(t, 50, credential(1, 0), credential(2, 0)))
	p.serve(back)
	r, states, _ := p.gateway(id)
	before := r.Standing().Contact
	p.within("it is refused, the whole as well", func() bool { return r.Standing().Refusals["twofold"] >= 2 })
	p.within("the control plane is told", func() bool {
		g, _ := back.Gateway("gw-1")
		return strings.Contains(g.Report.Refused, ErrTwofold.Error())
	})
	p.within("it is reached again, and asked once only", func() bool { return r.Standing().Connected })
	if s := r.Standing(); !s.Contact.Equal(before) || s.Number != first.Grants.Number() {
		t.Errorf("it counts as the newest: %+v, before at %v", s, before)
	}
	next := stateOf(t, 51, credential(2, 0))
	p.publish(back, next)
	p.comes(states, next)
	p.within("nothing is refused any more", func() bool { s := r.Standing(); return s.Refused == "" && s.Contact.After(before) })
	if n := r.Standing().Refusals["twofold"]; n != 2 {
		t.Errorf("it was refused %d times, once for the beat and once for the state would do", n)
	}
}

// While a whole state is written for a gateway, others are fed, and the next is published.
func TestAWholeStateIsWrittenBesideEverythingElse(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.publish(p.sender, stateOf(t, 1, credential(1, 0)))
	writing, written := make(chan struct{}), make(chan struct{})
	l := p.sender.lines["prod"]
	slow := l.whole
	go slow.once.Do(func() { close(writing); <-written })
	<-writing
	got := make(chan hello, 1)
	go func() {
		_, now, _, _ := p.sender.lacking("prod", hello{})
		got <- now
	}()
	p.publish(p.sender, stateOf(t, 2, credential(1, 1)))
	_, now, _, err := p.sender.lacking("prod", hello{l.steps[0].from, l.steps[0].fromSum})
	if err != nil || now.Number.N != 2 || len(p.sender.Gateways()) != 0 {
		t.Errorf("another gateway gets %v, %v", now.Number, err)
	}
	close(written)
	<-got
}

func TestFewStepsAreKept(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	for n := range uint64(maxSteps + 20) {
		p.publish(p.sender, stateOf(t, n+1, credential(1, int(n))))
	}
	l := p.sender.lines["prod"]
	if len(l.steps) != maxSteps {
		t.Fatalf("%d steps are kept, want %d", len(l.steps), maxSteps)
	}
	frames, now, _, err := p.sender.lacking("prod", hello{l.steps[0].from, l.steps[0].fromSum})
	if err != nil || len(frames) != maxSteps || now.Number.N != maxSteps+20 {
		t.Errorf("the oldest that is known gets %d frames to %v, %v", len(frames), now.Number, err)
	}
	for name, have := range map[string]hello{"one that is too old": {grant.Number{Generation: 7, N: 1}, sum{1}}, "one that says something else": {l.steps[5].from, sum{1}}, "one that has nothing": {}} {
		if frames, _, _, err := p.sender.lacking("prod", have); err != nil || len(frames) != 1 || !bytes.Equal(frames[0], l.whole.frame) {
			t.Errorf("%s gets %d frames, %v", name, len(frames), err)
		}
	}
}

// FuzzFrame: what is signed and still not a frame is refused; what is one leads to a
// state with the sum that it says, or nowhere.
func FuzzFrame(f *testing.F) {
	public, private, _ := ed25519.GenerateKey(nil)
	inForce := held1(f, stateOf(f, 1, credential(1, 0), credential(2, 0)))
	next := stateOf(f, 2, credential(1, 1))
	d, common, err := inForce.step(next)
	if err != nil {
		f.Fatal(err)
	}
	delta, err := deltaFrame(private, "prod", d, common, held1(f, next).sum)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := wholeFrame(private, inForce)
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{delta, whole, nil, []byte(magic)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if fr, err := open(public, b); err == nil && !bytes.Equal(b, delta) && !bytes.Equal(b, whole) {
			t.Fatalf("accepted without its signature: %+v", fr)
		}
		if len(b) < len(magic)+ed25519.SignatureSize {
			return
		}
		fr, err := parse(b[len(magic) : len(b)-ed25519.SignatureSize])
		if err != nil {
			return
		}
		for _, before := range []*held{nil, inForce} {
			if got, err := fr.on(before, "prod"); err == nil && (got.sum != fr.Sum || held1(t, got.State).sum != fr.Sum || got.Grants.Number() != fr.To) {
				t.Fatalf("leads to another state than it says: %+v", fr.head)
			}
		}
	})
}

// FuzzMessage: any bytes of the other end are a message within its bounds, or an error.
func FuzzMessage(f *testing.F) {
	f.Add([]byte{byte(tellHello), 0, 0, 0, 2, '{', '}'})
	f.Add([]byte{byte(sendState), 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{byte(tellReport), 0, 0, 0, 20, '{'})
	f.Fuzz(func(t *testing.T, b []byte) {
		near, far := net.Pipe()
		go func() {
			far.Write(b)
			far.Close()
		}()
		defer near.Close()
		m, err := readMessage(near, true, patience)
		if err != nil {
			return
		}
		if len(m.body) > len(b) {
			t.Fatalf("%d bytes of %d", len(m.body), len(b))
		}
		for _, to := range []any{new(hello), new(Report), new(beat), new(join), new(identity)} {
			_ = m.as(to) // what is none is an error, and nothing else
		}
	})
}

// FuzzToken: what is taken for a token is made again the same.
func FuzzToken(f *testing.F) {
	f.Add("sluice-join-abc." + strings.Repeat("0", 64))
	f.Add("sluice-join-.")
	f.Fuzz(func(t *testing.T, token string) {
		secret, authority, err := readToken(token)
		if err == nil && tokenPrefix+secret+"."+authority != strings.TrimSpace(token) {
			t.Fatalf("%q is read as %q and %q", token, secret, authority)
		}
	})
}
