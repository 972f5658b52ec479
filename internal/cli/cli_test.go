package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/config"
)

// run runs a command line with programs that say what they were told.
func run(t *testing.T, args ...string) (code int, out, problems string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := Programs{
		Version: "v1.2.3", BrokerCommand: "embedded-broker",
		Serve: func(_ context.Context, s Setup) error {
			fmt.Fprintf(&stdout, "serve %s %s %s %s %v\n", s.Config.Listeners[0].Address, s.Config.Listeners[0].BrokerPorts, s.Config.Operations.Address, s.Config.DataDir, s.Resources)
			return nil
		},
		Check: func(s Setup, without bool) []Problem {
			if len(s.Resources) == 0 {
				return []Problem{{Message: "nothing", Fix: "do"}}
			}
			return []Problem{{Message: "hm", Warning: true}}
		},
		Doctor: func(_ context.Context, _ Setup, report func(Finding)) {
			report(Finding{Area: "a", OK: true, Message: "good"})
			report(Finding{Area: "a", Message: "bad", Fix: "repair"})
			report(Finding{Area: "b", OK: true, Message: "so so", Fix: "advice"})
		},
		Broker: func(context.Context, io.Reader, io.Writer, []string) error { return io.EOF },
	}
	code = Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, p)
	return code, stdout.String(), stderr.String()
}

