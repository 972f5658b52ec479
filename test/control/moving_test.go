package control

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/internal/httpapi/client"
	"sluice/test/harness"
)

//go:embed java/Moving.java
var movingJava string

// TestARunningApplicationMovesInAndOut is the story of docs/moving.md. A Java application whose producer writes in
// transactions, whose group copies exactly once and whose other group commits what it has read, runs against Apache Kafka
// with a user and ACLs of its own. It moves behind the gateway one instance after the other, while it runs, and back, by
// nothing but other bootstrap servers and another credential. Every number is there once in the end, each key's in order.
func TestARunningApplicationMovesInAndOut(t *testing.T) {
	cases := []struct{ name, settings string }{
		{"classic", "group.protocol=classic\n"},
		{"KIP-848", "group.protocol=consumer\n"},
		{"classic, static members", "group.protocol=classic\n# static\n"},
		{"KIP-848, static members", "group.protocol=consumer\n# static\n"},
		{"classic, cooperative", "group.protocol=classic\npartition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor\n"},
	}
	if !harness.Full() {
		cases = cases[:1]
	}
	if strings.HasPrefix(kafka.Version, "3.") { // whose brokers have the new protocol switched off
		cases = slices.DeleteFunc(cases, func(c struct{ name, settings string }) bool { return strings.HasPrefix(c.name, "KIP-848") })
	}
	p := Start(t, Setup{Files: map[string]string{"kafka.password": kafka.Password("sluice")}})
	root := p.Root()
	p.Apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"ben":["publisher","approver"]}}}`,
		`{"kind":"Team","metadata":{"name":"erp"},"spec":{"organisation":"acme","members":{"dan":["app-developer"]}}}`,
		fmt.Sprintf(`{"kind":"Cluster","metadata":{"name":"main","environment":"prod"},"spec":{"bootstrap":[%q],"sasl":{"mechanism":"SCRAM-SHA-512","username":"sluice","password":{"file":"kafka.password"}},"publish":{"shop":["*"]}}}`, kafka.BootstrapSASL()[0]))
	ben, dan := p.Invite(root, "ben"), p.Invite(root, "dan")
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			(&move{t: t, p: p, root: root, ben: ben, dan: dan, name: fmt.Sprintf("m%d", i), settings: c.settings}).run()
		})
	}
}

// move is an application that moves.
type move struct {
	t              *testing.T
	p              *Plane
	root, ben, dan *client.Client
	name           string // what everything of it begins with
	settings       string // more of the clients' properties
	java           *driver
	inside         *kadm.Client    // the application's own, behind the gateway
	files          map[bool]string // of properties; true: of those behind the gateway
}

func (m *move) run() {
	in, out := m.name+".orders", m.name+".copies"
	m.prepare(in, out)
	m.files = map[bool]string{false: m.properties("direct", kafka.BootstrapSASL()[0], "erp", kafka.Password("erp"))}
	m.java = drive(m.t)
	roles := []struct{ name, line string }{
		{"counter", fmt.Sprintf("count FILE %s %s-counter", in, m.name)},
		{"copier-0", fmt.Sprintf("copy FILE %s %s %s-copiers %s-copier-0", in, out, m.name, m.name)},
		{"copier-1", fmt.Sprintf("copy FILE %s %s %s-copiers %s-copier-1", in, out, m.name, m.name)},
		{"reader-0", fmt.Sprintf("read FILE %s %s-readers", out, m.name)},
		{"reader-1", fmt.Sprintf("read FILE %s %s-readers", out, m.name)},
	}
	start := func(i int, behind bool) {
		m.java.tell("start %s %s", roles[i].name, strings.Replace(roles[i].line, "FILE", m.instance(m.files[behind], roles[i].name), 1))
	}
	for i := range roles {
		start(i, false)
	}
	m.java.flows()

	// In: the provider offers the topics, the application adopts what it has on the cluster.
	m.files[true] = m.properties("behind", m.p.Bootstrap, m.name+"-1", m.adopted(in, out))
	if direct, behind := m.differing(); direct != 2 || behind != 2 {
		m.t.Fatalf("%d and %d lines of the properties differ, want the bootstrap servers and the credential", direct, behind)
	}
	for i := 1; i < len(roles); i++ {
		m.java.tell("stop %s", roles[i].name)
		m.java.await("%s stopped", roles[i].name)
		start(i, true)
		m.java.await(`%s assigned [1-9]`, roles[i].name)
		if i%2 == 1 { // one member is there, the other here
			m.java.flows()
			group := m.name + map[bool]string{true: "-copiers", false: "-readers"}[i < 3]
			m.members(group, 1, 1)
		}
	}
	m.java.tell("crash counter") // its successor ends the transaction that it leaves open
	m.java.await("counter crashed")
	start(0, true)
	m.java.flows()
	for _, group := range []string{"-copiers", "-readers"} {
		m.members(m.name+group, 2, 0)
	}

	// Out, in the other order. The producer's successor comes before it ends, and ends it.
	start(0, false)
	m.java.await("counter fenced")
	m.java.flows()
	for i := len(roles) - 1; i > 0; i-- {
		m.java.tell("stop %s", roles[i].name)
		m.java.await("%s stopped", roles[i].name)
		start(i, false)
		m.java.await(`%s assigned [1-9]`, roles[i].name)
		if i%2 == 0 {
			m.java.flows()
		}
	}
	m.java.tell("stop counter")
	m.java.await("counter stopped")
	total := m.java.written()
	m.java.awaitRead(total)
	for i := 1; i < len(roles); i++ {
		m.java.tell("stop %s", roles[i].name)
		m.java.await("%s stopped", roles[i].name)
	}
	m.java.end()
	for _, topic := range []string{in, out} {
		var got []pair
		for _, r := range harness.ReadTopic(m.t, m.direct, topic, kgo.ReadCommitted()) {
			got = append(got, pair{string(r.Key), string(r.Value)})
		}
		once(m.t, topic, got, total)
	}
	var got []pair
	for _, line := range m.java.lines(`reader-\d record`) {
		words := strings.Fields(line)
		got = append(got, pair{words[4], words[5]})
	}
	once(m.t, "what the readers have read", got, total)
	m.t.Logf("%d records; the copiers aborted %d times", total, len(m.java.lines(`copier-\d aborted`)))

	// What was adopted is given back, by the application's own team.
	before := m.groups()
	m.p.Apply(m.dan, m.application(""))
	m.eventually("the groups are not the application's any more", func() bool { return len(m.groups()) == 0 })
	if want := []string{m.name + "-copiers", m.name + "-readers"}; !slices.Equal(before, want) {
		m.t.Errorf("before, the application had the groups %q, want %q", before, want)
	}
}

// prepare makes topics, and the rights on the cluster: the application's as it had them, and what docs/moving.md
// says that the gateway's user needs.
func (m *move) prepare(in, out string) {
	admin := kadm.NewClient(m.direct())
	defer admin.Close()
	if _, err := admin.CreateTopics(m.t.Context(), 4, 1, nil, in, out); err != nil {
		m.t.Fatal(err)
	}
	for _, user := range []string{"erp", "sluice"} {
		for _, b := range []*kadm.ACLBuilder{
			kadm.NewACLs().Allow("User:"+user).AllowHosts("*").Topics(in, out).Operations(kadm.OpRead, kadm.OpWrite, kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternLiteral),
			kadm.NewACLs().Allow("User:"+user).AllowHosts("*").Groups(m.name+"-copiers", m.name+"-readers").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral),
			kadm.NewACLs().Allow("User:"+user).AllowHosts("*").TransactionalIDs(m.name+"-counter", m.name+"-copier-0", m.name+"-copier-1").Operations(kadm.OpWrite, kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternLiteral),
		} {
			results, err := admin.CreateACLs(m.t.Context(), b)
			if err != nil {
				m.t.Fatal(err)
			}
			for _, r := range results {
				if r.Err != nil {
					m.t.Fatal(r.Err)
				}
			}
		}
	}
}

// adopted applies the documents of docs/moving.md, and returns the secret of the credential once it is in force.
func (m *move) adopted(in, out string) (secret string) {
	version := fmt.Sprintf(`{"kind":"Version","metadata":{"name":"%[1]s.v1"},"spec":{"contract":{"channels":{"orders":{"address":%[2]q,"send":true,"receive":true},"copies":{"address":%[3]q,"send":true,"receive":true}}},`+
		`"channels":{"orders":{"prod":{"cluster":"main","topic":%[2]q}},"copies":{"prod":{"cluster":"main","topic":%[3]q}}},"lifecycle":{"state":"published"}}}`, m.name, in, out)
	m.p.Apply(m.ben, fmt.Sprintf(`{"kind":"API","metadata":{"name":%q,"team":"shop"},"spec":{"visibility":"team"}}`, m.name), version,
		fmt.Sprintf(`{"kind":"Product","metadata":{"name":%[1]q,"team":"shop"},"spec":{"versions":["%[1]s.v1"],"plans":{"whole":{"auth":["scram"],"approval":"manual"}}}}`, m.name))
	for _, o := range m.p.Apply(m.dan, m.application(""),
		fmt.Sprintf(`{"kind":"Subscription","metadata":{"name":%[1]q,"environment":"prod"},"spec":{"application":%[1]q,"product":%[1]q,"plan":"whole"}}`, m.name),
		fmt.Sprintf(`{"kind":"Credential","metadata":{"name":"%[1]s-1","environment":"prod"},"spec":{"application":%[1]q,"type":"scram"}}`, m.name)).Outcomes {
		secret += o.Secret
	}
	m.p.move(m.ben, "subscriptions", m.name, "approve")
	adopts := m.application(fmt.Sprintf(`"adopt":{"groups":["%[1]s-copiers","%[1]s-readers"],"transactionalIds":["%[1]s-counter","%[1]s-copier-0","%[1]s-copier-1"]}`, m.name))
	if _, err := m.dan.Apply(m.t.Context(), Documents(adopts), false); err == nil || !strings.Contains(err.Error(), "platform-admin") {
		m.t.Errorf("the team adopts by itself: %v", err)
	}
	m.p.Apply(m.root, adopts)
	gateway, err := kgo.NewClient(kgo.SeedBrokers(m.p.Bootstrap), kgo.SASL(scram.Auth{User: m.name + "-1", Pass: secret}.AsSha512Mechanism()))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(gateway.Close)
	m.inside = kadm.NewClient(gateway)
	m.eventually("the application sees its topics and groups", func() bool {
		topics, err := m.inside.ListTopics(m.t.Context())
		return err == nil && len(topics) == 2 && len(m.groups()) == 2
	})
	return secret
}

func (m *move) application(adopt string) string {
	return fmt.Sprintf(`{"kind":"Application","metadata":{"name":%q,"team":"erp"},"spec":{%s}}`, m.name, adopt)
}

// groups are those that the application sees behind the gateway.
func (m *move) groups() []string {
	groups, err := m.inside.ListGroups(m.t.Context())
	if err != nil {
		return nil
	}
	return groups.Groups()
}

func (m *move) eventually(what string, is func() bool) {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("it does not become so: %s", what)
		}
	}
}

func (m *move) direct(opts ...kgo.Opt) *kgo.Client {
	m.t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(kafka.Bootstrap()...))...)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.Close)
	return c
}

// members checks how many members of a group are behind the gateway, which says in the client id whose they are. Kafka
// describes a static member of the classic protocol as who it was first: there is nothing to see of them.
func (m *move) members(group string, behind, direct int) {
	m.t.Helper()
	var ids []string
	admin := kadm.NewClient(m.direct())
	switch {
	case strings.Contains(m.settings, "protocol=consumer"):
		groups, err := admin.DescribeConsumerGroups(m.t.Context(), group)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, member := range groups[group].Members {
			ids = append(ids, member.ClientID)
		}
	case strings.Contains(m.settings, "# static"):
		return
	default:
		groups, err := admin.DescribeGroups(m.t.Context(), group)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, member := range groups[group].Members {
			ids = append(ids, member.ClientID)
		}
	}
	ours := len(slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, m.name+"/") }))
	if ours != behind || len(ids)-ours != direct {
		m.t.Errorf("the members of group %s are %q, want %d behind the gateway and %d that are not", group, ids, behind, direct)
	}
}

// properties writes the client's properties.
func (m *move) properties(name, bootstrap, user, password string) string {
	file := filepath.Join(m.t.TempDir(), name+".properties")
	text := fmt.Sprintf("bootstrap.servers=%s\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=%q password=%q;\n"+
		"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsession.timeout.ms=10000\nheartbeat.interval.ms=500\n%s", bootstrap, user, password, m.settings)
	if strings.Contains(m.settings, "protocol=consumer") { // which refuses them
		text = strings.Replace(text, "session.timeout.ms=10000\nheartbeat.interval.ms=500\n", "", 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return file
}

// instance makes the properties of one instance: a static member has an id of its own.
func (m *move) instance(file, name string) string {
	if !strings.Contains(m.settings, "# static") {
		return file
	}
	text, err := os.ReadFile(file)
	if err != nil {
		m.t.Fatal(err)
	}
	own := strings.TrimSuffix(file, ".properties") + "-" + name + ".properties"
	if err := os.WriteFile(own, append(text, "group.instance.id="+name+"\n"...), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return own
}

// differing counts the lines that only one of the two files has.
func (m *move) differing() (direct, behind int) {
	var lines [2][]string
	for i, file := range []string{m.files[false], m.files[true]} {
		text, err := os.ReadFile(file)
		if err != nil {
			m.t.Fatal(err)
		}
		lines[i] = strings.Split(string(text), "\n")
	}
	only := func(a, b []string) (n int) {
		for _, line := range a {
			if !slices.Contains(b, line) {
				n++
			}
		}
		return n
	}
	return only(lines[0], lines[1]), only(lines[1], lines[0])
}

type pair struct{ key, value string }

// once checks that all numbers up to a last one are there once, and each key's in order.
func once(t *testing.T, where string, all []pair, last int) {
	t.Helper()
	seen, newest := map[int]int{}, map[string]int{}
	for _, r := range all {
		n, err := strconv.Atoi(r.value)
		if err != nil || r.key != fmt.Sprintf("key-%d", n%16) {
			t.Errorf("%s: %v is not what was written", where, r)
			continue
		}
		seen[n]++
		if n < newest[r.key] {
			t.Errorf("%s: %d of %s comes behind %d", where, n, r.key, newest[r.key])
		}
		newest[r.key] = n
	}
	var lost, twice []int
	for n := 1; n <= last; n++ {
		switch seen[n] {
		case 0:
			lost = append(lost, n)
		case 1:
		default:
			twice = append(twice, n)
		}
	}
	if len(lost)+len(twice) > 0 || len(all) != last {
		t.Errorf("%s: %d records for %d numbers; lost %v, more than once %v", where, len(all), last, lost, twice)
	}
}

// driver is the JVM of the application's instances.
type driver struct {
	t  *testing.T
	in io.WriteCloser

	mu   sync.Mutex    // guards what follows
	said []string      // lines that it has printed
	part []byte        // of a line
	told int           // how many lines there were when it was last told something
	more chan struct{} // closed and replaced when there are more lines, closed for good when it has ended
	over bool
}

// drive starts it; it ends with the test.
func drive(t *testing.T) *driver {
	source := filepath.Join(t.TempDir(), "Moving.java")
	if err := os.WriteFile(source, []byte(movingJava), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &driver{t: t, more: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := kafka.Tool(ctx, source) // which java compiles by itself
	cmd.Stdout, cmd.Stderr = d, d
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.in = in
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ends is seen by its work
		d.mu.Lock()
		defer d.mu.Unlock()
		d.over = true
		close(d.more)
	}()
	t.Cleanup(func() {
		cancel()
		<-exited
		if t.Failed() {
			said := slices.DeleteFunc(d.lines(""), func(line string) bool { return often.MatchString(line) })
			t.Logf("the application said last:\n%s", strings.Join(said[max(0, len(said)-120):], "\n"))
		}
	})
	return d
}

// Write takes what the JVM prints.
func (d *driver) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.part = append(d.part, b...)
	for {
		line, rest, found := bytes.Cut(d.part, []byte("\n"))
		if !found {
			break
		}
		d.said, d.part = append(d.said, string(line)), bytes.Clone(rest)
	}
	close(d.more)
	d.more = make(chan struct{})
	return len(b), nil
}

// tell writes a line to it; what await finds is printed after that.
func (d *driver) tell(format string, args ...any) {
	d.t.Helper()
	line := fmt.Sprintf(format, args...)
	d.mu.Lock()
	d.said = append(d.said, "> "+line)
	d.told = len(d.said)
	d.mu.Unlock()
	if _, err := io.WriteString(d.in, line+"\n"); err != nil {
		d.t.Fatal(err)
	}
}

// lines are those so far that a pattern matches.
func (d *driver) lines(pattern string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	re := regexp.MustCompile(pattern)
	return slices.DeleteFunc(slices.Clone(d.said), func(line string) bool { return !re.MatchString(line) })
}

// until waits until something is so of all lines, and those since it was last told something.
func (d *driver) until(what string, is func(all, since []string) bool) {
	d.t.Helper()
	timer := time.NewTimer(90 * time.Second)
	defer timer.Stop()
	for {
		d.mu.Lock()
		done, over, more := is(d.said, d.said[d.told:]), d.over, d.more
		broken := slices.IndexFunc(d.said, failed.MatchString)
		d.mu.Unlock()
		switch {
		case done:
			return
		case broken >= 0:
			d.t.Fatalf("awaiting %s: %s", what, d.said[broken])
		case over:
			d.t.Fatalf("it has ended, without %s", what)
		}
		select {
		case <-more:
		case <-timer.C:
			d.t.Fatalf("not within 90 s: %s", what)
		}
	}
}

// await waits for a line since it was last told something.
func (d *driver) await(pattern string, args ...any) {
	d.t.Helper()
	re := regexp.MustCompile("^" + fmt.Sprintf(pattern, args...))
	d.until(re.String(), func(_, since []string) bool { return slices.ContainsFunc(since, re.MatchString) })
}

var (
	committed = regexp.MustCompile(`^counter committed (\d+)$`)
	read      = regexp.MustCompile(`^reader-\d record `)
	often     = regexp.MustCompile(`^\S+ (record|committed|copied) `)
	failed    = regexp.MustCompile(`^\S+ failed: `)
)

// written is the last number that was committed.
func (d *driver) written() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return newest(d.said)
}

func newest(lines []string) (n int) {
	for _, line := range slices.Backward(lines) {
		if m := committed.FindStringSubmatch(line); m != nil {
			n, _ = strconv.Atoi(m[1])
			return n
		}
	}
	return 0
}

// awaitRead waits until readers have read as many records.
func (d *driver) awaitRead(n int) {
	d.t.Helper()
	d.until(fmt.Sprintf("%d records read", n), func(all, _ []string) bool {
		have := 0
		for _, line := range all {
			if read.MatchString(line) {
				have++
			}
		}
		return have >= n
	})
}

// flows waits until more was written, copied and read.
func (d *driver) flows() {
	d.t.Helper()
	before := d.written()
	d.until("more records written", func(all, _ []string) bool { return newest(all) >= before+20 })
	d.awaitRead(before + 20)
}

// end ends the JVM, whose instances have stopped.
func (d *driver) end() {
	d.t.Helper()
	if err := d.in.Close(); err != nil {
		d.t.Error(err)
	}
	d.until("its end", func(_, _ []string) bool { return d.over })
}
