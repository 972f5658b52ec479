package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sluice/internal/config"
	"sluice/internal/control/publish"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant/feed"
	"sluice/internal/resource"
	"sluice/internal/store/sqlstore"
)

// Finding is one thing that Diagnose looked at. One that is OK and has a Fix is
// advice.
type Finding struct {
	// Area is what it belongs to, as "target cluster main".
	Area         string
	OK           bool
	Message, Fix string
}

// Diagnose looks at a set-up from outside, as far as it can be seen, and
// reports each thing as it is found: configuration, data directory, the control
// plane's store, addresses, certificates, resource documents, and for each target
// cluster reachability, TLS, login, topics and rights. It changes nothing and needs no
// gateway that runs. What documents in a store say is asked of the control plane, and
// looked at by DiagnoseCluster.
func Diagnose(ctx context.Context, opts Options, report func(Finding)) {
	opts = opts.withDefaults()
	opts.Log = slog.New(slog.DiscardHandler)
	d := doctor{opts: opts, report: report}
	running := d.running(ctx)
	running = d.configuration() || running
	d.store(ctx)
	d.addresses(running)
	d.joined()
	result := d.resources()
	if result == nil {
		return
	}
	client, err := newOutbound(opts.Config.Outbound)
	if err != nil {
		return // told with the configuration
	}
	defer client.Close()
	topics := new(backings).of(result.Snapshot)
	deps := clusterDeps{log: opts.Log, version: opts.Version, outbound: client, now: opts.Now}
	for _, spec := range result.Clusters {
		d.cluster(ctx, spec, deps, topics[spec.Name])
	}
}

// DiagnoseCluster looks at the target cluster of a document, and at backing topics there,
// from here and with the secrets that are here.
func DiagnoseCluster(ctx context.Context, opts Options, document *resource.Cluster, topics []string, report func(Finding)) {
	opts = opts.withDefaults()
	opts.Log = slog.New(slog.DiscardHandler)
	d := doctor{opts: opts, report: report, area: areaOf(document.Name())}
	compiled, problems := publish.Clusters([]*resource.Cluster{document}, document.Metadata.Environment, config.ReadSecret)
	for _, p := range problems {
		d.found(true, "run sluice doctor where a gateway of the environment runs", "it cannot be looked at from here: %s: %s", p.Path, p.Message)
	}
	if len(problems) > 0 {
		return
	}
	client, err := newOutbound(opts.Config.Outbound)
	if err != nil {
		d.found(false, "", "%v", err)
		return
	}
	defer client.Close()
	for _, spec := range compiled {
		d.cluster(ctx, spec, clusterDeps{log: opts.Log, version: opts.Version, outbound: client, now: opts.Now}, topics)
	}
}

func areaOf(cluster string) string { return "target cluster " + cluster }

func (d *doctor) cluster(ctx context.Context, spec publish.Cluster, deps clusterDeps, topics []string) {
	d.area = areaOf(spec.Name)
	for _, f := range upstream.Diagnose(ctx, upstreamConfig(spec, newLogin(spec, deps), deps), slices.Sorted(slices.Values(topics))...) {
		d.found(f.OK, f.Fix, "%s: %s", f.Step, f.Message)
	}
}

// What should be free where the data directory is, in bytes: with less, the next days may
// fill it; with little, the next hour.
const (
	someSpace   = 1 << 30
	littleSpace = 64 << 20
)

// space looks at what is free in the file system of the data directory.
func (d *doctor) space() {
	var fs syscall.Statfs_t
	dir := d.opts.Config.DataDir
	if err := syscall.Statfs(dir, &fs); err != nil {
		d.found(false, "", "the space that is left in %s: %v", dir, err)
		return
	}
	free := fs.Bavail * uint64(fs.Bsize)
	fix := ""
	if free < someSpace {
		fix = "make room: without it, changes are refused and what is in force is not kept"
	}
	d.found(free >= littleSpace, fix, "%d MiB are free in %s", free>>20, dir)
}

