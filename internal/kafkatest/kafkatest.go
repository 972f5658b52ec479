// Package kafkatest starts a real Apache Kafka (KRaft, combined broker and controller) for tests and benchmarks,
// from the artifacts published on Maven Central, and runs Kafka's own Java tools. Its main type is Cluster.
//
// It needs Java 17 or newer, and Maven the first time a release is used. A test that asks for a cluster on a machine
// without them fails and says what to install; nothing is ever skipped. The package knows nothing of Sluice: what is
// tested against a Cluster lives elsewhere. It is not part of the product and must not be imported by it.
package kafkatest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options says which Kafka to start. The zero value is one broker of DefaultVersion with a PLAINTEXT listener.
type Options struct {
	Version string // one of Versions; empty: DefaultVersion
	Brokers int    // 1 (default) or more; from 3 on topics have replication factor 3 and min.insync.replicas 2

	SASL bool // add a SASL_PLAINTEXT listener: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (unsecured tokens)
	TLS  bool // add an SSL listener; with SASL also SASL_SSL
	ACL  bool // switch the authorizer on: everybody but admin and the PLAINTEXT listener needs ACLs

	// ClientAuth is what the SSL listener asks of clients: none (default), requested or required.
	ClientAuth string
	// Users are the SASL users with their passwords, for PLAIN and SCRAM. Default: admin, alice and bob, each with
	// the password <name>-secret.
	Users map[string]string

	// Hosts gives the address broker i (from 1) listens on and advertises. Default: 127.0.0.1.
	Hosts func(i int) string
	// LoopbackHosts is Hosts with 127.77.0.i, so that a scan for leaked broker addresses has something to look for.
	LoopbackHosts bool

	Settings map[string]string // broker settings; they win over all others
	Features map[string]int16  // feature levels to raise after the start ("share.version": 1)
	Heap     string            // of each broker, as in -Xmx; default 384m
	JVM      []string          // flags of the brokers' JVM; default: serial collector, fast compiler only
}

func (o Options) withDefaults() (Options, error) {
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	if err := checkVersion(o.Version); err != nil {
		return o, err
	}
	if o.Brokers == 0 {
		o.Brokers = 1
	}
	if o.Brokers < 1 || o.Brokers > 9 {
		return o, fmt.Errorf("%d brokers: from 1 to 9 can be started", o.Brokers)
	}
	if o.ClientAuth == "" {
		o.ClientAuth = "none"
	}
	if !slices.Contains([]string{"none", "requested", "required"}, o.ClientAuth) {
		return o, fmt.Errorf("client auth %q is not none, requested or required", o.ClientAuth)
	}
	if o.Users == nil {
		o.Users = map[string]string{"admin": "admin-secret", "alice": "alice-secret", "bob": "bob-secret"}
	}
	for name, password := range o.Users {
		if strings.ContainsAny(name+password, "\"\\\n;") || name == "" {
			return o, fmt.Errorf("user %q: names and passwords must not be empty or hold quotes, backslashes or semicolons", name)
		}
	}
	switch {
	case o.Hosts != nil:
	case o.LoopbackHosts:
		o.Hosts = func(i int) string { return fmt.Sprintf("127.77.0.%d", i) }
	default:
		o.Hosts = func(int) string { return "127.0.0.1" }
	}
	if o.Heap == "" {
		o.Heap = "384m"
	}
	if o.JVM == nil {
		o.JVM = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	return o, nil
}

// The listeners of a broker, in the order of their ports.
const (
	portPlaintext = iota
	portController
	portSASL
	portTLS
	portSASLTLS
	portCount
)

const (
	startTimeout = 3 * time.Minute  // for all brokers to become ready; ten seconds on a machine with nothing else to do
	stopTimeout  = 30 * time.Second // for one broker to end after SIGTERM
	portAttempts = 5
)

// Cluster is a running Kafka. Brokers are numbered from 1, which is also their node id.
// Its methods may be called from several goroutines; those on the same broker must not overlap.
type Cluster struct {
	Version string
	ID      string // the cluster id
	// CA, ClientCert and ClientKey are paths of PEM files; empty without Options.TLS.
	CA, ClientCert, ClientKey string

	options    Options
	dir        string
	unlock     func() // gives the lock on dir back
	java, libs string
	ports      [][portCount]int // of broker i at i-1

	mu        sync.Mutex // guards processes
	processes []*process // of broker i at i-1; nil while stopped
}

// Start runs a cluster for a test and ends it with the test. When it cannot, the test fails at once.
// The log of a broker is shown when the test failed.
func Start(tb testing.TB, options Options) *Cluster {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout+collectTimeout)
	defer cancel()
	c, err := Run(ctx, options)
	if err != nil {
		tb.Fatalf("start Apache Kafka: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			for i := 1; i <= c.options.Brokers; i++ {
				tb.Logf("the last lines of broker %d:\n%s", i, tail(c.Log(i), 25))
			}
		}
		if err := c.Close(); err != nil {
			tb.Errorf("close Apache Kafka: %v", err)
		}
	})
	return c
}

