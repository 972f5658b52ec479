package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/internal/config"
	"sluice/internal/gateway/upstream"
	"sluice/internal/resource"
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
// reports each thing as it is found: configuration, data directory, addresses,
// certificates, resource documents, and for each target cluster reachability,
// TLS, login, topics and rights. It changes nothing and needs no gateway that
// runs.
func Diagnose(ctx context.Context, opts Options, report func(Finding)) {
	opts = opts.withDefaults()
	opts.Log = slog.New(slog.DiscardHandler)
	d := doctor{opts: opts, report: report}
	running := d.running(ctx)
	d.configuration(running)
	d.addresses(running)
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
		d.area = "target cluster " + spec.Name
		slices.Sort(topics[spec.Name])
		for _, f := range upstream.Diagnose(ctx, upstreamConfig(spec, newLogin(spec, deps), deps), topics[spec.Name]...) {
			d.found(f.OK, f.Fix, "%s: %s", f.Step, f.Message)
		}
	}
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

func (d *doctor) configuration(running bool) {
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
	} else if !running {
		s, err := openState(c.DataDir, d.opts.setting("dataDir", "--data-dir"))
		if err != nil {
			d.found(false, "", "%v", err)
			return
		}
		if err := s.recall(); err != nil {
			d.found(false, "", "%v", err)
		}
		for _, damage := range s.damaged {
			d.found(false, "restore it from a backup; a start sets it aside and goes on, what is lost is: "+damage.loss, "%s in data directory %s is damaged: %v", damage.file, c.DataDir, damage.err)
		}
		d.found(true, "", "data directory %s can be used", c.DataDir)
		s.close()
	}
}

// addresses looks at whether they are free and at what clients would see.
func (d *doctor) addresses(running bool) {
	for i, l := range d.opts.Config.Listeners {
		d.area = "listener " + l.Name
		if !running {
			d.address(l.Address, fmt.Sprintf("listeners[%d].address, or --listen", i))
		}
		d.certificate(i, l)
	}
	if d.area = "operations"; running {
		return
	}
	d.address(d.opts.Config.Operations.Address, "operations.address, or --operations")
	if d.opts.Control {
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

func (d *doctor) certificate(i int, l config.Listener) {
	if l.TLS == nil {
		return
	}
	c, err := newCertificate(l.Name, fmt.Sprintf("listeners[%d].tls", i), *l.TLS, d.opts.Now, d.opts.Log)
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
	if l.SNI == nil {
		return
	}
	leaf := c.current.Load().Certificates[0].Leaf
	for _, host := range []string{"bootstrap." + l.SNI.Domain, "b1." + l.SNI.Domain} {
		if err := leaf.VerifyHostname(host); err != nil {
			d.found(false, "use a certificate for *."+l.SNI.Domain, "the certificate does not hold for %s, which clients will ask for", host)
		}
	}
}

func (d *doctor) resources() *loaded {
	d.area = "resources"
	if len(d.opts.Resources) == 0 && d.opts.Control {
		d.found(true, "sluice get clusters shows what it has", "none are named: documents are in the control plane's store, which is not looked at here")
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
