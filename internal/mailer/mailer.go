// Package mailer sends e-mails by the operator's mail server, over SMTP. Its main type
// is Mailer. It does not know what they are about.
package mailer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"sluice/internal/fault"
)

// How connections are protected.
const (
	StartTLS = "starttls" // RFC 3207, and never without
	Implicit = "implicit" // TLS from the first byte (RFC 8314)
	None     = "none"
)

// Config says where the mail server is.
type Config struct {
	// Server is host:port.
	Server string
	// From is the address that e-mails are from.
	From string
	// Username and Password are the login there; empty for none.
	Username, Password string
	// TLS is StartTLS, Implicit or None.
	TLS string
	// RootCAs are the authorities to trust; nil means the system's.
	RootCAs *x509.CertPool
}

// Mailer sends e-mails. It is safe for concurrent use and keeps no connection.
type Mailer struct {
	config Config
	host   string
	port   int
	domain string
}

const timeout = 7 * time.Second // of a connection with its login; the context bounds all of it

// New returns a Mailer. It connects to nothing.
func New(c Config) (*Mailer, error) {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, fmt.Errorf("the mail server %q is not host:port", c.Server)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("the mail server %q is not host:port", c.Server)
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address to send from: %w", c.From, err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	return &Mailer{config: c, host: host, port: n, domain: domain}, nil
}

// Send sends a plain text to one address. The same id gives the same Message-ID, so that
// readers can tell what they have had. The error is a fault: NotFound when the server
// says that there is no such mailbox, so that trying again is of no use.
func (m *Mailer) Send(ctx context.Context, id, to, subject, text string) error {
	msg, err := m.message(id, to, subject, text)
	if err != nil {
		return fault.Wrap(fault.NotFound, err, "it is no address that e-mails go to")
	}
	options := []gomail.Option{gomail.WithPort(m.port), gomail.WithTimeout(timeout), gomail.WithHELO(m.domain), gomail.WithTLSConfig(&tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12, RootCAs: m.config.RootCAs})}
	switch m.config.TLS {
	case Implicit:
		options = append(options, gomail.WithSSL())
	case None:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if m.config.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(m.config.Username), gomail.WithPassword(m.config.Password))
	}
	client, err := gomail.NewClient(m.host, options...)
	if err != nil {
		return fmt.Errorf("speak to the mail server: %w", err)
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the mail server cannot be used now")
	}
	cut := context.AfterFunc(ctx, func() { conn.Close() })
	defer cut()
	err = client.SendWithSMTPClient(conn, msg)
	if err != nil {
		conn.Close()
		return refused(err)
	}
	_ = conn.Quit() // it has the message
	return nil
}

// refused gives an error of sending its kind.
func refused(err error) error {
	code := 0
	var of *gomail.SendError
	var reply *textproto.Error
	if errors.As(err, &of) {
		code = of.ErrorCode()
	}
	if code == 0 && errors.As(err, &reply) {
		code = reply.Code
	}
	switch code {
	case 550, 551, 553: // of the mailbox (RFC 5321 §4.2.3)
		return fault.Wrap(fault.NotFound, err, "the mail server refuses the address (%d)", code)
	case 0:
		return fault.Wrap(fault.Unavailable, err, "the mail server did not take it")
	}
	return fault.Wrap(fault.Unavailable, err, "the mail server did not take it (%d)", code)
}

// message makes an e-mail. What people wrote has no say in its header.
func (m *Mailer) message(id, to, subject, text string) (*gomail.Msg, error) {
	address, err := mail.ParseAddress(to)
	if err != nil || address.Address != to {
		return nil, fmt.Errorf("%q is not an e-mail address", to)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.config.From), msg.To(address.Address)); err != nil {
		return nil, err
	}
	msg.SetMessageIDWithValue(oneLine(id) + "@" + m.domain)
	msg.SetDate()
	msg.Subject(oneLine(subject))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	msg.SetBodyString(gomail.TypeTextPlain, text)
	return msg, nil
}

// oneLine leaves out whatever could end a line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == '\u2028' || r == '\u2029' }), " ")
}
