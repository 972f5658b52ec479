package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// What lines of the child's standard error begin with; others are warnings.
const (
	errorPrefix = "ERR "
	infoPrefix  = "INF "
)

// Retention: kfake has no limit of its own and looks at most once an hour, after a restart not at all. Here each
// partition keeps at least retentionBytes and at most a segment more, looked at every retentionInterval; a topic's own
// retention.bytes and retention.ms win. There is no limit by time, so that a demo left alone still shows something.
const (
	retentionBytes    = 64 << 20
	segmentBytes      = 8 << 20
	retentionInterval = 30 * time.Second
)

// Main is the child process. It serves until ctx ends, stdin reaches its end (which it does when the parent is gone,
// however it went) or SIGTERM or SIGINT arrives; then it writes everything down. When clients can connect it prints
// one line of JSON to stdout: {"bootstrap": ["127.0.0.1:port"], "cluster_id": "…"}. What else it has to say goes to
// standard error. args are what Start adds to the command.
func Main(ctx context.Context, stdin io.Reader, stdout io.Writer, args []string) error {
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dataDir := flags.String("data-dir", "", "where the data is kept")
	clusterID := flags.String("cluster-id", "", "cluster id of a new data directory")
	host := flags.String("host", "127.0.0.1", "loopback address to listen on")
	err := flags.Parse(args)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *dataDir == "":
		err = errors.New("--data-dir is missing")
	default:
		err = checkHost(*host)
	}
	if err == nil {
		err = run(ctx, stdin, stdout, *dataDir, *clusterID, *host)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", errorPrefix, err) // for the parent's log and its error
	}
	return err
}

func run(ctx context.Context, stdin io.Reader, stdout io.Writer, dir, clusterID, host string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()

	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	data := filepath.Join(dir, "kfake")
	if err := keepOffsets(data); err != nil {
		return fmt.Errorf("open data directory %s: %w", dir, err)
	}
	if clusterID == "" {
		clusterID = newClusterID()
	}
	portFile := filepath.Join(dir, "port")
	cluster, err := kfake.NewCluster(
		kfake.DataDir(data),
		kfake.NumBrokers(1),
		kfake.ClusterID(clusterID), // a data directory's own wins
		kfake.DefaultNumPartitions(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listen(host, portFile) }),
		kfake.WithLogger(stderrLogger{}),
		kfake.BrokerConfigs(map[string]string{
			"default.replication.factor": "1",
			"log.retention.bytes":        strconv.Itoa(retentionBytes),
			"log.retention.ms":           "-1",
			"log.segment.bytes":          strconv.Itoa(segmentBytes),
			"log.cleaner.backoff.ms":     strconv.FormatInt(retentionInterval.Milliseconds(), 10),
		}),
	)
	if err != nil {
		return fmt.Errorf("open data directory %s: %w", dir, err)
	}
	defer cluster.Close() // writes everything down; before unlock
	addresses := cluster.ListenAddrs()
	if clusterID, err = readClusterID(data); err != nil {
		return err
	}
	line, err := json.Marshal(ready{Bootstrap: addresses, ClusterID: clusterID})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%s\n", line); err != nil {
		return fmt.Errorf("tell the parent: %w", err)
	}

	tick := time.NewTicker(retentionInterval)
	defer tick.Stop()
	cluster.ApplyRetention()
	for {
		select {
		case <-tick.C:
			cluster.ApplyRetention()
		case <-ctx.Done():
			return nil
		}
	}
}

// lock makes dir and takes it for this process, until unlock or its end.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
		return func() { f.Close() }, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		f.Close()
		return nil, fmt.Errorf("data directory %s is in use by another embedded broker", dir)
	default:
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
}

// listen takes the port of last time if it is free, so that clients find the broker again, or else any.
func listen(host, portFile string) (net.Listener, error) {
	var l net.Listener
	if b, err := os.ReadFile(portFile); err == nil {
		if port, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16); err == nil {
			l, _ = net.Listen("tcp", net.JoinHostPort(host, strconv.FormatUint(port, 10)))
		}
	}
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return nil, err
		}
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := os.WriteFile(portFile, []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("remember the port: %w", err)
	}
	return guardedListener{l}, nil
}

// newClusterID returns a random id as Kafka writes them: 16 bytes in base64url.
func newClusterID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// stderrLogger passes on what kfake logs at warning and above.
type stderrLogger struct{}

func (stderrLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		fmt.Fprintf(os.Stderr, errorPrefix+format+"\n", args...)
	case kfake.LogLevelWarn:
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}
