package app

import (
	"context"
	"crypto/x509"
	"fmt"

	"sluice/internal/config"
	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/notify"
	"sluice/internal/mailer"
	"sluice/internal/outbound"
	"sluice/internal/resource"
)

// deliverers are the ways that notifications take here.
func (m *management) deliverers(c config.Management, out *outbound.Client, seed []byte) (map[notify.Channel]notify.Deliver, error) {
	hooks := &notify.Webhooks{
		Client: out, Now: m.now,
		URL: func(team string) string {
			r := m.plane.Model().Get(resource.Key{Kind: resource.KindTeam, Name: team})
			if r == nil || r.Document.(*resource.Team).Spec.Notify.Webhook == nil {
				return ""
			}
			return r.Document.(*resource.Team).Spec.Notify.Webhook.URL
		},
		Keys: func(ctx context.Context, team string) (keys [][]byte, err error) {
			err = m.store.Read(ctx, func(r control.Reader) error {
				keys, err = notify.Keys(r, seed, team, m.now())
				return err
			})
			return keys, err
		},
	}
	ways := map[notify.Channel]notify.Deliver{notify.Webhook: hooks.Deliver}
	if c.Mail == nil {
		return ways, nil
	}
	conf := mailer.Config{Server: c.Mail.Server, From: c.Mail.From, Username: c.Mail.Username, TLS: c.Mail.TLS}
	var err error
	if !c.Mail.Password.IsZero() {
		if conf.Password, err = config.ReadSecret(c.Mail.Password); err != nil {
			return nil, fmt.Errorf("management.mail.password: %w", err)
		}
	}
	if !c.Mail.CA.IsZero() {
		if conf.RootCAs, err = authorities("management.mail.ca", c.Mail.CA); err != nil {
			return nil, err
		}
	}
	mails, err := mailer.New(conf)
	if err != nil {
		return nil, fmt.Errorf("management.mail: %w", err)
	}
	ways[notify.Email] = notify.Emails(mails)
	return ways, nil
}

// authorities reads certificates to trust.
func authorities(setting string, ref config.SecretRef) (*x509.CertPool, error) {
	pem, err := config.ReadSecret(ref)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, fmt.Errorf("%s: %s holds no PEM certificates", setting, ref.Describe())
	}
	return pool, nil
}

// newNotifier makes what empties the outbox of a store.
func (m *management) newNotifier(store control.Store, ways map[notify.Channel]notify.Deliver, opts Options) *notify.Sender {
	return notify.NewSender(notify.Deps{
		Me: audit.KeyID(m.sealer.PublicKey()), Deliver: ways, Now: m.now, Logger: m.log, First: opts.retryNotifications,
		Read: func(ctx context.Context, f func(notify.Reader) error) error {
			return store.Read(ctx, func(r control.Reader) error { return f(r) })
		},
		Write: func(ctx context.Context, f func(notify.Store) error) error {
			return store.Write(ctx, func(w control.Writer) error { return f(w) })
		},
	})
}
