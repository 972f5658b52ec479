package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/config"
	"sluice/internal/control/publish"
	"sluice/internal/outbound"
	"sluice/internal/store/sqlstore"
)

// idle is a world without a broker: enough for what fails before one is needed.
func idle(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), log: &logs{}}
	w.write("secret", secret)
	w.write("resources/cluster.yaml", "apiVersion: sluice/v1\nkind: Cluster\nmetadata: {name: main, environment: test}\nspec: {bootstrap: [\"127.0.0.1:1\"]}\n")
	w.write("resources/products.yaml", productsYAML)
	w.write("resources/reader.yaml", consumerYAML("reader", "orders"))
	return w
}

// pair writes a self-signed certificate and its key.
func (w *world) pair(name string, notAfter time.Time) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: notAfter.Add(-365 * 24 * time.Hour), NotAfter: notAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	secretKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secretKey})))
	w.write("tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func (w *world) withTLS() Options {
	opts := w.options()
	opts.Config.Listeners[0].TLS = &config.ListenerTLS{
		Certificate: config.SecretRef{File: filepath.Join(w.dir, "tls.crt")}, Key: config.SecretRef{File: filepath.Join(w.dir, "tls.key")}, MinVersion: config.TLS12,
	}
	return opts
}

func TestCertificateIsRenewedWithoutLosingConnections(t *testing.T) {
	t.Parallel()
	w := idle(t)
	w.pair("first", time.Now().Add(10*24*time.Hour))
	opts := w.withTLS()
	opts.Config.Limits.AuthDeadline = 5 * time.Minute // the first connection is to be there to the end
	r := w.start(opts)
	if !strings.Contains(w.log.String(), "certificate expires soon") {
		t.Error("no warning of a certificate that expires in ten days")
	}
	dial := func() *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", r.Bootstrap(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	name := func(c *tls.Conn) string { return c.ConnectionState().PeerCertificates[0].Subject.CommonName }
	old := dial()
	if got := name(old); got != "first" {
		t.Fatalf("certificate: got %s, want first", got)
	}
	w.pair("second", time.Now().Add(300*24*time.Hour))
	w.within(patience, "the new certificate is served", func() bool { return name(dial()) == "second" })
	w.write("tls.key", "no key at all")
	w.within(patience, "the bad key is refused", func() bool { return strings.Contains(w.log.String(), "certificate refused") })
	if err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("reload with a bad key: got %v, want an error that says so", err)
	}
	if got := name(dial()); got != "second" {
		t.Errorf("certificate: got %s, want second", got)
	}
	w.pair("expired", time.Now().Add(-time.Hour))
	w.within(patience, "the expired certificate is refused", func() bool { return strings.Contains(w.log.String(), "expired at") })
	// The first connection is still there: an ApiVersions request of version 0 is answered.
	if _, err := old.Write([]byte("\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff")); err != nil {
		t.Fatal(err)
	}
	old.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(old, make([]byte, 8)); err != nil {
		t.Errorf("old connection: %v", err)
	}
}

func TestWhatKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		opts func(*testing.T, *world) Options
		want []string
	}{
		{"an expired certificate", func(_ *testing.T, w *world) Options {
			w.pair("old", time.Now().Add(-time.Hour))
			return w.withTLS()
		}, []string{"listeners[0].tls.certificate", "expired at", "tls.crt", "renew it"}},
		{"a certificate and a key of another", func(_ *testing.T, w *world) Options {
			w.pair("a", time.Now().Add(time.Hour))
			key, _ := os.ReadFile(filepath.Join(w.dir, "tls.key"))
			w.pair("b", time.Now().Add(time.Hour))
			w.write("tls.key", string(key))
			return w.withTLS()
		}, []string{"do not belong together"}},
		{"a certificate that is not there", func(_ *testing.T, w *world) Options { return w.withTLS() }, []string{"listeners[0].tls.certificate", "tls.crt", "listeners[0].tls.key"}},
		{"a taken Kafka port", func(t *testing.T, w *world) Options {
			opts := w.options()
			opts.Config.Listeners[0].Address = occupied(t)
			return opts
		}, []string{"in use by another program", "listeners[0].address", "--listen"}},
		{"a taken operations port", func(t *testing.T, w *world) Options {
			opts := w.options()
			opts.Config.Operations.Address = occupied(t)
			return opts
		}, []string{"in use by another program", "operations.address", "--operations"}},
		{"a taken port of a broker that had it before", func(t *testing.T, w *world) Options {
			opts := w.options()
			_, port, _ := net.SplitHostPort(occupied(t))
			w.write("data/ports-kafka.json", `{"ports": {"1": `+port+`}}`)
			return opts
		}, []string{"in use by another program", "listeners[0].brokerPorts", "--broker-ports"}},
		{"a data directory in use", func(t *testing.T, w *world) Options {
			s, err := openState(w.options().Config.DataDir, "--data-dir")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.close)
			return w.options()
		}, []string{"in use by another sluice", "--data-dir"}},
		{"a damaged seed", func(_ *testing.T, w *world) Options {
			w.write("data/seed", "no seed")
			return w.options()
		}, []string{"seed is damaged", "backup"}},
		{"no resources", func(_ *testing.T, w *world) Options {
			opts := w.options()
			opts.Resources = nil
			return opts
		}, []string{"no resource documents", "-f"}},
		{"all problems of the documents at once", func(_ *testing.T, w *world) Options {
			w.write("resources/a.yaml", consumerYAML("a", "nothing", "nowhere"))
			return w.options()
		}, []string{`"nothing"`, `"nowhere"`, "a.yaml:"}},
		{"a configuration that does not fit together", func(_ *testing.T, w *world) Options {
			opts := w.options()
			opts.Config.Listeners[0].Address = "0.0.0.0:0"
			opts.Config.Log.Level = "loud"
			return opts
		}, []string{"configuration: ", "allowPlaintextBeyondLoopback", "log.level"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := idle(t)
			a, err := New(t.Context(), tc.opts(t, w))
			if err == nil {
				a.release()
				t.Fatal("starts")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

// occupied returns an address that somebody listens on.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestTimeAloneChangesWhatIsInForce(t *testing.T) {
	t.Parallel()
	w := idle(t)
	now := time.Now()
	w.write("resources/reader.yaml", strings.Replace(consumerYAML("reader", "orders"), "plan: free", "plan: free, expires: "+now.Add(time.Hour).UTC().Format(time.RFC3339), 1))
	opts := w.options().withDefaults()
	opts.Now = func() time.Time { return now }
	r := w.opened(opts)
	defer r.state.close()
	if _, err := r.load(); err != nil {
		t.Fatal(err)
	}
	if wait := r.untilChange(); r.due() || wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("before: due %v in %v, want in an hour", r.due(), wait)
	}
	now = now.Add(time.Hour + time.Second)
	if !r.due() {
		t.Error("after an hour: not due")
	}
	again, err := r.again()
	if err != nil {
		t.Fatal(err)
	}
	if again.Snapshot.Lookup("scram", "reader") == nil || r.due() {
		t.Errorf("after it was compiled again: due %v", r.due())
	}
}

// opened takes the data directory for documents that a test reads itself.
func (w *world) opened(opts Options) *resources {
	w.t.Helper()
	s, err := openState(opts.Config.DataDir, "--data-dir")
	if err != nil {
		w.t.Fatal(err)
	}
	return newResources(opts, s)
}

func TestFilesAreReadOnceTheyStayTheSame(t *testing.T) {
	t.Parallel()
	w := idle(t)
	opts := w.options().withDefaults()
	r := w.opened(opts)
	defer r.state.close()
	if _, err := r.load(); err != nil {
		t.Fatal(err)
	}
	look := func(want bool, when string) {
		t.Helper()
		if got := r.changed(); got != want {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	look(false, "nothing has changed")
	w.write("resources/reader.yaml", consumerYAML("reader"))
	look(false, "just written")
	w.write("resources/reader.yaml", consumerYAML("reader", "vehicles"))
	look(false, "written again")
	look(true, "the same for one look")
	if _, err := r.load(); err != nil {
		t.Fatal(err)
	}
	look(false, "read")
	w.write("secret", secret+"-2")
	look(false, "a secret is just written")
	look(true, "a secret has changed")
}

func TestTokensAreFetchedAndKept(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		user, password, _ := r.BasicAuth()
		if user != "sluice" || password != "s%26cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error": "invalid_client"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token": "token-%d", "expires_in": 100}`, asked)
	}))
	defer server.Close()
	now := time.Now()
	source := tokenSource{now: func() time.Time { return now }, client: outbound.New(outbound.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})}
	issuer := publish.TokenIssuer{TokenEndpoint: server.URL, ClientID: "sluice", ClientSecret: "s&cret", Scope: "kafka"}
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "token-1"}, {80 * time.Second, "token-1"}, {15 * time.Second, "token-2"}} {
		now = now.Add(step.after)
		if got, err := source.token(t.Context(), issuer); got != step.want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, step.want)
		}
	}
	issuer.ClientSecret = "wrong"
	if _, err := source.token(t.Context(), issuer); err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("wrong secret: got %v, want an error with 401 and invalid_client", err)
	}
}

func TestDiagnoseTellsInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := func(opts Options) (text string, bad int) {
		Diagnose(t.Context(), opts, func(f Finding) {
			text += fmt.Sprintln(f.Area, f.OK, f.Message, f.Fix)
			if !f.OK {
				bad++
			}
		})
		return text, bad
	}
	if text, bad := admin(w.options()); bad != 0 || !strings.Contains(text, `topic "backing.orders" has 1 partitions`) {
		t.Errorf("a good set-up: %d bad in\n%s", bad, text)
	}
	w.write("resources/products.yaml", strings.Replace(productsYAML, "backing.orders", "backing.nothing", 1))
	if text, bad := admin(w.options()); bad != 1 || !strings.Contains(text, `"backing.nothing" does not exist`) {
		t.Errorf("a missing topic: %d bad in\n%s", bad, text)
	}
	r := w.serve()
	opts := w.options()
	opts.Config.Operations.Address = r.OperationsAddress()
	if text, _ := admin(opts); !strings.Contains(text, "one serves at these addresses and is ready") {
		t.Errorf("while it runs:\n%s", text)
	}
}

func TestDiagnoseLooksAtTheStore(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.DataDir = filepath.Join(t.TempDir(), "data")
	c.Listeners[0].Address, c.Operations.Address, c.Management.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	file := filepath.Join(c.DataDir, storeFile)
	look := func(wantBad int, want string) {
		t.Helper()
		text, bad := "", 0
		Diagnose(t.Context(), Options{Config: c, Control: true}, func(f Finding) {
			if text += fmt.Sprintln(f.Area, f.OK, f.Message, f.Fix); !f.OK {
				bad++
			}
		})
		if bad != wantBad || !strings.Contains(text, want) {
			t.Errorf("got %d bad in\n%swant %d and %q", bad, text, wantBad, want)
		}
	}
	look(0, file+" will be made")
	if _, err := os.Stat(c.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking has made the data directory: %v", err)
	}
	if err := os.Mkdir(c.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.Open(t.Context(), file, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	look(0, "it opens and is whole, with the newest schema") // in use
	look(0, " MiB are free in "+c.DataDir)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	look(0, "it opens and is whole, with the newest schema")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoilt := range map[string][]byte{"text": []byte(strings.Repeat("hello ", 1000)), "cut off": whole[:len(whole)/2]} {
		if err := os.WriteFile(file, spoilt, 0o600); err != nil {
			t.Fatal(name, err)
		}
		look(1, "damaged")
	}
}

func TestExamplesAreGood(t *testing.T) {
	for _, name := range []string{"KAFKA_PASSWORD", "ACME_SECRET", "FLEET_SECRET"} {
		t.Setenv(name, "0123456789abcdef")
	}
	c, problems := config.Load("../../examples/sluice.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if problems := c.CheckFiles(); len(problems) > 0 {
		t.Error(problems)
	}
	for _, p := range Check(Options{Config: c}, false) {
		t.Error(p)
	}
}

func TestCheckWithoutSecrets(t *testing.T) {
	t.Parallel()
	w := idle(t)
	if err := os.Remove(filepath.Join(w.dir, "secret")); err != nil {
		t.Fatal(err)
	}
	for _, without := range []bool{false, true} {
		problems := Check(w.options(), without)
		if len(problems) != 1 || problems[0].Warning != without {
			t.Errorf("without secrets %v: got %v", without, problems)
		}
	}
}

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// TestMetricsPage compares docs/metrics.md with what is registered. To write it
// anew: go test ./internal/app -run TestMetricsPage -update
func TestMetricsPage(t *testing.T) {
	w := idle(t)
	a, err := New(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	defer a.release()
	a.Registry().MustRegister(feedCollector{}, feederCollector{}, auditTopicCollector{}) // which the planes apart have
	got := metricsPage(t, a.Registry())
	const page = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("docs/metrics.md is out of date: go test ./internal/app -run TestMetricsPage -update")
	}
}

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*?)", (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func metricsPage(t *testing.T, r *prometheus.Registry) string {
	ch := make(chan *prometheus.Desc)
	go func() { r.Describe(ch); close(ch) }()
	var rows []string
	for d := range ch {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s", d)
		}
		if !strings.HasPrefix(m[1], "sluice_") {
			continue
		}
		labels := m[4]
		if name, _, ok := strings.Cut(m[3], "="); ok {
			labels = name
		}
		if labels = strings.ReplaceAll(labels, ",", ", "); labels == "" {
			labels = "none"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labels, m[2]))
	}
	slices.Sort(rows)
	return "# Metrics\n\n" +
		"<!-- Made by go test ./internal/app -run TestMetricsPage -update -->\n\n" +
		"At `/metrics` of the operations address, for Prometheus, together with those of the Go runtime (`go_…`) and of the\n" +
		"process (`process_…`). Labels have values from small, known sets only.\n\n" +
		"`sluice_client_…` is what applications' own Kafka clients say of themselves (KIP-714), believed as it is: at most 1,000 clients of an\n" +
		"application and 20,000 of all at a time, one value for each application. A client that stops pushing counts for three intervals, one that\n" +
		"says goodbye for one more. Where a client has several values, for nodes or partitions, they are put together as those of clients are.\n\n" +
		"| Metric | Labels | Meaning |\n|---|---|---|\n" + strings.Join(rows, "")
}

