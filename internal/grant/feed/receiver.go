package feed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/internal/grant"
	"sluice/internal/journal"
)

// ReceiverConfig is what a Receiver is told.
type ReceiverConfig struct {
	// Dir holds who the gateway is, and the last good state.
	Dir string
	// Identity is that of ReadIdentity.
	Identity *Identity
	// Control is host:port of the control plane, if it is not where it was joined.
	Control string
	// Save replaces a file as a whole or not at all.
	Save func(name string, data []byte) error
	// Report says what the control plane is told; Number and Refused are filled in.
	Report func() Report
	// Unreported gets a report that could not be sent; it may be nil.
	Unreported func(Report)
	// Rejections returns what was refused behind a number, the oldest first and at most so
	// many; Told gets the number of the last one that came to the control plane, 0 for
	// none. Both may be nil, and neither may wait.
	Rejections func(after uint64, most int) []Rejection
	Told       func(number uint64)
	Log        *slog.Logger
	// Now is the clock for times that are kept on disk.
	Now func() time.Time
}

// Receiver is the gateway's end of the feed. Make one with NewReceiver; Run follows the
// control plane. Everything else is safe for concurrent use.
type Receiver struct {
	config ReceiverConfig
	file   journal.File

	mu        sync.Mutex // guards what follows
	identity  *Identity
	state     *held
	connected bool
	contact   time.Time // when the state in force was last known to be the newest
	kept      time.Time // contact as it is on disk
	refused   string    // why the last state is not in force
	twofold   sum       // that the control plane last had for the number in force, if not the one here
	failure   string    // why there is no connection
	sentAway  time.Time // since when the control plane refuses this gateway; zero when it does not
	refusals  map[string]uint64
	heard     *uint64 // the number of the last rejection that the control plane has; nil until it says so

	changed chan struct{} // has a value when somebody should report at once
}

// Reasons are why states are refused, for a metric's label.
var reasons = []struct {
	name string
	err  error
}{
	{"signature", ErrSignature}, {"older", ErrOlder}, {"generation", ErrGeneration}, {"environment", ErrEnvironment}, {"twofold", ErrTwofold}, {"gap", ErrGap}, {"damaged", ErrDamaged},
}

func reasonOf(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return "other"
}

// NewReceiver reads the last good state. One that is damaged, or was made by somebody
// else, is set aside and said so in the log: there is then nothing to serve until the
// control plane is reached.
func NewReceiver(c ReceiverConfig) (*Receiver, error) {
	r := &Receiver{config: c, identity: c.Identity, file: journal.File{Name: filepath.Join(c.Dir, stateFile), Save: c.Save}, refusals: map[string]uint64{"other": 0}, changed: make(chan struct{}, 1)}
	for _, reason := range reasons {
		r.refusals[reason.name] = 0
	}
	var err error
	if r.sentAway, err = SentAway(c.Dir); err != nil {
		return nil, err
	}
	var state *held
	var written time.Time
	if info, err := os.Stat(r.file.Name); err == nil {
		written = info.ModTime()
	}
	cut, err := r.file.Read(func(b []byte) error {
		next, err := r.step(state, b)
		if err == nil {
			state = next
		} else if errors.Is(err, ErrSignature) { // which does not tell one from the other
			err = fmt.Errorf("%w, or %w", err, ErrDamaged)
		}
		return err
	})
	switch {
	case err != nil && reasonOf(err) == "other":
		return nil, fmt.Errorf("read the last good state: %w", err)
	case err != nil:
		state = nil
		r.refuse(err)
		c.Log.Error("the last good state on disk cannot be used: nothing is in force until the control plane is reached", "file", r.file.Name, "err", err, "kept_as", r.file.SetAside())
	case cut:
		c.Log.Warn("the last change of the state was cut off or damaged, as when a machine dies while it is written: what was before it is in force", "file", r.file.Name)
	}
	r.state = state
	if r.contact = r.lastContact(written); cut && written.Before(r.contact) { // that of the change: it made what is here old when it was written
		r.contact = written
	}
	return r, nil
}

// step makes the next state of one in force and a frame.
func (r *Receiver) step(inForce *held, b []byte) (*held, error) {
	f, err := open(r.config.Identity.Signing, b)
	if err != nil {
		return nil, err
	}
	return f.on(inForce, r.config.Identity.Environment)
}

// State returns what is in force, nil before the first has come.
func (r *Receiver) State() *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil {
		return nil
	}
	return &r.state.State
}

