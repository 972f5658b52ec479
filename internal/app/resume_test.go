package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control/publish"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/resource"
)

// begun is what a start came to.
type begun struct {
	resumed  bool // served before the documents were read
	first    *grant.Snapshot
	cluster  publish.Cluster
	derived  int // credentials whose verifiers were derived, until the documents were compiled
	snapshot *grant.Snapshot
}

// begin is a start and an end, with the documents read behind it where it resumed.
func (w *world) begin(opts Options) (b begun) {
	w.t.Helper()
	opts = opts.withDefaults()
	r := w.opened(opts)
	defer r.state.close()
	result, err := r.start()
	if err != nil {
		w.t.Fatal(err)
	}
	b = begun{resumed: r.behind, first: result.Snapshot, cluster: result.Clusters[0], derived: result.Derived}
	if b.resumed {
		if r.state.recalled || len(result.Clusters) != 1 || result.Clusters[0].Fingerprint == "" {
			w.t.Errorf("resumed, history read %v, clusters %+v", r.state.recalled, result.Clusters)
		}
		clusters := result.Clusters
		if result, err = r.load(); err != nil {
			w.t.Fatal(err)
		}
		if result.Clusters[0].Fingerprint != clusters[0].Fingerprint || !sameReach(result.Clusters[0], clusters[0]) {
			w.t.Errorf("the target cluster is %+v, and resumed as %+v", result.Clusters[0], clusters[0])
		}
		b.derived = result.Derived
	}
	b.snapshot = result.Snapshot
	return b
}

// proves reports whether a secret proves a credential to a gateway with a snapshot.
func proves(t *testing.T, s *grant.Snapshot, clientID, secret string) bool {
	t.Helper()
	c := s.Lookup(grant.Scram, clientID)
	if c == nil {
		return false
	}
	for _, v := range c.Verifiers {
		again, err := sasl.NewVerifier(v.Mechanism, secret, v.Salt)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.StoredKey, v.StoredKey) {
			return false
		}
	}
	return len(c.Verifiers) == 2
}

const otherSecret = "staple-battery-horse"

// resumable is a world of two applications with secrets of their own, that was
// served once.
func resumable(t *testing.T) (*world, begun) {
	w := idle(t)
	w.pair("broker", time.Now().Add(time.Hour))
	w.write("broker-secret", "secret of the gateway")
	w.write("resources/cluster.yaml", `apiVersion: sluice/v1
kind: Cluster
metadata: {name: main, environment: test}
spec:
  bootstrap: ["127.0.0.1:1"]
  tls: {ca: {file: ../tls.crt}, serverName: kafka.example}
  sasl: {mechanism: PLAIN, username: sluice, password: {file: ../broker-secret}}
`)
	w.write("other-secret", otherSecret)
	w.write("resources/other.yaml", strings.ReplaceAll(consumerYAML("other", "orders"), "../secret", "../other-secret"))
	first := w.begin(w.options())
	if first.resumed || first.derived != 2 || first.first.Number().N != 1 {
		t.Fatalf("the first start: %+v", first)
	}
	return w, first
}

