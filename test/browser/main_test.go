package browser

import (
	"fmt"
	"os"
	"testing"

	"sluice/internal/kafkatest"
	"sluice/test/harness"
)

// kafka serves all tests of the package, and product is the binary.
var (
	kafka   *kafkatest.Cluster
	product string
)

type run struct{ m *testing.M }

func (r run) Run() int {
	dir, err := os.MkdirTemp("", "sluice-browser-")
	if err == nil {
		defer os.RemoveAll(dir)
		product, err = harness.BuildIn(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return r.m.Run()
}

func TestMain(m *testing.M) {
	harness.Main(run{m}, kafkatest.Options{}, &kafka)
}