// Standing is how a gateway stands to its control plane.
type Standing struct {
	Number    grant.Number
	Connected bool
	// Contact is when the state in force was last known to be the newest; zero when
	// never.
	Contact time.Time
	// SentAway is since when the control plane refuses this gateway: it was removed there, or
	// another machine has joined in its place. Zero when it does not, as far as is known.
	SentAway time.Time
	// Failure is why there is no connection, Refused why the state that came last is not
	// in force; "" when there is nothing to say.
	Failure, Refused string
	// Refusals counts states that were refused, by reason.
	Refusals map[string]uint64
}

// Age is how old the knowledge is that nothing newer is there.
func (s Standing) Age(now time.Time) time.Duration {
	if s.Contact.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.Contact))
}

// Standing returns how things are.
func (r *Receiver) Standing() Standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Standing{Connected: r.connected, Contact: r.contact, SentAway: r.sentAway, Failure: r.failure, Refused: r.refused, Refusals: map[string]uint64{}}
	for reason, n := range r.refusals {
		s.Refusals[reason] = n
	}
	if r.state != nil {
		s.Number = r.state.Grants.Number()
	}
	return s
}

// Reported asks Run to tell the control plane at once how things are.
func (r *Receiver) Reported() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// How a connection is tried again: the first time at once, then later and later, at most
// after so long, so that a gateway has caught up within five seconds of the control plane's
// return. Each takes a random part of it, so that not all come at once.
const (
	againFirst = 100 * time.Millisecond
	againMost  = 2 * time.Second
)

// Run follows the control plane until the context ends. Each new state is kept on disk
// and then given to apply, by one goroutine. An error of apply is reported as a refusal,
// and the state counts as the one in force all the same: what can be used of it may be.
func (r *Receiver) Run(ctx context.Context, apply func(State) error) {
	pause := againFirst
	told := ""
	for ctx.Err() == nil {
		begun, err := r.follow(ctx, apply)
		if ctx.Err() != nil {
			break
		}
		r.mu.Lock()
		if r.connected = false; err != nil {
			r.failure = err.Error()
		}
		r.mu.Unlock()
		if begun { // it has worked for a while: what is lost now comes back soon
			pause, told = againFirst, ""
		}
		if text := err.Error(); text != told {
			r.config.Log.Warn("no connection to the control plane: what is in force stays", "control", r.address(), "err", err)
			told = text
		}
		r.keepContact()
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, againMost)
	}
	r.keepContact()
}

func (r *Receiver) address() string {
	if r.config.Control != "" {
		return r.config.Control
	}
	return r.config.Identity.Control
}

func (r *Receiver) dial(ctx context.Context) (net.Conn, error) {
	r.mu.Lock()
	id := r.identity
	r.mu.Unlock()
	config, err := id.config(feedProtocol)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", r.address())
	if err != nil {
		return nil, fmt.Errorf("connect to the control plane: %w", err)
	}
	return conn, nil
}

// follow is one connection. begun says that the control plane has answered.
func (r *Receiver) follow(ctx context.Context, apply func(State) error) (begun bool, err error) {
	conn, err := r.dial(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	asks := make(chan struct{}, 1)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer conn.Close()
	defer stop()
	defer cancel()
	r.mu.Lock()
	r.heard = nil
	var have hello
	if r.state != nil && !r.file.Stale() {
		have = hello{Number: r.state.Grants.Number(), Sum: r.state.sum}
	}
	r.mu.Unlock()
	if err := say(conn, tellHello, have); err != nil {
		return false, err
	}
	writer.Go(func() {
		if r.talk(ctx, conn, asks) != nil {
			conn.Close()
		}
	})
	want, asked := false, time.Time{} // a whole state, since what came does not follow
	for {
		m, err := readMessage(conn, true, silence)
		if err != nil {
			return begun, quieter(err)
		}
		switch m.kind {
		case sendState:
			whole, err := r.take(m.body, apply)
			if err != nil && whole {
				return begun, err
			}
			want = want || err != nil // a delta that cannot be used: the whole state may
		case sendBeat:
			var b beat
			if err := m.as(&b); err != nil {
				return begun, err
			}
			if !begun {
				begun = true
				r.begin()
			}
			want = r.beat(b) || want
		case sendCertificate:
			var c certificate
			if err := m.as(&c); err != nil {
				return begun, err
			}
			r.renew(c.Certificate)
		case sendRefusal:
			var no refusal
			if err := m.as(&no); err != nil {
				return begun, err
			}
			r.sendAway(no.Reason)
			return begun, fmt.Errorf("the control plane refuses this gateway: %s", no.Reason)
		}
		if (want || r.file.Long()) && time.Since(asked) > askEvery {
			want, asked = false, time.Now()
			ask(asks)
		}
	}
}

// askEvery is how often a whole state is asked for at most.
const askEvery = 5 * time.Second

func ask(asks chan struct{}) {
	select {
	case asks <- struct{}{}:
	default:
	}
}

// quieter says in words what the end of a connection means.
func quieter(err error) error {
	var slow net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return errors.New("the connection to the control plane has ended")
	case errors.As(err, &slow) && slow.Timeout():
		return fmt.Errorf("the control plane has said nothing for %v", silence)
	}
	return fmt.Errorf("listen to the control plane: %w", err)
}

