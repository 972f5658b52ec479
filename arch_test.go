// The architecture as a test: which of our packages may import which, and where a few sensitive things may be used.
// A new folder fails here until it has a row, so that the table stays what STYLE and ARCHITECTURE.md say.
package sluice_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "sluice/"

// row says what one folder may import of ours. Names are relative to the module, without "internal/"; "x/*" means
// every folder below x, and "*" everything.
type row struct {
	may   []string
	tests []string // what its _test.go files may import besides
}

// everyTest may be imported by any _test.go file: it starts a real Kafka, knows nothing of ours, and never ships.
const everyTest = "kafkatest"

// messagesForTests makes Kafka messages, valid and damaged ones; it never ships either.
const messagesForTests = "kafka/wire/wiretest"

// rows is the table. A folder that is named here need not exist yet.
var rows = map[string]row{
	"grant":      {},
	"usage":      {},
	"journal":    {},
	"grant/feed": {may: []string{"grant", "journal"}},
	"usage/feed": {may: []string{"usage"}},

	"kafka/wire":           {tests: []string{"kafka/wire/wiretest"}},
	"kafka/wire/wiretest":  {may: []string{"kafka/wire"}},       // messages for tests; never in the product
	"kafka/wire/schemagen": {may: []string{"kafka/definition"}}, // a program run by hand; writes kafka/wire/schema_gen.go
	"kafka/definition":     {},                                  // of messages, from Kafka's jar; for schemagen and tests
	"kafka/sasl":           {},
	"kafka/records":        {},

	"gateway": {may: []string{"gateway/*", "kafka/*", "grant", "usage"}},
	"gateway/handler": {may: []string{"kafka/*", "grant", "usage", "gateway/limit", "gateway/record", "gateway/upstream", "gateway/clientmetrics", "fault"}, // upstream: the types of a target cluster's directory
		tests: []string{"gateway/handler/fieldrule"}},
	"gateway/handler/fieldrule": {may: []string{"kafka/definition"}}, // the guard over messages' fields; for tests only
	"gateway/limit":             {may: []string{"grant"}},
	"gateway/record":            {may: []string{"kafka/*", "grant"}},
	"gateway/upstream":          {may: []string{"kafka/*", "grant", "gateway/socket"}},
	"gateway/identity":          {may: []string{"grant", "gateway/upstream"}, tests: []string{"kafka/sasl"}}, // upstream: the user of a connection
	"gateway/socket":            {may: []string{"kafka/wire"}},

	"gateway/clientmetrics": {}, // what clients push about themselves (KIP-714)

	"mediation":   {may: []string{"fault"}},
	"mediation/*": {may: []string{"mediation", "fault"}},

	// The control plane has one model, the documents (docs/decisions/0014): control changes them, the folders below are
	// what that takes, and know nothing of each other but what stands here.
	"control":            {may: []string{"control/*", "resource", "strictyaml", "grant", "kafka/sasl", "fault"}, tests: []string{"store/sqlstore"}},
	"control/identity":   {may: []string{"fault", "resource", "control/audit"}, tests: []string{"store/storetest"}},
	"control/audit":      {may: []string{"fault"}},
	"control/audit/*":    {may: []string{"control/audit"}, tests: []string{"store/sqlstore", "control"}},
	"control/lifecycle":  {may: []string{"fault", "control/identity", "resource"}},
	"control/notify":     {may: []string{"control/audit", "outbound", "fault"}, tests: []string{"store/sqlstore", "control"}},
	"control/token":      {},                                                           // its Name is part of what a credential proves
	"control/codesample": {},                                                           // programs for people, from values
	"control/contract":   {may: []string{"fault", "control/contract/*", "strictyaml"}}, // strictyaml: the nearest name
	// The parts of contract: a pure world of texts and trees.
	"control/contract/*":              {may: []string{"control/contract", "control/contract/*", "strictyaml"}},
	"control/contract/metaschema/gen": {may: []string{"control/contract/metaschema"}}, // a program run by hand; writes metaschema/schemas.json
	"control/identity/openid":         {may: []string{"control/identity", "outbound", "fault"}},
	// draft makes documents of what a cluster and a schema registry have.
	"control/draft":          {may: []string{"control/contract", "control/contract/*", "resource"}},
	"control/draft/registry": {may: []string{"control/draft", "control/contract/schema", "outbound"}},
	// catalog makes bodies for pages, so that what the portal shows is written once (httpapi/schema).
	"control/catalog": {may: []string{"control", "control/identity", "control/lifecycle", "control/publish", "control/contract", "control/contract/*", "control/catalog/page", "resource", "fault", "httpapi/schema"}, tests: []string{"store/sqlstore"}},
	// activity looks at the topics that versions offer, with clients that it is given.
	"control/activity":     {may: []string{"control", "resource"}, tests: []string{"store/sqlstore", "control/identity"}},
	"control/catalog/page": {},
	// publish turns secrets into verifiers where they are read, so that a snapshot holds none (sasl).
	"control/publish": {may: []string{"grant", "control/contract", "control/token", "resource", "strictyaml", "kafka/sasl", "fault"}},

	"metering":       {may: []string{"usage", "fault"}},
	"billing":        {may: []string{"metering", "resource", "fault", "billing/rating"}},
	"billing/rating": {},

	"store":           {},
	"store/sqlstore":  {may: []string{"control", "control/*", "resource", "metering", "billing", "fault"}, tests: []string{"store/storetest"}},
	"store/storetest": {may: []string{"control", "control/*", "resource", "metering", "billing", "fault"}},
	// A real PostgreSQL, for tests; its own are those of the store on it, apart from those that "make check" runs.
	"store/postgrestest": {tests: []string{"store/sqlstore", "store/storetest", "control", "control/*", "resource", "fault"}},

	"httpapi":          {may: []string{"control", "control/*", "resource", "metering", "billing", "fault", "httpapi/schema", "web"}, tests: []string{"httpapi/client", "store/sqlstore"}},
	"httpapi/pages":    {may: []string{"web"}},
	"httpapi/describe": {may: []string{"httpapi"}}, // a program run by hand; prints the description, for the types of web
	"httpapi/schema":   {},
	"httpapi/client":   {may: []string{"httpapi/schema"}},

	"strictyaml":        {},                                                                                                           // YAML with positions, for config and resource; knows neither
	"resource":          {may: []string{"fault", "strictyaml", "control/contract", "control/contract/rule", "control/contract/lint"}}, // contract: a Version's contract is an AsyncAPI document, and a pure package reads it as strictyaml reads ours
	"config":            {may: []string{"strictyaml", "web"}},                                                                         // web: which colours of a portal's owner can be read on its own
	"telemetry":         {},
	"fault":             {},
	"outbound":          {may: []string{"fault"}},
	"mailer":            {may: []string{"fault"}, tests: []string{"mailer/mailertest"}},
	"mailer/mailertest": {}, // a mail server for tests; never in the product
	"broker":            {},
	"kafkatest":         {},

	"cli": {may: []string{"httpapi/client", "httpapi/schema", "config", "resource", "fault", "billing/rating", "control/audit", "control/contract", "control/contract/*"}},
	"app": {may: []string{"*"}}, // but not cli: see violations

	"cmd/sluice": {may: []string{"app", "cli", "broker"}}, // broker: the child process is this binary, started again

	"web": {},
	"":    {tests: []string{"*"}}, // the module's root: only tests of the whole
}

