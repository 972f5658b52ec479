// Package script asks a Kafka cluster, or a gateway before one, everything that the gateway's table of Kafka APIs lets
// an application ask, in every version, and writes down the answers so that two recordings can be compared: values that
// must differ between two clusters (ids, hosts, times) become symbols, all others stay. Its main type is Session, one
// script in one version as one application. It belongs to the tests and must not be imported by the product.
package script

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ClientID is what every connection calls itself.
const ClientID = "script"

// answerTimeout bounds the wait for one answer.
const answerTimeout = time.Minute

// ErrClosed says that the other side closed the connection instead of answering.
var ErrClosed = errors.New("the connection was closed")

// Conn speaks Kafka's protocol request by request, in exactly the version that a request says. Not for concurrent use.
type Conn struct {
	conn    net.Conn
	address string
	lost    bool // an answer did not come in time: the next request goes over a new connection
	last    int32
	// Raw is the body of the last answer, without its header.
	Raw []byte
}

// Dial connects, and logs in with SASL PLAIN unless user is empty.
func Dial(address, user, password string) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, address: address}
	if user == "" {
		return c, nil
	}
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	authenticate.Version, authenticate.SASLAuthBytes = 1, []byte("\x00"+user+"\x00"+password)
	for _, req := range []kmsg.Request{handshake, authenticate} {
		resp, err := c.Do(req)
		if err == nil {
			err = codeOf(resp)
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("log in as %s at %s: %w", user, address, err)
		}
	}
	return c, nil
}

func codeOf(resp kmsg.Response) error {
	code := int16(0)
	switch r := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		code = r.ErrorCode
	case *kmsg.SASLAuthenticateResponse:
		code = r.ErrorCode
	}
	if code != 0 {
		return fmt.Errorf("error code %d", code)
	}
	return nil
}

// Close closes the connection.
func (c *Conn) Close() { c.conn.Close() }

// Send writes a request that gets no answer.
func (c *Conn) Send(req kmsg.Request) error {
	c.last++
	c.conn.SetDeadline(time.Now().Add(answerTimeout))
	_, err := c.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(ClientID)).AppendRequest(nil, req, c.last))
	return err
}

// Do sends a request and returns the answer, which was decoded without a byte left over. It returns ErrClosed when the
// connection ends instead.
func (c *Conn) Do(req kmsg.Request) (kmsg.Response, error) {
	if c.lost {
		again, err := Dial(c.address, "", "")
		if err != nil {
			return nil, err
		}
		c.conn.Close()
		c.conn, c.lost = again.conn, false
	}
	resp, err := c.do(req)
	c.lost = err != nil && !errors.Is(err, ErrClosed)
	return resp, err
}

func (c *Conn) do(req kmsg.Request) (kmsg.Response, error) {
	if err := c.Send(req); err != nil {
		return nil, closed(err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return nil, closed(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return nil, closed(err)
	}
	if len(body) < 4 || int32(binary.BigEndian.Uint32(body)) != c.last {
		return nil, fmt.Errorf("%s v%d: the answer is not to request %d: % x", kmsg.NameForKey(req.Key()), req.GetVersion(), c.last, body[:min(len(body), 8)])
	}
	body = body[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != 18 { // ApiVersions' header has no tags in any version
		if len(body) == 0 || body[0] != 0 {
			return nil, fmt.Errorf("%s v%d: tags in the header of the answer", kmsg.NameForKey(req.Key()), req.GetVersion())
		}
		body = body[1:]
	}
	c.Raw = body
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s v%d: the answer does not decode: %w", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp, nil
}

func closed(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no answer in %v", answerTimeout)
	}
	return ErrClosed
}
