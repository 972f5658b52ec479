package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// TestImportStory drafts the topics of a cluster.
func TestImportStory(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "shop.orders", "shop.bills.v2", "others.secrets", "_internal"))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	dir := t.TempDir()
	p := startControl(t, filepath.Join(dir, "data"), true)
	for name, text := range map[string]string{
		"password": "correct horse, battery staple",
		"stock.yaml": fmt.Sprintf(`apiVersion: sluice/v1
kind: Organisation
metadata: {name: acme}
spec: {}
---
apiVersion: sluice/v1
kind: Team
metadata: {name: shop}
spec: {organisation: acme, members: {ben: [publisher], dan: [app-developer]}}
---
apiVersion: sluice/v1
kind: Cluster
metadata: {name: stock, environment: prod}
spec: {bootstrap: [%q], publish: {shop: [shop.]}}
`, kafka.ListenAddrs()[0]),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.tell(t, "testdata/control/30-stock.txt", dir)
	for _, login := range []string{"ben", "dan"} {
		p.invited(t, login, dir)
	}
	p.tell(t, "testdata/control/31-import.txt", dir)
}