// confined are imports that have a home. A prefix matches the path itself and what is below it.
var confined = []struct {
	prefix string
	homes  []string
	tests  bool // _test.go files may import it anywhere
	why    string
}{
	{"database/sql", []string{"store/*"}, false, "SQL appears only in store"},
	{"modernc.org/sqlite", []string{"store/*"}, false, "SQL appears only in store"},
	{"github.com/jackc/pgx", []string{"store/*"}, false, "SQL appears only in store"},
	{"github.com/pressly/goose", []string{"store/*"}, false, "SQL appears only in store"},
	// broker is there because kfake hands requests to its guard as these structs.
	{"github.com/twmb/franz-go/pkg/kmsg", []string{"kafka/*", "gateway", "gateway/*", "broker", "kafkatest"}, true, "Kafka's message structs appear only under kafka and gateway"},
	// The built-in client of tail, produce and doctor, the demo's own traffic, and the embedded broker.
	{"github.com/twmb/franz-go/pkg/kgo", []string{"cli", "app", "broker", "kafkatest", "gateway/upstream"}, true, "a Kafka client belongs to cli, app, broker and tests"},
	{"github.com/twmb/franz-go/pkg/kfake", []string{"broker"}, true, "the embedded broker is broker's"},
	{"github.com/wneessen/go-mail", []string{"mailer"}, false, "e-mails are sent by mailer"},
	{"github.com/spf13/cobra", []string{"cli"}, false, "commands are cli's"},
	{"github.com/goccy/go-yaml", []string{"strictyaml"}, true, "YAML is read by strictyaml, with positions"},
	{"go.yaml.in/yaml", []string{"control/contract/tree"}, true, "YAML of others is read by control/contract/tree, ours by strictyaml"},
	{"net/http", []string{"outbound", "control/draft/registry", "httpapi", "httpapi/client", "httpapi/pages", "mediation/*", "telemetry", "app", "cli"}, true, "the one HTTP client that leaves the house is outbound"},
}

