package audit

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// When a head is signed.
const (
	SealEvery     = time.Minute
	SealEveryRows = 1000
)

// closeTime bounds the last head, at the end.
const closeTime = 10 * time.Second

// Sealer signs heads of a log: every minute in which rows were added, every thousand
// rows, and at the end. Its methods are safe for concurrent use.
type Sealer struct {
	key   ed25519.PrivateKey
	log   string
	write func(context.Context, func(Log) error) error
	send  func(context.Context, Head) error
	slog  *slog.Logger
	now   func() time.Time

	wrote  atomic.Int64 // the newest row that we were told of
	sealed atomic.Int64 // the newest row with a head of ours
	nudge  chan struct{}
}

// SealerDeps is what a Sealer needs.
type SealerDeps struct {
	Key ed25519.PrivateKey
	// Log is the id of the store.
	Log string
	// Write is the store's.
	Write func(context.Context, func(Log) error) error
	// Send takes a head to where it is also kept: a head in the store alone goes with
	// it. None by default. What it fails at is logged.
	Send func(context.Context, Head) error
	// Logger hears of heads that could not be written.
	Logger *slog.Logger
	Now    func() time.Time
}

// NewSealer returns a Sealer.
func NewSealer(d SealerDeps) *Sealer {
	return &Sealer{key: d.Key, log: d.Log, write: d.Write, send: d.Send, slog: d.Logger, now: d.Now, nudge: make(chan struct{}, 1)}
}

// Wrote tells of a row that was committed. It never blocks.
func (s *Sealer) Wrote(seq int64) {
	for {
		newest := s.wrote.Load()
		if seq <= newest {
			return
		}
		if s.wrote.CompareAndSwap(newest, seq) {
			break
		}
	}
	if seq-s.sealed.Load() >= SealEveryRows {
		select {
		case s.nudge <- struct{}{}:
		default:
		}
	}
}

// Run signs heads until ctx ends, and the last one then; its error is that one's.
func (s *Sealer) Run(ctx context.Context) error {
	tick := time.NewTicker(SealEvery)
	defer tick.Stop()
	for {
		if _, err := s.Seal(ctx); err != nil && ctx.Err() == nil {
			s.slog.Error("the audit log could not be sealed; it is tried again", "error", err)
		}
		select {
		case <-tick.C:
		case <-s.nudge:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
			defer cancel()
			_, err := s.Seal(ctx)
			return err
		}
	}
}

// Seal signs a head of the newest row, unless it has one, and returns the row's
// number; 0 when there is none.
func (s *Sealer) Seal(ctx context.Context) (int64, error) {
	var head Head
	var newestRow int64
	err := s.write(ctx, func(w Log) error {
		head, newestRow = Head{}, 0
		newest, _, err := w.AuditRows(Query{Limit: 1})
		if err != nil || len(newest) == 0 {
			return err
		}
		last, key := newest[0], KeyID(s.PublicKey())
		s.sealed.Store(last.Seq)
		newestRow = last.Seq
		there := false
		if err := w.AuditHeads(last.Seq, func(h Head) error {
			there = there || h.Seq == last.Seq && h.Key == key
			return nil
		}); err != nil || there {
			return err
		}
		head = Sign(s.key, s.log, last, s.now())
		return w.AppendHead(head)
	})
	if err != nil {
		s.sealed.Store(0)
		return 0, fmt.Errorf("seal the audit log: %w", err)
	}
	if head.Seq == 0 || s.send == nil {
		return newestRow, nil
	}
	if err := s.send(ctx, head); err != nil {
		s.slog.Error("the head of the audit log could not be sent to where it is kept", "row", head.Seq, "error", err)
	}
	return newestRow, nil
}

// Log is the id of the log.
func (s *Sealer) Log() string { return s.log }

// PublicKey is what heads are verified with.
func (s *Sealer) PublicKey() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }
