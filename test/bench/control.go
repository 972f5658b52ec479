package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// controlSize is what an installation holds whose control plane is measured.
type controlSize struct {
	products, applications, subscriptions int
}

// controlSizes are compared in one run: what a change costs must not follow what there is.
func controlSizes(applications int) []controlSize {
	return []controlSize{{products: 20, applications: max(1, applications/100), subscriptions: max(1, applications/100) * 10}, {products: 500, applications: applications, subscriptions: applications * 10}}
}

func (s controlSize) String() string {
	return fmt.Sprintf("%d applications, %d subscriptions", s.applications, s.subscriptions)
}

// What of an installation is timed. Each is a row of the report.
const (
	controlPage    = "a page of 100 subscriptions"
	controlFind    = "the subscriptions of one product"
	controlApply   = "apply of one application, to the answer"
	controlForce   = "apply of one application, until it is in force at the gateway"
	controlProduct = "apply of a product's plan, until it is in force at the gateway"
	controlStart   = "start, until ready"
)

var controlRows = []string{controlPage, controlFind, controlApply, controlForce, controlProduct, controlStart}

// controlReport is what a run with -control brought.
type controlReport struct {
	facts   Facts
	options Options
	sizes   []controlSize
	took    map[controlSize]map[string][]time.Duration
	rounds  map[controlSize]map[string][]Quantiles
	fill    map[controlSize]time.Duration
	memory  map[controlSize]int64
}

// runControl measures the control plane and the gateway in one process, by its API.
func runControl(ctx context.Context, o Options) (r *controlReport, err error) {
	b, end, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	r = &controlReport{facts: b.facts, options: o, sizes: controlSizes(o.Applications), took: map[controlSize]map[string][]time.Duration{},
		rounds: map[controlSize]map[string][]Quantiles{}, fill: map[controlSize]time.Duration{}, memory: map[controlSize]int64{}}
	if err := b.makeBackings(ctx, r.sizes[len(r.sizes)-1].products); err != nil {
		return nil, err
	}
	var all []*installation
	for _, size := range r.sizes {
		in, startErr := b.install(ctx, size)
		if startErr != nil {
			return nil, fmt.Errorf("%s: %w", size, startErr)
		}
		defer func() { err = errors.Join(err, in.process.stop()) }()
		begun := time.Now()
		if err := in.fill(ctx, b.kafka.Bootstrap()); err != nil {
			return nil, fmt.Errorf("%s: %w", size, err)
		}
		r.fill[size], r.took[size], r.rounds[size] = time.Since(begun), map[string][]time.Duration{}, map[string][]Quantiles{}
		b.logf("%s: applied in %s", size, r.fill[size].Round(time.Millisecond))
		all = append(all, in)
	}
	for round := range o.Rounds {
		for _, in := range all {
			b.logf("round %d of %d: %s", round+1, o.Rounds, in.size)
			took, err := in.round(ctx, round)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", in.size, round+1, err)
			}
			begun := time.Now()
			if err := in.again(ctx); err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", in.size, round+1, err)
			}
			took[controlStart] = []time.Duration{time.Since(begun)}
			for what, times := range took {
				r.took[in.size][what] = append(r.took[in.size][what], times...)
				r.rounds[in.size][what] = append(r.rounds[in.size][what], quantiles(times))
			}
		}
	}
	for _, in := range all {
		if r.memory[in.size], err = residentBytes(in.process.pid()); err != nil {
			return nil, err
		}
	}
	r.facts = b.facts
	return r, nil
}

// makeBackings makes the topics behind the products, one of each.
func (b *bench) makeBackings(ctx context.Context, products int) error {
	kafka, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Bootstrap()...))
	if err != nil {
		return err
	}
	defer kafka.Close()
	var names []string
	for i := range products {
		names = append(names, fmt.Sprint("backing.product-", i))
	}
	made, err := kadm.NewClient(kafka).CreateTopics(ctx, 1, 1, nil, names...)
	return errors.Join(err, made.Error())
}

