// Package codesample writes complete programs that read or write a topic through the
// gateway, in the languages and for the tools that people have. Its main function is All.
// It knows nothing of documents or of who asks, and keeps no secret: where one belongs
// stands a part that its reader fills in.
package codesample

import (
	"embed"
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"unicode"
)

// Values are what is filled in. Texts may hold anything but control characters and those
// of Unicode's private use; each sample quotes them as its language wants it.
type Values struct {
	// Bootstrap is host:port, or several with commas.
	Bootstrap string
	// TLS says that the listener speaks it, and CA that its certificate is not of a public
	// authority: samples then trust a file ca.pem beside them.
	TLS, CA bool
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, and empty for a
	// client certificate, which is in files client.pem and client.key beside the sample.
	Mechanism string
	// Username is the user of PLAIN and SCRAM, and the client id of OAUTHBEARER.
	Username string
	// TokenEndpoint is where OAUTHBEARER gets tokens.
	TokenEndpoint string
	Topic         string
	// Group is a consumer group; a sample that only writes has no use for it.
	Group string
	// Read and Write say which samples there are.
	Read, Write bool
	// Record is what a sample that writes sends, in JSON; {} where it is empty.
	Record string
}

// Secret is what stands in the part of a secret until somebody fills it in. What the
// control plane makes is of letters and digits, which no language quotes.
const Secret = "YOUR_SECRET"

// Part is a piece of a text. Value names what was filled in, as bootstrap, topic, group,
// username or secret; it is empty for what is the same for everybody.
type Part struct{ Text, Value string }

// Program is one file with the commands that run it.
type Program struct {
	// File is what it is called, empty for what is typed and needs no file.
	File string
	Text []Part
	// Run are commands, a line each; none for what is typed itself.
	Run []Part
}

// Sample is one language or tool.
type Sample struct {
	// ID is stable, as python; Title is for people, and Needs says what has to be there.
	ID, Title, Needs string
	// Language is the syntax for highlighting, as java, bash or properties.
	Language string
	// Consume and Produce are nil where the rights or the tool do not give them.
	Consume, Produce *Program
}

//go:embed templates
var files embed.FS

// tool is one template.
type tool struct {
	id, title, needs, language string
	consume, produce           string // files
}

// tools are in the order in which they are shown.
var tools = []tool{
	{"kcat", "kcat", "kcat 1.7 or newer", "bash", "", ""},
	{"sluice", "sluice", "the sluice command", "bash", "", ""},
	{"python", "Python", "pip install confluent-kafka", "python", "consume.py", "produce.py"},
	{"java", "Java", "Java 17, and kafka-clients with slf4j-api on the class path", "java", "Consume.java", "Produce.java"},
	{"kotlin", "Kotlin with Spring", "Spring Boot with org.springframework.kafka:spring-kafka, and the Kotlin plugin spring", "kotlin", "Consume.kt", "Produce.kt"},
	{"go", "Go", "github.com/twmb/franz-go", "go", "main.go", "main.go"},
	{"node", "Node.js", "npm install kafkajs kafkajs-snappy", "javascript", "consume.mjs", "produce.mjs"},
	{"csharp", "C#", "dotnet add package Confluent.Kafka", "csharp", "Program.cs", "Program.cs"},
	{"rust", "Rust", "cargo add rdkafka --features ssl,gssapi,libz && cargo add tokio --features full", "rust", "src/main.rs", "src/main.rs"},
	{"php", "PHP", "the extension rdkafka", "php", "consume.php", "produce.php"},
	{"console", "Kafka's console tools", "Apache Kafka 3.9 or newer", "properties", "client.properties", "client.properties"},
	{"connect", "Kafka Connect", "Apache Kafka 3.9 or newer, with its file connectors", "properties", "connect.properties", "connect.properties"},
}

