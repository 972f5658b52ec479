package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// ListenerConfig is one way in.
type ListenerConfig struct {
	Name string
	// Address is host:port of the bootstrap port.
	Address string
	// BrokerPorts is the range of ports for brokers; two zeros leave the
	// choice to the system. Not used where Domain is set.
	BrokerPorts [2]int
	// Domain switches to one port with a host name per broker:
	// bootstrap.DOMAIN and b<id>.DOMAIN.
	Domain string
	// AdvertisedHost is the host that clients are told, in port mode.
	AdvertisedHost string
	// AdvertisedPort is the port that clients are told, where a load balancer
	// listens on another one; 0 means the listener's own.
	AdvertisedPort int
	// TLS is nil for plaintext. A certificate is renewed behind
	// GetConfigForClient.
	TLS *tls.Config
	// Mechanisms that clients may use here, as Kafka names them.
	Mechanisms []string
	// ProxyTrusted are the networks whose connections begin with a PROXY
	// protocol header, version 2; nobody else's header is read.
	ProxyTrusted []netip.Prefix
}

// listener is one ListenerConfig at work: the bootstrap port and, in port mode,
// those of the brokers.
type listener struct {
	g          *Gateway
	config     ListenerConfig
	addressing addressing
	host       string

	mu        sync.Mutex // guards what follows
	sockets   map[int]net.Listener
	accepting bool
	closed    bool
	done      sync.WaitGroup
}

func newListener(g *Gateway, config ListenerConfig) (*listener, error) {
	host, portText, err := net.SplitHostPort(config.Address)
	if err != nil {
		return nil, fmt.Errorf("listener %q: address %q: %w", config.Name, config.Address, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("listener %q: address %q: port %q is not a number", config.Name, config.Address, portText)
	}
	l := &listener{g: g, config: config, host: host, sockets: make(map[int]net.Listener)}
	port, err = l.listen(port)
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", config.Name, err)
	}
	if config.AdvertisedHost == "" {
		config.AdvertisedHost = host
	}
	advertised := config.AdvertisedPort
	if advertised == 0 {
		advertised = port
	}
	if config.Domain != "" {
		l.addressing = &hostAddressing{domain: strings.ToLower(config.Domain), port: advertised}
		return l, nil
	}
	ports := &portAddressing{
		host: config.AdvertisedHost, bootstrapPort: advertised,
		from: config.BrokerPorts[0], to: config.BrokerPorts[1],
		listen: l.listen, warn: g.log.With("listener", config.Name).Warn,
	}
	if g.config.DataDir != "" {
		ports.file = filepath.Join(g.config.DataDir, "ports-"+config.Name+".json")
	}
	l.addressing = ports
	if err := ports.restore(); err != nil {
		l.close()
		return nil, fmt.Errorf("listener %q: %w", config.Name, err)
	}
	return l, nil
}

// listen binds a port and accepts on it once the listener has started.
func (l *listener) listen(port int) (int, error) {
	socket, err := net.Listen("tcp", net.JoinHostPort(l.host, strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	got := socket.Addr().(*net.TCPAddr).Port
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		socket.Close()
		return 0, net.ErrClosed
	}
	l.sockets[got] = socket
	if l.accepting {
		l.done.Go(func() { l.accept(socket) })
	}
	return got, nil
}

func (l *listener) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepting = true
	for _, socket := range l.sockets {
		l.done.Go(func() { l.accept(socket) })
	}
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, socket := range l.sockets {
		socket.Close()
	}
}

func (l *listener) wait() { l.done.Wait() }

// accept takes connections until the socket is closed. Out of descriptors it
// pauses instead of spinning.
func (l *listener) accept(socket net.Listener) {
	pause := 5 * time.Millisecond
	for {
		conn, err := socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.g.log.Error("accept", "listener", l.config.Name, "err", err)
			select {
			case <-time.After(pause):
			case <-l.g.draining:
				return
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		l.take(conn)
	}
}

// take starts a connection's goroutine, or closes the connection when there is
// no room for it.
func (l *listener) take(conn net.Conn) {
	remote := addressOf(conn.RemoteAddr())
	if l.trusted(remote) {
		// The header's address counts against the limits, so it has to be
		// read first; that is the proxy's time, bounded all the same.
		l.done.Go(func() {
			address, err := proxied(conn, remote, l.g.config.Limits.AuthDeadline)
			if err != nil {
				l.g.sometimes("proxy header", "connection of a trusted proxy refused", "proxy", remote, "listener", l.config.Name, "reason", err)
				conn.Close()
				return
			}
			l.admit(conn, address)
		})
		return
	}
	l.admit(conn, remote)
}

// proxied reads a PROXY protocol header, version 2, and not a byte more: what
// follows is the client's. It returns the client's address, or the proxy's own
// where the proxy speaks for itself (LOCAL).
func proxied(conn net.Conn, proxy netip.Addr, within time.Duration) (netip.Addr, error) {
	const fixed = 16 // signature, version and command, family, length of the rest
	conn.SetReadDeadline(time.Now().Add(within))
	header := make([]byte, fixed, 256)
	if _, err := io.ReadFull(conn, header); err != nil {
		return proxy, fmt.Errorf("no PROXY protocol header: %w", err)
	}
	if !bytes.HasPrefix(header, proxyproto.SIGV2) {
		return proxy, errors.New("a PROXY protocol header, version 2, is expected")
	}
	rest := int(binary.BigEndian.Uint16(header[fixed-2:]))
	if rest > maxProxyHeader {
		return proxy, fmt.Errorf("PROXY protocol header of %d bytes, at most %d are accepted", rest, maxProxyHeader)
	}
	header = append(header, make([]byte, rest)...)
	if _, err := io.ReadFull(conn, header[fixed:]); err != nil {
		return proxy, fmt.Errorf("PROXY protocol header: %w", err)
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return proxy, fmt.Errorf("PROXY protocol header: %w", err)
	}
	if h.Command.IsLocal() || h.SourceAddr == nil {
		return proxy, nil
	}
	return addressOf(h.SourceAddr), nil
}

// maxProxyHeader is enough for the addresses and what load balancers add.
const maxProxyHeader = 4 << 10

func (l *listener) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(l.config.ProxyTrusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (l *listener) admit(conn net.Conn, client netip.Addr) {
	port := 0
	if a, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		port = a.Port
	}
	c := newClientConn(l, conn, client, port)
	err := l.g.admit(c)
	for began := time.Now(); errors.As(err, new(errCrowded)) && time.Since(began) < roomWait; err = l.g.admit(c) {
		select {
		case <-time.After(roomLook):
		case <-l.g.draining:
		}
	}
	if err != nil {
		l.g.metrics.refusedConnections.Inc()
		l.g.sometimes("admit", "connection refused", "client", c.address, "reason", err)
		conn.Close()
		return
	}
	go c.run()
}

func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		addr, _ := netip.AddrFromSlice(tcp.IP)
		return addr.Unmap()
	}
	return netip.Addr{}
}