// environment are functions that read the environment, which only these folders may.
var (
	environment      = []string{"os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "syscall.Getenv", "syscall.Environ"}
	environmentHomes = []string{"config", "kafkatest", "store/postgrestest"} // the last two find Java and the cache folder; they are no part of the product
)

// file is what the rules need to know of one Go file.
type file struct {
	name    string // for messages
	folder  string // as in rows
	test    bool
	imports []string
	calls   []string // the names in environment that it mentions
}

// find returns the key of the row that holds for a folder: its own, or the nearest "x/*" above it.
func find(folder string) (string, bool) {
	if _, ok := rows[folder]; ok {
		return folder, true
	}
	for dir := folder; dir != "." && dir != ""; dir = path.Dir(dir) {
		if key := path.Dir(dir) + "/*"; rows[key].may != nil {
			return key, true
		}
	}
	return "", false
}

func matches(folder string, patterns []string) bool {
	for _, p := range patterns {
		if p == "*" || p == folder {
			return true
		}
		if above, ok := strings.CutSuffix(p, "/*"); ok && strings.HasPrefix(folder, above+"/") {
			return true
		}
	}
	return false
}

func below(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, prefix+"/")
}

// violations returns what is wrong with one file, in words.
func violations(f file) []string {
	key, ok := find(f.folder)
	if !ok {
		return []string{fmt.Sprintf("%s: folder %q is not in the table: add its row to arch_test.go", f.name, f.folder)}
	}
	var out []string
	for _, imported := range f.imports {
		if ours, ok := strings.CutPrefix(imported, module); ok {
			ours = strings.TrimPrefix(ours, "internal/")
			allowed := matches(ours, rows[key].may)
			if f.test {
				allowed = allowed || ours == f.folder || ours == everyTest || matches(ours, rows[key].tests)
			} else if ours == everyTest || ours == messagesForTests {
				allowed = false
			}
			if f.folder == "app" && ours == "cli" {
				allowed = false
			}
			if !allowed {
				out = append(out, fmt.Sprintf("%s: %s must not import %s", f.name, f.folder, ours))
			}
			continue
		}
		for _, c := range confined {
			if below(imported, c.prefix) && !matches(f.folder, c.homes) && !(f.test && c.tests) {
				out = append(out, fmt.Sprintf("%s: %s must not import %s: %s", f.name, f.folder, imported, c.why))
			}
		}
	}
	if !f.test && !matches(f.folder, environmentHomes) {
		for _, call := range f.calls {
			out = append(out, fmt.Sprintf("%s: %s must not use %s: environment variables are read only in config", f.name, f.folder, call))
		}
	}
	return out
}

