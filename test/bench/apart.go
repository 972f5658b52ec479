package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// A control plane and two gateways, each a process, as sluice control and sluice gateway
// run them.
const (
	apartGateways   = 2
	apartBystanders = 50
	apartReturns    = 5
)

// What is timed of them. Each is a row of the report.
const (
	apartRevoke = "revoke of one credential, to the answer"
	apartClosed = "revoke of one credential, until its connection is closed, at each gateway"
	apartChange = "apply of one application, until it is in force at both gateways"
	apartReturn = "return of the control plane, until both gateways have a change that was made at once"
)

var apartRows = []string{apartRevoke, apartClosed, apartChange, apartReturn}

// apartReport is what a run with -apart brought.
type apartReport struct {
	facts       Facts
	revocations int
	took        map[string][]time.Duration
}

// apartRun is one under way.
type apartRun struct {
	*bench
	control  *installation
	feed     string
	gateways []*apartGateway
	took     map[string][]time.Duration
}

type apartGateway struct {
	*installation // whose management API is not there
}

// runApart measures planes that are processes of their own.
func runApart(ctx context.Context, o Options) (r *apartReport, err error) {
	b, end, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := b.makeBackings(ctx, 1); err != nil {
		return nil, err
	}
	a := &apartRun{bench: b, took: map[string][]time.Duration{}}
	defer func() {
		for _, g := range a.gateways {
			err = errors.Join(err, g.process.stop())
		}
		if a.control != nil && a.control.process != nil {
			err = errors.Join(err, a.control.process.stop())
		}
	}()
	if err := a.set(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{a.changes, a.revocations, a.returns} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &apartReport{facts: b.facts, revocations: o.Revocations, took: a.took}, nil
}

// set starts everything and fills it.
func (a *apartRun) set(ctx context.Context) error {
	a.control = &installation{size: controlSize{products: 1, applications: a.Revocations + apartBystanders}, binary: a.Gateway, dir: filepath.Join(a.dir, "control")}
	if err := os.MkdirAll(a.control.dir, 0o700); err != nil {
		return err
	}
	if err := a.begin(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	if err := a.fill(ctx); err != nil {
		return err
	}
	for n := range apartGateways {
		name := fmt.Sprint("gw-", n+1)
		g := &apartGateway{&installation{binary: a.Gateway, dir: filepath.Join(a.dir, name)}}
		if err := os.MkdirAll(g.dir, 0o700); err != nil {
			return err
		}
		j, err := a.control.client.InviteGateway(ctx, name, client.Options{})
		if err != nil {
			return err
		}
		join := exec.CommandContext(ctx, g.binary, "gateway", "join", "--control", a.feed, "--token", j.Token, "--data-dir", "data")
		join.Dir = g.dir
		if out, err := join.CombinedOutput(); err != nil {
			return fmt.Errorf("%s joins: %w: %s", name, err, out)
		}
		cmd := exec.Command(g.binary, "gateway", "--data-dir", "data", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--log-format", "json")
		cmd.Dir = g.dir
		g.serves = &servesLine{found: make(chan struct{})}
		if g.process, err = startChild("sluice gateway", cmd, g.serves); err != nil {
			return err
		}
		a.gateways = append(a.gateways, g)
		if err := awaitReady(ctx, g.process, g.serves); err != nil {
			return err
		}
	}
	return nil
}

// begin starts the control plane, with its port for gateways at an address.
func (a *apartRun) begin(ctx context.Context, feed string) error {
	in := a.control
	cmd := exec.Command(in.binary, "control", "--data-dir", "data", "--feed", feed, "--management", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--log-format", "json")
	cmd.Dir, in.log = in.dir, &beginning{}
	var err error
	if in.process, err = startChild("sluice control", cmd, in.log); err != nil {
		return err
	}
	if a.feed, err = in.logged(ctx, `the control plane serves".*"feed":"([^"]+)`); err != nil {
		return err
	}
	in.server, err = in.logged(ctx, `the management API is there","address":"([^"]+)`)
	return err
}

func (a *apartRun) fill(ctx context.Context) error {
	if err := a.control.logIn(ctx); err != nil {
		return err
	}
	apply := func(body schema.Apply) error {
		_, err := a.control.client.Apply(ctx, body, false)
		return err
	}
	basis := schema.Apply{}
	add := func(kind, metadata, spec string) {
		basis.Documents = append(basis.Documents, controlDocument(kind, metadata, spec))
	}
	add("Organisation", `"name":"acme"`, "")
	add("Team", `"name":"all"`, `"organisation":"acme","members":{"root":["publisher","approver","app-developer"]}`)
	add("Cluster", `"name":"main","environment":"prod"`, fmt.Sprintf(`"bootstrap":[%q]`, a.kafka.Bootstrap()[0]))
	add("API", `"name":"product-0","team":"all"`, `"visibility":"team"`)
	add("Version", `"name":"product-0.v1"`, `"contract":{"channels":{"events":{"address":"product-0.events","send":true}}},"channels":{"events":{"prod":{"cluster":"main","topic":"backing.product-0"}}},"lifecycle":{"state":"published"}`)
	for n := range apartGateways {
		add("Gateway", fmt.Sprintf(`"name":"gw-%d","environment":"prod"`, n+1), "")
	}
	if err := apply(schema.Apply{Documents: basis.Documents[:2]}); err != nil { // whose roles the rest takes
		return err
	}
	basis.Documents = append(basis.Documents[2:], a.control.product(0, `"plain"`))
	if err := apply(basis); err != nil {
		return err
	}
	const each = 200
	for from := 0; from < a.control.size.applications; from += each {
		body := schema.Apply{Secrets: map[string]string{}}
		for i := from; i < min(from+each, a.control.size.applications); i++ {
			app := fmt.Sprintf("app-%05d", i)
			body.Documents = append(body.Documents, a.control.application(i, false),
				controlDocument("Credential", fmt.Sprintf(`"name":%q,"environment":"prod"`, app), fmt.Sprintf(`"application":%q,"type":"plain"`, app)),
				controlDocument("Subscription", fmt.Sprintf(`"name":%q,"environment":"prod"`, app), fmt.Sprintf(`"application":%q,"product":"product-0","plan":"plan"`, app)))
			body.Secrets[app] = password
		}
		if err := apply(body); err != nil {
			return err
		}
	}
	a.logf("%d applications with a credential each", a.control.size.applications)
	return nil
}

// force makes a change and waits until both gateways have it.
func (a *apartRun) force(ctx context.Context, change func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var before []float64
	for _, g := range a.gateways {
		n, err := g.snapshots(ctx)
		if err != nil {
			return err
		}
		before = append(before, n)
	}
	if err := change(); err != nil {
		return err
	}
	for i, g := range a.gateways {
		for {
			n, err := g.snapshots(ctx)
			if err != nil {
				return err
			}
			if n > before[i] {
				break
			}
			if err := wait(ctx, 2*time.Millisecond); err != nil {
				return fmt.Errorf("a change is not in force at gateway %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// changes times changes that revoke nothing.
func (a *apartRun) changes(ctx context.Context) error {
	for i := range 100 {
		begun := time.Now()
		err := a.force(ctx, func() error {
			_, err := a.control.client.Apply(ctx, schema.Apply{Documents: []json.RawMessage{a.control.application(i%apartBystanders, i < apartBystanders)}}, false)
			return err
		})
		if err != nil {
			return err
		}
		a.took[apartChange] = append(a.took[apartChange], time.Since(begun))
	}
	return nil
}

// revocations times them, with a connection of each credential at each gateway.
func (a *apartRun) revocations(ctx context.Context) error {
	connect := func(from, to int) (out [][]net.Conn, err error) {
		for i := from; i < to; i++ {
			var conns []net.Conn
			for _, g := range a.gateways {
				t := Target{Bootstrap: g.serves.Bootstrap, User: fmt.Sprintf("app-%05d", i), Password: password}
				conn, err := t.dial(ctx, t.Bootstrap)
				if err != nil {
					return out, err
				}
				conns = append(conns, conn)
				if err := t.logIn(ctx, conn, mechanismPlain); err != nil {
					return append(out, conns), err
				}
			}
			out = append(out, conns)
		}
		return out, nil
	}
	staying, err := connect(0, apartBystanders)
	defer closeAll(staying)
	if err != nil {
		return err
	}
	leaving, err := connect(apartBystanders, a.control.size.applications)
	defer closeAll(leaving)
	if err != nil {
		return err
	}
	begun, closed := make([]time.Time, len(leaving)), make([][apartGateways]time.Duration, len(leaving))
	failed := make(chan error, len(leaving)*apartGateways)
	var ends sync.WaitGroup
	for i, conns := range leaving {
		for j, conn := range conns {
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
			ends.Go(func() {
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					failed <- fmt.Errorf("the connection of a revoked credential: %w", err)
				}
				closed[i][j] = time.Since(begun[i])
			})
		}
	}
	for i := range leaving {
		begun[i] = time.Now()
		if _, err := a.control.client.Move(ctx, "credentials", fmt.Sprintf("app-%05d", apartBystanders+i), "revoke", schema.Move{}, client.Options{}); err != nil {
			return err
		}
		a.took[apartRevoke] = append(a.took[apartRevoke], time.Since(begun[i]))
	}
	ends.Wait()
	close(failed)
	for err := range failed {
		return err
	}
	for _, both := range closed {
		a.took[apartClosed] = append(a.took[apartClosed], both[:]...)
	}
	for _, conns := range staying {
		for j, conn := range conns {
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			var slow net.Error
			if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &slow) || !slow.Timeout() {
				return fmt.Errorf("a connection at gateway %d was dropped though its credential was not revoked: %w", j+1, err)
			}
		}
	}
	return nil
}

func closeAll(all [][]net.Conn) {
	for _, conns := range all {
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// returns times how soon gateways have what the control plane brings when it comes back.
func (a *apartRun) returns(ctx context.Context) error {
	for i := range apartReturns {
		if err := a.control.process.stop(); err != nil {
			return err
		}
		if err := wait(ctx, 3*time.Second); err != nil { // until gateways try as seldom as they ever do
			return err
		}
		var begun time.Time
		err := a.force(ctx, func() error {
			if err := a.begin(ctx, a.feed); err != nil {
				return err
			}
			begun = time.Now()
			if err := a.control.connect(); err != nil {
				return err
			}
			_, err := a.control.client.Apply(ctx, schema.Apply{Documents: []json.RawMessage{a.control.application(0, i%2 == 0)}}, false)
			return err
		})
		if err != nil {
			return err
		}
		// Numbers move on at a start, so that a state comes in any case: the change is in the newest.
		if err := a.newest(ctx); err != nil {
			return err
		}
		a.took[apartReturn] = append(a.took[apartReturn], time.Since(begun))
	}
	return nil
}

// newest waits until the control plane says that both gateways have the newest state.
func (a *apartRun) newest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		text, err := a.control.get(ctx, a.control.server+"/v1/gateways", a.control.token)
		if err != nil {
			return err
		}
		if strings.Count(text, `"connected":true`) == apartGateways && !strings.Contains(text, `"behind":true`) {
			return nil
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("the gateways do not catch up: %w", err)
		}
	}
}

func (r *apartReport) markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# Control plane and gateways apart\n\nWritten by `go -C test run ./bench -apart -write ../docs/control-apart.md`: how soon what is changed is in force at gateways that are " +
		"processes of their own. One control plane with SQLite, " + strconv.Itoa(apartGateways) + " gateways, one machine.\n\n")
	for _, line := range append(r.facts.lines(), fmt.Sprintf("%d applications with a credential each, %d of them revoked, one after the other; each had a connection at each gateway", r.revocations+apartBystanders, r.revocations)) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	b.WriteString("\n| milliseconds | measured | p50 | p99 | longest |\n| --- | --- | --- | --- | --- |\n")
	for _, what := range apartRows {
		times := r.took[what]
		q := quantiles(times) // which sorts them
		fmt.Fprintf(&b, "| %s | %d | %.1f | %.1f | %.1f |\n", what, len(times), milliseconds(q.P50), milliseconds(q.P99), milliseconds(times[len(times)-1]))
	}
	fmt.Fprintf(&b, "\nConnections of other credentials at each gateway: %d before and after, none dropped, or there would be no report.\n", apartBystanders)
	return b.Bytes()
}
