package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/internal/control/audit"
	"sluice/internal/fault"
)

// Times that are not for configuring.
const (
	every    = time.Second      // between looks for what is due
	slowest  = time.Hour        // between attempts
	patience = 15 * time.Second // for one attempt
	farewell = 2 * time.Second  // for those under way when the process is to end
	lease    = time.Minute      // for which one process has the sending to itself; longer than a round
	keep     = 30 * 24 * time.Hour
	batch    = 32 // receivers of one round
	workers  = 16

	// GiveUpAfter is how long a notification is tried; then it is given up.
	GiveUpAfter = 24 * time.Hour
)

// leaseNote is where the store remembers who sends.
const leaseNote = "notifications"

// Store is what a Sender needs of one.
type Store interface {
	Writer
	Note(name string) (string, error)
	PutNote(name, value string) error
	AppendAudit(audit.Row) (audit.Row, error)
}

// Deliver brings a notification to its receiver, and returns nil once it has it. The
// message of a fault is for whoever may see the notification; NotFound says that there
// is no use in trying again.
type Deliver func(context.Context, Notification) error

// Deps is what a Sender needs.
type Deps struct {
	// Me tells this process from others with the same store.
	Me      string
	Deliver map[Channel]Deliver
	Write   func(context.Context, func(Store) error) error
	Read    func(context.Context, func(Reader) error) error
	Now     func() time.Time
	Logger  *slog.Logger
	// First is the pause after the first attempt that fails, 5 s by default; each one is
	// about twice as long as the one before, up to an hour.
	First time.Duration
}

// Sender empties the outbox. Run is for one goroutine.
type Sender struct {
	Deps
	swept time.Time
}

// NewSender returns a Sender.
func NewSender(d Deps) *Sender {
	if d.First == 0 {
		d.First = 5 * time.Second
	}
	return &Sender{Deps: d}
}

// holder is who sends, and until when it has that to itself.
type holder struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	failing := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		more, err := s.round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			failing = true
			s.Logger.Error("notifications cannot be taken from the store: they stay there", "err", err)
		case err == nil && failing:
			failing = false
			s.Logger.Info("notifications can be sent again")
		}
		wait := every
		if more && err == nil {
			wait = 0
		}
		timer.Reset(wait)
	}
}

// round tries what is due, and says whether something was delivered, behind which more
// may wait.
func (s *Sender) round(ctx context.Context) (more bool, err error) {
	due, err := s.claim(ctx)
	if err != nil || len(due) == 0 {
		return false, err
	}
	trying, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(farewell, cut) })()
	errs := make([]error, len(due))
	var group sync.WaitGroup
	places := make(chan struct{}, workers)
	for i, n := range due {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			errs[i] = s.try(trying, n)
		})
	}
	group.Wait()
	if ctx.Err() != nil { // what has arrived arrived; what was cut off is no failure
		for i := range due {
			if errs[i] != nil {
				due[i].ID = ""
			}
		}
	}
	kept, stop := context.WithTimeout(context.WithoutCancel(ctx), patience) // also when we are to end: or all is sent again
	defer stop()
	var log []func()
	err = s.Write(kept, func(w Store) error {
		more, log = false, nil
		for i, n := range due {
			switch {
			case n.ID == "":
				continue
			case errs[i] == nil:
				more = true
				if err := w.RemoveNotification(n.ID); err != nil {
					return err
				}
			default:
				told, err := s.failed(w, n, errs[i])
				if err != nil {
					return err
				}
				log = append(log, told)
			}
		}
		return nil
	})
	if err == nil {
		for _, tell := range log {
			tell()
		}
	}
	return more, err
}

// claim returns what is due, unless another process sends.
func (s *Sender) claim(ctx context.Context) (due []Notification, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now := s.Now().UTC()
	if err := s.Read(ctx, func(r Reader) (err error) {
		due, err = r.DueNotifications(now, batch)
		return err
	}); err != nil {
		return nil, err
	}
	sweeps := now.Sub(s.swept) > time.Hour
	if len(due) == 0 && !sweeps {
		return nil, nil
	}
	err = s.Write(ctx, func(w Store) error {
		due = nil
		text, err := w.Note(leaseNote)
		if err != nil {
			return err
		}
		var h holder
		if text != "" {
			if err := json.Unmarshal([]byte(text), &h); err != nil {
				return fmt.Errorf("who sends notifications cannot be read: %w", err)
			}
		}
		if h.Holder != "" && h.Holder != s.Me && now.Before(h.Until) {
			return nil
		}
		if sweeps {
			if err := w.SweepNotifications(now.Add(-keep)); err != nil {
				return err
			}
		}
		b, err := json.Marshal(holder{s.Me, now.Add(lease)})
		if err != nil {
			return err
		}
		if err := w.PutNote(leaseNote, string(b)); err != nil {
			return err
		}
		due, err = w.DueNotifications(now, batch)
		return err
	})
	if err == nil {
		s.swept = now
	}
	return due, err
}

// try makes one attempt.
func (s *Sender) try(ctx context.Context, n Notification) error {
	deliver := s.Deliver[n.Channel]
	if deliver == nil {
		return fault.New(fault.Unavailable, "nothing here sends by %s", n.Channel)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return deliver(ctx, n)
}

// failed writes down an attempt that failed, and returns what the log is to hear.
func (s *Sender) failed(w Store, n Notification, cause error) (tell func(), err error) {
	now := s.Now().UTC()
	n.Attempts++
	n.Problem = fault.MessageOf(cause)
	attributes := []any{"notification", n.ID, "type", n.Type, "channel", string(n.Channel), "team", n.Team, "attempts", n.Attempts, "err", cause}
	if fault.KindOf(cause) != fault.NotFound && now.Before(n.Time.Add(GiveUpAfter)) {
		n.Next = now.Add(s.pause(n.Attempts))
		if n.Attempts > 1 {
			return func() { s.Logger.Debug("a notification could not be delivered", attributes...) }, w.PutAttempt(n)
		}
		return func() { s.Logger.Warn("a notification could not be delivered, and is tried again", attributes...) }, w.PutAttempt(n)
	}
	n.Failed = now
	if err := w.PutAttempt(n); err != nil {
		return nil, err
	}
	details, err := json.Marshal(map[string]any{"notification": n.ID, "type": n.Type, "channel": n.Channel, "attempts": n.Attempts, "problem": n.Problem})
	if err != nil {
		return nil, err
	}
	_, err = w.AppendAudit(audit.Row{Time: now, Actor: "system", Action: "give-up-notification", Kind: "Team", Name: n.Team, Team: n.Team, Organisation: n.Organisation, Result: "failed", Reason: n.Problem, Details: details})
	return func() { s.Logger.Error("a notification is given up", attributes...) }, err
}

// pause is how long the next attempt waits, give or take a quarter.
func (s *Sender) pause(attempts int) time.Duration {
	d := slowest
	if attempts < 20 {
		d = min(slowest, s.First<<(attempts-1))
	}
	return d*3/4 + rand.N(d/2+1)
}
