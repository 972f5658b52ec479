package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/config"
)

const (
	defaultBootstrap = "127.0.0.1:19092"
	passwordVariable = "SLUICE_PASSWORD"
)

// connection is how the built-in client reaches and proves itself to a gateway,
// or to any Kafka.
type connection struct {
	properties                               string
	bootstrap, username, password, mechanism string
	passwordFile, ca, certificate, key       string
	tls                                      bool
}

func (c *connection) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.properties, "properties", "", "client.properties file, as Kafka's own tools take it")
	f.StringVarP(&c.bootstrap, "bootstrap", "b", "", "host:port to connect to (default "+defaultBootstrap+")")
	f.StringVarP(&c.username, "username", "u", "", "client id of the credential")
	f.StringVar(&c.password, "password", "", "its secret; better in --password-file or in "+passwordVariable)
	f.StringVar(&c.passwordFile, "password-file", "", "file with the secret")
	f.StringVar(&c.mechanism, "mechanism", "", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, whose token is the password (default SCRAM-SHA-256)")
	f.BoolVar(&c.tls, "tls", false, "use TLS")
	f.StringVar(&c.ca, "ca", "", "PEM file with the authorities to trust, instead of the system's; implies --tls")
	f.StringVar(&c.certificate, "cert", "", "PEM file with a client certificate; implies --tls")
	f.StringVar(&c.key, "key", "", "PEM file with its private key")
}

// complete fills in what was not given: from the properties file, the
// environment, and by default.
func (c *connection) complete() error {
	if c.properties != "" {
		p, err := readProperties(c.properties)
		if err != nil {
			return err
		}
		if err := c.fill(p); err != nil {
			return fmt.Errorf("%s: %w", c.properties, err)
		}
	}
	if c.password == "" && c.passwordFile != "" {
		secret, err := config.ReadSecret(config.SecretRef{File: c.passwordFile})
		if err != nil {
			return fmt.Errorf("--password-file: %w", err)
		}
		c.password = secret
	}
	if c.password == "" {
		c.password = environment(passwordVariable)
	}
	if c.bootstrap == "" {
		c.bootstrap = defaultBootstrap
	}
	c.mechanism = strings.ToUpper(c.mechanism)
	if c.mechanism == "" && (c.username != "" || c.password != "") {
		c.mechanism = "SCRAM-SHA-256"
	}
	c.tls = c.tls || c.ca != "" || c.certificate != ""
	switch {
	case (c.certificate == "") != (c.key == ""):
		return usagef("a client certificate needs both --cert and --key")
	case c.mechanism == "" && c.certificate == "":
		return usagef("who are you? give --username and --password-file (or %s), or --properties", passwordVariable)
	case c.mechanism == "":
	case c.username == "" && c.mechanism != "OAUTHBEARER":
		return usagef("--username is missing")
	case c.password == "":
		return usagef("the secret is missing: give --password-file, or set %s", passwordVariable)
	}
	return nil
}

// client returns a Kafka client; it connects when it is used.
func (c *connection) client(more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(strings.ReplaceAll(c.bootstrap, " ", ""), ",")...),
		kgo.ClientID("sluice-cli"), kgo.DialTimeout(5 * time.Second), kgo.RetryTimeout(20 * time.Second),
		kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(250 * time.Millisecond),
	}
	var mechanism sasl.Mechanism
	switch c.mechanism {
	case "":
	case "PLAIN":
		mechanism = plain.Auth{User: c.username, Pass: c.password}.AsMechanism()
	case "SCRAM-SHA-256":
		mechanism = scram.Auth{User: c.username, Pass: c.password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		mechanism = scram.Auth{User: c.username, Pass: c.password}.AsSha512Mechanism()
	case "OAUTHBEARER":
		mechanism = oauth.Auth{Token: c.password}.AsMechanism()
	default:
		return nil, usagef("--mechanism %q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", c.mechanism)
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	if c.tls {
		t, err := c.tlsConfig()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	return kgo.NewClient(append(opts, more...)...)
}

func (c *connection) tlsConfig() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, fmt.Errorf("read the authorities to trust: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate: give certificates in PEM", c.ca)
		}
	}
	if c.certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.certificate, c.key)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// connect proves that the gateway is there and lets us in, so that what is
// wrong is told at once and not retried in silence.
func (c *connection) connect(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return c.explain(err)
	}
	return nil
}

// explain says in words why a gateway cannot be used.
func (c *connection) explain(err error) error {
	err = once(err)
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("%s refuses the login of %q by %s: check user name, secret and mechanism: %w", c.bootstrap, c.username, c.mechanism, err)
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("%s does not offer %s: choose another with --mechanism: %w", c.bootstrap, c.mechanism, err)
	case strings.Contains(text, "connection refused"), strings.Contains(text, "no such host"), strings.Contains(text, "unable to dial"):
		if strings.Contains(text, "tls:") || strings.Contains(text, "x509") {
			// A listener of sluice answers TLS that it does not speak with an alert.
			if strings.Contains(text, "does not look like a TLS handshake") || strings.Contains(text, "protocol version not supported") {
				return fmt.Errorf("TLS with %s: %w: the listener may be plaintext: check --tls", c.bootstrap, err)
			}
			return fmt.Errorf("TLS with %s: %w: check --tls and --ca", c.bootstrap, err)
		}
		return fmt.Errorf("nothing answers at %s: check --bootstrap, and that the gateway runs: %w", c.bootstrap, err)
	case strings.Contains(text, "EOF"), strings.Contains(text, "reset by peer"):
		hint := "check --tls, --mechanism and the credential"
		if c.tls {
			hint += "; the listener may be plaintext"
		}
		return fmt.Errorf("%s closes the connection: %s; or the gateway cannot reach its Kafka: see its log or /readyz: %w", c.bootstrap, hint, err)
	}
	return fmt.Errorf("%s: %w", c.bootstrap, err)
}

// reworded is an error in other words.
type reworded struct {
	text string
	error
}

func (r *reworded) Error() string { return r.text }
func (r *reworded) Unwrap() error { return r.error }

// once leaves out what Kafka's error codes say in general where the server says
// it in particular.
func once(err error) error {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return err
	}
	text := strings.Replace(err.Error(), code.Error()+": ", code.Message+": ", 1)
	return &reworded{text, err}
}

// refusal says in words what Kafka's error codes mean here.
func refusal(err error, topic, verb string) error {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return err
	}
	switch code {
	case kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID:
		return fmt.Errorf("refused: this application may not %s topic %q, or there is no such topic: check the name and the subscriptions (%s)", verb, topic, code.Message)
	case kerr.PolicyViolation:
		return fmt.Errorf("refused: topic %q takes no records from this application now: its subscription is suspended, ended or used up (%s)", topic, code.Message)
	case kerr.InconsistentGroupProtocol:
		return fmt.Errorf("refused: another client with another assignor is still in this group: end it, or choose another with --group (%s)", code.Message)
	case kerr.GroupAuthorizationFailed:
		return fmt.Errorf("refused: this application may not use that consumer group (%s)", code.Message)
	}
	return err
}

// fetchError returns the first error of a poll, or nil.
func fetchError(f kgo.Fetches) error {
	for _, e := range f.Errors() {
		return e.Err
	}
	return nil
}
