package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestLogger(t *testing.T) {
	for _, tc := range []struct{ name, level, format, want, err string }{
		{name: "text at info hides debug", level: "info", format: "text", want: "msg=hello a=1"},
		{name: "json is json", level: "debug", format: "json", want: `"msg":"hello","a":1`},
		{name: "an unknown level is named", level: "loud", format: "text", err: `log level "loud" is not one of`},
		{name: "an unknown format is named", level: "info", format: "xml", err: `log format "xml" is not one of`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			log, err := NewLogger(&out, tc.level, tc.format)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if log.Info("hello", "a", 1); !strings.Contains(out.String(), tc.want) {
				t.Errorf("got %q, want %q in it", out.String(), tc.want)
			}
			if tc.format == "json" && !json.Valid(out.Bytes()) {
				t.Errorf("not JSON: %q", out.String())
			}
			out.Reset()
			if log.Debug("quiet"); (out.Len() > 0) != (tc.level == "debug") {
				t.Errorf("at level %s debug wrote %q", tc.level, out.String())
			}
		})
	}
}

func TestServerSaysInWordsWhatIsNotReady(t *testing.T) {
	var reason atomic.Value
	reason.Store("target cluster \"main\": connection refused")
	server, err := NewServer(ServerConfig{Address: "127.0.0.1:0", Metrics: NewRegistry("v1"), Log: slog.New(slog.DiscardHandler), NotReady: func() []string {
		if r := reason.Load().(string); r != "" {
			return []string{r}
		}
		return nil
	}, Notes: func() []string { return []string{"the control plane is away"} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + server.Address() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	want := func(path string, code int, text string) {
		t.Helper()
		if got, body := get(path); got != code || !strings.Contains(body, text) {
			t.Errorf("%s: got %d %.200q, want %d with %q", path, got, body, code, text)
		}
	}
	want("/livez", 200, "alive")
	want("/readyz", 503, `not ready: target cluster "main": connection refused`)
	reason.Store("")
	want("/readyz", 200, "ready\nnote: the control plane is away\n")
	want("/metrics", 200, `sluice_build_info{version="v1"} 1`)
	want("/metrics", 200, "go_goroutines")
	want("/nothing", 404, "")
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServerTakenPort(t *testing.T) {
	config := ServerConfig{Address: "127.0.0.1:0", Metrics: NewRegistry("v1"), Log: slog.New(slog.DiscardHandler)}
	first, err := NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	config.Address = first.Address()
	if _, err := NewServer(config); err == nil || !strings.Contains(err.Error(), first.Address()) {
		t.Errorf("got %v, want an error that names %s", err, first.Address())
	}
}
