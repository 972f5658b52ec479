package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sluice/internal/gateway/upstream"
)

// addressing is how clients of one listener reach brokers, and how the gateway
// tells which broker a connection means. Tenants come from the credential, so
// an address names a broker's node id and nothing else. Safe for concurrent
// use.
type addressing interface {
	// node says which broker a connection means, from the port it arrived at
	// and the host name it asked for; upstream.AnyNode on a bootstrap address.
	node(port int, serverName string) int32
	// Advertise returns where clients find a broker.
	Advertise(node int32) (host string, port int32, ok bool)
	// learn gives brokers addresses; nil tries again what has not worked.
	learn(brokers []upstream.Broker)
	bootstrap() string
}

// portAddressing gives each broker a port of its own. A port once given stays
// with its node id, over restarts too; a cluster with a single broker gets by
// with the bootstrap port.
type portAddressing struct {
	host          string
	bootstrapPort int // as clients are told
	from, to      int // the range for brokers; 0 leaves the choice to the system
	file          string
	listen        func(port int) (got int, err error)
	warn          func(msg string, args ...any)

	mu     sync.Mutex // guards what follows
	ports  map[int32]int
	failed map[int32]bool
	known  []upstream.Broker
	// unsaved: the file does not have what ports has.
	unsaved bool
}

// portFile is what the data directory keeps.
type portFile struct {
	Ports map[string]int `json:"ports"`
}

// restore listens on the ports that brokers had before.
func (a *portAddressing) restore() error {
	a.ports, a.failed = make(map[int32]int), make(map[int32]bool)
	if a.file == "" {
		return nil
	}
	data, err := os.ReadFile(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read learned ports: %w", err)
	}
	var kept portFile
	if err := json.Unmarshal(data, &kept); err != nil {
		// Ports are given out anew, in the order of the nodes. A client that
		// meets another broker than it knew there asks for metadata again.
		kept := a.file + ".damaged"
		if err := os.Rename(a.file, kept); err != nil {
			kept = "not kept: " + err.Error()
		}
		a.warn("learned ports are damaged and not used: brokers may get others", "file", a.file, "err", err, "kept_as", kept)
		return nil
	}
	for name, port := range kept.Ports {
		node, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			return fmt.Errorf("read learned ports from %s: node %q is not a number", a.file, name)
		}
		if port == 0 { // the bootstrap port, whichever it is now
			a.ports[int32(node)] = 0
			continue
		}
		if a.from != 0 && (port < a.from || port > a.to) {
			continue // the range has been changed: learn anew
		}
		if _, err := a.listen(port); err != nil {
			return fmt.Errorf("port %d of broker %d: %w", port, node, err)
		}
		a.ports[int32(node)] = port
	}
	return nil
}

func (a *portAddressing) learn(brokers []upstream.Broker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := false
	if brokers == nil {
		brokers = a.known
	}
	a.known = brokers
	if len(a.ports) == 0 && len(brokers) == 1 {
		a.ports[brokers[0].NodeID] = 0
		changed = true
	}
	ids := make([]int32, 0, len(brokers))
	for _, b := range brokers {
		ids = append(ids, b.NodeID)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if _, ok := a.ports[id]; ok {
			continue
		}
		port, err := a.free()
		if err != nil {
			if !a.failed[id] {
				a.failed[id] = true
				a.warn("a broker has no port and stays hidden from clients", "node", id, "err", err)
			}
			continue
		}
		delete(a.failed, id)
		a.ports[id] = port
		changed = true
	}
	if changed || a.unsaved {
		err := a.save()
		if err != nil && !a.unsaved {
			a.warn("learned ports are not saved, it will be tried again", "err", err)
		}
		a.unsaved = err != nil
	}
}

// free listens on a port that no broker has.
func (a *portAddressing) free() (int, error) {
	if a.from == 0 {
		return a.listen(0)
	}
	used := make(map[int]bool, len(a.ports))
	for _, p := range a.ports {
		used[p] = true
	}
	var last error
	for p := a.from; p <= a.to; p++ {
		if used[p] {
			continue
		}
		got, err := a.listen(p)
		if err == nil {
			return got, nil
		}
		last = err
	}
	if last != nil {
		return 0, fmt.Errorf("no free port from %d to %d: %w", a.from, a.to, last)
	}
	return 0, fmt.Errorf("all ports from %d to %d are taken by brokers: widen brokerPorts", a.from, a.to)
}

func (a *portAddressing) save() error {
	if a.file == "" {
		return nil
	}
	out := portFile{Ports: make(map[string]int, len(a.ports))}
	for id, p := range a.ports {
		out.Ports[strconv.Itoa(int(id))] = p
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(a.file, append(data, '\n'))
}

// writeFile replaces a file as a whole, or not at all.
func writeFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

func (a *portAddressing) node(port int, _ string) int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, p := range a.ports {
		if p == port && port != 0 {
			return id
		}
	}
	return upstream.AnyNode
}

func (a *portAddressing) Advertise(node int32) (string, int32, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	port, ok := a.ports[node]
	if ok && port == 0 {
		port = a.bootstrapPort
	}
	return a.host, int32(port), ok
}

func (a *portAddressing) bootstrap() string {
	return net.JoinHostPort(a.host, strconv.Itoa(a.bootstrapPort))
}

// hostAddressing gives each broker a host name behind one TLS port, told apart
// by the server name that the client sends (SNI, RFC 6066).
type hostAddressing struct {
	domain string
	port   int
}

func (a *hostAddressing) learn([]upstream.Broker) {}

func (a *hostAddressing) node(_ int, serverName string) int32 {
	label, ok := strings.CutSuffix(strings.ToLower(serverName), "."+a.domain)
	if !ok || len(label) < 2 || label[0] != 'b' {
		return upstream.AnyNode
	}
	id, err := strconv.ParseInt(label[1:], 10, 32)
	if err != nil || id < 0 || label[1:] != strconv.FormatInt(id, 10) {
		return upstream.AnyNode
	}
	return int32(id)
}

func (a *hostAddressing) Advertise(node int32) (string, int32, bool) {
	return fmt.Sprintf("b%d.%s", node, a.domain), int32(a.port), node >= 0
}

func (a *hostAddressing) bootstrap() string {
	return net.JoinHostPort("bootstrap."+a.domain, strconv.Itoa(a.port))
}
