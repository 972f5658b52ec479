package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/notify"
	"sluice/internal/fault"
	"sluice/internal/store/sqlstore"
)

// world is a store, with a clock and a receiver that can be told to refuse.
type world struct {
	t     *testing.T
	store control.Store

	mu      sync.Mutex
	now     time.Time        // guarded by mu, as what follows
	refused map[string]error // by receiver
	got     []string         // ids, in the order in which they came
}

func newWorld(t *testing.T) *world {
	s, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &world{t: t, store: s, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), refused: map[string]error{}}
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) refuse(to string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused[to] = err
}

func (w *world) deliver(_ context.Context, n notify.Notification) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refused[n.To]; err != nil {
		return err
	}
	w.got = append(w.got, n.ID)
	return nil
}

// arrived are the ids that came since it was last asked.
func (w *world) arrived() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

func (w *world) sender(me string) *notify.Sender {
	return notify.NewSender(notify.Deps{
		Me: me, Now: w.time, Logger: slog.New(slog.DiscardHandler), Deliver: map[notify.Channel]notify.Deliver{notify.Webhook: w.deliver},
		Read: func(ctx context.Context, f func(notify.Reader) error) error {
			return w.store.Read(ctx, func(r control.Reader) error { return f(r) })
		},
		Write: func(ctx context.Context, f func(notify.Store) error) error {
			return w.store.Write(ctx, func(s control.Writer) error { return f(s) })
		},
	})
}