// installation is a control plane with its gateway, filled, and who is logged in at it.
type installation struct {
	size    controlSize
	binary  string
	dir     string
	process *child
	serves  *servesLine
	log     *beginning
	client  *client.Client
	server  string // its management API
	token   string // of its login
	http    http.Client
}

func (b *bench) install(ctx context.Context, size controlSize) (*installation, error) {
	dir, err := os.MkdirTemp(b.dir, "control-")
	if err != nil {
		return nil, err
	}
	in := &installation{size: size, binary: b.Gateway, dir: dir}
	if err := in.start(ctx); err != nil {
		return nil, err
	}
	return in, nil
}

func (in *installation) start(ctx context.Context) error {
	cmd := exec.Command(in.binary, "serve", "--data-dir", "data", "--environment", "prod", "--management", "127.0.0.1:0",
		"--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--log-format", "json", "--log-level", "info")
	cmd.Dir = in.dir
	in.serves = &servesLine{found: make(chan struct{})}
	var err error
	in.log = &beginning{}
	if in.process, err = startChild("sluice serve", cmd, io.MultiWriter(in.serves, in.log)); err != nil {
		return err
	}
	if err := awaitReady(ctx, in.process, in.serves); err != nil {
		return errors.Join(err, in.process.stop())
	}
	in.server, err = in.logged(ctx, `the management API is there","address":"([^"]+)`)
	return err
}

// beginning keeps the beginning of what is written to it. Safe for concurrent use.
type beginning struct {
	mu   sync.Mutex
	text []byte
}

func (b *beginning) Write(p []byte) (int, error) {
	const most = 1 << 20
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(len(p), most-len(b.text))]...)
	return len(p), nil
}

func (b *beginning) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

// logged waits for a line of the log, and returns what is in the brackets of the pattern.
func (in *installation) logged(ctx context.Context, pattern string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	line := regexp.MustCompile(pattern)
	for {
		if found := line.FindStringSubmatch(in.log.String()); found != nil {
			return found[1], nil
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return "", gatewayError(in.process, fmt.Errorf("no line as %s: %w", pattern, err))
		}
	}
}

// again starts the process once more.
func (in *installation) again(ctx context.Context) error {
	if err := in.process.stop(); err != nil {
		return err
	}
	if err := in.start(ctx); err != nil {
		return err
	}
	return in.connect()
}

func (in *installation) connect() (err error) {
	in.client, err = client.New(client.Config{Server: in.server, Token: in.token})
	return err
}

// logIn becomes the first platform-admin by the token that the log holds.
func (in *installation) logIn(ctx context.Context) error {
	const login = "root"
	token, err := in.logged(ctx, `--first-admin ([A-Za-z0-9_-]+)`)
	if err != nil {
		return err
	}
	nobody, err := client.New(client.Config{Server: in.server})
	if err != nil {
		return err
	}
	if err := nobody.Claim(ctx, schema.Claim{Token: token, Login: login, Password: password}); err != nil {
		return err
	}
	l, err := nobody.LogIn(ctx, schema.Credentials{Login: login, Password: password})
	if err != nil {
		return err
	}
	in.token = l.Token
	return in.connect()
}

