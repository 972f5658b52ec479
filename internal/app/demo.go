package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/broker"
	"sluice/internal/config"
)

//go:embed demo.yaml
var demoResources string

// What the demo's resources say; a test compares.
const (
	demoEnvironment = "demo"
	demoMechanism   = "SCRAM-SHA-256"
	demoTopic       = "orders.placed"

	backingOrders    = "shop.sales-order.events"
	backingFeedback  = "shop.partner-feedback.inbox"
	backingPositions = "fleet.telemetry.gps"
)

// demoDrain is how long the demo waits for requests in flight when it stops.
const demoDrain = 5 * time.Second

// DemoOptions are what a Demo is made of.
type DemoOptions struct {
	Options
	// DataDir keeps records, offsets and credentials between starts.
	DataDir string
	// Broker is the command that runs the embedded broker; see broker.Config.
	Broker []string
}

// Demo is everything for a first look: the embedded broker, something that
// writes live events into it, and a gateway with a product and two subscribed
// applications in front.
type Demo struct {
	app       *App
	opts      DemoOptions
	broker    *broker.Broker
	generator *kgo.Client
	lock      *state
	users     []DemoUser
	resources string // the file that users edit
	edited    bool
}

// DemoUser is one application of the demo with its credential.
type DemoUser struct {
	Application, Username, Password string
	// Reads and Writes are exposed topics.
	Reads, Writes []string
	// Properties is a client.properties file for Java and for sluice itself,
	// Librdkafka one for kcat and what else rests on librdkafka.
	Properties, Librdkafka string
}

// StartDemo starts the broker, makes its topics with a few events, and builds
// the gateway. The demo must then be given to Run.
func StartDemo(ctx context.Context, opts DemoOptions) (_ *Demo, err error) {
	opts.Options = opts.Options.withDefaults()
	opts.flagsOnly = true
	if opts.DataDir, err = filepath.Abs(opts.DataDir); err != nil {
		return nil, err
	}
	d := &Demo{opts: opts}
	defer func() {
		if err != nil {
			d.release(ctx)
		}
	}()
	if err := d.prepare(); err != nil {
		return nil, err
	}
	d.broker, err = broker.Start(ctx, broker.Config{Exec: opts.Broker, DataDir: filepath.Join(opts.DataDir, "broker"), Log: opts.Log})
	if err != nil {
		return nil, err
	}
	if d.generator, err = kgo.NewClient(kgo.SeedBrokers(d.broker.Addresses()...), kgo.ClientID("sluice-demo-events"), kgo.ProducerLinger(0)); err != nil {
		return nil, err
	}
	if err := d.topics(ctx); err != nil {
		return nil, err
	}
	if err := d.gateway(ctx); err != nil {
		return nil, err
	}
	return d, d.clients()
}

// prepare takes the data directory and makes or finds the secrets in it.
func (d *Demo) prepare() error {
	if err := os.MkdirAll(filepath.Join(d.opts.DataDir, "resources"), 0o700); err != nil {
		return fmt.Errorf("make data directory: %w: choose another with --data-dir", err)
	}
	d.lock = &state{dir: d.opts.DataDir, saved: map[string]string{}}
	if err := d.lock.takeLock("--data-dir"); err != nil {
		d.lock = nil
		return err
	}
	d.users = []DemoUser{
		{Application: "dispatch", Username: "dispatch-1", Reads: []string{demoTopic, "vehicles.position"}, Writes: []string{"orders.feedback"}},
		{Application: "city-map", Username: "city-map-1", Reads: []string{"vehicles.position"}},
	}
	for i := range d.users {
		u := &d.users[i]
		var err error
		if u.Password, err = keptSecret(filepath.Join(d.opts.DataDir, u.Application+".secret")); err != nil {
			return err
		}
	}
	return nil
}