// All returns the samples for what values say, in a stable order. An error names a value
// that no sample can hold.
func All(v Values) ([]Sample, error) {
	if err := v.sound(); err != nil {
		return nil, err
	}
	view := newView(v)
	var out []Sample
	for _, t := range tools {
		s := Sample{ID: t.id, Title: t.title, Needs: t.needs, Language: t.language}
		var err error
		if v.Read {
			if s.Consume, err = view.program(t.id, "consume", t.consume); err != nil {
				return nil, err
			}
		}
		if v.Write {
			if s.Produce, err = view.program(t.id, "produce", t.produce); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func (v Values) sound() error {
	for _, t := range []struct{ name, text string }{{"bootstrap", v.Bootstrap}, {"username", v.Username}, {"topic", v.Topic}, {"group", v.Group}, {"token endpoint", v.TokenEndpoint}, {"record", v.Record}} {
		for _, r := range t.text {
			if unicode.IsControl(r) || unicode.Is(unicode.Co, r) || r == unicode.ReplacementChar {
				return fmt.Errorf("no sample can hold %s %q: it has the character %U", t.name, t.text, r)
			}
		}
	}
	switch v.Mechanism {
	case "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	case "OAUTHBEARER":
		if u, err := url.Parse(v.TokenEndpoint); err != nil || u.Host == "" {
			return fmt.Errorf("no sample can get a token from %q: it is no URL", v.TokenEndpoint)
		}
	default:
		return fmt.Errorf("no sample has the mechanism %q", v.Mechanism)
	}
	return nil
}

// Where a filled in value begins, where its name ends, and where it ends: characters of
// private use, which sound keeps out of values and quoting leaves alone.
const (
	begin  = "\ue000"
	middle = "\ue001"
	end    = "\ue002"
)

func filled(name, text string) string { return begin + name + middle + text + end }

// setting is a line of a client's configuration.
type setting struct{ Key, Value string }

// view is what templates see. Texts in it are marked, and not quoted yet.
type view struct {
	Values
	Bootstrap, Topic, Group, Username, Secret, TokenEndpoint, Record string
	// Java and Librdkafka are the settings of connecting in their two dialects; JVM are
	// flags that Java wants besides.
	Java, Librdkafka []setting
	JVM              []string
	templates        *template.Template
}

func newView(v Values) *view {
	w := &view{Values: v, Bootstrap: filled("bootstrap", v.Bootstrap), Topic: filled("topic", v.Topic), Group: filled("group", v.Group),
		Username: filled("username", v.Username), Secret: filled("secret", Secret), TokenEndpoint: filled("token endpoint", v.TokenEndpoint), Record: v.Record}
	if w.Record == "" {
		w.Record = "{}"
	}
	protocol := map[bool]map[bool]string{false: {false: "PLAINTEXT", true: "SASL_PLAINTEXT"}, true: {false: "SSL", true: "SASL_SSL"}}[v.TLS][v.Mechanism != ""]
	w.Java = []setting{{"bootstrap.servers", w.Bootstrap}, {"security.protocol", protocol}}
	w.Librdkafka = []setting{{"bootstrap.servers", w.Bootstrap}, {"security.protocol", protocol}}
	if v.Mechanism != "" {
		w.Java = append(w.Java, setting{"sasl.mechanism", v.Mechanism})
		w.Librdkafka = append(w.Librdkafka, setting{"sasl.mechanism", v.Mechanism})
	}
	switch module := ""; v.Mechanism {
	case "PLAIN":
		module = "org.apache.kafka.common.security.plain.PlainLoginModule"
		fallthrough
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		if module == "" {
			module = "org.apache.kafka.common.security.scram.ScramLoginModule"
		}
		w.Java = append(w.Java, setting{"sasl.jaas.config", module + " required username=" + double(w.Username) + " password=" + double(w.Secret) + ";"})
		w.Librdkafka = append(w.Librdkafka, setting{"sasl.username", w.Username}, setting{"sasl.password", w.Secret})
	case "OAUTHBEARER":
		w.JVM = []string{"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + w.TokenEndpoint}
		w.Java = append(w.Java, setting{"sasl.jaas.config", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=" + double(w.Username) + " clientSecret=" + double(w.Secret) + ";"},
			setting{"sasl.login.callback.handler.class", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"},
			setting{"sasl.oauthbearer.token.endpoint.url", w.TokenEndpoint})
		w.Librdkafka = append(w.Librdkafka, setting{"sasl.oauthbearer.method", "oidc"}, setting{"sasl.oauthbearer.client.id", w.Username},
			setting{"sasl.oauthbearer.client.secret", w.Secret}, setting{"sasl.oauthbearer.token.endpoint.url", w.TokenEndpoint})
	}
	if v.CA {
		w.Java = append(w.Java, setting{"ssl.truststore.type", "PEM"}, setting{"ssl.truststore.location", "ca.pem"})
		w.Librdkafka = append(w.Librdkafka, setting{"ssl.ca.location", "ca.pem"})
	}
	if v.Mechanism == "" {
		w.Java = append(w.Java, setting{"ssl.keystore.type", "PEM"}, setting{"ssl.keystore.location", "client.pem"})
		w.Librdkafka = append(w.Librdkafka, setting{"ssl.certificate.location", "client.pem"}, setting{"ssl.key.location", "client.key"})
	}
	return w
}

// program carries out one template: its part for the action, and the one for running it.
func (w *view) program(id, action, file string) (*Program, error) {
	if w.templates == nil {
		t, err := template.New("").Option("missingkey=error").Funcs(functions).ParseFS(files, "templates/*.tmpl")
		if err != nil {
			return nil, err
		}
		w.templates = t
	}
	if w.templates.Lookup(id+" "+action) == nil {
		return nil, nil
	}
	var text, run strings.Builder
	if err := w.templates.ExecuteTemplate(&text, id+" "+action, w); err != nil {
		return nil, err
	}
	p := &Program{File: file, Text: parts(strings.Trim(text.String(), "\n") + "\n")}
	for _, name := range []string{id + " run " + action, id + " run"} {
		if w.templates.Lookup(name) == nil {
			continue
		}
		if err := w.templates.ExecuteTemplate(&run, name, w); err != nil {
			return nil, err
		}
		p.Run = parts(strings.Trim(run.String(), "\n") + "\n")
		break
	}
	return p, nil
}

// parts takes a text with marks apart.
func parts(s string) (out []Part) {
	for s != "" {
		plain, rest, found := strings.Cut(s, begin)
		if plain != "" {
			out = append(out, Part{Text: plain})
		}
		if !found {
			return out
		}
		name, rest, _ := strings.Cut(rest, middle)
		value, rest, _ := strings.Cut(rest, end)
		out = append(out, Part{Text: value, Value: name})
		s = rest
	}
	return out
}

// Fill returns a text with a secret in its place.
func Fill(text []Part, secret string) string {
	var b strings.Builder
	for _, p := range text {
		if p.Value == "secret" {
			b.WriteString(secret)
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}
