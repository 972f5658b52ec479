// Package postgrestest starts a real PostgreSQL server for tests. Its main type is
// Server. It needs the programs of Debian's package postgresql, 13 or newer; a test
// that asks for a server on a machine without them fails and says what to install.
// It knows nothing of Sluice, and never ships. Its own tests are those of
// store/storetest on PostgreSQL.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startTimeout = 2 * time.Minute  // two seconds on a machine with nothing else to do
	stopTimeout  = 30 * time.Second // after that it is killed
	superuser    = "sluice"
	readyLine    = "database system is ready to accept connections"
)

// Server is a running PostgreSQL, reached by a Unix socket only.
type Server struct {
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	log    *watched
	made   atomic.Int32
}

// Start runs a server until Stop. It runs as the system's user postgres, or else nobody, when we are root, whom
// PostgreSQL refuses. The kernel ends it when this process ends however it does (Linux).
func Start() (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	as, err := owner()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-pg-") // short: the path of a socket has at most 107 bytes
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, exited: make(chan struct{}), log: &watched{ready: make(chan struct{})}}
	if err := s.start(bin, as); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) start(bin string, as *syscall.Credential) error {
	if as != nil {
		if err := os.Chown(s.dir, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	data := filepath.Join(s.dir, "data")
	// Its own order of texts is not that of bytes: whoever relies on it is found out.
	initdb := s.program(bin, "initdb", as, "-D", data, "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en", "--no-sync", "--no-instructions")
	hurry := time.AfterFunc(startTimeout, func() { _ = initdb.Process.Kill() })
	defer hurry.Stop()
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	s.cmd = s.program(bin, "postgres", as, "-D", data, "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100", "-c", "log_min_messages=warning")
	s.cmd.Stderr = s.log
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel ends the child with the thread that started it
		defer close(s.exited)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	select {
	case <-s.log.ready:
		return nil
	case <-s.exited:
		return fmt.Errorf("it ended at once: %s", s.log)
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("not ready after %s: %s", startTimeout, s.log), s.end(syscall.SIGKILL))
	}
}

// Stop ends the server and removes what it has kept.
func (s *Server) Stop() error {
	return errors.Join(s.end(syscall.SIGINT), os.RemoveAll(s.dir)) // SIGINT: without waiting for connections to be closed
}

func (s *Server) end(how syscall.Signal) error {
	if err := s.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.exited:
		return nil
	case <-timer.C:
	}
	err := s.cmd.Process.Kill()
	<-s.exited
	return errors.Join(fmt.Errorf("PostgreSQL did not stop within %s and was killed: %s", stopTimeout, s.log), err)
}

// Log is what the server has said last.
func (s *Server) Log() string { return s.log.String() }

// Socket is the path of the server's socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// Database makes an empty database and returns its address.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.address(s.dir, "postgres"))
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v: %s", err, s.log)
	}
	defer conn.Close(ctx)
	name := "test" + strconv.Itoa(int(s.made.Add(1)))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.address(s.dir, name)
}

// Disconnect ends all connections to the server, and returns once they are gone.
func (s *Server) Disconnect(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.address(s.dir, "postgres"))
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v: %s", err, s.log)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid, $1) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()", startTimeout.Milliseconds()); err != nil {
		t.Fatal(err)
	}
}

// address is that of a database by the socket in a folder.
func (s *Server) address(folder, database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: url.Values{"host": {folder}}.Encode()}).String()
}

// programs is the folder of initdb and postgres: the newest one.
func programs() (string, error) {
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	// tools/deps.sh unpacks it there when it may not install.
	unpacked, err := filepath.Glob(filepath.Join(cache(), "debian/postgresql*/usr/lib/postgresql/*/bin"))
	if err != nil {
		return "", err
	}
	folders = append(folders, unpacked...)
	slices.SortFunc(folders, func(a, b string) int { return release(b) - release(a) })
	if at, err := exec.LookPath("initdb"); err == nil {
		if at, err = filepath.EvalSymlinks(at); err == nil {
			folders = append(folders, filepath.Dir(at))
		}
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "postgres")); !errors.Is(err, fs.ErrNotExist) {
			return folder, err
		}
	}
	return "", errors.New("no PostgreSQL found: install it (Debian: postgresql), or run tools/deps.sh test")
}

func cache() string {
	if folder := os.Getenv("SLUICE_CACHE"); folder != "" {
		return folder
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache/sluice")
}

// program is a command of PostgreSQL; one that was unpacked finds its libraries beside it.
func (s *Server) program(bin, name string, as *syscall.Credential, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, childAttr(as)
	if root, _, ok := strings.Cut(bin, "/usr/lib/postgresql/"); ok && root != "" {
		libraries, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*")) // the pattern is a good one
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	return cmd
}

func release(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder))) // what has no number comes last
	return n
}

// owner is whom the server runs as: nil for ourselves.
func owner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.New("PostgreSQL refuses root, and there is no user postgres or nobody to run it as: add one")
}

// watched keeps the end of what was written and sees readyLine go by.
type watched struct {
	mu    sync.Mutex // guards text
	text  []byte
	ready chan struct{}
	once  sync.Once
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	if bytes.Contains(w.text, []byte(readyLine)) {
		w.once.Do(func() { close(w.ready) })
	}
	if over := len(w.text) - 8<<10; over > 0 {
		w.text = slices.Delete(w.text, 0, over)
	}
	return len(b), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.text))
}