func TestDemoConfigIsValid(t *testing.T) {
	c := DemoConfig()
	if problems := c.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestDemoKeepsRecordsAndOffsets(t *testing.T) {
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), log: &logs{}}
	opts := DemoOptions{DataDir: filepath.Join(w.dir, "demo data"), Options: Options{Config: DemoConfig(), Log: slog.New(slog.NewTextHandler(w.log, nil))}}
	opts.Config.Listeners[0].Address, opts.Config.Listeners[0].BrokerPorts = "127.0.0.1:0", config.PortRange{}
	opts.Config.Operations.Address = "127.0.0.1:0"
	passwords := map[string]bool{}
	for start := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		d, err := StartDemo(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := StartDemo(ctx, opts); err == nil || !strings.HasSuffix(err.Error(), "in use by another sluice: stop it, or choose another with --data-dir") {
			t.Errorf("a second demo on the same data: got %v", err)
		}
		started, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- d.Run(ctx, func(context.Context) error { close(started); return nil })
		}()
		select {
		case <-started:
		case <-time.After(patience):
			t.Fatalf("not ready\n%s", w.log)
		}
		for _, u := range d.Users() {
			passwords[u.Password] = true
			info, err := os.Stat(u.Properties)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: got %v, %v, want mode 0600", u.Properties, info.Mode(), err)
			}
		}
		if start == 0 {
			w.demoFirst(d)
		} else {
			w.demoSecond(d)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	if len(passwords) != 2 {
		t.Errorf("passwords: got %d different ones over two starts, want 2", len(passwords))
	}
}