// add puts notifications into the outbox, as "receiver/id".
func (w *world) add(all ...string) {
	w.t.Helper()
	if err := w.store.Write(w.t.Context(), func(s control.Writer) error {
		for _, one := range all {
			to, id, _ := strings.Cut(one, "/")
			if err := s.AddNotification(notify.Notification{ID: id, Channel: notify.Webhook, To: to, Team: to, Organisation: "acme", Type: "sluice.test", Event: []byte("{}"), Time: w.time(), Next: w.time()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

// rounds lets a sender go on until nothing is due.
func (w *world) rounds(s *notify.Sender) {
	w.t.Helper()
	for {
		more, err := notify.Round(w.t.Context(), s)
		if err != nil {
			w.t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func (w *world) outbox() (all []notify.Notification, rows []audit.Row) {
	w.t.Helper()
	if err := w.store.Read(w.t.Context(), func(r control.Reader) (err error) {
		if all, _, err = r.Notifications(notify.Query{}); err != nil {
			return err
		}
		rows, _, err = r.AuditRows(audit.Query{})
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return all, rows
}

func (w *world) want(what string, ids ...string) {
	w.t.Helper()
	if got := w.arrived(); !slices.Equal(got, ids) {
		w.t.Errorf("%s: got %q, want %q", what, got, ids)
	}
}

func TestOneReceiverKeepsOnlyItselfWaiting(t *testing.T) {
	w := newWorld(t)
	s := w.sender("one")
	w.refuse("a", fault.New(fault.Unavailable, "status 500"))
	w.add("a/a1", "a/a2", "b/b1", "b/b2")
	w.rounds(s)
	w.want("a is away", "b1", "b2")
	w.refuse("a", nil)
	w.rounds(s)
	w.want("before the pause is over")
	w.later(7 * time.Second)
	w.rounds(s)
	w.want("after it", "a1", "a2")
	if all, rows := w.outbox(); len(all)+len(rows) > 0 {
		t.Errorf("left: %+v %+v", all, rows)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	w := newWorld(t)
	s := w.sender("one")
	w.refuse("a", fault.Wrap(fault.Unavailable, errors.New("canary: 10.0.0.1"), "it could not be reached"))
	w.add("a/a1")
	began := w.time()
	last := time.Duration(0)
	for n := 1; ; n++ {
		w.rounds(s)
		all, rows := w.outbox()
		if len(all) != 1 || all[0].Attempts != n || all[0].Problem != "it could not be reached" {
			t.Fatalf("attempt %d: %+v", n, all)
		}
		if !all[0].Failed.IsZero() {
			if tried := w.time().Sub(began); tried < notify.GiveUpAfter || tried > notify.GiveUpAfter+2*time.Hour || n < 20 || n > 60 {
				t.Errorf("given up after %d attempts in %v", n, tried)
			}
			if len(rows) != 1 || rows[0].Action != "give-up-notification" || rows[0].Team != "a" || rows[0].Organisation != "acme" || strings.Contains(fmt.Sprintf("%s %s", rows[0].Reason, rows[0].Details), "canary") {
				t.Errorf("rows %+v", rows)
			}
			break
		}
		pause := all[0].Next.Sub(w.time())
		if pause < 3*time.Second || pause > 80*time.Minute || pause < last/4 {
			t.Fatalf("the pause after attempt %d is %v, the one before was %v", n, pause, last)
		}
		last = pause
		w.later(pause)
	}
	w.refuse("a", nil)
	w.add("a/a2")
	w.rounds(s)
	w.want("behind what was given up", "a2")
	w.later(31 * 24 * time.Hour)
	w.rounds(s)
	if all, _ := w.outbox(); len(all) > 0 {
		t.Errorf("it is kept for ever: %+v", all)
	}
}

func TestWhatIsOfNoUseIsNotTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.refuse("a", fault.New(fault.NotFound, "it is gone"))
	w.add("a/a1")
	w.rounds(w.sender("one"))
	if all, rows := w.outbox(); len(all) != 1 || all[0].Failed.IsZero() || all[0].Attempts != 1 || len(rows) != 1 {
		t.Errorf("%+v %+v", all, rows)
	}
}

func TestOneProcessSendsAtATime(t *testing.T) {
	w := newWorld(t)
	one, two := w.sender("one"), w.sender("two")
	w.add("a/a1")
	w.rounds(one)
	w.want("the first", "a1")
	w.add("a/a2")
	w.rounds(two)
	w.want("while the first has it")
	w.rounds(one)
	w.want("the first again", "a2")
	w.add("a/a3")
	w.later(2 * time.Minute) // the first has gone
	w.rounds(two)
	w.want("the second takes over", "a3")
	w.add("a/a4")
	w.rounds(one)
	w.want("the first comes back")
	w.rounds(w.sender("two")) // started again
	w.want("the second, started again", "a4")
}

// What could not be written down is sent again, and nothing is lost.
func TestAStopBetweenSendingAndWriting(t *testing.T) {
	w := newWorld(t)
	w.add("a/a1", "b/b1")
	ctx, cancel := context.WithCancel(t.Context())
	s := w.sender("one")
	s.Deliver[notify.Webhook] = func(ctx context.Context, n notify.Notification) error {
		if n.To == "b" { // cut off by the stop
			<-ctx.Done()
			return ctx.Err()
		}
		err := w.deliver(ctx, n)
		cancel()
		return err
	}
	if _, err := notify.Round(ctx, s); err != nil {
		t.Fatal(err)
	}
	w.want("before the stop", "a1")
	all, _ := w.outbox()
	if len(all) != 1 || all[0].ID != "b1" || all[0].Attempts != 0 {
		t.Errorf("left: %+v", all)
	}
	w.rounds(w.sender("one"))
	w.want("after it", "b1")
}

func TestRunSendsWhatComes(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, came := w.sender("one"), make(chan string, 10)
	s.Deliver[notify.Webhook] = func(_ context.Context, n notify.Notification) error { came <- n.ID; return nil }
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	w.add("a/a1", "a/a2")
	for _, want := range []string{"a1", "a2"} {
		select {
		case got := <-came:
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing comes")
		}
	}
	cancel()
	<-done
}

// poster takes what is posted.
type poster struct {
	status int
	err    error
	url    string
	header map[string]string
	body   []byte
}

func (p *poster) Post(_ context.Context, url string, header map[string]string, body []byte) (int, error) {
	p.url, p.header, p.body = url, header, body
	return p.status, p.err
}

func TestWebhooksAreSigned(t *testing.T) {
	w := newWorld(t)
	seed := make([]byte, 32)
	secret := func() (made string) {
		t.Helper()
		if err := w.store.Write(t.Context(), func(s control.Writer) (err error) {
			made, err = notify.NewSecret(s, seed, "shop", w.time())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return made
	}
	p := &poster{status: 204}
	h := &notify.Webhooks{Client: p, Now: w.time, URL: func(team string) string { return map[string]string{"shop": "https://hooks.example.com"}[team] },
		Keys: func(ctx context.Context, team string) (keys [][]byte, err error) {
			err = w.store.Read(ctx, func(r control.Reader) error { keys, err = notify.Keys(r, seed, team, w.time()); return err })
			return keys, err
		}}
	n := notify.Notification{ID: "ntf_1", To: "shop", Event: []byte(`{"a":1}`)}
	send := func() []string {
		t.Helper()
		if err := h.Deliver(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if p.url != "https://hooks.example.com" || string(p.body) != `{"a":1}` || p.header["Webhook-Id"] != "ntf_1" || p.header["Webhook-Timestamp"] != strconv.FormatInt(w.time().Unix(), 10) || !strings.HasPrefix(p.header["Content-Type"], "application/cloudevents+json") {
			t.Errorf("posted %+v", p)
		}
		return strings.Split(p.header["Webhook-Signature"], " ")
	}
	// proves as a receiver does that follows Standard Webhooks.
	proves := func(secret, signature string) bool {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || !strings.HasPrefix(secret, "whsec_") || len(key) < 24 {
			t.Fatalf("%q is no secret", secret)
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", p.header["Webhook-Id"], p.header["Webhook-Timestamp"], p.body)
		return signature == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	before := send()
	first := secret()
	if got := send(); len(got) != 1 || !proves(first, got[0]) || proves(first, before[0]) {
		t.Errorf("signed %q", got)
	}
	second := secret()
	if got := send(); first == second || len(got) != 2 || !proves(second, got[0]) || !proves(first, got[1]) {
		t.Errorf("while it is replaced: %q", got)
	}
	w.later(notify.Overlap)
	if got := send(); len(got) != 1 || !proves(second, got[0]) {
		t.Errorf("afterwards: %q", got)
	}
	if err := w.store.Write(t.Context(), func(s control.Writer) error { return notify.ForgetSecret(s, "shop") }); err != nil {
		t.Fatal(err)
	}
	if got := send(); proves(second, got[0]) {
		t.Error("another team of the name has the same secret")
	}
	for status, want := range map[int]fault.Kind{200: "", 301: fault.Unavailable, 400: fault.Unavailable, 410: fault.NotFound, 429: fault.Unavailable, 503: fault.Unavailable} {
		p.status = status
		if err := h.Deliver(t.Context(), n); fault.KindOf(err) != want {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if n.To = "none"; fault.KindOf(h.Deliver(t.Context(), n)) != fault.NotFound {
		t.Error("a team without webhook")
	}
	n.To, p.err = "shop", errors.New("dial tcp 10.0.0.1:443: canary")
	if err := h.Deliver(t.Context(), n); fault.KindOf(err) != fault.Unavailable || strings.Contains(fault.MessageOf(err), "canary") {
		t.Errorf("what is told of an error: %v", fault.MessageOf(err))
	}
}