func TestAnUnchangedWorldIsResumed(t *testing.T) {
	t.Parallel()
	w, first := resumable(t)
	for range 2 {
		again := w.begin(w.options())
		if !again.resumed || again.derived != 0 || again.snapshot != again.first {
			t.Errorf("%+v, want the same snapshot, no derivation, and nothing to change when the documents are read", again)
		}
		if d := first.snapshot.Diff(again.snapshot); again.snapshot.Number() != first.snapshot.Number() || len(d.Put)+len(d.Remove) > 0 {
			t.Errorf("number %v, changed %v", again.snapshot.Number(), d)
		}
	}
	// Of target clusters nothing is remembered but where their secrets are.
	w.write("broker-secret", "another one of the gateway")
	if again := w.begin(w.options()); !again.resumed || again.cluster.SASL.Password.Reveal() != "another one of the gateway" {
		t.Errorf("resumed %v, with the password of before", again.resumed)
	}
	files, err := os.ReadDir(w.options().Config.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(w.options().Config.DataDir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
		for _, s := range []string{secret, otherSecret, "another one of the gateway"} {
			sum := sha256.Sum256([]byte(s))
			for _, trace := range [][]byte{[]byte(s), sum[:], []byte(hex.EncodeToString(sum[:]))} {
				if bytes.Contains(text, trace) {
					t.Errorf("%s holds a secret, or a hash of it", f.Name())
				}
			}
		}
	}
}

// What changed while nobody looked counts from the first answer on.
func TestWhatChangedMeanwhileIsNotResumed(t *testing.T) {
	t.Parallel()
	const newSecret = "quite another secret"
	for _, tc := range []struct {
		name    string
		change  func(w *world, opts *Options)
		derived int
		check   func(t *testing.T, s *grant.Snapshot)
	}{
		{"a secret", func(w *world, _ *Options) { w.write("other-secret", newSecret) }, 2, func(t *testing.T, s *grant.Snapshot) {
			if proves(t, s, "other", otherSecret) || !proves(t, s, "other", newSecret) || s.Number().N != 2 {
				t.Error("the old secret is taken, or the new one is not")
			}
		}},
		{"a secret of the same length, and the file's time", func(w *world, _ *Options) {
			file := filepath.Join(w.dir, "other-secret")
			info, err := os.Stat(file)
			if err != nil {
				w.t.Fatal(err)
			}
			w.write("other-secret", strings.ToUpper(otherSecret))
			if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
				w.t.Fatal(err)
			}
		}, 2, func(t *testing.T, s *grant.Snapshot) {
			if proves(t, s, "other", otherSecret) || !proves(t, s, "other", strings.ToUpper(otherSecret)) {
				t.Error("the old secret is taken, or the new one is not")
			}
		}},
		{"a credential is gone", func(w *world, _ *Options) { w.remove("resources/other.yaml") }, 0, func(t *testing.T, s *grant.Snapshot) {
			if s.Lookup(grant.Scram, "other") != nil || !proves(t, s, "reader", secret) || s.Number().N != 2 {
				t.Error("it is there still, or the others are not")
			}
		}},
		{"a credential is gone with its secret", func(w *world, _ *Options) {
			w.remove("resources/other.yaml")
			w.remove("other-secret")
		}, 1, func(t *testing.T, s *grant.Snapshot) {
			if s.Lookup(grant.Scram, "other") != nil || !proves(t, s, "reader", secret) {
				t.Error("it is there still, or the others are not")
			}
		}},
		{"a credential is revoked", func(w *world, _ *Options) {
			w.write("resources/other.yaml", strings.ReplaceAll(strings.ReplaceAll(consumerYAML("other", "orders"), "../secret", "../other-secret"), "type: scram", "type: scram, state: revoked"))
		}, 0, func(t *testing.T, s *grant.Snapshot) {
			if s.Lookup(grant.Scram, "other").Usable(time.Now()) == "" {
				t.Error("it may log in")
			}
		}},
		{"a subscription is gone", func(w *world, _ *Options) { w.write("resources/reader.yaml", consumerYAML("reader")) }, 0, func(t *testing.T, s *grant.Snapshot) {
			for _, topic := range s.Lookup(grant.Scram, "reader").Grant.Topics {
				if v := topic.Decide(grant.Write, time.Now()).Verdict; v == grant.Allow {
					t.Errorf("%s: %v", topic.Exposed, v)
				}
			}
		}},
		{"a credential uses another one's secret", func(w *world, _ *Options) {
			w.write("resources/other.yaml", consumerYAML("other", "orders"))
		}, 1, func(t *testing.T, s *grant.Snapshot) {
			if proves(t, s, "other", otherSecret) || !proves(t, s, "other", secret) {
				t.Error("the old secret is taken, or the new one is not")
			}
		}},
		{"a credential is new", func(w *world, _ *Options) { w.write("resources/third.yaml", consumerYAML("third", "orders")) }, 1, func(t *testing.T, s *grant.Snapshot) {
			if !proves(t, s, "third", secret) {
				t.Error("it is not there")
			}
		}},
		{"the target cluster", func(w *world, _ *Options) {
			w.write("resources/cluster.yaml", "apiVersion: sluice/v1\nkind: Cluster\nmetadata: {name: main, environment: test}\nspec: {bootstrap: [\"127.0.0.1:2\"]}\n")
		}, 0, nil},
		{"the program", func(_ *world, opts *Options) { opts.Version = "another" }, 2, nil},
		{"the snapshot's file is an older one", func(w *world, opts *Options) {
			file := filepath.Join(opts.Config.DataDir, snapshotFile)
			if err := os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				w.t.Fatal(err)
			}
		}, 2, nil},
		{"there is no history", func(w *world, _ *Options) { w.remove("data/" + historyFile) }, 2, nil},
		{"there is no file", func(w *world, _ *Options) { w.remove("data/" + resumeFile) }, 2, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, _ := resumable(t)
			opts := w.options()
			tc.change(w, &opts)
			got := w.begin(opts)
			if got.resumed || got.derived != tc.derived {
				t.Errorf("resumed %v, with %d credentials derived, want %d", got.resumed, got.derived, tc.derived)
			}
			if tc.check != nil {
				tc.check(t, got.first)
			}
			if again := w.begin(opts); !again.resumed || again.derived != 0 || again.first.Number() != got.first.Number() {
				t.Errorf("the start after that: %+v", again)
			}
		})
	}
}

