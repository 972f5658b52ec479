package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ServerConfig is what a Server is told.
type ServerConfig struct {
	// Address is host:port to listen on; port 0 leaves the choice to the system.
	Address string
	// Metrics are shown at /metrics.
	Metrics prometheus.Gatherer
	// NotReady returns why no traffic should come here, one sentence each; none
	// means ready. It must be quick and safe for concurrent use.
	NotReady func() []string
	// Notes returns what people should know and keeps no traffic away, in the same way;
	// it may be nil.
	Notes func() []string
	Log   *slog.Logger
}

// Server is the operations HTTP server. It has no logins: its address must be
// one that only operators reach.
type Server struct {
	socket net.Listener
	http   *http.Server
}

// NewServer binds the address, so that a taken port is an error here. Run
// serves.
func NewServer(config ServerConfig) (*Server, error) {
	socket, err := net.Listen("tcp", config.Address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		reasons := config.NotReady()
		var notes []string
		if config.Notes != nil {
			notes = config.Notes()
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if len(reasons) == 0 {
			io.WriteString(w, "ready\n")
		} else {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		for _, reason := range reasons {
			fmt.Fprintf(w, "not ready: %s\n", reason)
		}
		for _, note := range notes {
			fmt.Fprintf(w, "note: %s\n", note)
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(config.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	return &Server{socket: socket, http: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelWarn),
	}}, nil
}

// Address returns where the server listens.
func (s *Server) Address() string { return s.socket.Addr().String() }

// Run serves until the context ends, and lets requests under way end.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if s.http.Shutdown(patience) != nil {
			s.http.Close()
		}
	})
	defer stop()
	if err := s.http.Serve(s.socket); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve operations: %w", err)
	}
	return nil
}

// Close releases the address of a server that Run never served.
func (s *Server) Close() error { return s.socket.Close() }
