package harness

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Secrets are byte strings that no client may see. Safe for concurrent use.
type Secrets struct {
	mu     sync.RWMutex // guards what follows
	first  [1 << 16]bool
	byHead map[[4]byte][]secret
}

type secret struct {
	what  string
	bytes []byte
}

// NewSecrets returns an empty set.
func NewSecrets() *Secrets { return &Secrets{byHead: map[[4]byte][]secret{}} }

// Text adds a name of at least four bytes.
func (s *Secrets) Text(what, text string) { s.Bytes(what, []byte(text)) }

// Bytes adds a string of at least four bytes.
func (s *Secrets) Bytes(what string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := [4]byte(b)
	for _, have := range s.byHead[head] {
		if bytes.Equal(have.bytes, b) {
			return
		}
	}
	s.first[binary.BigEndian.Uint16(b)] = true
	s.byHead[head] = append(s.byHead[head], secret{what, bytes.Clone(b)})
}

// find returns the first secret in data, and where.
func (s *Secrets) find(data []byte) (what string, at int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := 0; i+4 <= len(data); i++ {
		if !s.first[binary.BigEndian.Uint16(data[i:])] {
			continue
		}
		for _, n := range s.byHead[[4]byte(data[i:])] {
			if bytes.HasPrefix(data[i:], n.bytes) {
				return n.what, i
			}
		}
	}
	return "", -1
}

// Forwarder stands between clients and one plaintext listener of the gateway. It counts requests by Kafka API, and
// looks at every answer: as bytes, for names of the target cluster, and decoded, for a host or port that is not its own.
type Forwarder struct {
	port     int
	target   string
	secrets  *Secrets
	listener net.Listener
	login    Login // if there is a user: log in before the client's first byte

	mu       sync.Mutex // guards what follows
	requests map[int16]int
	answers  int
	leaks    []string
	conns    map[net.Conn]bool
	closed   bool
	accepted int
}

func newForwarder(tb testing.TB, target string, secrets *Secrets) *Forwarder {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return &Forwarder{port: l.Addr().(*net.TCPAddr).Port, target: target, secrets: secrets, listener: l, requests: map[int16]int{}, conns: map[net.Conn]bool{}}
}

// Addr is where clients connect.
func (f *Forwarder) Addr() string { return f.listener.Addr().String() }

// Gateway is the address of the gateway's listener behind it: nothing is counted or looked at there.
func (f *Forwarder) Gateway() string { return f.target }

// Requests returns how many requests of each Kafka API have passed.
func (f *Forwarder) Requests() map[int16]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.requests)
}

// Connections returns how many connections there have been.
func (f *Forwarder) Connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted
}

// Answers returns how many answers were looked at.
func (f *Forwarder) Answers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

// Leaks returns what clients should not have seen.
func (f *Forwarder) Leaks() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.leaks...)
}

func (f *Forwarder) leak(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.leaks) < 20 {
		f.leaks = append(f.leaks, fmt.Sprintf(format, args...))
	}
}

func (f *Forwarder) serve() {
	go func() {
		for {
			client, err := f.listener.Accept()
			if err != nil {
				return
			}
			go f.forward(client)
		}
	}()
}

func (f *Forwarder) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = true
	return !f.closed
}

func (f *Forwarder) close() {
	f.listener.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for c := range f.conns {
		c.Close()
	}
}

// asked is a request that waits for its answer.
type asked struct{ key, version int16 }

func (f *Forwarder) forward(client net.Conn) {
	defer client.Close()
	gateway, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	defer gateway.Close()
	if !f.keep(client) || !f.keep(gateway) {
		return
	}
	f.mu.Lock()
	f.accepted++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.conns, client)
		delete(f.conns, gateway)
		f.mu.Unlock()
	}()
	if f.login.User != "" {
		if err := logIn(gateway, f.login); err != nil {
			return
		}
	}
	var mu sync.Mutex
	waiting := map[int32]asked{}
	done := make(chan struct{}, 2)
	go func() {
		f.requestsOf(client, gateway, func(id int32, a asked) {
			mu.Lock()
			waiting[id] = a
			mu.Unlock()
		})
		gateway.(*net.TCPConn).CloseWrite()
		done <- struct{}{}
	}()
	go func() {
		f.answersTo(gateway, client, func(id int32) (asked, bool) {
			mu.Lock()
			defer mu.Unlock()
			a, ok := waiting[id]
			delete(waiting, id)
			return a, ok
		})
		client.Close()
		gateway.Close()
		done <- struct{}{}
	}()
	<-done
	<-done
}

