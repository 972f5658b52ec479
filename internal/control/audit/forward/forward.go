// Package forward sends an audit log to where it is kept besides the store: a topic of
// Apache Kafka that gets each row and each signed head as a CloudEvent, at least once and
// in order. Its main type is Forwarder. How far it came is remembered in the store, so that
// it goes on there after a stop, and of several processes with one store one sends. It
// knows neither documents nor SQL, nor Kafka.
package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sluice/internal/control/audit"
)

// Times that are not for configuring.
const (
	every     = time.Second      // between looks for new rows
	slowest   = time.Minute      // between attempts that fail
	patience  = 20 * time.Second // for one batch
	lease     = 30 * time.Second // for which one process has the sending to itself; longer than patience
	batchRows = 500
)

// Reader is a view of the store.
type Reader interface {
	audit.Reader
	Note(name string) (string, error)
}

// Writer is a Reader that may change what it sees.
type Writer interface {
	Reader
	PutNote(name, value string) error
}

// Deps is what a Forwarder needs.
type Deps struct {
	// Log is the id of the log.
	Log string
	// Me tells this process from others with the same store, and is the same when it is
	// started again.
	Me string
	// Topic is what the place is called, in the log and where its position is remembered.
	Topic string
	// Send sends events in their order, and returns nil once they are kept there.
	Send   func(ctx context.Context, log string, events [][]byte) error
	Read   func(context.Context, func(Reader) error) error
	Write  func(context.Context, func(Writer) error) error
	Now    func() time.Time
	Logger *slog.Logger
}

// Forwarder sends a log. Run is for one goroutine.
type Forwarder struct{ Deps }

// New returns a Forwarder.
func New(d Deps) *Forwarder { return &Forwarder{d} }

// note is where the store remembers a position, for each topic.
func (f *Forwarder) note() string { return "audit topic " + f.Topic }

// position is how far the log was sent, and who is at it.
type position struct {
	// Row is the last one, Head the row of the last head, and Signers who signed that one.
	Row     int64    `json:"row"`
	Head    int64    `json:"head"`
	Signers []string `json:"signers,omitempty"`
	// Holder has the sending to itself until Until.
	Holder string    `json:"holder,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

func (f *Forwarder) position(r Reader) (p position, err error) {
	text, err := r.Note(f.note())
	if err != nil || text == "" {
		return p, err
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("the position of the audit log in topic %q cannot be read: %w", f.Topic, err)
	}
	return p, nil
}

func (f *Forwarder) keep(w Writer, p position) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return w.PutNote(f.note(), string(b))
}

// Run sends until ctx ends.
func (f *Forwarder) Run(ctx context.Context) {
	wait, failing := every, false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		more, err := f.round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				f.Logger.Error("the audit log cannot be sent to its topic: it stays in the store, and is sent once it can be", "topic", f.Topic, "err", err)
			}
			failing, wait = true, min(2*wait, slowest)
		default:
			if failing {
				f.Logger.Info("the audit log is sent to its topic again", "topic", f.Topic)
			}
			if failing, wait = false, every; more {
				wait = 0
			}
		}
		timer.Reset(wait)
	}
}

// batch is events that go out together, and where that leads.
type batch struct {
	events [][]byte
	to     position
	full   bool
}

// next reads what is to be sent behind a position.
func (f *Forwarder) next(r Reader, p position) (*batch, error) {
	b := &batch{to: p}
	last := p.Row
	errFull := errors.New("full")
	err := r.AuditFrom(p.Row+1, func(row audit.Row) error {
		if len(b.events) == batchRows {
			return errFull
		}
		event, err := audit.Event(f.Log, row)
		if err != nil {
			return err
		}
		b.events = append(b.events, event)
		last = row.Seq
		return nil
	})
	if b.full = errors.Is(err, errFull); err != nil && !b.full {
		return nil, err
	}
	b.to.Row = last
	// Heads come behind the rows that they cover: of those that were sent before, too.
	err = r.AuditHeads(p.Head, func(h audit.Head) error {
		if h.Seq > last || h.Seq == p.Head && slices.Contains(p.Signers, h.Key) {
			return nil
		}
		event, err := audit.HeadEvent(h)
		if err != nil {
			return err
		}
		b.events = append(b.events, event)
		if h.Seq > b.to.Head {
			b.to.Head, b.to.Signers = h.Seq, nil
		}
		b.to.Signers = append(slices.Clone(b.to.Signers), h.Key)
		return nil
	})
	return b, err
}

// round sends one batch, if there is anything to send and nobody else is at it, and says whether there is more.
func (f *Forwarder) round(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var p position
	var b *batch
	look := func(r Reader) (err error) {
		if p, err = f.position(r); err != nil {
			return err
		}
		b, err = f.next(r, p)
		return err
	}
	if err := f.Read(ctx, func(r Reader) error { return look(r) }); err != nil || len(b.events) == 0 || f.theirs(p) {
		return false, err
	}
	if err := f.Write(ctx, func(w Writer) error {
		if err := look(w); err != nil || f.theirs(p) {
			return err
		}
		p.Holder, p.Until = f.Me, f.Now().Add(lease).UTC()
		b.to.Holder, b.to.Until = p.Holder, p.Until
		return f.keep(w, p)
	}); err != nil || f.theirs(p) || len(b.events) == 0 {
		return false, err
	}
	if err := f.Send(ctx, f.Log, b.events); err != nil {
		return false, err
	}
	kept, stop := context.WithTimeout(context.WithoutCancel(ctx), patience) // also when we are to end: or it is all sent again
	defer stop()
	return b.full, f.Write(kept, func(w Writer) error {
		now, err := f.position(w)
		if err != nil || now.Holder != f.Me { // somebody else took over, since it took too long: they send some of it again
			return err
		}
		return f.keep(w, b.to)
	})
}

// Waiting returns how many rows were not sent yet, by whatever process, and of when the oldest of them is.
func (f *Forwarder) Waiting(ctx context.Context) (rows int64, since time.Time, err error) {
	err = f.Read(ctx, func(r Reader) error {
		p, err := f.position(r)
		if err != nil {
			return err
		}
		newest, _, err := r.AuditRows(audit.Query{Limit: 1})
		if err != nil || len(newest) == 0 || newest[0].Seq <= p.Row {
			return err
		}
		rows = newest[0].Seq - p.Row
		errFound := errors.New("found")
		if err := r.AuditFrom(p.Row+1, func(row audit.Row) error { since = row.Time; return errFound }); !errors.Is(err, errFound) {
			return err
		}
		return nil
	})
	return rows, since, err
}

// theirs says whether another process sends.
func (f *Forwarder) theirs(p position) bool {
	return p.Holder != "" && p.Holder != f.Me && f.Now().Before(p.Until)
}
