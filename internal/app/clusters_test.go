package app

import (
	"crypto/tls"
	"io"
	"log/slog"
	"testing"
	"time"

	"sluice/internal/control/publish"
	"sluice/internal/grant"
)

func TestClustersFollowTheirDocuments(t *testing.T) {
	c := newClusters(clusterDeps{log: slog.New(slog.NewTextHandler(io.Discard, nil)), now: time.Now})
	none, err := grant.New("test", grant.Number{Generation: 1, N: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := func(fingerprint string) publish.Cluster {
		return publish.Cluster{Name: "main", Bootstrap: []string{"127.0.0.1:1"}, TLS: &tls.Config{MinVersion: tls.VersionTLS12},
			SASL: &publish.SASL{Mechanism: "PLAIN", Username: "u", Password: "old"}, Fingerprint: fingerprint}
	}
	secret := base("2")
	secret.SASL = &publish.SASL{Mechanism: "SCRAM-SHA-512", Username: "v", Password: "new"}
	elsewhere := base("3")
	elsewhere.Bootstrap = []string{"127.0.0.1:2"}
	open := base("4")
	open.SASL = nil
	named := base("5")
	named.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "kafka"}
	plaintext := base("6")
	plaintext.TLS = nil
	for _, step := range []struct {
		name      string
		next      publish.Cluster
		same      bool
		mechanism string
	}{
		{"the first one", base("1"), false, "PLAIN"},
		{"nothing has changed", base("1"), true, "PLAIN"},
		{"another secret", secret, true, "SCRAM-SHA-512"},
		{"another address", elsewhere, false, "PLAIN"},
		{"no login", open, false, ""},
		{"a login again", base("1"), false, "PLAIN"},
		{"another server name", named, false, "PLAIN"},
		{"no TLS", plaintext, false, "PLAIN"},
	} {
		before := c.Cluster("main")
		c.update([]publish.Cluster{step.next}, none)
		c.retire()
		if got := c.Cluster("main") == before; got != step.same {
			t.Errorf("%s: the same cluster: got %v, want %v", step.name, got, step.same)
		}
		m, err := (*c.current.Load())["main"].login.mechanism(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if name := ""; m != nil {
			if name = m.Name(); name != step.mechanism {
				t.Errorf("%s: mechanism: got %q, want %q", step.name, name, step.mechanism)
			}
		} else if step.mechanism != "" {
			t.Errorf("%s: no mechanism, want %q", step.name, step.mechanism)
		}
	}
	c.update(nil, none)
	if len(c.All()) != 0 || c.Cluster("main") != nil {
		t.Error("a removed cluster is still there")
	}
}
