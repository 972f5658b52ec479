package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/httpapi/schema"
)

// registered is a version of a subject as the stand-in for a schema registry has it.
type registered struct {
	Version    int              `json:"version"`
	ID         int              `json:"id"`
	Subject    string           `json:"subject"`
	SchemaType string           `json:"schemaType,omitempty"`
	Schema     string           `json:"schema"`
	References []map[string]any `json:"references,omitempty"`
}

// standIn speaks a schema registry's REST API to who knows its password.
func standIn(t *testing.T, subjects map[string]registered) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "sluice" || password != "of-the-registry" {
			http.Error(w, `{"error_code":40101}`, http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		switch {
		case r.URL.Path == "/subjects":
			names := []string{}
			for name := range subjects {
				names = append(names, name)
			}
			json.NewEncoder(w).Encode(names)
		case len(parts) == 4 && parts[0] == "subjects" && parts[2] == "versions":
			s, ok := subjects[parts[1]]
			if !ok || s.Schema == "" || parts[3] != "latest" && parts[3] != fmt.Sprint(s.Version) {
				http.Error(w, `{"error_code":40401}`, http.StatusNotFound)
				return
			}
			json.NewEncoder(w).Encode(s)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// TestImportOfARealCluster drafts what Apache Kafka and a schema registry have, applies it, and finds nothing new then.
func TestImportOfARealCluster(t *testing.T) {
	direct, err := kgo.NewClient(kgo.SeedBrokers(kafka.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	compact, week := "compact", "604800000"
	admin := kadm.NewClient(direct)
	for name, settings := range map[string]map[string]*string{"imp.orders.v2": {"retention.ms": &week}, "imp.prices": {"cleanup.policy": &compact}, "imp.moves": nil, "tabcdefghijkl.imp": nil} {
		if r, err := admin.CreateTopic(t.Context(), 3, 1, settings, name); err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
	}
	if _, err := admin.CreateACLs(t.Context(), kadm.NewACLs().Allow("User:sluice").AllowHosts("*").Topics("imp.", "tabcdefghijkl.").Operations(kadm.OpDescribe, kadm.OpDescribeConfigs).ResourcePatternType(kadm.ACLPatternPrefixed)); err != nil {
		t.Fatal(err)
	}
	server := standIn(t, map[string]registered{
		"imp.orders.v2-value": {Version: 4, Schema: `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"buyer","type":"shop.Party"}]}`, References: []map[string]any{{"name": "shop.Party", "subject": "shop.Party", "version": 2}}},
		"imp.orders.v2-key":   {Version: 1, Schema: `"string"`},
		"shop.Party":          {Version: 2, Schema: `{"type":"record","name":"Party","namespace":"shop","fields":[{"name":"vatNumber","type":"string"}]}`},
		"imp.prices-value":    {Version: 1, SchemaType: "JSON", Schema: `{"type":"object","properties":{"cents":{"type":"integer"}}}`},
		"imp.moves-value":     {Version: 9, SchemaType: "PROTOBUF", Schema: "syntax = \"proto3\";\nimport \"place.proto\";\nmessage Move { where.Place to = 1; }\n", References: []map[string]any{{"name": "place.proto", "subject": "place", "version": 1}}},
		"place":               {Version: 1, SchemaType: "PROTOBUF", Schema: "syntax = \"proto3\";\npackage where;\nmessage Place { string city = 1; }\n"},
		"imp.moves-key":       {},
	})
	p := Start(t, Setup{Files: map[string]string{"kafka.password": kafka.Password("sluice")}, Settings: "outbound: {allowHTTP: true, allowNetworks: [127.0.0.0/8]}"})
	root := p.Root()
	p.Apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"ben":["publisher"]}}}`,
		fmt.Sprintf(`{"kind":"Cluster","metadata":{"name":"main","environment":"prod"},"spec":{"bootstrap":[%q],"sasl":{"mechanism":"SCRAM-SHA-512","username":"sluice","password":{"file":"kafka.password"}},"publish":{"shop":["imp."]}}}`, kafka.BootstrapSASL()[0]))
	ben := p.Invite(root, "ben")
	body := schema.Import{Topics: []string{"imp.*", "t*"}, SchemaRegistry: &schema.SchemaRegistry{URL: server.URL, Username: "sluice", Password: "of-the-registry"}}
	found, err := ben.Import(t.Context(), "main", body)
	if err != nil {
		t.Fatal(err, p.Log())
	}
	texts, apply := map[string]string{}, schema.Apply{}
	for _, d := range found.Documents {
		var m struct{ Name string }
		var spec struct{ Contract struct{ AsyncAPI string } }
		if json.Unmarshal(d.Metadata, &m) != nil || json.Unmarshal(d.Spec, &spec) != nil {
			t.Fatal(d)
		}
		texts[d.Kind+" "+m.Name] = spec.Contract.AsyncAPI
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		apply.Documents = append(apply.Documents, text)
	}
	for name, want := range map[string][]string{
		"API imp.orders": {""}, "Version imp.orders.v2": {"partitions: 3", "retention.ms: 604800000", "name: Order", "vatNumber", "key:"},
		"API imp.prices": {""}, "Version imp.prices.v1": {"- compact", "cents"},
		"API imp.moves": {""}, "Version imp.moves.v1": {"message Move", "string city"},
	} {
		text, ok := texts[name]
		for _, w := range want {
			if !ok || !strings.Contains(text, w) {
				t.Errorf("%s (there: %v) has no %q:\n%s", name, ok, w, text)
			}
		}
	}
	if len(texts) != 6 || len(found.Notes) != 1 || found.Notes[0].About != "subject imp.moves-key" || !strings.Contains(found.Notes[0].Message, "404") {
		t.Errorf("%d documents, and it says %v", len(texts), found.Notes)
	}
	if _, err := ben.Apply(t.Context(), apply, false); err != nil {
		t.Fatal(err)
	}
	found, err = ben.Import(t.Context(), "main", body)
	if err != nil || len(found.Documents) != 0 || len(found.Notes) != 1 || found.Known != 3 { // the subject that cannot be read is told of again
		t.Errorf("again: %+v, %v", found, err)
	}

	// The registry has another schema by now: the version is drafted with it, once.
	later := standIn(t, map[string]registered{
		"imp.moves-value": {Version: 10, SchemaType: "PROTOBUF", Schema: "syntax = \"proto3\";\nimport \"place.proto\";\nmessage Move { where.Place to = 1; }\n", References: []map[string]any{{"name": "place.proto", "subject": "place", "version": 2}}},
		"place":           {Version: 2, SchemaType: "PROTOBUF", Schema: "syntax = \"proto3\";\npackage where;\nmessage Place { string city = 1; string street = 2; }\n"},
	})
	body.SchemaRegistry.URL = later.URL
	found, err = ben.Import(t.Context(), "main", body)
	if err != nil || len(found.Documents) != 1 || len(found.Notes) != 1 || !strings.Contains(string(found.Documents[0].Spec), "string street") {
		t.Fatalf("another schema: %+v, %v", found, err)
	}
	text, err := json.Marshal(found.Documents[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ben.Apply(t.Context(), schema.Apply{Documents: []json.RawMessage{text}, Tags: found.Tags}, false); err != nil {
		t.Fatal(err)
	}
	if found, err = ben.Import(t.Context(), "main", body); err != nil || len(found.Documents)+len(found.Notes) != 0 {
		t.Errorf("applied: %+v, %v", found, err)
	}

	// Wrong passwords are told, and secrets are nowhere.
	body.SchemaRegistry.Password = "canary-of-the-registry"
	body.Topics, body.Team = nil, "shop"
	if _, err = admin.CreateTopic(t.Context(), 1, 1, nil, "imp.late"); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Import(t.Context(), "main", body); err == nil || !strings.Contains(err.Error(), "the schema registry cannot be read: status 401") {
		t.Errorf("a wrong password: %v", err)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "kafka.password"), []byte("wrong-canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = root.Import(t.Context(), "main", schema.Import{})
	if err == nil || !strings.Contains(err.Error(), "Cluster main cannot be read") {
		t.Errorf("a wrong password of the cluster: %v", err)
	}
	if log := p.Log(); strings.Contains(log, "canary") || strings.Contains(fmt.Sprint(err), "canary") || strings.Contains(log, "of-the-registry") {
		t.Errorf("a secret was told: %v\n%s", err, log)
	}
}
