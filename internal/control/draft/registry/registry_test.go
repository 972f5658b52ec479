package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"sluice/internal/control/draft/registry"
	"sluice/internal/outbound"
)

// A registry whose schemas refer to ever more others costs no more than it may, and says which subject does.
func TestReferencesAreBounded(t *testing.T) {
	type ref struct {
		Name    string `json:"name"`
		Subject string `json:"subject"`
		Version int    `json:"version"`
	}
	refs := map[string][]ref{"good": {{"a", "leaf", 1}, {"b", "leaf", 1}}, "leaf": nil, "itself": {{"a", "itself", 1}}}
	texts := map[string]string{}
	for i := range 40 {
		wide, deep := fmt.Sprintf("wide%d", i), fmt.Sprintf("deep%d", i)
		for j := range 3 {
			refs[wide] = append(refs[wide], ref{fmt.Sprint(j), fmt.Sprintf("wide%d", i+1), 1})
		}
		refs[deep] = []ref{{"a", fmt.Sprintf("deep%d", i+1), 1}}
	}
	refs["wide14"], refs["deep40"] = nil, nil // 3^14 ways to the last
	for i := range 9 {
		large := fmt.Sprintf("large%d", i)
		texts[large] = strings.Repeat(" ", 1<<19)
		refs["heavy"] = append(refs["heavy"], ref{fmt.Sprint(i), large, 1})
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path == "/subjects" {
			_ = json.NewEncoder(w).Encode([]string{"good", "itself", "wide0", "deep0", "heavy"})
			return
		}
		subject := strings.Split(r.URL.Path, "/")[2]
		_ = json.NewEncoder(w).Encode(map[string]any{"version": 1, "schemaType": "PROTOBUF", "schema": texts[subject] + "syntax = \"proto3\";", "references": refs[subject]})
	}))
	defer server.Close()
	client := outbound.New(outbound.Config{AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	all, err := registry.New(client, server.URL, "", "").Subjects(t.Context(), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"good": "", "itself": "refers to itself", "wide0": "more than 500 schemas", "deep0": "more than 16 deep", "heavy": "more than 4194304 bytes"}
	for _, s := range all {
		if says, ok := want[s.Name]; !ok || (says == "") != (s.Problem == "") || !strings.Contains(s.Problem, says) {
			t.Errorf("%s: %q, want %q", s.Name, s.Problem, says)
		}
		delete(want, s.Name)
	}
	if len(want) > 0 || asked > 60 {
		t.Errorf("not read: %v; %d requests, each schema is read once", want, asked)
	}
}