// store looks at the control plane's database.
func (d *doctor) store(ctx context.Context) {
	if !d.opts.Control || len(d.opts.Resources) > 0 {
		return
	}
	d.area = "store"
	where, err := place(d.opts.Config)
	if err != nil {
		d.found(false, "", "%v", err)
		return
	}
	if _, err := os.Stat(where); !sqlstore.IsPostgres(where) && errors.Is(err, fs.ErrNotExist) {
		if err := storeThere(ctx, d.opts.Config.DataDir, where); err != nil {
			d.found(false, "", "%v", err)
		} else if _, err := feed.ReadIdentity(filepath.Join(d.opts.Config.DataDir, feedDir)); errors.Is(err, feed.ErrNotJoined) { // a gateway has none
			d.found(true, "", "%s will be made", where)
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := storeThere(ctx, d.opts.Config.DataDir, where); err != nil {
		d.found(false, "", "%v", err)
		return
	}
	switch schema, newest, err := sqlstore.Inspect(ctx, where); {
	case err != nil:
		d.found(false, "restore it from a backup, by sluice restore, if it is damaged", "%v", err)
	case schema == 0:
		d.found(true, "", "it opens and is empty; a start makes schema %d", newest)
	case schema < newest:
		d.found(true, "back it up first: a release of before does not read it then", "it opens and is whole; a start brings it from schema %d to %d", schema, newest)
	default:
		d.found(true, "", "it opens and is whole, with the newest schema (%d)", schema)
	}
}

// joined looks at the certificate of a gateway that has joined a control plane.
func (d *doctor) joined() {
	id, err := feed.ReadIdentity(filepath.Join(d.opts.Config.DataDir, feedDir))
	if errors.Is(err, feed.ErrNotJoined) {
		return
	}
	d.area = "joined gateway"
	if err != nil {
		d.found(false, "let it join again: sluice gateway invite, and sluice gateway join", "%v", err)
		return
	}
	own, err := x509.ParseCertificate(id.Certificate)
	if err != nil {
		d.found(false, "let it join again: sluice gateway invite, and sluice gateway join", "the certificate of gateway %s: %v", id.Name, err)
		return
	}
	fix := ""
	if own.NotAfter.Sub(d.opts.Now()) < expiresSoon {
		fix = "it is renewed by the control plane, four months before: see why " + id.Control + " is not reached; once it has ended, let the gateway join again"
	}
	d.found(fix == "", fix, "gateway %s of environment %s, joined to %s; its certificate is valid until %s", id.Name, id.Environment, id.Control, own.NotAfter.UTC().Format(time.DateOnly))
}

type doctor struct {
	opts   Options
	report func(Finding)
	area   string
}

func (d *doctor) found(ok bool, fix, format string, args ...any) {
	d.report(Finding{Area: d.area, OK: ok, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// running reports whether a sluice serves with these settings now, whose
// addresses and data directory are not free for that reason.
func (d *doctor) running(ctx context.Context) bool {
	d.area = "running gateway"
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ask := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.opts.Config.Operations.Address+path, nil)
		if err != nil {
			return 0, ""
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return resp.StatusCode, strings.TrimSpace(string(body))
	}
	if code, body := ask("/livez"); code != http.StatusOK || body != "alive" {
		return false
	}
	switch code, body := ask("/readyz"); code {
	case http.StatusOK:
		d.found(true, "", "one serves at these addresses and is ready")
	default:
		for _, line := range strings.Split(body, "\n") {
			d.found(false, "see below", "one serves at these addresses and is %s", line)
		}
	}
	return true
}

// configuration looks at the settings and the data directory, and says whether a process
// that runs has that.
func (d *doctor) configuration() (running bool) {
	d.area = "configuration"
	c := d.opts.Config
	good := true
	for _, p := range slices.Concat(c.Validate(), c.CheckFiles()) {
		good = good && p.Warning
		d.found(p.Warning, p.Fix, "%s: %s", p.Path, p.Message)
	}
	if good {
		d.found(true, "", "the settings fit together")
	}
	if _, err := os.Stat(c.DataDir); errors.Is(err, fs.ErrNotExist) {
		d.found(true, "", "data directory %s will be made", c.DataDir)
		return false
	}
	s := &state{dir: c.DataDir, saved: map[string]string{}}
	switch err := s.takeLock(d.opts.setting("dataDir", "--data-dir")); {
	case errors.Is(err, errInUse): // what is in the files may be looked at all the same
		running = true
		d.found(true, "", "data directory %s is that of a sluice that runs", c.DataDir)
	case err != nil:
		d.found(false, "", "%v", err)
	default:
		defer s.close()
		d.found(true, "", "data directory %s can be used", c.DataDir)
	}
	if err := s.read(); err != nil {
		d.found(false, "", "%v", err)
	}
	for _, damage := range s.damaged {
		d.found(false, "restore it from a backup; a start sets it aside and goes on, what is lost is: "+damage.loss, "%s in data directory %s is damaged: %v", damage.file, c.DataDir, damage.err)
	}
	switch at, err := feed.SentAway(filepath.Join(c.DataDir, feedDir)); {
	case err != nil:
		d.found(false, "", "%v", err)
	case !at.IsZero():
		d.found(false, "let it join again with sluice gateway join, or remove the data directory", "the control plane has sent this gateway away at %s: it serves for no longer than %v after that", at.UTC().Format(time.RFC3339), sentAwayServes)
	}
	d.space()
	return running
}

// addresses looks at whether they are free and at what clients would see.
func (d *doctor) addresses(running bool) {
	for i, l := range d.opts.Config.Listeners {
		d.area = "listener " + l.Name
		if !running {
			d.address(l.Address, fmt.Sprintf("listeners[%d].address, or --listen", i))
		}
		d.certificate(l.Name, fmt.Sprintf("listeners[%d].tls", i), l.TLS, l.SNI)
	}
	if t := d.opts.Config.Management.TLS; t != nil && d.opts.Control {
		d.area = "management API"
		d.certificate(d.area, "management.tls", &config.ListenerTLS{Certificate: t.Certificate, Key: t.Key, MinVersion: config.TLS12}, nil)
	}
	if d.area = "operations"; running {
		return
	}
	d.address(d.opts.Config.Operations.Address, "operations.address, or --operations")
	if d.opts.Control && len(d.opts.Resources) == 0 {
		d.area = "management API"
		d.address(d.opts.Config.Management.Address, "management.address, or --management")
	}
}

func (d *doctor) address(address, setting string) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		d.found(false, "stop what uses it, which may be a sluice that runs, or change "+setting, "%v", err)
		return
	}
	socket.Close()
	d.found(true, "", "%s is free", address)
}

func (d *doctor) certificate(name, path string, t *config.ListenerTLS, sni *config.SNI) {
	if t == nil {
		return
	}
	c, err := newCertificate(name, path, *t, d.opts.Now, d.opts.Log)
	if err != nil {
		d.found(false, "", "%v", err)
		return
	}
	end := *c.end.Load()
	fix := ""
	if end.Sub(d.opts.Now()) < expiresSoon {
		fix = "renew it: a changed file is used without a restart"
	}
	d.found(fix == "", fix, "the certificate is valid until %s", end.UTC().Format(time.DateOnly))
	if sni == nil {
		return
	}
	leaf := c.current.Load().Certificates[0].Leaf
	for _, host := range []string{"bootstrap." + sni.Domain, "b1." + sni.Domain} {
		if err := leaf.VerifyHostname(host); err != nil {
			d.found(false, "use a certificate for *."+sni.Domain, "the certificate does not hold for %s, which clients will ask for", host)
		}
	}
}

func (d *doctor) resources() *loaded {
	d.area = "resources"
	if len(d.opts.Resources) == 0 && d.opts.Control {
		d.found(true, "", "none are named: documents are in the control plane's store")
		return nil
	}
	if len(d.opts.Resources) == 0 {
		d.found(false, "give their files or directories with -f, or as resources in the configuration", "no resource documents are named")
		return nil
	}
	set, problems := resource.Read(d.opts.Resources...)
	var result *loaded
	if !resource.Bad(problems) {
		problems = append(problems, checkSet(d.opts, set, false, func(r *loaded) { result = r })...)
	} else {
		problems = append(problems, moreLater)
	}
	for _, p := range problems {
		fix := p.Fix
		p.Fix = ""
		d.found(p.Warning, fix, "%s", p.String())
	}
	if result != nil {
		d.found(true, "", "from %s: %s", counted(count(set), "document"), counted(result.Snapshot.Len(), "credential"))
	}
	return result
}

func count(s *resource.Set) int {
	return len(s.Environments) + len(s.Clusters) + len(s.APIs) + len(s.Versions) + len(s.Products) + len(s.Applications) + len(s.Subscriptions) + len(s.Credentials)
}
