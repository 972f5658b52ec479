// Package mailertest is a mail server for tests, on loopback. Its main type is Server. It
// never ships, and knows as much of SMTP (RFC 5321) as a client needs that sends.
package mailertest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mail is what a client has sent.
type Mail struct {
	From, To string
	// Text is header and body, lines ending in \n.
	Text string
	// TLS says that it came so, and User who logged in.
	TLS  bool
	User string
}

// Options say how the server behaves.
type Options struct {
	// Implicit wants TLS from the first byte; without, there is STARTTLS, unless Plain.
	Implicit, Plain bool
	// User and Password are the login that is wanted; none when empty.
	User, Password string
}

// Server takes e-mails. It ends with the test.
type Server struct {
	// Address is host:port, CA the certificate that it proves itself with, PEM.
	Address string
	CA      []byte

	options Options
	tls     *tls.Config
	mails   chan Mail

	mu    sync.Mutex
	reply map[string]string // guarded by mu: to RCPT, by address
	down  bool              // guarded by mu
}

// New starts a server.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{options: o, mails: make(chan Mail, 1000), reply: map[string]string{}, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = listener.Addr().String()
	var group sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			group.Go(func() {
				defer func() {
					conn.Close()
					mu.Lock()
					delete(open, conn)
					mu.Unlock()
				}()
				_ = s.serve(conn) // a client that goes away is its own affair
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		group.Wait()
	})
	return s
}

// Mails are those that were taken.
func (s *Server) Mails() <-chan Mail { return s.mails }

// Refuse makes the server answer RCPT of an address with a line, "" for as before.
func (s *Server) Refuse(address, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply[address] = line
}

// Down makes the server turn clients away, or take them again.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *Server) serve(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	secure := s.options.Implicit
	if secure {
		conn = tls.Server(conn, s.tls)
	}
	lines := bufio.NewReader(conn)
	say := func(line string) error { _, err := fmt.Fprint(conn, line+"\r\n"); return err }
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return say("421 come back later")
	}
	if err := say("220 mail.test"); err != nil {
		return err
	}
	var m Mail
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		word, rest, _ := strings.Cut(line, " ")
		answer := "250 fine"
		switch strings.ToUpper(word) {
		case "EHLO", "HELO":
			answer = "250-mail.test\r\n250-8BITMIME"
			if !secure && !s.options.Plain {
				answer += "\r\n250-STARTTLS"
			}
			if s.options.User != "" && (secure || s.options.Plain) {
				answer += "\r\n250-AUTH PLAIN"
			}
			answer += "\r\n250 ENHANCEDSTATUSCODES"
		case "STARTTLS":
			if err := say("220 go on"); err != nil {
				return err
			}
			conn, secure = tls.Server(conn, s.tls), true
			lines = bufio.NewReader(conn)
			continue
		case "AUTH":
			_, given, _ := strings.Cut(rest, " ")
			raw, _ := base64.StdEncoding.DecodeString(given)
			if string(raw) != "\x00"+s.options.User+"\x00"+s.options.Password {
				answer = "535 5.7.8 no"
				break
			}
			m.User, answer = s.options.User, "235 welcome"
		case "MAIL":
			if s.options.User != "" && m.User == "" {
				answer = "530 5.7.0 log in first"
			}
			m.From = between(rest)
		case "RCPT":
			m.To = between(rest)
			s.mu.Lock()
			if refusal := s.reply[m.To]; refusal != "" {
				answer = refusal
			}
			s.mu.Unlock()
		case "DATA":
			if err := say("354 go on"); err != nil {
				return err
			}
			var text strings.Builder
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return err
				}
				line = strings.TrimRight(line, "\r\n")
				if line == "." {
					break
				}
				text.WriteString(strings.TrimPrefix(line, ".") + "\n")
			}
			m.Text, m.TLS = text.String(), secure
			s.mails <- m
		case "QUIT":
			return say("221 bye")
		}
		if err := say(answer); err != nil {
			return err
		}
	}
}

func between(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