// read parses one Go file.
func read(name string) (file, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	folder := strings.TrimPrefix(path.Dir(name), "internal/")
	if folder == "." {
		folder = ""
	}
	f := file{name: name, folder: folder, test: strings.HasSuffix(name, "_test.go")}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imported)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok && slices.Contains(environment, pkg.Name+"."+sel.Sel.Name) {
				f.calls = append(f.calls, pkg.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return f, nil
}

func TestArchitecture(t *testing.T) {
	seen := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return fs.SkipDir
			}
			// A nested module is a world of its own: it ships nothing.
			if _, err := os.Stat(path.Join(name, "go.mod")); name != "." && err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := read(name)
		if err != nil {
			return err
		}
		seen++
		for _, v := range violations(f) {
			t.Error(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("saw %d Go files: the walk does not reach the tree", seen)
	}
}

// TestArchitectureCanFail keeps the rules honest: each case is a file that must, or must not, be refused.
func TestArchitectureCanFail(t *testing.T) {
	for _, tc := range []struct {
		name string
		file file
		want string // part of the only message; empty: none
	}{
		{"a contract knows nobody", file{folder: "grant", imports: []string{"sluice/internal/fault"}}, "grant must not import fault"},
		{"the gateway knows no products", file{folder: "gateway/handler", imports: []string{"sluice/internal/control/catalog"}}, "must not import control/catalog"},
		{"the control plane knows no sockets", file{folder: "control/publish", imports: []string{"sluice/internal/gateway"}}, "must not import gateway"},
		{"a pattern reaches below, not the folder itself", file{folder: "gateway/handler", imports: []string{"sluice/internal/gateway"}}, "must not import gateway"},
		{"app starts anything", file{folder: "app", imports: []string{"sluice/internal/gateway", "sluice/internal/broker"}}, ""},
		{"app does not know its command line", file{folder: "app", imports: []string{"sluice/internal/cli"}}, "app must not import cli"},
		{"the product never imports its test bench", file{folder: "app", imports: []string{"sluice/internal/kafkatest"}}, "must not import kafkatest"},
		{"nor its made-up messages", file{folder: "gateway", imports: []string{"sluice/internal/kafka/wire/wiretest"}}, "must not import kafka/wire/wiretest"},
		{"a test may start a real Kafka", file{folder: "broker", test: true, imports: []string{"sluice/internal/kafkatest", "sluice/internal/broker"}}, ""},
		{"a test is bound by the table too", file{folder: "grant", test: true, imports: []string{"sluice/internal/gateway"}}, "must not import gateway"},
		{"SQL outside store", file{folder: "metering", imports: []string{"database/sql"}}, "SQL appears only in store"},
		{"SQL by its driver", file{folder: "app", imports: []string{"github.com/jackc/pgx/v5"}}, "SQL appears only in store"},
		{"SQL at home", file{folder: "store/sqlstore", imports: []string{"database/sql"}}, ""},
		{"message structs outside", file{folder: "control/publish", imports: []string{"github.com/twmb/franz-go/pkg/kmsg"}}, "only under kafka and gateway"},
		{"message structs in a test", file{folder: "broker", test: true, imports: []string{"github.com/twmb/franz-go/pkg/kmsg"}}, ""},
		{"a name that only begins alike", file{folder: "grant", imports: []string{"github.com/twmb/franz-go/pkg/kmsgx"}}, ""},
		{"environment outside config", file{folder: "gateway", calls: []string{"os.Getenv"}}, "only in config"},
		{"environment in config", file{folder: "config", calls: []string{"os.Getenv"}}, ""},
		{"a folder nobody wrote down", file{folder: "helpers"}, "add its row"},
		{"a new front end needs no row of its own", file{folder: "mediation/rest", imports: []string{"sluice/internal/mediation"}}, ""},
		{"front ends do not know each other", file{folder: "mediation/rest", imports: []string{"sluice/internal/mediation/sse"}}, "must not import mediation/sse"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := violations(tc.file)
			switch {
			case tc.want == "" && len(got) > 0:
				t.Errorf("got %q, want nothing", got)
			case tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want)):
				t.Errorf("got %q, want one message with %q", got, tc.want)
			}
		})
	}
}