func controlDocument(kind, metadata, spec string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"apiVersion":"sluice/v1","kind":%q,"metadata":{%s},"spec":{%s}}`, kind, metadata, spec))
}

func (in *installation) application(i int, suspended bool) json.RawMessage {
	return controlDocument("Application", fmt.Sprintf(`"name":"app-%05d","team":"all"`, i), fmt.Sprintf(`"suspended":%t`, suspended))
}

func (in *installation) product(i int, methods string) json.RawMessage {
	return controlDocument("Product", fmt.Sprintf(`"name":"product-%d","team":"all"`, i), fmt.Sprintf(`"versions":["product-%d.v1"],"plans":{"plan":{"auth":[%s],"approval":"automatic"}}`, i, methods))
}

// fill applies everything, in requests of some hundred documents.
func (in *installation) fill(ctx context.Context, bootstrap []string) error {
	if err := in.logIn(ctx); err != nil {
		return err
	}
	var batch []json.RawMessage
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		_, err := in.client.Apply(ctx, schema.Apply{Documents: batch}, false)
		batch = nil
		return err
	}
	add := func(documents ...json.RawMessage) error {
		const most = 500
		if batch = append(batch, documents...); len(batch) < most {
			return nil
		}
		return flush()
	}
	addresses, err := json.Marshal(bootstrap)
	if err != nil {
		return err
	}
	err = add(controlDocument("Organisation", `"name":"acme"`, ""),
		controlDocument("Team", `"name":"all"`, `"organisation":"acme","members":{"root":["publisher","approver","app-developer"]}`),
		controlDocument("Cluster", `"name":"main","environment":"prod"`, `"bootstrap":`+string(addresses)))
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	for i := range in.size.products {
		name := fmt.Sprint("product-", i)
		err := add(controlDocument("API", fmt.Sprintf(`"name":%q,"team":"all"`, name), `"visibility":"team"`),
			controlDocument("Version", fmt.Sprintf(`"name":"%s.v1"`, name), fmt.Sprintf(
				`"contract":{"channels":{"events":{"address":"%s.events","send":true}}},"channels":{"events":{"prod":{"cluster":"main","topic":"backing.%s"}}},"lifecycle":{"state":"published"}`, name, name)),
			in.product(i, `"plain"`))
		if err != nil {
			return err
		}
	}
	each := in.size.subscriptions / in.size.applications
	for i := range in.size.applications {
		app := fmt.Sprintf("app-%05d", i)
		err := add(in.application(i, false),
			controlDocument("Credential", fmt.Sprintf(`"name":"%s-1","environment":"prod"`, app), fmt.Sprintf(`"application":%q,"type":"plain"`, app)))
		if err != nil {
			return err
		}
		for j := range each {
			product := (i + j*in.size.products/each) % in.size.products
			err := add(controlDocument("Subscription", fmt.Sprintf(`"name":"%s-%d","environment":"prod"`, app, j),
				fmt.Sprintf(`"application":%q,"product":"product-%d","plan":"plan"`, app, product)))
			if err != nil {
				return err
			}
		}
	}
	return flush()
}

// get reads an answer as it is, without the work of understanding it.
func (in *installation) get(ctx context.Context, address, token string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := in.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", address, resp.Status, text)
	}
	return string(text), err
}

// snapshots is how many states have been in force at the gateway.
func (in *installation) snapshots(ctx context.Context) (float64, error) {
	text, err := in.get(ctx, "http://"+in.serves.Operations+"/metrics", "")
	if err != nil {
		return 0, err
	}
	const name = "sluice_gateway_snapshots_total "
	_, value, found := strings.Cut(text, "\n"+name)
	if !found {
		return 0, fmt.Errorf("no %sin the metrics", name)
	}
	value, _, _ = strings.Cut(value, "\n")
	return strconv.ParseFloat(value, 64)
}

// inForce applies a document and waits until the gateway has it.
func (in *installation) inForce(ctx context.Context, document json.RawMessage) (answer, force time.Duration, err error) {
	const (
		look    = 2 * time.Millisecond
		longest = 30 * time.Second
	)
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	before, err := in.snapshots(ctx)
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	if _, err := in.client.Apply(ctx, schema.Apply{Documents: []json.RawMessage{document}}, false); err != nil {
		return 0, 0, err
	}
	answer = time.Since(begun)
	for {
		switch now, err := in.snapshots(ctx); {
		case err != nil:
			return 0, 0, err
		case now > before:
			return answer, time.Since(begun), nil
		}
		if err := wait(ctx, look); err != nil {
			return 0, 0, fmt.Errorf("%s is not in force: %w", document, err)
		}
	}
}

// round times everything some dozen times.
func (in *installation) round(ctx context.Context, round int) (map[string][]time.Duration, error) {
	const pages, applies, products = 200, 50, 5
	took := map[string][]time.Duration{}
	list := func(what string, query url.Values) error {
		begun := time.Now()
		page, err := in.get(ctx, in.server+"/v1/subscriptions?"+query.Encode(), in.token)
		if err != nil {
			return err
		}
		if !strings.Contains(page, `"Subscription"`) {
			return fmt.Errorf("%s: an empty page", what)
		}
		took[what] = append(took[what], time.Since(begun))
		return nil
	}
	for i := range pages {
		app := i * in.size.applications / pages
		err := errors.Join(list(controlPage, url.Values{"limit": {"100"}, "after": {fmt.Sprintf("app-%05d", app)}}),
			list(controlFind, url.Values{"limit": {"100"}, "to": {fmt.Sprintf("Product/product-%d", i%in.size.products)}}))
		if err != nil {
			return nil, err
		}
	}
	for i := range applies {
		answer, force, err := in.inForce(ctx, in.application((i*37)%in.size.applications, (round+i/in.size.applications)%2 == 0))
		if err != nil {
			return nil, err
		}
		took[controlApply], took[controlForce] = append(took[controlApply], answer), append(took[controlForce], force)
	}
	for i := range products {
		_, force, err := in.inForce(ctx, in.product(i, []string{`"scram"`, `"plain","scram"`}[round%2]))
		if err != nil {
			return nil, err
		}
		took[controlProduct] = append(took[controlProduct], force)
	}
	return took, nil
}

func (r *controlReport) markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# The control plane's load\n\nWritten by `go -C test run ./bench -control -write ../docs/control-load.md`: what lists and changes take where there is much. " +
		"Control plane and gateway are one process with SQLite; everything is from one run, in which the sizes take turns.\n\n")
	for _, line := range append(r.facts.lines(), fmt.Sprintf("rounds: %d, interleaved; quantiles are of all rounds, with the least and the greatest of a round", r.options.Rounds)) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	small, large := r.sizes[0], r.sizes[len(r.sizes)-1]
	fmt.Fprintf(&b, "\n| milliseconds | %s: p50 | p99 | %s: p50 | p99 | × |\n| --- | --- | --- | --- | --- | --- |\n", small, large)
	for _, what := range controlRows {
		fmt.Fprintf(&b, "| %s", what)
		for _, size := range r.sizes {
			all := quantiles(slices.Clone(r.took[size][what]))
			var p50, p99 []float64
			for _, q := range r.rounds[size][what] {
				p50, p99 = append(p50, milliseconds(q.P50)), append(p99, milliseconds(q.P99))
			}
			for _, q := range []struct {
				at time.Duration
				of []float64
			}{{all.P50, p50}, {all.P99, p99}} {
				s := spread(q.of)
				s.Median = milliseconds(q.at)
				fmt.Fprintf(&b, " | %s", s.text(""))
			}
		}
		ratio := cmp.Or(quantiles(slices.Clone(r.took[small][what])).P50, 1)
		fmt.Fprintf(&b, " | %.1f |\n", float64(quantiles(slices.Clone(r.took[large][what])).P50)/float64(ratio))
	}
	b.WriteString("\n× is the larger one's p50 by the smaller one's.\n")
	for _, size := range r.sizes {
		fmt.Fprintf(&b, "\n- %s: %d documents applied in %.1f s, %.0f in a second; %.0f MiB resident at the end", size, size.documents(),
			r.fill[size].Seconds(), float64(size.documents())/r.fill[size].Seconds(), float64(r.memory[size])/(1<<20))
	}
	b.WriteString("\n")
	return b.Bytes()
}

func (s controlSize) documents() int { return 3 + 3*s.products + 2*s.applications + s.subscriptions }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
