// Package conformance drives real client libraries through the gateway on a real Apache Kafka. Its main type is
// Client: one library, given commands and giving events, whichever language it is written in.
package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

// Command is what a client is to do.
type Command struct {
	// Op is produce (N values PREFIX-i), consume (until N records, then commit), transact (commit N, abort N, commit
	// N), list (topics), share (read as a member of a share group until N records are accepted), and, until the
	// context ends, loop (consume with automatic commits, go on after errors), shareloop (the same in a share group)
	// and send (every 100 ms one record to each topic).
	Op        string   `json:"op"`
	Bootstrap string   `json:"bootstrap"`
	Mechanism string   `json:"mechanism"`
	User      string   `json:"user"`
	Password  string   `json:"password"`
	CA        string   `json:"ca,omitempty"` // with it: TLS
	Topics    []string `json:"topics,omitempty"`
	Group     string   `json:"group,omitempty"`
	TxnID     string   `json:"txn,omitempty"`
	Prefix    string   `json:"prefix,omitempty"`
	N         int      `json:"n,omitempty"`
	Committed bool     `json:"committed,omitempty"` // read committed records only
	Regex     bool     `json:"regex,omitempty"`     // subscribe to Topics by a regular expression

	Dir     string `json:"-"` // for temporary files
	trusted string // a bootstrap without login, for programs that cannot
}

// As fills in who logs in, and where.
func (c Command) As(l harness.Login) Command {
	c.Bootstrap, c.Mechanism, c.User, c.Password = l.Bootstrap, l.Mechanism, l.User, l.Password
	return c
}

// Event is what happened: record, sent (acknowledged), error, topics, or log, which means nothing.
type Event struct {
	Kind   string   `json:"kind"`
	Topic  string   `json:"topic"`
	Value  string   `json:"value"`
	Text   string   `json:"text"`
	Topics []string `json:"topics"`
}

// Client is one library.
type Client struct {
	Name    string
	Version string
	Can     string // the ops it has, separated by blanks
	// Regex is set for a program that can subscribe to several topics by a regular expression only.
	Regex bool
	// Patterns is set for a library that can subscribe by a regular expression.
	Patterns bool
	// Run carries a command out. emit may be called from several goroutines.
	Run func(ctx context.Context, c Command, emit func(Event)) error
}

// Has reports whether the client has an op.
func (c Client) Has(op string) bool { return strings.Contains(" "+c.Can+" ", " "+op+" ") }

// Clients returns all clients. Kafka's own programs come with the cluster's jars.
func Clients(tools *kafkatest.Cluster) []Client {
	const all, share = "produce consume transact list loop send", " share shareloop"
	kip848 := "consume loop"
	if strings.HasPrefix(tools.Version, "3.") {
		kip848 = "" // a preview there
	}
	return []Client{
		{Name: "franz-go", Patterns: true, Version: moduleVersion("github.com/twmb/franz-go"), Can: all + share, Run: franzGo},
		{Name: "Java", Version: "kafka-clients of the release, its console tools", Can: all + share, Regex: true, Patterns: true, Run: java(tools, "classic")},
		{Name: "Java KIP-848", Version: "kafka-clients of the release, its console tools", Can: kip848, Regex: true, Patterns: true, Run: java(tools, "consumer")},
		{Name: "librdkafka", Patterns: true, Version: "confluent-kafka 2.16.1", Can: all, Run: python("librdkafka")},
		{Name: "kafkajs", Patterns: true, Version: "2.2.4", Can: all, Run: node},
		{Name: "Sarama", Version: moduleVersion("github.com/IBM/sarama"), Can: all, Run: saramaRun},
		{Name: "kafka-go", Version: moduleVersion("github.com/segmentio/kafka-go"), Can: "produce consume list loop send", Run: kafkaGo},
		{Name: "kcat", Patterns: true, Version: "Debian's, with librdkafka", Can: "produce consume list loop", Run: kcat},
		{Name: "kafka-python", Patterns: true, Version: "3.0.12", Can: all, Run: python("kafka-python")},
		{Name: "aiokafka", Patterns: true, Version: "0.14.0", Can: all, Run: python("aiokafka")},
	}
}

// run starts a program and hands on each line it prints, until it ends or ctx does. The error holds the end of what it
// wrote to standard error; there is none when ctx ended it.
func run(ctx context.Context, cmd *exec.Cmd, line func(string)) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var errs tailBuffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var all tailBuffer
	scan := bufio.NewScanner(io.TeeReader(out, &all))
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		line(scan.Text())
	}
	err = cmd.Wait()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w\n%s\n%s", err, all.String(), errs.String())
	}
	return nil
}

// events decodes lines that are events.
func events(emit func(Event)) func(string) {
	return func(line string) {
		var e Event
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind != "" {
			emit(e)
		}
	}
}

// tailBuffer keeps the last 8 KiB written.
type tailBuffer struct {
	mu   sync.Mutex
	data []byte
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	b.data = b.data[max(0, len(b.data)-8<<10):]
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}
