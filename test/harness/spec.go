package harness

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const environment = "test"

// Spec is what a test's documents say. Each topic is an API, a version, a product and a plan of its own, so that each
// subscription decides on one topic.
type Spec struct {
	Topics []Topic
	Apps   []App
	// Trusted is the application as which World.Trusted logs in.
	Trusted string
	// Seed is that of the installation, from which prefixes and ids come; default: a random one.
	Seed []byte
	// PushEvery is how often clients are asked for metrics (KIP-714); as in the product if zero.
	PushEvery time.Duration
}

// Topic is one exposed topic and who has it.
type Topic struct {
	Exposed string
	// Backing is the name on the target cluster; default: one that nobody could guess. Two entries with one exposed name
	// are two APIs over the same backing topic, for different applications.
	Backing    string
	Contract   string // read, write or readwrite (default)
	Partitions int32
	Lifecycle  string   // of the version, as YAML; default: state: published
	Auth       []string // methods of the plan; default: plain, scram, mtls
	Rights     string   // of the plan; default: those of the contract
	Manage     []string // what the plan lets its subscribers manage
	// Subscriptions are by application: more of the subscription's spec as YAML, "state: active" for instance.
	Subscriptions map[string]string
}

// App is an application with two credentials, NAME-plain and NAME-scram, and one for its certificate.
type App struct {
	Name      string
	More      string // of its spec, as YAML
	Revoked   bool   // its credentials
	Namespace [2]int // topics and partitions
}

// Topic returns a topic of the spec for a change.
func (s *Spec) Topic(exposed string) *Topic {
	i := slices.IndexFunc(s.Topics, func(t Topic) bool { return t.Exposed == exposed })
	return &s.Topics[i]
}

// App returns an application of the spec for a change.
func (s *Spec) App(name string) *App {
	i := slices.IndexFunc(s.Apps, func(a App) bool { return a.Name == name })
	return &s.Apps[i]
}

// Secret is the secret of a credential.
func Secret(credential string) string { return "secret-of-" + credential }

func (s Spec) yaml(bootstrap []string, backing map[string]string) string {
	var b strings.Builder
	doc := func(kind, metadata, spec string, args ...any) {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, metadata, fmt.Sprintf(spec, args...))
	}
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	doc("Cluster", "name: main, environment: "+environment, `bootstrap: ["%s"]`, strings.Join(bootstrap, `","`))
	for _, a := range s.Apps {
		more := a.More
		if a.Namespace != ([2]int{}) {
			more = strings.Trim(more+fmt.Sprintf(", namespace: {topics: %d, partitions: %d}", a.Namespace[0], a.Namespace[1]), ", ")
		}
		doc("Application", "name: "+a.Name+", team: testers", "%s", more)
		state := "active"
		if a.Revoked {
			state = "revoked"
		}
		for _, method := range []string{"plain", "scram"} {
			name := a.Name + "-" + method
			doc("Credential", "name: "+name+", environment: "+environment, "application: %s, type: %s, state: %s, secret: {env: %s}", a.Name, method, state, strings.ReplaceAll(name, "-", "_"))
		}
		doc("Credential", "name: "+a.Name+"-mtls, environment: "+environment, `application: %s, type: mtls, state: %s, san: "dns:%s"`, a.Name, state, certName(a.Name))
	}
	for i, t := range s.Topics {
		api := fmt.Sprintf("api%d", i)
		contract := or(t.Contract, "readwrite")
		auth := t.Auth
		if auth == nil {
			auth = []string{"plain", "scram", "mtls"}
		}
		rights := ""
		if t.Rights != "" {
			rights = ", rights: {channel: " + t.Rights + "}"
		}
		if t.Manage != nil {
			rights += ", manage: {channel: [" + strings.Join(t.Manage, ", ") + "]}"
		}
		doc("API", "name: "+api+", team: testers", "title: %s", api)
		doc("Version", "name: "+api+".v1", "contract: {channels: {channel: {address: %q, send: %t, receive: %t}}}, channels: {channel: {%s: {cluster: main, topic: %s}}}, lifecycle: {%s}",
			t.Exposed, contract != "write", contract != "read", environment, backing[t.Exposed], or(t.Lifecycle, "state: published"))
		doc("Product", "name: "+api+", team: testers", "versions: [%s.v1], plans: {plan: {auth: [%s], approval: automatic%s}}", api, strings.Join(auth, ", "), rights)
		apps := make([]string, 0, len(t.Subscriptions))
		for app := range t.Subscriptions {
			apps = append(apps, app)
		}
		slices.Sort(apps)
		for _, app := range apps {
			doc("Subscription", fmt.Sprintf("name: %s-%s, environment: %s", app, api, environment), "application: %s, product: %s, plan: plan, %s", app, api, or(t.Subscriptions[app], "state: active"))
		}
	}
	return b.String()
}
