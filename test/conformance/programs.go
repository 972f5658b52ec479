package conformance

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

// moduleVersion returns the version of a Go library that is tested: a test binary does not know it, go.mod does.
func moduleVersion(path string) string {
	text, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), path+" ")
	version, _, _ := strings.Cut(rest, "\n")
	return strings.TrimPrefix(strings.TrimSuffix(version, " // indirect"), "v")
}

//go:embed python/requirements.txt
var requirements string

//go:embed python/driver.py
var pythonDriver string

var pythonDir = sync.OnceValues(func() (string, error) {
	return harness.Installed("python", map[string]string{"requirements.txt": requirements}, func(dir string) error {
		if err := harness.Command(dir, "python3", "-m", "venv", "venv"); err != nil {
			return fmt.Errorf("%w (Debian: python3-venv)", err)
		}
		return harness.Command(dir, filepath.Join(dir, "venv", "bin", "pip"), "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt")
	})
})

func python(library string) func(context.Context, Command, func(Event)) error {
	return func(ctx context.Context, c Command, emit func(Event)) error {
		dir, err := pythonDir()
		if err != nil {
			return err
		}
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		return run(ctx, exec.CommandContext(ctx, filepath.Join(dir, "venv", "bin", "python"), "-c", pythonDriver, library, string(text)), events(emit))
	}
}

//go:embed node/package.json
var nodePackage string

//go:embed node/package-lock.json
var nodeLock string

//go:embed node/driver.js
var nodeDriver string

var nodeDir = sync.OnceValues(func() (string, error) {
	return harness.Installed("node", map[string]string{"package.json": nodePackage, "package-lock.json": nodeLock}, func(dir string) error {
		return harness.Command(dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
})

func node(ctx context.Context, c Command, emit func(Event)) error {
	dir, err := nodeDir()
	if err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", "-e", nodeDriver, "--", string(text))
	cmd.Env = append(os.Environ(), "NODE_MODULES="+filepath.Join(dir, "node_modules"), "KAFKAJS_NO_PARTITIONER_WARNING=1")
	return run(ctx, cmd, events(emit))
}

// kcat is a program of its own; there is no list of its errors, only what it prints.
func kcat(ctx context.Context, c Command, emit func(Event)) error {
	path, err := exec.LookPath("kcat")
	if err != nil {
		if path, err = exec.LookPath("kafkacat"); err != nil {
			return errors.New("kcat is needed (Debian: apt-get install kcat)")
		}
	}
	protocol := "SASL_PLAINTEXT"
	args := []string{"-b", c.Bootstrap, "-X", "sasl.mechanism=" + c.Mechanism, "-X", "sasl.username=" + c.User, "-X", "sasl.password=" + c.Password, "-X", "topic.metadata.refresh.interval.ms=3000"}
	if c.CA != "" {
		protocol = "SASL_SSL"
		args = append(args, "-X", "ssl.ca.location="+c.CA)
	}
	args = append(args, "-X", "security.protocol="+protocol)
	records := func(line string) {
		if topic, value, ok := strings.Cut(line, "\t"); ok {
			emit(Event{Kind: "record", Topic: topic, Value: value})
		}
	}
	isolation := "isolation.level=read_uncommitted"
	if c.Committed {
		isolation = "isolation.level=read_committed"
	}
	switch c.Op {
	case "list":
		var text strings.Builder
		if err := run(ctx, exec.CommandContext(ctx, path, append(args, "-L", "-J")...), func(l string) { text.WriteString(l) }); err != nil {
			return err
		}
		var listing struct {
			Topics []struct{ Topic string }
		}
		if err := json.Unmarshal([]byte(text.String()), &listing); err != nil {
			return err
		}
		e := Event{Kind: "topics"}
		for _, t := range listing.Topics {
			e.Topics = append(e.Topics, t.Topic)
		}
		emit(e)
		return nil
	case "produce":
		values := values(c)
		cmd := exec.CommandContext(ctx, path, append(args, "-P", "-t", c.Topics[0], "-X", "enable.idempotence=true", "-X", "message.timeout.ms=10000")...)
		cmd.Stdin = strings.NewReader(strings.Join(values, "\n") + "\n")
		if err := run(ctx, cmd, func(string) {}); err != nil {
			emit(Event{Kind: "error", Topic: c.Topics[0], Text: err.Error()})
			return nil
		}
		for _, v := range values { // it exits with 1 when one is not delivered
			emit(Event{Kind: "sent", Topic: c.Topics[0], Value: v})
		}
		return nil
	case "consume":
		args = append(args, "-X", "auto.offset.reset=earliest", "-X", isolation, "-q", "-u", "-f", "%t\t%s\n", "-c", fmt.Sprint(c.N), "-G", c.Group)
		return run(ctx, exec.CommandContext(ctx, path, append(args, c.Topics...)...), records)
	case "loop":
		if c.Regex {
			c.Topics = []string{"^(" + strings.Join(c.Topics, "|") + ")$"}
		}
		args = append(args, "-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=1000", "-q", "-u", "-f", "%t\t%s\n", "-G", c.Group)
		return run(ctx, exec.CommandContext(ctx, path, append(args, c.Topics...)...), records)
	}
	return fmt.Errorf("kcat has no %s", c.Op)
}

func values(c Command) []string {
	v := make([]string, c.N)
	for i := range v {
		v[i] = fmt.Sprintf("%s-%d", c.Prefix, i)
	}
	return v
}

// java runs Kafka's console tools and its programs for system tests.
func java(tools *kafkatest.Cluster, protocol string) func(context.Context, Command, func(Event)) error {
	return func(ctx context.Context, c Command, emit func(Event)) error {
		props := map[string]string{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": c.Mechanism, "metadata.max.age.ms": "3000", "auto.commit.interval.ms": "1000", "auto.offset.reset": "earliest",
			"isolation.level": "read_uncommitted",
			"sasl.jaas.config": fmt.Sprintf(`org.apache.kafka.common.security.%s required username="%s" password="%s";`,
				map[bool]string{true: "plain.PlainLoginModule", false: "scram.ScramLoginModule"}[c.Mechanism == "PLAIN"], c.User, c.Password),
		}
		if c.CA != "" {
			props["security.protocol"], props["ssl.truststore.type"], props["ssl.truststore.location"] = "SASL_SSL", "PEM", c.CA
		}
		if c.Committed {
			props["isolation.level"] = "read_committed"
		}
		if c.Op == "loop" || c.Op == "consume" {
			props["group.protocol"] = protocol
		}
		if strings.HasPrefix(c.Op, "share") { // which refuse them
			delete(props, "auto.offset.reset")
			delete(props, "isolation.level")
			delete(props, "auto.commit.interval.ms")
		}
		var text strings.Builder
		for _, k := range slices.Sorted(maps.Keys(props)) {
			fmt.Fprintf(&text, "%s=%s\n", k, props[k])
		}
		config := filepath.Join(c.Dir, "java-"+c.Op+"-"+protocol+".properties")
		if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
			return err
		}
		tool := func(name string, args ...string) *exec.Cmd { return tools.Tool(ctx, name, args...) }
		verifiable := func(line string) {
			var e struct{ Name, Topic, Value, Message, Exception string }
			if json.Unmarshal([]byte(line), &e) != nil {
				return
			}
			switch e.Name {
			case "producer_send_success":
				emit(Event{Kind: "sent", Topic: e.Topic, Value: e.Value})
			case "producer_send_error":
				emit(Event{Kind: "error", Topic: e.Topic, Text: e.Exception + " " + e.Message})
			case "record_data":
				emit(Event{Kind: "record", Topic: e.Topic, Value: e.Value})
			}
		}
		produce := func(topic string, more ...string) error {
			return run(ctx, tool("verifiable-producer", append([]string{"--bootstrap-server", c.Bootstrap, "--producer.config", config, "--topic", topic}, more...)...), verifiable)
		}
		switch c.Op {
		case "list":
			e := Event{Kind: "topics"}
			err := run(ctx, tool("topics", "--bootstrap-server", c.Bootstrap, "--command-config", config, "--list"), func(l string) { e.Topics = append(e.Topics, l) })
			if err == nil {
				emit(e)
			}
			return err
		case "produce":
			return produce(c.Topics[0], "--max-messages", fmt.Sprint(c.N), "--value-prefix", fmt.Sprint(prefixNumber(c.Prefix)))
		case "consume":
			return run(ctx, tool("verifiable-consumer", "--bootstrap-server", c.Bootstrap, "--consumer.config", config, "--topic", c.Topics[0], "--group-id", c.Group,
				"--group-protocol", protocol, "--max-messages", fmt.Sprint(c.N), "--verbose"), verifiable)
		case "share", "shareloop": // of one topic; with and without requests of their own for what is accepted
			args := []string{"--bootstrap-server", c.Bootstrap, "--command-config", config, "--topic", c.Topics[0], "--group-id", c.Group, "--verbose"}
			if c.Op == "share" {
				args = append(args, "--max-messages", fmt.Sprint(c.N), "--acknowledgement-mode", "sync")
			}
			return run(ctx, tool("verifiable-share-consumer", args...), verifiable)
		case "transact": // from Topics[1] to Topics[0]; what it copies is fed by the test
			return run(ctx, tool("transactional-copier", "--broker-list", c.trusted, "--input-topic", c.Topics[1], "--input-partition", "0", "--output-topic", c.Topics[0],
				"--transactional-id", c.TxnID, "--consumer-group", c.Group, "--transaction-size", "10", "--max-messages", fmt.Sprint(c.N), "--enable-random-aborts", "--group-mode", "--use-group-metadata"), func(string) {})
		case "loop":
			return run(ctx, tool("console-consumer", "--bootstrap-server", c.Bootstrap, "--consumer.config", config, "--group", c.Group, "--include", strings.Join(c.Topics, "|"),
				"--property", "print.headers=true"), func(line string) {
				if topic, value, ok := strings.Cut(line, "\t"); ok {
					emit(Event{Kind: "record", Topic: strings.TrimPrefix(topic, "topic:"), Value: value})
				}
			})
		case "send": // a producer for each topic
			errs := make(chan error, len(c.Topics))
			for _, topic := range c.Topics {
				go func() { errs <- produce(topic, "--throughput", "10") }()
			}
			var err error
			for range c.Topics {
				err = errors.Join(err, <-errs)
			}
			return err
		}
		return fmt.Errorf("java has no %s", c.Op)
	}
}

// prefixNumber makes a number of a prefix: VerifiableProducer takes no other.
func prefixNumber(s string) int {
	n := 0
	for _, r := range s {
		n = n*31%9973 + int(r)
	}
	return n
}
