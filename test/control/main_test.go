package control

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"sluice/internal/kafkatest"
	"sluice/internal/store/postgrestest"
	"sluice/test/harness"
)

// kafka serves all tests of the package.
var kafka *kafkatest.Cluster

// postgres is started by the first test that needs it, and server is it then.
var (
	server   *postgrestest.Server
	postgres = sync.OnceValue(func() (err error) {
		server, err = postgrestest.Start()
		return err
	})
)

// database makes a database of its own.
func database(t testing.TB) string {
	t.Helper()
	if err := postgres(); err != nil {
		t.Fatal(err)
	}
	return server.Database(t)
}

type run struct{ m *testing.M }

// Run runs the tests on the product, which is built once.
func (r run) Run() int {
	dir, err := os.MkdirTemp("", "sluice-control-")
	if err == nil {
		defer os.RemoveAll(dir)
		product, err = harness.BuildIn(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := r.m.Run()
	if server != nil {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
			code = 1
		}
	}
	return code
}

func TestMain(m *testing.M) {
	harness.Main(run{m}, kafkatest.Options{
		SASL: true, ACL: true, // which those that connect in plaintext do not notice
		Users: map[string]string{"erp": "erp-secret", "sluice": "sluice-secret"},
	}, &kafka)
}
