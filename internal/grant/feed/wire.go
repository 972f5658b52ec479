package feed

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"sluice/internal/grant"
)

// The protocols of the stream, as TLS negotiates them (RFC 7301).
const (
	feedProtocol = "sluice-feed/1"
	joinProtocol = "sluice-join/1"
)

// kind says what a message is. Each is a byte, a length of four bytes (big endian) and
// so many bytes: JSON, but for a state. Fields that a reader does not know are skipped.
type kind byte

const (
	// down, to the gateway
	sendState       kind = 1 // a frame
	sendBeat        kind = 2 // beat
	sendCertificate kind = 3 // certificate
	sendRefusal     kind = 4 // refusal; the connection ends
	sendIdentity    kind = 5 // identity, to whoever joins
	// up, to the control plane
	tellHello  kind = 16 // hello, the first message
	tellReport kind = 17 // Report
	askWhole   kind = 18 // nothing: a whole state is wanted
	askJoin    kind = 19 // join, the first and only message
)

// maxTalkBytes is what a message may have that is no state.
const maxTalkBytes = 1 << 20

// Times of the stream.
const (
	beatEvery     = time.Second
	silence       = 5 * time.Second // after which the other end is taken for gone
	handshakeTime = 5 * time.Second
	dialTime      = 2 * time.Second
	writeTime     = 30 * time.Second
)

// hello says what a gateway has, so that it gets what it lacks.
type hello struct {
	Number grant.Number `json:"number"`
	Sum    sum          `json:"sum"`
}

// beat says what is in force at the control plane.
type beat struct {
	Number grant.Number `json:"number"`
	// Sum is that of the state with this number. An older control plane leaves it out.
	Sum *sum `json:"sum,omitempty"`
	// Rejections is the number of the gateway's last one that came here, 0 for none. A
	// control plane that takes none leaves it out.
	Rejections *uint64 `json:"rejections,omitempty"`
}

type certificate struct {
	Certificate []byte `json:"certificate"`
}

type refusal struct {
	Reason string `json:"reason"`
}

type join struct {
	Secret string `json:"secret"`
	// Proof is a certificate request (PKCS #10): the gateway's public key, and
	// that it has the private one.
	Proof []byte `json:"proof"`
}

// identity is what somebody who joined gets.
type identity struct {
	Name        string `json:"name"`
	Environment string `json:"environment"`
	Certificate []byte `json:"certificate"`
	Signing     []byte `json:"signing"`
}

// Report is what a gateway tells of itself, every few seconds. Fields may be added: who
// does not know them skips them.
type Report struct {
	// Number is that of the state in force.
	Number grant.Number `json:"number"`
	// Refused is why the state that came last is not in force; "" when it is.
	Refused string `json:"refused,omitempty"`
	// Withheld counts the topics that are withheld since the control plane was away for
	// longer than they permit.
	Withheld int `json:"withheld,omitempty"`
	// Clusters are the target clusters, by name.
	Clusters []ClusterReport `json:"clusters,omitempty"`
	// Release is the program's.
	Release     string    `json:"release,omitempty"`
	Started     time.Time `json:"started,omitzero"`
	Connections int       `json:"connections"`
	// Logins are of secrets that were used since the report before, at most MaxLogins.
	Logins []Login `json:"logins,omitempty"`
	// Rejections are what the gateway refused since the report before, the oldest first,
	// at most MaxRejections.
	Rejections []Rejection `json:"rejections,omitempty"`
	// Dropped counts those since the gateway's start that it had no room for until they
	// could be told.
	Dropped uint64 `json:"dropped,omitempty"`
}

// MaxLogins is how many logins a report may have.
const MaxLogins = 1000

// Login is the last one with a secret of a credential. Its fields are those of
// usage.Login; the gateway is who reports.
type Login struct {
	Credential string    `json:"credential"`
	Secret     int       `json:"secret,omitempty"`
	Time       time.Time `json:"time"`
	Address    string    `json:"address,omitempty"`
	Software   string    `json:"software,omitempty"`
}

// What a report may have of rejections.
const (
	MaxRejections     = 500
	maxRejectionBytes = 256 << 10 // encoded
)

// Rejection is something that the gateway refused. Its fields are those of usage.Refusal;
// the gateway is who reports.
type Rejection struct {
	// Number is greater than that of the one before.
	Number      uint64    `json:"number"`
	ID          string    `json:"id"`
	Time        time.Time `json:"time"`
	Application string    `json:"application,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Credential  string    `json:"credential,omitempty"`
	Address     string    `json:"address,omitempty"`
	API         string    `json:"api,omitempty"`
	Operation   string    `json:"operation,omitempty"`
	What        string    `json:"what,omitempty"`
	Name        string    `json:"name,omitempty"`
	Verdict     string    `json:"verdict,omitempty"`
	Rule        string    `json:"rule,omitempty"`
}

// fitting returns as many of the first rejections as one report may have.
func fitting(all []Rejection) []Rejection {
	all = all[:min(len(all), MaxRejections)]
	size := 0
	for i, r := range all {
		text, err := json.Marshal(r)
		if size += len(text) + 1; err != nil || size > maxRejectionBytes {
			return all[:i]
		}
	}
	return all
}

// ClusterReport is how a gateway reaches a target cluster.
type ClusterReport struct {
	Name string `json:"name"`
	// Error is why it cannot be used, "" when it can.
	Error string `json:"error,omitempty"`
}

// message is one of a stream.
type message struct {
	kind kind
	body []byte
}

// as reads a message's body.
func (m message) as(to any) error {
	if err := json.Unmarshal(m.body, to); err != nil {
		return fmt.Errorf("a message of kind %d: %w", m.kind, err)
	}
	return nil
}

// readMessage reads one message, within a time for it as a whole or, for a long one, for
// each part of it. Lengths are believed as the bytes come.
func readMessage(conn net.Conn, states bool, patience time.Duration) (message, error) {
	conn.SetReadDeadline(time.Now().Add(patience))
	var top [5]byte
	if _, err := io.ReadFull(conn, top[:]); err != nil {
		return message{}, err
	}
	m, n, most := message{kind: kind(top[0])}, int64(binary.BigEndian.Uint32(top[1:])), int64(maxTalkBytes)
	if states && m.kind == sendState {
		most = maxFrameBytes
	}
	if n > most {
		return m, fmt.Errorf("a message of kind %d has %d bytes, it may have %d", m.kind, n, most)
	}
	var body bytes.Buffer
	for int64(body.Len()) < n {
		conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.CopyN(&body, conn, min(n-int64(body.Len()), maxTalkBytes)); err != nil {
			return m, err
		}
	}
	m.body = body.Bytes()
	return m, nil
}

// writeMessage writes one message. It is for one goroutine at a time.
func writeMessage(conn net.Conn, k kind, body []byte) error {
	top := binary.BigEndian.AppendUint32([]byte{byte(k)}, uint32(len(body)))
	conn.SetWriteDeadline(time.Now().Add(writeTime))
	if len(body) <= maxTalkBytes {
		_, err := conn.Write(append(top, body...))
		return err
	}
	if _, err := conn.Write(top); err != nil {
		return err
	}
	for len(body) > 0 {
		conn.SetWriteDeadline(time.Now().Add(writeTime))
		n, err := conn.Write(body[:min(len(body), maxTalkBytes)])
		if err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

func say(conn net.Conn, k kind, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return writeMessage(conn, k, text)
}