// reportEvery is how often a gateway tells of itself.
const reportEvery = 2 * time.Second

// talk writes what this end has to say.
func (r *Receiver) talk(ctx context.Context, conn net.Conn, asks <-chan struct{}) error {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	var sent *uint64 // the number of the last rejection on this connection
	for {
		report := r.report()
		if sent == nil {
			sent = r.begins()
		}
		if sent != nil && r.config.Rejections != nil {
			if report.Rejections = fitting(r.config.Rejections(*sent, MaxRejections)); len(report.Rejections) > 0 {
				*sent = report.Rejections[len(report.Rejections)-1].Number
			}
		}
		if err := say(conn, tellReport, report); err != nil {
			if r.config.Unreported != nil {
				r.config.Unreported(report)
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.changed:
		case <-asks:
			if err := writeMessage(conn, askWhole, nil); err != nil {
				return err
			}
		}
	}
}

// begins returns the number behind which the control plane has no rejections of this
// gateway; nil while it has not said.
func (r *Receiver) begins() *uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard == nil {
		return nil
	}
	number := *r.heard
	return &number
}

func (r *Receiver) report() Report {
	var out Report
	if r.config.Report != nil {
		out = r.config.Report()
	}
	s := r.Standing()
	out.Number, out.Refused = s.Number, s.Refused
	return out
}

// take puts a frame in force. whole says that there is nothing better to ask for.
func (r *Receiver) take(b []byte, apply func(State) error) (whole bool, err error) {
	r.mu.Lock()
	before := r.state
	r.mu.Unlock()
	f, err := open(r.config.Identity.Signing, b)
	var next *held
	if whole = true; err == nil {
		whole = f.whole()
		next, err = f.on(before, r.config.Identity.Environment)
	}
	if err != nil {
		if r.refuse(err) {
			r.config.Log.Error("a state of the control plane is refused: what was in force stays", "err", err)
		}
		r.Reported()
		return whole, err
	}
	if next != before || r.file.Stale() {
		if err := r.file.Keep(b, whole); err != nil {
			r.config.Log.Error("what is in force is not on disk, and will be tried again: a restart without the control plane would serve something older", "err", err)
		}
	}
	refused := ""
	if next != before {
		if err := apply(next.State); err != nil {
			refused = err.Error()
		}
	}
	now := r.config.Now()
	r.mu.Lock()
	r.state, r.refused, r.contact = next, refused, now
	r.mu.Unlock()
	if next != before {
		r.Reported()
	}
	return whole, nil
}

// refuse counts a state that is refused, and says whether it is for a new reason.
func (r *Receiver) refuse(err error) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = r.refused != err.Error()
	r.refused = err.Error()
	r.refusals[reasonOf(err)]++
	return news
}

// SentAway returns since when the control plane refuses the gateway that has a directory,
// zero when it does not, as far as is known there.
func SentAway(dir string) (time.Time, error) {
	at, err := readMoment(filepath.Join(dir, sentAwayFile))
	if errors.Is(err, os.ErrNotExist) {
		return time.Time{}, nil
	} else if err != nil {
		return time.Time{}, fmt.Errorf("read since when the control plane refuses this gateway: %w", err)
	}
	return at, nil
}

