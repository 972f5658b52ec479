package kafkatest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// toolClass returns the class of a tool's short name in a release; other names are taken to be classes.
func toolClass(name, version string) string {
	old := strings.HasPrefix(version, "3.")
	oldElse := func(class, now string) string {
		if old {
			return class
		}
		return now
	}
	const tools = "org.apache.kafka.tools."
	switch name {
	case "acls":
		return oldElse("kafka.admin.AclCommand", tools+"AclCommand")
	case "api-versions":
		return oldElse("kafka.admin.BrokerApiVersionsCommand", tools+"BrokerApiVersionsCommand")
	case "client-compatibility":
		return tools + "ClientCompatibilityTest"
	case "configs":
		return "kafka.admin.ConfigCommand"
	case "console-consumer":
		return tools + "consumer.ConsoleConsumer"
	case "console-producer":
		return oldElse("kafka.tools.ConsoleProducer", tools+"ConsoleProducer")
	case "console-share-consumer":
		return tools + "consumer.ConsoleShareConsumer"
	case "consumer-groups":
		return tools + "consumer.group.ConsumerGroupCommand"
	case "consumer-perf":
		return tools + "ConsumerPerformance"
	case "delete-records":
		return tools + "DeleteRecordsCommand"
	case "dump-log":
		if strings.HasPrefix(version, "4.3.") {
			return tools + "DumpLogSegments"
		}
		return "kafka.tools.DumpLogSegments"
	case "e2e-latency":
		return tools + "EndToEndLatency"
	case "features":
		return tools + "FeatureCommand"
	case "groups":
		return oldElse(tools+"consumer.group.ConsumerGroupCommand", tools+"GroupsCommand")
	case "leader-election":
		return tools + "LeaderElectionCommand"
	case "log-dirs":
		return tools + "LogDirsCommand"
	case "offsets":
		return tools + "GetOffsetShell"
	case "producer-perf":
		return tools + "ProducerPerformance"
	case "quorum":
		return tools + "MetadataQuorumCommand"
	case "reassign":
		return tools + "reassign.ReassignPartitionsCommand"
	case "share-groups":
		return tools + "consumer.group.ShareGroupCommand"
	case "topics":
		return tools + "TopicCommand"
	case "transactional-copier":
		return tools + "TransactionalMessageCopier"
	case "transactions":
		return tools + "TransactionsCommand"
	case "verifiable-consumer":
		return tools + "VerifiableConsumer"
	case "verifiable-producer":
		return tools + "VerifiableProducer"
	case "verifiable-share-consumer":
		return tools + "VerifiableShareConsumer"
	}
	for _, short := range []string{"VerifiableProducer", "VerifiableConsumer", "VerifiableShareConsumer", "TransactionalMessageCopier", "ClientCompatibilityTest"} {
		if name == short {
			return tools + name
		}
	}
	return name
}

// Classpath returns the class path of the release's jars, as "java -cp" takes it.
func (c *Cluster) Classpath() string { return filepath.Join(c.libs, "*") }

// Java returns the path of the Java that runs the brokers.
func (c *Cluster) Java() string { return c.java }

// Tool returns a command that runs one of Kafka's tools, or any class of the release, from the cluster's jars. name is
// a short name (topics, configs, acls, groups, consumer-groups, share-groups, offsets, console-producer,
// console-consumer, console-share-consumer, producer-perf, consumer-perf, e2e-latency, verifiable-producer,
// verifiable-consumer, verifiable-share-consumer, transactional-copier, client-compatibility, transactions,
// delete-records, log-dirs, api-versions, leader-election, reassign, features, quorum, dump-log) or a class.
// No argument is added: the caller says which address to use. The command's process group is killed when ctx ends,
// and on Linux when the calling process does.
func (c *Cluster) Tool(ctx context.Context, name string, args ...string) *exec.Cmd {
	all := append([]string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", c.Classpath(),
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", toolClass(name, c.Version)}, args...)
	cmd := exec.CommandContext(ctx, c.java, all...)
	cmd.Env = toolEnv()
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// ClientConfig writes a properties file for Kafka's tools and returns its path; it goes with the cluster. mechanism is
// PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or empty for no SASL; user one of Options.Users. With overTLS the
// client trusts the cluster's CA, and shows the client certificate if there is no mechanism.
func (c *Cluster) ClientConfig(mechanism, user string, overTLS bool) (string, error) {
	protocol := map[[2]bool]string{{false, false}: "PLAINTEXT", {true, false}: "SASL_PLAINTEXT", {false, true}: "SSL", {true, true}: "SASL_SSL"}
	lines := []string{"security.protocol=" + protocol[[2]bool{mechanism != "", overTLS}]}
	if mechanism != "" {
		if _, known := c.options.Users[user]; !known {
			return "", fmt.Errorf("client config: no user %q", user)
		}
		const pkg = "org.apache.kafka.common.security."
		login := fmt.Sprintf(` required username="%s" password="%s";`, user, c.options.Users[user])
		switch mechanism {
		case "PLAIN":
			login = pkg + "plain.PlainLoginModule" + login
		case "SCRAM-SHA-256", "SCRAM-SHA-512":
			login = pkg + "scram.ScramLoginModule" + login
		case "OAUTHBEARER":
			login = pkg + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="` + user + `";`
		default:
			return "", fmt.Errorf("client config: no mechanism %q", mechanism)
		}
		lines = append(lines, "sasl.mechanism="+mechanism, "sasl.jaas.config="+login)
	}
	if overTLS {
		if c.CA == "" {
			return "", fmt.Errorf("client config: the cluster has no TLS")
		}
		lines = append(lines, "ssl.truststore.type=PEM", "ssl.truststore.location="+c.CA)
		if mechanism == "" {
			lines = append(lines, "ssl.keystore.type=PEM", "ssl.keystore.location="+c.path("tls", "client.keystore.pem"))
		}
	}
	name := slices.DeleteFunc([]string{"client", strings.ToLower(mechanism), user, protocol[[2]bool{mechanism != "", overTLS}]},
		func(s string) bool { return s == "" })
	path := c.path(strings.Join(name, "-") + ".properties")
	return path, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}