func TestTimeMeanwhileIsNotResumed(t *testing.T) {
	t.Parallel()
	w := idle(t)
	now := time.Now()
	w.write("resources/reader.yaml", strings.Replace(consumerYAML("reader", "orders"), "plan: free", "plan: free, expires: "+now.Add(time.Hour).UTC().Format(time.RFC3339), 1))
	opts := w.options()
	opts.Now = func() time.Time { return now }
	w.begin(opts)
	now = now.Add(30 * time.Minute)
	if got := w.begin(opts); !got.resumed {
		t.Error("nothing has changed after half an hour")
	}
	now = now.Add(31 * time.Minute)
	if got := w.begin(opts); got.resumed || got.derived != 0 {
		t.Errorf("the subscription has expired: resumed %v, %d derived", got.resumed, got.derived)
	}
}

// A damaged file costs time, never a start or a wrong grant.
func TestDamagedResumeFile(t *testing.T) {
	t.Parallel()
	w, first := resumable(t)
	file := filepath.Join(w.options().Config.DataDir, resumeFile)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	look := func(what string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		opts := w.options().withDefaults()
		r := w.opened(opts)
		defer r.state.close()
		if result, err := r.resumed(); err == nil || result != nil || r.proved != nil || r.state.snapshot != nil {
			t.Errorf("%s: it is used", what)
		}
	}
	for i := 0; i < len(good); i += 1 + len(good)/100 {
		flipped := slices.Clone(good)
		flipped[i] ^= 1
		look(fmt.Sprintf("a bit flipped at %d", i), flipped)
	}
	for _, n := range []int{0, 10, 100, len(good) / 2, len(good) - 1} {
		look(fmt.Sprintf("the first %d bytes", n), good[:n])
	}
	look("zeros", make([]byte, len(good)))
	look("more at the end", append(slices.Clone(good), 0))
	if got := w.begin(w.options()); got.resumed || got.first.Number() != first.first.Number() {
		t.Errorf("the start: %+v, want snapshot %v", got, first.first.Number())
	}
}