// Run starts a cluster and returns once every broker is ready and knows the others. ctx bounds the start only; the
// caller must Close the cluster. With it one cluster can serve a suite, from TestMain, or a benchmark.
func Run(ctx context.Context, options Options) (*Cluster, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	java, err := javaBin()
	if err != nil {
		return nil, err
	}
	libs, err := Jars(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	checkpoint, err := bootstrapCheckpoint(ctx, java, libs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		c, err := newCluster(o, java, libs, checkpoint)
		if err != nil {
			return nil, err
		}
		if err = c.start(ctx); err == nil {
			return c, nil
		}
		if closeErr := c.Close(); closeErr != nil {
			return nil, errors.Join(err, closeErr)
		}
		// Somebody took one of the ports between our look and the broker's bind.
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return nil, err
		}
	}
}

// newCluster lays a cluster's files out in a temporary folder.
func newCluster(o Options, java, libs string, checkpoint []byte) (c *Cluster, err error) {
	sweep(os.TempDir())
	dir, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDir(dir) // says to sweep that we live
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
			unlock()
		}
	}()
	c = &Cluster{unlock: unlock, Version: o.Version, ID: newUUID(), options: o, dir: dir, java: java, libs: libs,
		processes: make([]*process, o.Brokers)}
	if o.TLS {
		hosts := []string{"127.0.0.1"}
		for i := 1; i <= o.Brokers; i++ {
			hosts = append(hosts, o.Hosts(i))
		}
		slices.Sort(hosts)
		if err := writeTLS(c.path("tls"), slices.Compact(hosts)); err != nil {
			return nil, err
		}
		c.CA, c.ClientCert, c.ClientKey = c.path("tls", "ca.pem"), c.path("tls", "client.pem"), c.path("tls", "client.key")
	}
	if c.ports, err = pickPorts(o); err != nil {
		return nil, err
	}
	for i := 1; i <= o.Brokers; i++ {
		data := c.path(strconv.Itoa(i), "data")
		if err := os.MkdirAll(data, 0o755); err != nil {
			return nil, err
		}
		meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", c.ID, i, newUUID())
		for file, content := range map[string][]byte{
			filepath.Join(data, "meta.properties"):       []byte(meta),
			filepath.Join(data, "bootstrap.checkpoint"):  checkpoint,
			c.path(strconv.Itoa(i), "server.properties"): []byte(c.serverProperties(i)),
		} {
			if err := os.WriteFile(file, content, 0o600); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

const dirPrefix = "kafkatest-"

// sweep removes folders of clusters whose process was killed: those whose lock nobody holds.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
		if err != nil {
			continue // not ours, or about to be locked
		}
		info, err := f.Stat()
		old := err == nil && time.Since(info.ModTime()) > time.Minute // between making the file and locking it
		if old && syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		f.Close()
	}
}