func forgetSentAway(dir string) error {
	if err := os.Remove(filepath.Join(dir, sentAwayFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget that the control plane refused this gateway: %w", err)
	}
	return nil
}

// sendAway takes note that the control plane has refused this gateway, also for a restart.
func (r *Receiver) sendAway(reason string) {
	now := r.config.Now()
	r.mu.Lock()
	news := r.sentAway.IsZero()
	if news {
		r.sentAway = now
	}
	r.mu.Unlock()
	if !news {
		return
	}
	r.config.Log.Error("the control plane has sent this gateway away: let it join again, or stop it", "why", reason)
	if err := r.config.Save(filepath.Join(r.config.Dir, sentAwayFile), moment(now)); err != nil {
		r.config.Log.Error("that the control plane has sent this gateway away is not on disk: a restart begins to count anew", "err", err)
	}
}

// admitted takes note that the control plane refuses this gateway no more.
func (r *Receiver) admitted() {
	r.mu.Lock()
	was := !r.sentAway.IsZero()
	r.sentAway = time.Time{}
	r.mu.Unlock()
	if !was {
		return
	}
	r.config.Log.Info("the control plane takes this gateway again")
	if err := forgetSentAway(r.config.Dir); err != nil {
		r.config.Log.Error("a restart may take this gateway for one that was sent away", "err", err)
	}
}

func (r *Receiver) begin() {
	r.admitted()
	r.mu.Lock()
	again := r.failure != ""
	r.connected, r.failure = true, ""
	r.mu.Unlock()
	if again {
		r.config.Log.Info("the control plane is reached again")
	} else {
		r.config.Log.Info("the control plane is reached", "control", r.address())
	}
}

// contactEvery is how often it is written down that what is in force is the newest.
const contactEvery = 30 * time.Second

// beat takes note of what the control plane has in force. It reports whether that is
// another state with the number of the one here, of which the whole is to be asked for,
// once: the control plane's data was set back, and has come to this number again.
func (r *Receiver) beat(b beat) (other bool) {
	if b.Rejections != nil && r.config.Told != nil {
		r.config.Told(*b.Rejections)
	}
	now := r.config.Now()
	r.mu.Lock()
	r.heard = b.Rejections
	same := r.state != nil && b.Number == r.state.Grants.Number()
	newest := same && (b.Sum == nil || *b.Sum == r.state.sum)
	if newest {
		r.contact = now
	} else if other = same && *b.Sum != r.twofold; other {
		r.twofold = *b.Sum
	}
	due := newest && now.Sub(r.kept) >= contactEvery
	r.mu.Unlock()
	if due {
		r.keepContact()
	}
	if other {
		err := fmt.Errorf("state %v: %w", b.Number, ErrTwofold)
		r.refuse(err)
		r.config.Log.Error("the control plane has another state than the one in force, which stays", "err", err)
		r.Reported()
	}
	return other
}

// lastContact is when the state on disk, which was written at a time, was last known to be
// the newest. Where that cannot be read, it is when the state was written, or else long
// ago: topics that may not be served on what is old are withheld rather than served.
func (r *Receiver) lastContact(written time.Time) time.Time {
	if r.state == nil {
		return time.Time{}
	}
	name, latest := filepath.Join(r.config.Dir, contactFile), r.config.Now().Add(clockSkew)
	at, err := readMoment(name)
	if err == nil && at.After(latest) {
		err = fmt.Errorf("%s says %s, which is yet to come", name, at.UTC().Format(time.RFC3339))
	}
	if err == nil {
		return at
	}
	if at = written; at.IsZero() || at.After(latest) {
		at = time.Unix(0, 0)
	}
	r.config.Log.Warn("when the control plane was last reached cannot be read: it is taken for when the state was written", "err", err, "at", at.UTC().Format(time.RFC3339))
	return at
}

// moment is a time in a file.
func moment(at time.Time) []byte { return fmt.Appendf(nil, "%d\n", at.UnixMilli()) }

func readMoment(name string) (time.Time, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return time.Time{}, err
	}
	at, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	return time.UnixMilli(at), nil
}

// keepContact writes down when the state was last known to be the newest: a restart
// goes on counting from there. It is not said of a state that is not on disk: a restart
// would take it for the older one's.
func (r *Receiver) keepContact() {
	if r.file.Stale() {
		return
	}
	r.mu.Lock()
	at := r.contact
	same := at.Equal(r.kept)
	r.kept = at
	r.mu.Unlock()
	if at.IsZero() || same {
		return
	}
	if err := r.config.Save(filepath.Join(r.config.Dir, contactFile), moment(at)); err != nil {
		r.config.Log.Error("when the control plane was last reached is not on disk", "err", err)
	}
}

// renew takes a new certificate for the key that the gateway has.
func (r *Receiver) renew(der []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.identity
	next.Certificate = der
	if _, err := next.pair(); err != nil {
		r.config.Log.Error("a new certificate of this gateway is refused", "err", err)
		return
	}
	if err := next.keep(r.config.Dir, r.config.Save); err != nil {
		r.config.Log.Error("a new certificate of this gateway cannot be kept, and will come again", "err", err)
		return
	}
	r.identity = &next
	r.config.Log.Info("this gateway has a new certificate")
}
