package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestDamagedStateIsSetAside(t *testing.T) {
	t.Parallel()
	w := idle(t)
	a, err := New(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	before := a.gateway.Snapshot()
	a.release()
	for _, name := range []string{historyFile, snapshotFile} {
		file := filepath.Join(w.options().Config.DataDir, name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text[:len(text)/2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	opts := w.options()
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	if a, err = New(t.Context(), opts); err != nil {
		t.Fatal("does not start: ", err)
	}
	defer a.release()
	after := a.gateway.Snapshot().Lookup("scram", "reader")
	if was := before.Lookup("scram", "reader"); after == nil || after.Grant.Topics[0].ID != was.Grant.Topics[0].ID || after.Grant.Prefix != was.Grant.Prefix {
		t.Errorf("the grant after: %+v", after)
	}
	for _, name := range []string{historyFile, snapshotFile} {
		if !strings.Contains(log.String(), name+".damaged\n") { // and that is the whole line
			t.Errorf("the log does not tell of %s:\n%s", name, log.String())
		}
		if _, err := os.Stat(filepath.Join(opts.Config.DataDir, name+".damaged")); err != nil {
			t.Error(err)
		}
	}
	if s := (&state{dir: opts.Config.DataDir, saved: map[string]string{}}); s.read() != nil || len(s.damaged) > 0 || s.snapshot == nil {
		t.Errorf("what was written anew is damaged too: %v", s.damaged)
	}
}

// A process that is being started while the data directory is given back has a copy of the lock's descriptor for a moment.
func TestAClosedDataDirectoryIsFreeAtOnce(t *testing.T) {
	dir := t.TempDir()
	s, err := openState(dir, "--data-dir")
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(int(s.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(child)
	s.close()
	if s, err = openState(dir, "--data-dir"); err != nil {
		t.Fatal(err)
	}
	s.close()
}

// A data directory that cannot be written does not keep documents from coming into force, and gets them later.
func TestFullDiskHealsByItself(t *testing.T) {
	t.Parallel()
	w := idle(t)
	var log bytes.Buffer
	now := time.Now()
	opts := w.options().withDefaults()
	opts.Now = func() time.Time { return now }
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	r := w.opened(opts)
	defer r.state.close()
	if _, err := r.load(); err != nil {
		t.Fatal(err)
	}
	// For root, who may write anywhere: the directory is elsewhere.
	away := opts.Config.DataDir + "-away"
	if err := os.Rename(opts.Config.DataDir, away); err != nil {
		t.Fatal(err)
	}
	w.write("resources/second.yaml", consumerYAML("second", "orders"))
	result, err := r.load()
	if err != nil {
		t.Fatal(err)
	}
	if result.Snapshot.Lookup("scram", "second") == nil {
		t.Error("the documents are not in force")
	}
	if got := testutil.ToFloat64(r.saves); got != 0 || !strings.Contains(log.String(), "is not in the data directory") {
		t.Errorf("nobody is told: metric %v, log:\n%s", got, log.String())
	}
	if err := os.Rename(away, opts.Config.DataDir); err != nil {
		t.Fatal(err)
	}
	now = now.Add(saveAgain)
	r.catchUp()
	if got := testutil.ToFloat64(r.saves); got != 1 {
		t.Errorf("metric after: %v, want 1", got)
	}
	kept := &state{dir: opts.Config.DataDir, saved: map[string]string{}}
	if err := kept.read(); err != nil || kept.snapshot.Lookup("scram", "second") == nil {
		t.Errorf("kept: %v", err)
	}
}

func TestConnectionsFitIntoDescriptors(t *testing.T) {
	for descriptors, want := range map[uint64]int{2: 1, 256: 64, 1024: 448, 20128: 10000, 1 << 63: 1 << 30} {
		if got := connectionsWithin(descriptors); got != want {
			t.Errorf("%d descriptors: %d connections, want %d", descriptors, got, want)
		}
	}
}