func (c *Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// pickPorts finds free ports for every broker, below the range from which systems take the ports of outgoing
// connections, so that a broker finds its port free again when it is started a second time.
func pickPorts(o Options) ([][portCount]int, error) {
	const low, high, tries = 20000, 32000, 1000
	ports := make([][portCount]int, o.Brokers)
	var held []net.Listener // until all are found, so that none is found twice
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for i := range ports {
		for j := range ports[i] {
			var err error
			for range tries {
				var l net.Listener
				port := low + mathrand.IntN(high-low)
				if l, err = net.Listen("tcp", net.JoinHostPort(o.Hosts(i+1), strconv.Itoa(port))); err == nil {
					held, ports[i][j] = append(held, l), port
					break
				}
				if !errors.Is(err, syscall.EADDRINUSE) {
					break
				}
			}
			if err != nil {
				return nil, fmt.Errorf("find a free port on %s: %w", o.Hosts(i+1), err)
			}
		}
	}
	return ports, nil
}

// serverProperties is the configuration of broker i. Of two lines for one setting the later wins.
func (c *Cluster) serverProperties(i int) string {
	o, host := c.options, c.options.Hosts(i)
	var b strings.Builder
	set := func(key, format string, args ...any) { fmt.Fprintf(&b, "%s=%s\n", key, fmt.Sprintf(format, args...)) }

	names := map[int]string{portPlaintext: "PLAINTEXT"}
	if o.SASL {
		names[portSASL] = "SASL_PLAINTEXT"
	}
	if o.TLS {
		names[portTLS] = "SSL"
	}
	if o.SASL && o.TLS {
		names[portSASLTLS] = "SASL_SSL"
	}
	var advertised, protocols, voters []string
	for _, port := range slices.Sorted(maps.Keys(names)) {
		advertised = append(advertised, fmt.Sprintf("%s://%s:%d", names[port], host, c.ports[i-1][port]))
		protocols = append(protocols, names[port]+":"+names[port])
	}
	for n := 1; n <= o.Brokers; n++ {
		voters = append(voters, fmt.Sprintf("%d@%s:%d", n, o.Hosts(n), c.ports[n-1][portController]))
	}
	set("process.roles", "broker,controller")
	set("node.id", "%d", i)
	set("controller.quorum.voters", "%s", strings.Join(voters, ","))
	set("controller.listener.names", "CONTROLLER")
	set("inter.broker.listener.name", "PLAINTEXT")
	set("listeners", "%s,CONTROLLER://%s:%d", strings.Join(advertised, ","), host, c.ports[i-1][portController])
	set("advertised.listeners", "%s", strings.Join(advertised, ","))
	set("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,%s", strings.Join(protocols, ","))
	set("log.dirs", "%s", c.path(strconv.Itoa(i), "data"))

	rf, isr := 1, 1
	if o.Brokers >= 3 {
		rf, isr = 3, 2
	}
	set("default.replication.factor", "%d", rf)
	set("min.insync.replicas", "%d", isr)
	set("auto.create.topics.enable", "false")
	for _, topic := range []string{"offsets.topic", "transaction.state.log", "share.coordinator.state.topic"} {
		set(topic+".num.partitions", "4")
		set(topic+".replication.factor", "%d", rf)
		if topic != "offsets.topic" {
			set(topic+".min.isr", "%d", isr)
		}
	}
	// Short waits: rebalances, controlled shutdown, and the time until a killed broker is noticed.
	set("group.initial.rebalance.delay.ms", "0")
	set("controlled.shutdown.retry.backoff.ms", "200")
	set("broker.heartbeat.interval.ms", "500")
	set("broker.session.timeout.ms", "6000")

	if o.SASL {
		const pkg = "org.apache.kafka.common.security."
		plain := pkg + "plain.PlainLoginModule required"
		for _, name := range slices.Sorted(maps.Keys(o.Users)) {
			plain += fmt.Sprintf(" user_%s=\"%s\"", name, o.Users[name])
		}
		set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER")
		for _, l := range []string{"sasl_plaintext", "sasl_ssl"} {
			set("listener.name."+l+".plain.sasl.jaas.config", "%s;", plain)
			set("listener.name."+l+".scram-sha-256.sasl.jaas.config", pkg+"scram.ScramLoginModule required;")
			set("listener.name."+l+".scram-sha-512.sasl.jaas.config", pkg+"scram.ScramLoginModule required;")
			set("listener.name."+l+".oauthbearer.sasl.jaas.config", pkg+"oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"admin\";")
			if !o.TLS {
				break
			}
		}
	}
	if o.TLS {
		set("ssl.keystore.type", "PEM")
		set("ssl.keystore.location", "%s", c.path("tls", "broker.keystore.pem"))
		set("ssl.truststore.type", "PEM")
		set("ssl.truststore.location", "%s", c.CA)
		set("listener.name.ssl.ssl.client.auth", "%s", o.ClientAuth)
	}
	if o.ACL {
		set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
		set("super.users", "User:admin;User:ANONYMOUS")
		set("allow.everyone.if.no.acl.found", "false")
	}
	for _, key := range slices.Sorted(maps.Keys(o.Settings)) {
		set(key, "%s", o.Settings[key])
	}
	return b.String()
}

// start runs all brokers and waits until the cluster can be used.
func (c *Cluster) start(ctx context.Context) error {
	for i := 1; i <= c.options.Brokers; i++ {
		if err := c.launch(i); err != nil {
			return err
		}
	}
	for i := 1; i <= c.options.Brokers; i++ {
		if err := c.awaitReady(ctx, i); err != nil {
			return err
		}
	}
	return c.prepare(ctx)
}

// launch starts the process of broker i, which must not be running.
func (c *Cluster) launch(i int) error {
	dir := c.path(strconv.Itoa(i))
	args := append([]string{"-Xms" + c.options.Heap, "-Xmx" + c.options.Heap}, c.options.JVM...)
	args = append(args, "-Xshare:auto", "-Djava.awt.headless=true", "-cp", c.Classpath(),
		"-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn",
		"-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
		"kafka.Kafka", filepath.Join(dir, "server.properties"))
	cmd := exec.Command(c.java, args...)
	cmd.Dir, cmd.Env = dir, toolEnv()
	p, err := startProcess(cmd, filepath.Join(dir, "log"))
	if err != nil {
		return fmt.Errorf("broker %d: %w", i, err)
	}
	c.mu.Lock()
	c.processes[i-1] = p
	c.mu.Unlock()
	return nil
}

var errPortTaken = errors.New("a port was taken by somebody else meanwhile")

func (c *Cluster) awaitReady(ctx context.Context, i int) error {
	p, err := c.process(i)
	if err != nil {
		return err
	}
	select {
	case <-p.ready:
		return nil
	case <-p.exited:
		log := c.Log(i)
		err := fmt.Errorf("broker %d ended during its start: %w\n%s", i, explainJava(orExit0(p.err), log), tail(log, 25))
		if strings.Contains(log, "Address already in use") {
			return errors.Join(errPortTaken, err)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("broker %d was not ready in time: %w\n%s", i, ctx.Err(), tail(c.Log(i), 25))
	}
}

func orExit0(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// process returns the running process of broker i.
func (c *Cluster) process(i int) (*process, error) {
	if i < 1 || i > c.options.Brokers {
		return nil, fmt.Errorf("there is no broker %d, only 1 to %d", i, c.options.Brokers)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.processes[i-1] == nil {
		return nil, fmt.Errorf("broker %d is not running", i)
	}
	return c.processes[i-1], nil
}

// StopBroker ends broker i in good order (SIGTERM: leadership moves first), and kills it when that takes longer than
// half a minute, which is an error. Its data and ports are kept for StartBroker.
func (c *Cluster) StopBroker(i int) error { return c.end(i, stopTimeout) }

// KillBroker ends broker i with SIGKILL. The others notice after broker.session.timeout.ms, six seconds.
func (c *Cluster) KillBroker(i int) error { return c.end(i, 0) }

func (c *Cluster) end(i int, grace time.Duration) error {
	p, err := c.process(i)
	if err != nil {
		return err
	}
	err = p.stop(grace)
	c.mu.Lock()
	c.processes[i-1] = nil
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("stop broker %d: %w", i, err)
	}
	return nil
}

// StartBroker starts broker i again on its old data and ports, and returns when it is ready.
func (c *Cluster) StartBroker(i int) error {
	if _, err := c.process(i); err == nil {
		return fmt.Errorf("broker %d is already running", i)
	}
	if i < 1 || i > c.options.Brokers {
		return fmt.Errorf("there is no broker %d, only 1 to %d", i, c.options.Brokers)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.launch(i); err != nil {
		return err
	}
	if err := c.awaitReady(ctx, i); err != nil {
		return errors.Join(err, c.KillBroker(i))
	}
	return nil
}

// Pause freezes broker i (SIGSTOP): its connections stay open and nothing is answered, until Resume.
// It returns once nothing of the broker runs any more.
func (c *Cluster) Pause(i int) error {
	if err := c.signal(i, syscall.SIGSTOP); err != nil {
		return err
	}
	p, err := c.process(i)
	if err != nil {
		return err
	}
	if err := awaitStopped(p.cmd.Process.Pid); err != nil {
		return fmt.Errorf("pause broker %d: %w", i, err)
	}
	return nil
}

// Resume lets a paused broker go on.
func (c *Cluster) Resume(i int) error { return c.signal(i, syscall.SIGCONT) }

func (c *Cluster) signal(i int, s syscall.Signal) error {
	p, err := c.process(i)
	if err != nil {
		return err
	}
	if err := p.signal(s); err != nil {
		return fmt.Errorf("signal %s to broker %d: %w", s, i, err)
	}
	return nil
}

// Close ends all brokers and removes their data, so they are killed and not asked. Calling it again does nothing.
func (c *Cluster) Close() error {
	c.mu.Lock()
	processes := slices.Clone(c.processes)
	clear(c.processes)
	c.mu.Unlock()
	for _, p := range processes {
		if p != nil {
			_ = p.signal(syscall.SIGKILL) // all at once; stop waits for each
		}
	}
	for _, p := range processes {
		if p != nil {
			_ = p.stop(0)
		}
	}
	err := os.RemoveAll(c.dir)
	c.unlock()
	return err
}

// Log returns what broker i has logged since the cluster was made; empty if there is no such broker.
func (c *Cluster) Log(i int) string {
	b, err := os.ReadFile(c.path(strconv.Itoa(i), "log"))
	if err != nil {
		return ""
	}
	return string(b)
}

// Brokers returns how many brokers the cluster has, running or not.
func (c *Cluster) Brokers() int { return c.options.Brokers }

// Bootstrap returns the addresses of the PLAINTEXT listeners, that of broker i at i-1.
func (c *Cluster) Bootstrap() []string { return c.addresses(portPlaintext, true) }

// BootstrapSASL returns the addresses of the SASL_PLAINTEXT listeners; nil without Options.SASL.
func (c *Cluster) BootstrapSASL() []string { return c.addresses(portSASL, c.options.SASL) }

// BootstrapTLS returns the addresses of the SSL listeners; nil without Options.TLS.
func (c *Cluster) BootstrapTLS() []string { return c.addresses(portTLS, c.options.TLS) }

// BootstrapSASLTLS returns the addresses of the SASL_SSL listeners; nil without Options.SASL and Options.TLS.
func (c *Cluster) BootstrapSASLTLS() []string {
	return c.addresses(portSASLTLS, c.options.SASL && c.options.TLS)
}

func (c *Cluster) addresses(port int, have bool) []string {
	if !have {
		return nil
	}
	all := make([]string, c.options.Brokers)
	for i := range all {
		all[i] = net.JoinHostPort(c.options.Hosts(i+1), strconv.Itoa(c.ports[i][port]))
	}
	return all
}

// Password returns the password of a SASL user; empty if there is no such user.
func (c *Cluster) Password(user string) string { return c.options.Users[user] }

// TLSConfig returns a client's settings that trust the brokers and, with clientCert, show the client certificate
// (CN=client). A fresh copy for each call. It panics without Options.TLS.
func (c *Cluster) TLSConfig(clientCert bool) *tls.Config {
	ca, err := os.ReadFile(c.CA)
	if err != nil {
		panic(fmt.Errorf("bug: TLSConfig of a cluster without TLS or closed: %w", err))
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(ca)
	if clientCert {
		cert, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			panic(fmt.Errorf("bug: load the client certificate: %w", err))
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config
}

// newUUID returns a random id as Kafka writes them: 16 bytes in base64url.
func newUUID() string {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		if s := base64.RawURLEncoding.EncodeToString(b[:]); !strings.HasPrefix(s, "-") { // as Kafka does, for command lines
			return s
		}
	}
}

// javaOptions are read by every JVM and would change or litter what we start.
var javaOptions = regexp.MustCompile(`^(JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH)=`)

func toolEnv() []string { return slices.DeleteFunc(os.Environ(), javaOptions.MatchString) }
