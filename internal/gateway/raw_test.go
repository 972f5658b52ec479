package gateway

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/kafka/wire"
)

// exchange sends one request over a bare connection and reads its answer.
func exchange(conn net.Conn, req kmsg.Request) (kmsg.Response, error) {
	if err := send(conn, 7, req); err != nil {
		return nil, err
	}
	return receive(conn, 7, req)
}

func send(conn net.Conn, correlationID int32, req kmsg.Request) error {
	b := wire.AppendRequestHeader(make([]byte, 4), wire.RequestHeader{
		APIKey: req.Key(), APIVersion: req.GetVersion(), CorrelationID: correlationID, ClientID: "raw", HasClientID: true,
	})
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := conn.Write(b)
	return err
}

func receive(conn net.Conn, correlationID int32, req kmsg.Request) (kmsg.Response, error) {
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, frame); err != nil {
		return nil, err
	}
	got, body, err := wire.ParseResponseHeader(req.Key(), req.GetVersion(), frame)
	if err != nil {
		return nil, err
	}
	if got != correlationID {
		return nil, fmt.Errorf("answer to request %d, want %d", got, correlationID)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, resp.ReadFrom(body)
}