// Whoever can write the data directory, and reads the seed there, but does not know
// the secrets of all credentials, cannot make grants that a start would serve.
func TestForgedResumeFile(t *testing.T) {
	t.Parallel()
	w, _ := resumable(t)
	opts := w.options().withDefaults()
	r := w.opened(opts)
	defer r.state.close()
	if _, err := r.resumed(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.state.dir, resumeFile))
	if err != nil {
		t.Fatal(err)
	}
	_, content, _ := bytes.Cut(text, []byte("\n"))
	try := func(secrets []provedSecret, values ...string) error {
		t.Helper()
		forged, err := sealed(content, r.state.seed, secrets, values)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.state.dir, resumeFile), forged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = newResources(opts, r.state).resumed()
		return err
	}
	both := make([]provedSecret, 2)
	if err := try(both, otherSecret, secret); err != nil { // as the gateway itself does, in the order of the files
		t.Fatal(err)
	}
	if try(both, otherSecret, "guessed, and wrongly") == nil || try(both, "", "") == nil || try(nil) == nil {
		t.Error("a seal by somebody who does not know the secrets is good")
	}
	if try([]provedSecret{{Missing: true}, {Missing: true}}, "", "") == nil {
		t.Error("secrets that are said to be missing are not missed")
	}
}

// A gateway that resumed reads its documents behind that, and follows them.
func TestDocumentsAreReadBehindAResumedStart(t *testing.T) {
	t.Parallel()
	w, first := resumable(t)
	a, err := New(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	if !a.resources.behind || a.gateway.Snapshot().Number() != first.first.Number() {
		t.Fatal("it has not resumed")
	}
	resumed := a.gateway.Snapshot()
	broken := consumerYAML("third", "orders", "nowhere") // meanwhile
	w.write("resources/third.yaml", broken)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	if err := a.Reload(ctx); err == nil {
		t.Error("broken documents are taken")
	}
	if a.gateway.Snapshot() != resumed {
		t.Error("what was resumed does not stay in force")
	}
	w.write("resources/third.yaml", consumerYAML("third", "orders"))
	if err := a.Reload(ctx); err != nil {
		t.Error(err)
	}
	if s := a.gateway.Snapshot(); !proves(t, s, "third", secret) || s.Number().N != 2 {
		t.Errorf("snapshot %v does not follow the documents", s.Number())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := w.begin(w.options()); !got.resumed || got.first.Number().N != 2 {
		t.Errorf("the next start: %+v", got)
	}
}

// Of a secret that many credentials share, every one has the verifiers of what was
// read first, and what is sealed is that, whatever the file says a moment later.
func TestWhatIsSealedIsWhatWasCompiled(t *testing.T) {
	t.Parallel()
	w := idle(t)
	opts := w.options().withDefaults()
	s, err := openState(opts.Config.DataDir, "--data-dir")
	if err != nil {
		t.Fatal(err)
	}
	r := newResources(opts, s)
	set, problems := r.read()
	if resource.Bad(problems) {
		t.Fatal(problems)
	}
	s.dir += "-away" // the disk is full, so to speak, until the secret has changed
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, historyFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, historyFile, "in the way"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.recalled = true
	if _, _, err := r.compile(set, nil); err != nil {
		t.Fatal(err)
	}
	if s.unsaved == nil || s.leaving == nil {
		t.Fatal("the history is written where it cannot be")
	}
	w.write("secret", "quite another secret")
	if err := os.RemoveAll(filepath.Join(s.dir, historyFile)); err != nil {
		t.Fatal(err)
	}
	if s.flush(); s.unsaved != nil || s.leaving != nil {
		t.Fatal(s.unsaved)
	}
	s.close()
	opts.Config.DataDir = s.dir
	got := w.begin(opts)
	if got.resumed || proves(t, got.first, "reader", secret) || !proves(t, got.first, "reader", "quite another secret") {
		t.Error("the secret of before is taken")
	}
}

// remove removes a file of the world.
func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
}
