package broker

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxFrameBytes is the largest request taken: Kafka's default for socket.request.max.bytes.
const maxFrameBytes = 100 << 20

// guardedListener hands out connections that end on a frame kfake would not survive: it allocates whatever size a
// frame claims, and dereferences nil for an API it does not know.
type guardedListener struct{ net.Listener }

func (l guardedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: conn}, nil
}

// guardedConn looks at each frame's length and API key as they pass. Only Read is changed; like kfake's own reading it
// is for one goroutine at a time.
type guardedConn struct {
	net.Conn
	head [8]byte // of the current frame: length, API key, API version
	have int     // bytes of head that were read from Conn
	sent int     // bytes of head that were handed on
	body int     // bytes of the frame after head that are still to come
}

func (c *guardedConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if c.sent == len(c.head) && c.body == 0 {
		c.have, c.sent = 0, 0
	}
	for c.have < len(c.head) {
		n, err := c.Conn.Read(c.head[c.have:])
		c.have += n
		if c.have < len(c.head) {
			if err != nil {
				return 0, err
			}
			continue
		}
		if c.body, err = checkHead(c.head); err != nil {
			return 0, err
		}
	}
	if c.sent < len(c.head) {
		n := copy(b, c.head[c.sent:])
		c.sent += n
		return n, nil
	}
	n, err := c.Conn.Read(b[:min(len(b), c.body)])
	c.body -= n
	return n, err
}

// checkHead returns how many bytes of a frame follow its head.
func checkHead(head [8]byte) (int, error) {
	size := int32(binary.BigEndian.Uint32(head[0:]))
	key, version := int16(binary.BigEndian.Uint16(head[4:])), int16(binary.BigEndian.Uint16(head[6:]))
	// The shortest header has key, version, correlation id and client id.
	if size < 10 || size > maxFrameBytes {
		return 0, fmt.Errorf("frame of %d bytes is not within 10 to %d", size, maxFrameBytes)
	}
	req := kmsg.RequestForKey(key)
	if req == nil {
		return 0, fmt.Errorf("unknown API key %d", key)
	}
	if version < 0 || version > req.MaxVersion() {
		return 0, fmt.Errorf("version %d of API key %d is not known", version, key)
	}
	return int(size) - 4, nil
}
