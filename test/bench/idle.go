package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// connected is the answer of the role idle.
type connected struct{ Connections int }

// runIdle opens connections, logs each of them in, has it fetch metadata once, and keeps all of them until ctx ends.
func runIdle(ctx context.Context, job Job, answer func(any) error) error {
	const atATime = 16
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]net.Conn, job.Count)
	next := make(chan int)
	var opening sync.WaitGroup
	for range atATime {
		opening.Go(func() {
			for i := range next {
				var err error
				if conns[i], err = openIdle(ctx, job); err != nil {
					cancel(fmt.Errorf("connection %d: %w", i+1, err))
					return
				}
			}
		})
	}
	for i := range conns {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	opening.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := answer(connected{len(conns)}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func openIdle(ctx context.Context, job Job) (net.Conn, error) {
	address := job.Target.Bootstrap
	if job.Target.Via != "" {
		address = job.Target.Via
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	var requests []kmsg.Request
	if job.Target.User != "" {
		handshake := kmsg.NewPtrSASLHandshakeRequest()
		handshake.Version, handshake.Mechanism = 1, "PLAIN"
		login := kmsg.NewPtrSASLAuthenticateRequest()
		login.Version, login.SASLAuthBytes = 1, []byte("\x00"+job.Target.User+"\x00"+job.Target.Password)
		requests = append(requests, handshake, login)
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 5
	metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: &job.Topic}}
	requests = append(requests, metadata)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	for i, req := range requests {
		if err := roundTrip(conn, req, int32(i)); err != nil {
			conn.Close()
			return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
		}
	}
	return conn, conn.SetDeadline(time.Time{})
}

// roundTrip sends a request of a version without tags and checks the answer's error codes.
func roundTrip(conn net.Conn, req kmsg.Request, correlation int32) error {
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, correlation)
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(body[4:]); err != nil {
		return err
	}
	code := int16(0)
	switch r := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		code = r.ErrorCode
	case *kmsg.SASLAuthenticateResponse:
		code = r.ErrorCode
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			code = t.ErrorCode
		}
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) == 0 {
			code = -1
		}
	}
	if code != 0 {
		return fmt.Errorf("the answer has error code %d", code)
	}
	return nil
}