// contracts writes AsyncAPI documents for lint and breaking into the working directory.
func contracts(t *testing.T) {
	t.Helper()
	const good = "asyncapi: 3.0.0\nid: urn:example:orders\ninfo: {title: Orders, version: 1.0.0}\nchannels: {placed: {address: orders.placed, messages: {placed: {payload: {type: string}}}}}\n" +
		"operations: {send: {action: send, channel: {$ref: '#/channels/placed'}}}\n"
	message := "{payload: {type: string}}"
	if err := os.Mkdir("parts", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"good.yaml":         good,
		"later.yaml":        strings.Replace(good, "orders.placed", "orders.placed.v2", 1),
		"broken.yaml":       strings.Replace(good, message, "{$ref: '#/components/messages/Placed'}", 1),
		"parts/parted.yaml": strings.Replace(good, message, "{$ref: '../secret.yaml'}", 1),
		"rules.yaml":        "rules: {prefix: {description: orders only, severity: error, given: '$.channels[*]', then: {field: address, function: pattern, functionOptions: {match: ^shop}}}}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCommandLines(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.yaml", []byte("listen: 1\nlog: {level: loud}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	contracts(t)
	for _, tc := range []struct {
		args string
		code int
		out  string // in the output
		err  string // in the error stream
	}{
		{"version", 0, "sluice v1.2.3", ""},
		{"", 0, "sluice serve --config", ""},
		{"--help", 0, "\nSubscriptions and credentials:\n  approve ", ""},
		{"--help", 0, "\nMore:\n  completion ", ""},
		{"tail --help", 0, "--properties", ""},
		{"serv", 2, "", `there is no command "serv": did you mean serve?`},
		{"config chek", 2, "", `there is no command "sluice config chek"`},
		{"serve --prot 1", 2, "", "unknown flag: --prot\nsee: sluice serve --help"},
		{"serve now", 2, "", `unexpected argument "now"`},
		{"tail", 2, "", "the topic is missing, as in: sluice tail orders.placed"},
		{"tail a b -u x", 2, "", `unexpected argument "b"`},
		{"tail a", 2, "", "who are you?"},
		{"tail a -u x", 2, "", "the secret is missing"},
		{"tail a --password x", 2, "", "--username is missing"},
		{"tail a -u x --password y --from here", 2, "", `--from "here" is not`},
		{"tail a -u x --password y -o xml", 2, "", `-o "xml" is not`},
		{"tail a -u x --password y -n -1", 2, "", "-n -1 is negative"},
		{"tail a -u x --password y -g g --follow=false", 2, "", "use -n"},
		{"tail a -u x --password y --mechanism MD5", 2, "", `--mechanism "MD5" is not one of`},
		{"tail a --cert c", 2, "", "both --cert and --key"},
		{"tail a --properties nothing", 1, "", "nothing: no such file"},
		{"tail a -u x --password y --ca nothing", 1, "", "nothing: no such file"},
		{"tail a -u x --password y -b 127.0.0.1:1", 1, "", "nothing answers at 127.0.0.1:1: check --bootstrap"},
		{"produce a -u x --password-file nothing", 1, "", "--password-file"},
		{"produce a -u x --password y --separator=", 2, "", "--separator is empty"},
		{"serve --config nothing.yaml", 1, "", "nothing.yaml"},
		{"serve --config bad.yaml", 1, "", "unknown field"},
		{"serve -f r", 0, "serve 127.0.0.1:19092 19093-19192 127.0.0.1:19644 sluice-data [r]", ""},
		{"serve -f r -f s --listen 127.0.0.1:29092 --data-dir d --operations 127.0.0.1:1", 0, "serve 127.0.0.1:29092 29093-29192 127.0.0.1:1 d [r s]", ""},
		{"serve --listen 127.0.0.1:0", 0, "serve 127.0.0.1:0 0-0", ""},
		{"serve --listen 127.0.0.1:29092 --broker-ports 30000-30010", 0, "30000-30010", ""},
		{"serve --listen nowhere", 2, "", `--listen "nowhere" is not host:port`},
		{"serve --broker-ports x", 2, "", `--broker-ports "x" is not a range`},
		{"config check", 3, "nothing: do\nnot good: this would not start", ""},
		{"config check -f r", 0, "warning: hm\ngood, with 1 warning", ""},
		{"config check --config bad.yaml", 3, `"loud" is not known here`, ""},
		{"doctor -f resources", 3, "  ok  good\n  !!  bad\n      → repair\n\nb\n  -   so so\n      → advice\n\n1 thing to repair", ""},
		{"lint", 2, "", "the file is missing, as in: sluice lint orders.asyncapi.yaml"},
		{"lint nothing.yaml", 1, "", "nothing.yaml: no such file"},
		{"lint good.yaml --prot", 2, "", "unknown flag: --prot"},
		{"lint good.yaml", 0, "good", ""},
		{"lint good.yaml --pack all", 0, "good.yaml:3:1: warning: nobody is named to ask: add contact: {name: …, email: …} [docs-owner]", ""},
		{"lint good.yaml --pack docs-complete --fail-on warning", 3, "; score ", ""},
		{"lint good.yaml --pack doc-complete", 2, "", "--pack: there is no pack \"doc-complete\": did you mean docs-complete?"},
		{"lint good.yaml --fail-on never", 2, "", "--fail-on \"never\" is not a severity"},
		{"lint good.yaml -o json", 0, "\"rights\": [\n    {\n      \"channel\": \"placed\",\n      \"address\": \"orders.placed\",\n      \"read\": true,\n      \"write\": false\n    }\n  ]", ""},
		{"lint broken.yaml", 3, "broken.yaml:4:65: error: \"#/components/messages/Placed\" refers to nothing: correct the reference, or add what it names [ref-dangling]\n1 error\n", ""},
		{"lint broken.yaml -o json", 3, "\"rule\": \"ref-dangling\",\n      \"severity\": \"error\",\n      \"file\": \"broken.yaml\",\n      \"line\": 4,\n      \"column\": 65,\n      \"pointer\": \"/channels/placed/messages/placed/$ref\"", ""},
		{"lint parts/parted.yaml", 0, "parts/parted.yaml:4:65: warning: secret.yaml is outside of this document and is not read", ""},
		{"lint parts/parted.yaml --root .", 3, "parts/parted.yaml:4:65: error: secret.yaml cannot be read: no such file or directory", ""},
		{"lint good.yaml --ruleset rules.yaml", 3, "good.yaml:4:21: error: orders only: \"orders.placed\" does not match ^shop [prefix]", ""},
		{"lint good.yaml --ruleset broken.yaml", 1, "", "the ruleset cannot be used"},
		{"lint .", 1, "", ". is not a file"},
		{"breaking good.yaml", 2, "", "the new revision is missing, as in: sluice breaking"},
		{"breaking good.yaml good.yaml", 0, "nobody notices", ""},
		{"breaking good.yaml later.yaml", 3, "later.yaml:4:21: error: readers: channel placed has the address \"orders.placed.v2\", which was \"orders.placed\": take it back, or publish a new major version [channel-address]\n    was good.yaml:4:21 /channels/placed/address\n1 error\n", ""},
		{"breaking good.yaml later.yaml --changelog", 3, "- Breaking for readers: channel placed has the address", ""},
		{"breaking good.yaml later.yaml -o json", 3, "\"breaking\": true,", ""},
		{"breaking good.yaml rules.yaml", 1, "", "rules.yaml cannot be compared: sluice lint rules.yaml tells all"},
		{"breaking good.yaml later.yaml -o xml", 2, "", "-o \"xml\" is not a format"},
		{"embedded-broker --data-dir x", 1, "", ""},
		{"whoami --server http://127.0.0.1:1", 1, "", "nothing answers at 127.0.0.1:1: check the address, and that a control plane runs there"},
		{"apply -f nothing.yaml", 1, "", "nothing.yaml: no such file"},
		{"people chek", 2, "", `there is no command "sluice people chek"`},
		{"completion bash", 0, "bash completion", ""},
	} {
		t.Run(tc.args, func(t *testing.T) {
			code, out, problems := run(t, strings.Fields(tc.args)...)
			if code != tc.code {
				t.Errorf("exit code: got %d, want %d", code, tc.code)
			}
			if !strings.Contains(out, tc.out) {
				t.Errorf("output: got %q, want %q in it", out, tc.out)
			}
			if !strings.Contains(problems, tc.err) || tc.code == 0 && problems != "" {
				t.Errorf("error stream: got %q, want %q in it", problems, tc.err)
			}
		})
	}
}

func TestProperties(t *testing.T) {
	text := "# comment\n! another\nplain=1\n  spaced : two words \ntab\tthree\nlong = a,\\\n   b\nescaped\\ key=\\u00e4\\t\\\\x\nempty=\nalone\r\nlast=no line end\\"
	want := map[string]string{"plain": "1", "spaced": "two words ", "tab": "three", "long": "a,b", "escaped key": "ä\t\\x", "empty": "", "alone": "", "last": "no line end"}
	if got := parseProperties(text); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzProperties(f *testing.F) {
	f.Add("a=b\\\nc\\u00e")
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range parseProperties(text) {
			jaasOptions(v)
		}
	})
}

func TestConnectionFromProperties(t *testing.T) {
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required"
	for _, tc := range []struct {
		name, file string
		given      connection
		want       connection
		err        string
	}{
		{"Java's own", "bootstrap.servers=h:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=" + scram + ` username="u" password="p w;\\"q";`,
			connection{}, connection{bootstrap: "h:1", tls: true, mechanism: "PLAIN", username: "u", password: `p w;"q`}, ""},
		{"single quotes and none", "sasl.jaas.config=" + scram + " username=u password='p';", connection{}, connection{bootstrap: defaultBootstrap, mechanism: "SCRAM-SHA-256", username: "u", password: "p"}, ""},
		{"librdkafka's", "sasl.mechanisms=SCRAM-SHA-512\nsasl.username=u\nsasl.password=p\nssl.ca.location=ca.pem\n",
			connection{}, connection{bootstrap: defaultBootstrap, mechanism: "SCRAM-SHA-512", username: "u", password: "p", ca: "ca.pem", tls: true}, ""},
		{"flags win", "bootstrap.servers=h:1\nsasl.username=u\nsasl.password=p\n", connection{bootstrap: "x:2", username: "me"}, connection{bootstrap: "x:2", username: "me", password: "p", mechanism: "SCRAM-SHA-256"}, ""},
		{"a truststore in PEM", "ssl.truststore.type=PEM\nssl.truststore.location=t.pem\nsasl.username=u\nsasl.password=p\n", connection{}, connection{bootstrap: defaultBootstrap, username: "u", password: "p", mechanism: "SCRAM-SHA-256", ca: "t.pem", tls: true}, ""},
		{"a truststore in JKS", "ssl.truststore.location=t.jks\n", connection{}, connection{}, "--ca"},
		{"an unknown protocol", "security.protocol=SASL_TLS\n", connection{}, connection{}, "SASL_TLS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := tc.given
			c.properties = filepath.Join(t.TempDir(), "client.properties")
			if err := os.WriteFile(c.properties, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			err := c.complete()
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			c.properties = ""
			if err != nil || c != tc.want {
				t.Errorf("got %+v, %v, want %+v", c, err, tc.want)
			}
		})
	}
	t.Run("the secret from the environment", func(t *testing.T) {
		t.Setenv(passwordVariable, "hidden")
		c := connection{username: "u"}
		if err := c.complete(); err != nil || c.password != "hidden" {
			t.Errorf("got %q, %v, want hidden", c.password, err)
		}
	})
}

func TestRecordsAreReadable(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 30, 0, 5e6, time.UTC)
	record := func(key, value []byte, headers ...kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{Topic: "t", Partition: 2, Offset: 7, Timestamp: at, Key: key, Value: value, Headers: headers}
	}
	for _, tc := range []struct {
		name    string
		printer printer
		record  *kgo.Record
		want    string
	}{
		{"text", printer{format: formatText}, record([]byte("k"), []byte(`{"a": 1}`)), "2026-03-01T08:30:00.005Z  2@7  k  {\"a\": 1}\n"},
		{"nothing", printer{format: formatText}, record(nil, nil), "2026-03-01T08:30:00.005Z  2@7  -  null\n"},
		{"controls stay out of the terminal", printer{format: formatText}, record([]byte("\x1b[2J"), []byte("a\nb\tc")), `2026-03-01T08:30:00.005Z  2@7  \u001b[2J  a\nb\tc` + "\n"},
		{"bytes", printer{format: formatText}, record(nil, []byte{0xff, 0}), "2026-03-01T08:30:00.005Z  2@7  -  base64:/wA=\n"},
		{"headers", printer{format: formatText}, record(nil, []byte("v"), kgo.RecordHeader{Key: "trace", Value: []byte("1")}), "2026-03-01T08:30:00.005Z  2@7  -  v  trace=1\n"},
		{"colours", printer{format: formatText, style: style{on: true}, short: true}, record([]byte("k"), []byte(`{"a":"b\"c"}`)), "\x1b[36m2@7\x1b[0m  \x1b[1mk\x1b[0m  {\x1b[2m\"a\"\x1b[0m:\x1b[32m\"b\\\"c\"\x1b[0m}\n"},
		{"raw", printer{format: formatRaw}, record([]byte("k"), []byte("a\x00b")), "a\x00b\n"},
		{"json in json", printer{format: formatJSON}, record([]byte("k"), []byte(`{"a":"<"}`)), `{"topic":"t","partition":2,"offset":7,"timestamp":"2026-03-01T08:30:00.005Z","key":"k","value":{"a":"<"}}` + "\n"},
		{"text in json", printer{format: formatJSON}, record(nil, []byte("a b")), `{"topic":"t","partition":2,"offset":7,"timestamp":"2026-03-01T08:30:00.005Z","key":null,"value":"a b"}` + "\n"},
		{"bytes in json", printer{format: formatJSON}, record([]byte{0xff}, []byte{0xff}), `{"topic":"t","partition":2,"offset":7,"timestamp":"2026-03-01T08:30:00.005Z","key":null,"key_base64":"/w==","value":null,"value_base64":"/w=="}` + "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			tc.printer.w = &out
			if err := tc.printer.print(tc.record); err != nil || out.String() != tc.want {
				t.Errorf("got %q, %v, want %q", out.String(), err, tc.want)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"/a/b.properties": "/a/b.properties", "/a b": "'/a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'"} {
		if got := quote(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestDefaultDemoDir(t *testing.T) {
	t.Setenv("HOME", "/home/somebody")
	for given, want := range map[string]string{"": "/home/somebody/.local/share/sluice/demo", "/data": "/data/sluice/demo", "relative": "/home/somebody/.local/share/sluice/demo"} {
		t.Setenv("XDG_DATA_HOME", given)
		if got, err := defaultDemoDir(); got != want || err != nil {
			t.Errorf("XDG_DATA_HOME=%q: got %q, %v, want %q", given, got, err, want)
		}
	}
}

func TestAddressesFollowTheListener(t *testing.T) {
	var ports []string
	for _, listen := range []string{"", "127.0.0.1:1000", "127.0.0.1:65500", "127.0.0.1:0"} {
		c := config.Default()
		if err := applyAddresses(&c, listen, "", ""); err != nil {
			t.Fatal(err)
		}
		ports = append(ports, c.Listeners[0].BrokerPorts.String())
	}
	if want := []string{"19093-19192", "1001-1100", "65501-65535", "0-0"}; !slices.Equal(ports, want) {
		t.Errorf("got %q, want %q", ports, want)
	}
}

func TestErrorsAreExplained(t *testing.T) {
	login := fmt.Errorf("%w: authentication failed: revoked", kerr.SaslAuthenticationFailed)
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"a refused login says it once", (&connection{bootstrap: "h:1", username: "u", mechanism: "PLAIN"}).explain(login),
			`h:1 refuses the login of "u" by PLAIN: check user name, secret and mechanism: SASL_AUTHENTICATION_FAILED: authentication failed: revoked`},
		{"TLS to plaintext", (&connection{bootstrap: "h:1", tls: true}).explain(errors.New("unable to dial: tls: first record does not look like a TLS handshake")),
			"TLS with h:1: unable to dial: tls: first record does not look like a TLS handshake: the listener may be plaintext: check --tls"},
		{"a closed connection", (&connection{bootstrap: "h:1"}).explain(io.EOF),
			"h:1 closes the connection: check --tls, --mechanism and the credential; or the gateway cannot reach its Kafka: see its log or /readyz: EOF"},
		{"another assignor", refusal(kerr.InconsistentGroupProtocol, "t", "read"),
			"refused: another client with another assignor is still in this group: end it, or choose another with --group (INCONSISTENT_GROUP_PROTOCOL)"},
	} {
		if tc.err.Error() != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, tc.err, tc.want)
		}
	}
	if err := (&connection{}).explain(login); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("got %v, want it to be SASL_AUTHENTICATION_FAILED still", err)
	}
}
