package mailer_test

import (
	"context"
	"crypto/x509"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/mailer"
	"sluice/internal/mailer/mailertest"
)

func pool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}

func TestSend(t *testing.T) {
	for name, c := range map[string]struct {
		server mailertest.Options
		config mailer.Config
		want   fault.Kind // "" when it arrives
	}{
		"STARTTLS":                           {mailertest.Options{}, mailer.Config{TLS: mailer.StartTLS}, ""},
		"STARTTLS and a login":               {mailertest.Options{User: "sluice", Password: "canary"}, mailer.Config{TLS: mailer.StartTLS, Username: "sluice", Password: "canary"}, ""},
		"TLS from the first byte":            {mailertest.Options{Implicit: true, User: "sluice", Password: "canary"}, mailer.Config{TLS: mailer.Implicit, Username: "sluice", Password: "canary"}, ""},
		"without TLS":                        {mailertest.Options{Plain: true}, mailer.Config{TLS: mailer.None}, ""},
		"a wrong password":                   {mailertest.Options{User: "sluice", Password: "canary"}, mailer.Config{TLS: mailer.StartTLS, Username: "sluice", Password: "canary2"}, fault.Unavailable},
		"no login where one is wanted":       {mailertest.Options{User: "sluice", Password: "canary"}, mailer.Config{TLS: mailer.StartTLS}, fault.Unavailable},
		"a server without STARTTLS":          {mailertest.Options{Plain: true}, mailer.Config{TLS: mailer.StartTLS}, fault.Unavailable},
		"a password that everybody may read": {mailertest.Options{Plain: true, User: "sluice", Password: "canary"}, mailer.Config{TLS: mailer.StartTLS, Username: "sluice", Password: "canary"}, fault.Unavailable},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			s := mailertest.New(t, c.server)
			c.config.Server, c.config.From, c.config.RootCAs = s.Address, "sluice@example.com", pool(t, s.CA)
			m, err := mailer.New(c.config)
			if err != nil {
				t.Fatal(err)
			}
			err = m.Send(t.Context(), "ntf_1", "dan@example.org", "Größe\r\nBcc: eve@example.org", "Überraschung\n.\nBcc: nobody\n")
			if fault.KindOf(err) != c.want || err != nil && strings.Contains(err.Error(), "canary") {
				t.Fatalf("got %v, want kind %q", err, c.want)
			}
			if err != nil {
				if len(s.Mails()) > 0 {
					t.Error("something was sent all the same")
				}
				return
			}
			got := <-s.Mails()
			msg, err := mail.ReadMessage(strings.NewReader(got.Text))
			if err != nil {
				t.Fatalf("%v\n%s", err, got.Text)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
			if err != nil || subject != "Größe Bcc: eve@example.org" || msg.Header.Get("Bcc") != "" || msg.Header.Get("Message-Id") != "<ntf_1@example.com>" || msg.Header.Get("Auto-Submitted") != "auto-generated" || msg.Header.Get("To") != "<dan@example.org>" {
				t.Errorf("%v %v", err, msg.Header)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
			if err != nil || strings.ReplaceAll(string(body), "\r\n", "\n") != "Überraschung\n.\nBcc: nobody\n" {
				t.Errorf("%v %q", err, body)
			}
			if got.From != "sluice@example.com" || got.To != "dan@example.org" || got.TLS != (c.config.TLS != mailer.None) || got.User != c.server.User {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestWhatTheServerRefuses(t *testing.T) {
	s := mailertest.New(t, mailertest.Options{})
	m, err := mailer.New(mailer.Config{Server: s.Address, From: "sluice@example.com", RootCAs: pool(t, s.CA)})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]fault.Kind{"550 5.1.1 no such mailbox": fault.NotFound, "451 4.3.0 later": fault.Unavailable, "554 5.7.1 not you": fault.Unavailable} {
		s.Refuse("dan@example.org", line)
		if err := m.Send(t.Context(), "ntf_1", "dan@example.org", "a", "b"); fault.KindOf(err) != want {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
	for _, address := range []string{"", "dan", "Dan <dan@example.org>", "dan@example.org\r\nBcc: eve@example.org", "dan@example.org, eve@example.org", "dan@example.org>\r\nRCPT TO:<eve@example.org"} {
		if err := m.Send(t.Context(), "ntf_1", address, "a", "b"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("to %q: %v", address, err)
		}
	}
	s.Down(true)
	if err := m.Send(t.Context(), "ntf_1", "dan@example.org", "a", "b"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a server that is down: %v", err)
	}
	s.Down(false)
	ctx, cancel := context.WithTimeout(t.Context(), 0*time.Second)
	defer cancel()
	if err := m.Send(ctx, "ntf_1", "dan@example.org", "a", "b"); err == nil {
		t.Error("it is sent after the end of the context")
	}
	if n := len(s.Mails()); n > 0 {
		t.Errorf("%d were taken", n)
	}
	for _, c := range []mailer.Config{{Server: "mail", From: "a@b.example"}, {Server: "mail:smtp", From: "a@b.example"}, {Server: "mail:25", From: "nobody"}} {
		if _, err := mailer.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
