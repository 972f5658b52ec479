package gateway

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sluice/internal/gateway/upstream"
)

func brokersOf(ids ...int32) []upstream.Broker {
	var out []upstream.Broker
	for _, id := range ids {
		out = append(out, upstream.Broker{NodeID: id, Host: "h", Port: 9092})
	}
	return out
}

func ports(t *testing.T, file string, taken ...int) *portAddressing {
	t.Helper()
	busy := map[int]bool{}
	for _, p := range taken {
		busy[p] = true
	}
	a := &portAddressing{host: "gw", bootstrapPort: 19092, from: 19093, to: 19096, file: file,
		listen: func(p int) (int, error) {
			if busy[p] {
				return 0, errors.New("in use")
			}
			return p, nil
		},
		warn: func(string, ...any) {}}
	if err := a.restore(); err != nil {
		t.Fatal(err)
	}
	return a
}

func advertised(t *testing.T, a addressing, node int32) int32 {
	t.Helper()
	_, port, ok := a.Advertise(node)
	if !ok {
		return -1
	}
	return port
}

func TestPortsStickToNodesOverRestarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ports.json")
	a := ports(t, file)
	a.learn(brokersOf(3, 1))
	a.learn(brokersOf(2, 3))
	want := map[int32]int32{1: 19093, 3: 19094, 2: 19095}
	for _, again := range []*portAddressing{a, ports(t, file)} {
		for node, port := range want {
			if got := advertised(t, again, node); got != port {
				t.Errorf("node %d is at %d, want %d", node, got, port)
			}
			if got := again.node(int(port), ""); got != node {
				t.Errorf("port %d means node %d, want %d", port, got, node)
			}
		}
		if got := again.node(19092, ""); got != upstream.AnyNode {
			t.Errorf("the bootstrap port means node %d", got)
		}
	}
	// A node that leaves keeps its port reserved; a fifth finds none.
	a.learn(brokersOf(7, 9))
	if got := advertised(t, a, 7); got != 19096 {
		t.Errorf("node 7 is at %d, want the last port", got)
	}
	if got := advertised(t, a, 9); got != -1 {
		t.Errorf("node 9 is at %d, want hidden: there is no port left", got)
	}
}

func TestDamagedPortsAreSetAside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ports.json")
	if err := os.WriteFile(file, []byte(`{"ports": {"1": 190`), 0o600); err != nil {
		t.Fatal(err)
	}
	a := ports(t, file)
	a.learn(brokersOf(1, 2))
	if got := advertised(t, ports(t, file), 2); got != 19094 {
		t.Errorf("node 2 is at %d after a restart, want 19094", got)
	}
	if kept, err := os.ReadFile(file + ".damaged"); err != nil || len(kept) == 0 {
		t.Errorf("what was damaged is not kept: %v", err)
	}
}

func TestPortsAreWrittenOnceThereIsRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "full")
	file := filepath.Join(dir, "ports.json")
	a := ports(t, file)
	a.learn(brokersOf(1, 2)) // no such directory
	if got := advertised(t, a, 2); got != 19094 {
		t.Errorf("node 2 is at %d, want 19094", got)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a.learn(nil)
	if got := advertised(t, ports(t, file), 2); got != 19094 {
		t.Errorf("node 2 is at %d after a restart, want 19094", got)
	}
}

func TestASingleBrokerGetsByWithOnePort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ports.json")
	a := ports(t, file, 19093)
	a.learn(brokersOf(0))
	if got := advertised(t, a, 0); got != 19092 {
		t.Errorf("the only broker is at %d, want the bootstrap port", got)
	}
	a.learn(brokersOf(0, 1))
	if got := advertised(t, a, 1); got != 19094 {
		t.Errorf("the second broker is at %d, want the first port that is free", got)
	}
	if got := advertised(t, ports(t, file), 0); got != 19092 {
		t.Errorf("after a restart the first broker is at %d", got)
	}
}

func TestHostNamesNameNodes(t *testing.T) {
	a := &hostAddressing{domain: "kafka.example.com", port: 19443}
	for name, want := range map[string]int32{
		"b0.kafka.example.com": 0, "B12.Kafka.Example.com": 12, "bootstrap.kafka.example.com": upstream.AnyNode,
		"": upstream.AnyNode, "b1.evil.example.com": upstream.AnyNode, "b-1.kafka.example.com": upstream.AnyNode,
		"b007.kafka.example.com": upstream.AnyNode, "b99999999999.kafka.example.com": upstream.AnyNode, "x.b1.kafka.example.com": upstream.AnyNode,
	} {
		if got := a.node(0, name); got != want {
			t.Errorf("%q means node %d, want %d", name, got, want)
		}
	}
	host, port, ok := a.Advertise(5)
	if host != "b5.kafka.example.com" || port != 19443 || !ok || a.node(0, host) != 5 {
		t.Errorf("node 5 is at %s:%d", host, port)
	}
}