func (f *Forwarder) requestsOf(from io.Reader, to io.Writer, note func(int32, asked)) {
	var head [12]byte // length, key, version, correlation id
	for {
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		size := int64(binary.BigEndian.Uint32(head[:]))
		a := asked{int16(binary.BigEndian.Uint16(head[4:])), int16(binary.BigEndian.Uint16(head[6:]))}
		note(int32(binary.BigEndian.Uint32(head[8:])), a)
		f.mu.Lock()
		f.requests[a.key]++
		f.mu.Unlock()
		if _, err := to.Write(head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, size-8); err != nil {
			return
		}
	}
}

const maxAnswer = 256 << 20

func (f *Forwarder) answersTo(from io.Reader, to io.Writer, of func(int32) (asked, bool)) {
	frame := make([]byte, 4, 4096)
	for {
		if _, err := io.ReadFull(from, frame[:4]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(frame))
		if size < 4 || size > maxAnswer {
			f.leak("an answer of %d bytes", size)
			return
		}
		if cap(frame) < 4+size {
			frame = append(make([]byte, 0, 4+size), frame[:4]...)
		}
		frame = frame[:4+size]
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		a, ok := of(int32(binary.BigEndian.Uint32(frame[4:])))
		if !ok {
			f.leak("an answer nobody asked for")
		} else {
			f.look(a, frame[8:])
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// look checks one answer without its correlation id.
func (f *Forwarder) look(a asked, body []byte) {
	f.mu.Lock()
	f.answers++
	f.mu.Unlock()
	if what, at := f.secrets.find(body); at >= 0 {
		f.leak("%s in the answer to %s v%d: %q", what, kmsg.NameForKey(a.key), a.version, body[max(0, at-16):min(len(body), at+64)])
	}
	switch a.key {
	case 1, 17, 18, 36: // no host, and fetched records need no second decoding
		if a.key != 1 || a.version < 16 {
			return
		}
	}
	resp := kmsg.ResponseForKey(a.key)
	if resp == nil {
		f.leak("an answer to the unknown Kafka API %d", a.key)
		return
	}
	resp.SetVersion(a.version)
	if resp.IsFlexible() { // a header with tags
		if len(body) == 0 || body[0] != 0 {
			f.leak("tags in the header of the answer to %s v%d", kmsg.NameForKey(a.key), a.version)
			return
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		f.leak("the answer to %s v%d does not decode: %v", kmsg.NameForKey(a.key), a.version, err)
		return
	}
	f.hosts(a, reflect.ValueOf(resp))
}

// hosts walks an answer for fields that are a host or a port.
func (f *Forwarder) hosts(a asked, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			f.hosts(a, v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				f.hosts(a, v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			switch {
			case !field.IsExported():
			case field.Name == "Host" && field.Type.Kind() == reflect.String:
				if host := v.Field(i).String(); host != "" && host != "127.0.0.1" {
					f.leak("host %q in the answer to %s v%d", host, kmsg.NameForKey(a.key), a.version)
				}
			case field.Name == "Port" && field.Type.Kind() == reflect.Int32:
				if port := v.Field(i).Int(); port > 0 && port != int64(f.port) {
					f.leak("port %s in the answer to %s v%d", strconv.FormatInt(port, 10), kmsg.NameForKey(a.key), a.version)
				}
			default:
				f.hosts(a, v.Field(i))
			}
		}
	}
}

// logIn speaks SASL PLAIN for a client that cannot.
func logIn(c net.Conn, l Login) error {
	c.SetDeadline(time.Now().Add(time.Minute))
	defer c.SetDeadline(time.Time{})
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	authenticate.Version, authenticate.SASLAuthBytes = 0, []byte("\x00"+l.User+"\x00"+l.Password)
	for i, req := range []kmsg.Request{handshake, authenticate} {
		if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("login")).AppendRequest(nil, req, int32(i))); err != nil {
			return err
		}
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, body); err != nil {
			return err
		}
		if code := int16(binary.BigEndian.Uint16(body[4:])); code != 0 {
			return fmt.Errorf("login of %s: error %d", l.User, code)
		}
	}
	return nil
}