// keptSecret reads a secret, or makes one at the first start.
func keptSecret(name string) (string, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		random := make([]byte, 16)
		rand.Read(random)
		data = []byte(hex.EncodeToString(random) + "\n")
		err = writeFile(name, data)
	}
	if err != nil {
		return "", fmt.Errorf("keep a secret: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// topics makes the backing topics; a new one gets some events of the past
// minutes, so that the first look is not at nothing.
func (d *Demo) topics(ctx context.Context) error {
	admin := kadm.NewClient(d.generator)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for topic, partitions := range map[string]int32{backingOrders: 3, backingFeedback: 1, backingPositions: 3} {
		if _, err := admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil && !strings.Contains(err.Error(), "TOPIC_ALREADY_EXISTS") {
			return fmt.Errorf("make the demo's topic %s: %w", topic, err)
		}
	}
	ends, err := admin.ListEndOffsets(ctx, backingOrders)
	if err != nil {
		return fmt.Errorf("look at the demo's topics: %w", err)
	}
	total := int64(0)
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	if total > 0 {
		return nil
	}
	e := newEvents(d.opts.Now().UnixNano())
	var records []*kgo.Record
	for at := d.opts.Now().Add(-time.Minute); at.Before(d.opts.Now()); at = at.Add(2 * time.Second) {
		records = append(records, e.order(at), e.position(at))
	}
	if err := d.generator.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write the demo's first events: %w", err)
	}
	return nil
}

// written is what the demo remembers of the resources that it wrote.
type written struct {
	// SHA256 is of the text with demoBootstrap for the broker's address.
	SHA256    string `json:"sha256"`
	Bootstrap string `json:"bootstrap"`
}

// demoBootstrap stands for the broker's address in demo.yaml.
const demoBootstrap = "@BOOTSTRAP@"

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// writeDemoResources writes the demo's resources for a broker at an address. A
// file that somebody edited since it was written here stays as it is, but for
// the broker's address should that have changed. memory is where is kept what
// was written.
func writeDemoResources(file, memory, bootstrap string) (edited bool, err error) {
	var last written
	if data, err := os.ReadFile(memory); err == nil {
		_ = json.Unmarshal(data, &last) // a damaged one counts as none
	}
	text := demoResources
	switch data, err := os.ReadFile(file); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	case last.Bootstrap == "": // of unknown origin: it is put aside
		if err := os.Rename(file, file+".before"); err != nil {
			return false, err
		}
	default:
		found := strings.ReplaceAll(string(data), `"`+last.Bootstrap+`"`, `"`+demoBootstrap+`"`)
		if edited = found != demoResources && digest(found) != last.SHA256; edited {
			text = found
		}
	}
	if !edited {
		last.SHA256 = digest(text)
	}
	if edited && last.Bootstrap == bootstrap {
		return true, nil
	}
	last.Bootstrap = bootstrap
	record, err := json.Marshal(last)
	if err != nil {
		return edited, err
	}
	text = strings.ReplaceAll(text, `"`+demoBootstrap+`"`, `"`+bootstrap+`"`)
	return edited, cmp.Or(writeFile(file, []byte(text)), writeFile(memory, append(record, '\n')))
}

