package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	mechanismPlain = "PLAIN"
	mechanismScram = "SCRAM-SHA-256"

	loginsAtATime = 16
)

// logIn speaks SASL as clients do, the proof being computed anew each time.
func (t Target) logIn(ctx context.Context, conn net.Conn, mechanism string) error {
	var m sasl.Mechanism = plain.Auth{User: t.User, Pass: t.Password}.AsMechanism()
	if mechanism == mechanismScram {
		m = scram.Auth{User: t.User, Pass: t.Password}.AsSha256Mechanism()
	}
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, mechanism
	if _, err := roundTrip(conn, handshake); err != nil {
		return err
	}
	session, message, err := m.Authenticate(ctx, conn.RemoteAddr().String())
	for done := false; err == nil && !done; {
		login := kmsg.NewPtrSASLAuthenticateRequest()
		login.Version, login.SASLAuthBytes = 1, message
		var resp kmsg.Response
		if resp, err = roundTrip(conn, login); err == nil {
			done, message, err = session.Challenge(resp.(*kmsg.SASLAuthenticateResponse).SASLAuthBytes)
		}
	}
	return err
}

// arrive connects, asks for the versions and logs in, and returns when each of the two was answered.
func (t Target) arrive(ctx context.Context, mechanism string) (answered, in time.Time, err error) {
	conn, err := t.dial(ctx, t.Bootstrap)
	if err != nil {
		return answered, in, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := roundTrip(conn, kmsg.NewPtrApiVersionsRequest()); err != nil { // version 0
		return answered, in, err
	}
	answered = time.Now()
	err = t.logIn(ctx, conn, mechanism)
	return answered, time.Now(), err
}

// runLogins connects, logs in and goes, a few at a time, and counts the logins of a window.
func runLogins(ctx context.Context, job Job, answer func(any) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var done atomic.Int64
	first := make(chan struct{})
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel(nil)
	for range job.Count {
		workers.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := job.Target.arrive(ctx, job.Mechanism); err != nil {
					cancel(fmt.Errorf("log in with %s: %w", job.Mechanism, err)) // without effect once we stop ourselves
					return
				}
				if done.Add(1) == 1 {
					close(first)
				}
			}
		})
	}
	select {
	case <-first:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var at [2]Measured
	for i, d := range []time.Duration{job.Warmup, job.Window} {
		err := wait(ctx, d)
		if err == nil {
			at[i], err = job.reading(done.Load(), &batchCounter{})
		}
		if err != nil {
			return err
		}
	}
	m := at[1].minus(at[0])
	if m.Records == 0 {
		return errors.New("nobody has logged in within the window")
	}
	return answer(m)
}
