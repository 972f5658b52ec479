package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/fault"
	"sluice/internal/resource"
	"sluice/internal/store/sqlstore"
)

// cutter passes connections on to the server, and cuts each that says COMMIT: before the server hears it, or behind.
type cutter struct {
	listener net.Listener
	armed    atomic.Bool // cut the next one
	heard    bool        // the server hears it
}

// between starts a cutter and returns the address of a database by it.
func between(t *testing.T, database string, heard bool) (*cutter, string) {
	dir, err := os.MkdirTemp("", "sluice-cut-") // short, for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &cutter{heard: heard}
	if c.listener, err = net.Listen("unix", filepath.Join(dir, filepath.Base(server.Socket()))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.listener.Close() })
	go func() {
		for {
			client, err := c.listener.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{"host": {dir}}.Encode()
	return c, u.String()
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	upstream, err := net.Dial("unix", server.Socket())
	if err != nil {
		return
	}
	defer upstream.Close()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, upstream)
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if bytes.Contains(b[:n], []byte("COMMIT\x00")) && c.armed.CompareAndSwap(true, false) {
			_ = client.Close() // who asked hears nothing any more
			if c.heard {
				_, _ = upstream.Write(b[:n])
				_, _ = io.Copy(io.Discard, io.LimitReader(upstream, 1)) // it has answered
			}
			return
		}
		if _, err := upstream.Write(b[:n]); err != nil {
			return
		}
	}
}

func put(name string) func(control.Writer) error {
	return func(w control.Writer) error {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		return w.Put(&control.Record{Document: &resource.Team{Kind: resource.KindTeam, Metadata: resource.Metadata{Name: name}}, Serial: 1, Created: at, Changed: at}, nil)
	}
}

// TestCommitInDoubt cuts the connection while it commits: the store finds out how it ended.
func TestCommitInDoubt(t *testing.T) {
	for name, heard := range map[string]bool{"the server heard it": true, "the server did not": false} {
		t.Run(name, func(t *testing.T) {
			c, address := between(t, server.Database(t), heard)
			s := open(t, address, sqlstore.Options{})
			if err := s.Write(t.Context(), put("before")); err != nil {
				t.Fatal(err)
			}
			c.armed.Store(true)
			err := s.Write(t.Context(), put("a"))
			if heard && err != nil || !heard && fault.KindOf(err) != fault.Unavailable {
				t.Errorf("got %v", err)
			}
			if c.armed.Load() {
				t.Error("nothing was cut")
			}
			if err := s.Read(t.Context(), func(r control.Reader) error {
				if _, err := r.Get(resource.Key{Kind: resource.KindTeam, Name: "a"}); heard && err != nil || !heard && !errors.Is(err, control.ErrNotFound) {
					t.Errorf("the document: %v", err)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if err := s.Write(t.Context(), put("after")); err != nil {
				t.Errorf("the next change: %v", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	_, err := sqlstore.Open(t.Context(), "postgres://sluice:secret@/sluice?host="+url.QueryEscape(t.TempDir()), sqlstore.Options{})
	if fault.KindOf(err) != fault.Unavailable || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v (%s)", err, fault.KindOf(err))
	}
	_, err = sqlstore.Open(t.Context(), server.Database(t)+"&search_path=elsewhere", sqlstore.Options{})
	if err == nil || !strings.Contains(err.Error(), "no schema of search_path=elsewhere is there") {
		t.Errorf("got %v", err)
	}
}

// TestAServerThatGoesAway takes the connections away, as a restart does.
func TestAServerThatGoesAway(t *testing.T) {
	s := open(t, server.Database(t), sqlstore.Options{})
	err := s.Write(t.Context(), func(w control.Writer) error {
		if err := put("a")(w); err != nil {
			return err
		}
		server.Disconnect(t)
		return put("b")(w)
	})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v (%s)", err, fault.KindOf(err))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Write(ctx, put("a")); err != nil {
		t.Errorf("the next change: %v", err)
	}
}
