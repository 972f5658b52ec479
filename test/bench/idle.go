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
	conn, err := job.Target.dial(ctx, job.Target.Bootstrap)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if job.Target.User != "" {
		err = job.Target.logIn(ctx, conn, mechanismPlain)
	}
	if err == nil {
		metadata := kmsg.NewPtrMetadataRequest()
		metadata.Version = 5
		metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: &job.Topic}}
		_, err = roundTrip(conn, metadata)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// roundTrip sends a request of a version without tags and checks the answer's error codes.
func roundTrip(conn net.Conn, req kmsg.Request) (kmsg.Response, error) {
	resp, err := exchange(conn, req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}

func exchange(conn net.Conn, req kmsg.Request) (kmsg.Response, error) {
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, int32(req.Key()))
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(body[4:]); err != nil {
		return nil, err
	}
	code := int16(0)
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		code = r.ErrorCode
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
		return nil, fmt.Errorf("the answer has error code %d", code)
	}
	return resp, nil
}
