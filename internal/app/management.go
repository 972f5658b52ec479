package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sluice/internal/config"
	"sluice/internal/control"
	"sluice/internal/control/activity"
	"sluice/internal/control/audit"
	"sluice/internal/control/catalog"
	"sluice/internal/control/identity"
	"sluice/internal/control/notify"
	"sluice/internal/control/token"
	"sluice/internal/httpapi"
	"sluice/internal/outbound"
	"sluice/internal/store/sqlstore"
	"sluice/internal/usage"
)

// management is the control plane of this process: its store, and its API over HTTP.
type management struct {
	store       *sqlstore.Store
	known       bool // the data directory was that of the store before this start
	sealer      *audit.Sealer
	topic       *auditTopic // nil when the audit log is sent nowhere
	plane       *control.Plane
	catalog     *catalog.Catalog
	activity    *activity.Activity
	notifier    *notify.Sender
	people      *identity.People
	socket      net.Listener
	http        *http.Server
	certificate *certificate // nil for plaintext on loopback
	tokens      *token.Issuer
	logins      *usage.Logins
	refusals    *usage.Refusals
	now         func() time.Time
	log         *slog.Logger
}

// newManagement opens the store and binds the address.
// listens says where this process serves Kafka clients.
func newManagement(opts Options, s *state, out *outbound.Client, gateways httpapi.Gateways, listens func(environment string) httpapi.Access) (_ *management, err error) {
	m := &management{now: opts.Now, logins: usage.NewLogins(hostName()), refusals: usage.NewRefusals(hostName(), opts.Now()), log: opts.Log}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	where, err := place(opts.Config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err = m.open(ctx, where, opts, s.dir); err != nil {
		return nil, err
	}
	if err = s.keepSeed(); err != nil { // before the store knows it
		return nil, err
	}
	if err = sameSeed(ctx, m.store, s.dir, s.seed); err != nil {
		return nil, err
	}
	if m.sealer, err = newSealer(ctx, m.store, s.dir, m.known, opts.Now, opts.Log); err != nil {
		return nil, err
	}
	store := control.Watched(m.store, m.sealer.Wrote)
	ways, err := m.deliverers(opts.Config.Management, out, s.seed)
	if err != nil {
		return nil, err
	}
	inventory := inventory{outbound: out, version: opts.Version, now: opts.Now, log: opts.Log}
	if m.plane, err = control.New(ctx, control.Deps{Store: store, Sealer: m.sealer, Log: opts.Log, Now: opts.Now, Seed: s.seed, Refusals: refusals{m.refusals}, Deliver: ways,
		Inventory: inventory}); err != nil {
		return nil, err
	}
	m.activity = newActivity(m.plane, m.store, inventory)
	m.catalog = catalog.New(catalog.Deps{Plane: m.plane, Flow: flow(m.activity), Log: opts.Log, Now: opts.Now})
	m.notifier = m.newNotifier(store, ways, opts)
	accounts, err := accountsOf(opts.Config, s.seed)
	if err != nil {
		return nil, err
	}
	m.people, err = identity.New(accounts, identity.Deps{Store: control.People(store), Now: opts.Now, Log: opts.Log, Directory: m.plane.Directory})
	if err != nil {
		return nil, err
	}
	if m.tokens, err = newIssuer(ctx, m.store, s.seed, opts.Now); err != nil {
		return nil, err
	}
	c := opts.Config.Management
	if t := c.Audit.Topic; t != nil {
		if m.topic, err = newAuditTopic(*t, m.store, m.sealer, opts.Now, opts.Log); err != nil {
			return nil, err
		}
	}
	providers, err := providersOf(c, s.seed, out, opts)
	if err != nil {
		return nil, err
	}
	if m.socket, err = net.Listen("tcp", c.Address); err != nil {
		return nil, taken(err, opts.setting("management.address", "--management"))
	}
	if c.TLS != nil {
		if m.certificate, err = newCertificate("management API", "management.tls", config.ListenerTLS{Certificate: c.TLS.Certificate, Key: c.TLS.Key, MinVersion: config.TLS12}, opts.Now, opts.Log); err != nil {
			return nil, err
		}
	}
	api := httpapi.New(httpapi.Deps{Plane: m.plane, Tokens: m.tokens, People: m.people, Providers: providers, URL: c.URL, Gateways: gateways, Listens: listens, Catalog: m.catalog, Log: opts.Log, Release: opts.Version})
	site, err := siteOf(opts.Config.Portal, api, opts.Log)
	if err != nil {
		return nil, err
	}
	m.http = &http.Server{
		Handler: site, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
	}
	if m.certificate != nil {
		m.http.TLSConfig = m.certificate.config()
	}
	return m, nil
}

// open opens the store, unless it is not the one of the data directory.
func (m *management) open(ctx context.Context, where string, opts Options, dir string) error {
	if err := storeThere(ctx, dir, where); err != nil {
		return err
	}
	known, err := installed(dir, opts.Log)
	if err != nil {
		return err
	}
	var id control.Identity
	options := storeOptions(opts.Config, opts.Now, opts.Log)
	options.Opened = func(r control.Reader) (err error) {
		if id, err = r.Identity(); err != nil {
			return err
		}
		return known.sameStore(id, dir)
	}
	if m.store, err = sqlstore.Open(ctx, where, options); err != nil {
		return err
	}
	if err := m.store.Read(ctx, func(r control.Reader) (err error) { // what only the file of revocations knew has raised the generation
		id, err = r.Identity()
		return err
	}); err != nil {
		return err
	}
	m.known = known != nil
	if now := (installation{id.ID, id.Generation}); known == nil || *known != now {
		return keepInstallation(dir, id)
	}
	return nil
}

// certificates are those that have to be looked at for changes.
func (m *management) certificates() []*certificate {
	if m.certificate == nil {
		return nil
	}
	return []*certificate{m.certificate}
}

// address is where the API is, as people write it.
func (m *management) address() string {
	scheme := "http"
	if m.certificate != nil {
		scheme = "https"
	}
	return scheme + "://" + m.socket.Addr().String()
}

// run serves until ctx ends, and lets requests under way end.
func (m *management) run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() { m.plane.Run(ctx) })
	group.Go(func() { m.catalog.Run(ctx) })
	group.Go(func() { m.activity.Run(ctx) })
	group.Go(func() { m.sweep(ctx) })
	group.Go(func() { m.refreshTokens(ctx) })
	group.Go(func() { m.notifier.Run(ctx) })
	group.Go(func() { tellUses(ctx, m.logins, m.plane, m.now, m.log) })
	if m.topic != nil {
		group.Go(func() { m.topic.forwarder.Run(ctx) })
	}
	sealing, stopSealing := context.WithCancel(context.WithoutCancel(ctx)) // to the last request
	defer stopSealing()
	group.Go(func() {
		if err := m.sealer.Run(sealing); err != nil {
			m.log.Error("the last head of the audit log could not be signed: what was written since the one before is covered by none until the next start", "err", err)
		}
	})
	down := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(down)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if m.http.Shutdown(patience) != nil {
			m.http.Close()
		}
	})
	defer stop()
	m.welcome(ctx)
	var err error
	if m.certificate != nil {
		err = m.http.ServeTLS(m.socket, "", "")
	} else {
		err = m.http.Serve(m.socket)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the management API: %w", err)
	}
	<-down
	return nil
}

// sweepEvery is how often what has ended of logins and tokens is removed.
const sweepEvery = time.Hour

func (m *management) sweep(ctx context.Context) {
	each(ctx, sweepEvery, func() {
		if err := m.people.Sweep(ctx); err != nil && ctx.Err() == nil {
			m.log.Error("remove logins and tokens that have ended", "err", err)
		}
	})
}

// each calls f again and again until ctx ends.
func each(ctx context.Context, every time.Duration, f func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}

// welcome tells whoever started a new installation how to become its first
// platform-admin.
func (m *management) welcome(ctx context.Context) {
	token, until, err := m.people.FirstAdmin(ctx)
	switch {
	case err != nil:
		m.log.Error("the token for the first platform-admin", "err", err)
	case !until.IsZero():
		m.log.Warn("nobody administers this installation yet: become its first platform-admin with this token, which works once",
			"command", "sluice login --server "+m.address()+" --first-admin "+token.Reveal(), "until", until.Format(time.RFC3339))
	}
}

func (m *management) close() {
	if m.topic != nil {
		m.topic.close()
	}
	if m.socket != nil {
		m.socket.Close()
	}
	if m.store != nil {
		if err := m.store.Close(); err != nil {
			m.log.Error("close the store", "err", err)
		}
	}
}