func (d *Demo) gateway(ctx context.Context) error {
	file := filepath.Join(d.opts.DataDir, "resources", "demo.yaml")
	var err error
	if d.edited, err = writeDemoResources(file, filepath.Join(d.opts.DataDir, "demo.written"), d.broker.Addresses()[0]); err != nil {
		return fmt.Errorf("write the demo's resources: %w", err)
	}
	d.resources = file
	kept := filepath.Join(d.opts.DataDir, "gateway")
	if !d.edited {
		// What was tried out last time is not remembered: nobody is to see a topic
		// that ended as one that is there but silent. Both files, since each is
		// restored from the other.
		for _, name := range []string{snapshotFile, historyFile} {
			if err := os.Remove(filepath.Join(kept, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("begin the demo anew: %w", err)
			}
		}
	}
	opts := d.opts.Options
	opts.Config.Environment = demoEnvironment
	opts.Config.DataDir = kept
	opts.Config.Limits.DrainTimeout = demoDrain
	opts.Resources = []string{filepath.Dir(file)}
	d.app, err = New(ctx, opts)
	var bad *ProblemsError
	if d.edited && errors.As(err, &bad) {
		return fmt.Errorf("%w\n%s was edited: repair it, or remove it to begin anew", err, file)
	}
	return err
}

// clients writes the files that the printed commands refer to.
func (d *Demo) clients() error {
	for i := range d.users {
		u := &d.users[i]
		u.Properties = filepath.Join(d.opts.DataDir, u.Application+".properties")
		u.Librdkafka = filepath.Join(d.opts.DataDir, u.Application+".librdkafka.properties")
		java := fmt.Sprintf(`# %s of sluice demo, for Kafka's own tools and for sluice --properties
bootstrap.servers=%s
security.protocol=SASL_PLAINTEXT
sasl.mechanism=%s
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";
`, u.Application, d.app.Bootstrap(), demoMechanism, u.Username, u.Password)
		librdkafka := fmt.Sprintf(`# %s of sluice demo, for kcat -F and other programs on librdkafka
bootstrap.servers=%s
security.protocol=SASL_PLAINTEXT
sasl.mechanisms=%s
sasl.username=%s
sasl.password=%s
`, u.Application, d.app.Bootstrap(), demoMechanism, u.Username, u.Password)
		if err := cmp.Or(writeFile(u.Properties, []byte(java)), writeFile(u.Librdkafka, []byte(librdkafka))); err != nil {
			return fmt.Errorf("write the demo's files for clients: %w", err)
		}
	}
	return nil
}

// App returns the gateway.
func (d *Demo) App() *App { return d.app }

// Users returns the two applications; the first one may do more.
func (d *Demo) Users() []DemoUser { return d.users }

// Mechanism, Topic and Group are for the first application.
func (d *Demo) Mechanism() string { return demoMechanism }

// Topic returns an exposed topic that the first application may read.
func (d *Demo) Topic() string { return demoTopic }

// Group returns a consumer group's name for the first application.
func (d *Demo) Group() string { return "demo" }

// Resources returns the file of resource documents that is there to be edited,
// and whether somebody did before this start.
func (d *Demo) Resources() (file string, edited bool) { return d.resources, d.edited }

// DataDir returns the absolute path of the data directory.
func (d *Demo) DataDir() string { return d.opts.DataDir }

// Run serves until the context ends or the broker does. started is called once
// the gateway is ready for clients; when its context ends, so does the demo.
func (d *Demo) Run(ctx context.Context, started func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	events := make(chan struct{})
	go func() {
		defer close(events)
		newEvents(d.opts.Now().UnixNano()).write(ctx, d.generator)
	}()
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		err := d.app.Ready(ctx)
		if err == nil {
			err = started(ctx)
		}
		if err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}()
	go func() {
		select {
		case <-d.broker.Done():
			cancel(cmp.Or(d.broker.Wait(), errors.New("the embedded broker has ended")))
		case <-ctx.Done():
		}
	}()
	err := d.app.Run(ctx)
	cancel(nil)
	<-events
	<-shown
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	d.app = nil
	return errors.Join(err, d.release(ctx))
}

// release stops what runs.
func (d *Demo) release(ctx context.Context) error {
	var err error
	if d.app != nil {
		d.app.release()
	}
	if d.generator != nil {
		d.generator.Close()
	}
	if d.broker != nil {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		select {
		case <-d.broker.Done(): // told by whoever noticed
		default:
			err = d.broker.Close(patience)
		}
	}
	if d.lock != nil {
		d.lock.close()
	}
	return err
}

// DemoConfig returns the settings of a demo that is told nothing.
func DemoConfig() config.Config {
	c := config.Default()
	c.Environment = demoEnvironment
	c.Portal.SignUp = "open"
	return c
}
