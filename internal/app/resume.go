package app

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/config"
	"sluice/internal/control/publish"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/resource"
)

// A start that finds everything as the last process left it serves what was in
// force then, as that process would have done, and reads the documents behind it.
// What that takes is in one more file of the data directory. It is made of the
// others and of the documents, and losing it costs time and nothing else.
//
// Its first line seals the rest with the secrets of the credentials: whoever does
// not know all of them cannot make another seal, and whoever tries guesses against
// it pays for each what one costs against a SCRAM verifier, which is there too.
// So one derivation tells that all verifiers are still those of their secrets.

const (
	resumeFile   = "resume"
	resumeFormat = "sluice-resume-1"
	sealSalt     = 16
	sealBytes    = 32
)

// past is what the resume file says besides the snapshot. Compile would make that
// snapshot again as long as nothing of this is otherwise.
type past struct {
	Program     string // that compiled it, see program
	Directory   string // in which relative names were meant
	Environment string
	Resources   []string
	Read        []string // resource.Set.Read
	Digest      string   // resource.Set.Digest
	Until       time.Time
	Beside      map[string]string // stamps of the files that were written with it
	Clusters    []*resource.Cluster
	Secrets     []provedSecret
}

// provedSecret is where a secret was, of which credentials have their verifiers.
type provedSecret struct {
	Ref resource.SecretRef
	// Missing: it could not be read, which a revoked credential may do without.
	Missing     bool
	Credentials []string
}

// leaving is what the next process is to find. The secrets are dropped once they
// have sealed it.
type leaving struct {
	past     past
	snapshot *grant.Snapshot
	secrets  []string // by past.Secrets
}

// leave collects what a compiled set leaves to the next process. The secrets are
// those that it was compiled with; a later look might find others.
func (r *resources) leave(set *resource.Set, result *loaded, secrets map[resource.SecretRef]string) *leaving {
	directory, err := os.Getwd()
	if err != nil || set.Digest == "" {
		return nil // the next start compiles
	}
	l := &leaving{snapshot: result.Snapshot, past: past{
		Program: r.program, Directory: directory, Environment: r.opts.Config.Environment, Resources: r.opts.Resources,
		Read: set.Read, Digest: set.Digest, Until: result.NextChange,
	}}
	for _, d := range set.Clusters {
		if d.Metadata.Environment == l.past.Environment {
			l.past.Clusters = append(l.past.Clusters, d)
		}
	}
	at := map[resource.SecretRef]int{}
	for _, d := range set.Credentials {
		ref := d.Spec.Secret
		if d.Metadata.Environment != l.past.Environment || ref.IsZero() {
			continue
		}
		i, known := at[ref]
		if !known {
			i = len(l.past.Secrets)
			at[ref] = i
			secret, ok := secrets[ref]
			l.past.Secrets, l.secrets = append(l.past.Secrets, provedSecret{Ref: ref, Missing: !ok}), append(l.secrets, secret)
		}
		l.past.Secrets[i].Credentials = append(l.past.Secrets[i].Credentials, d.Name())
	}
	return l
}

// content is what is sealed: a line of JSON, and the snapshot.
func (l *leaving) content() ([]byte, error) {
	head, err := json.Marshal(l.past)
	if err != nil {
		return nil, err
	}
	snapshot, err := l.snapshot.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return slices.Concat(head, []byte("\n"), snapshot), nil
}

// sealed puts the line with the seal before the content.
func sealed(content, seed []byte, secrets []provedSecret, values []string) ([]byte, error) {
	salt := make([]byte, sealSalt)
	rand.Read(salt) // never fails (crypto/rand)
	mac, err := seal(content, salt, seed, secrets, values)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s %x %x\n", resumeFormat, salt, mac), content...), nil
}

// seal is keyed with the seed and with all secrets together. It takes as many
// rounds as a SCRAM verifier, of the dearer hash, so that a guess at one secret by
// somebody who knows all others is not cheaper than against that.
func seal(content, salt, seed []byte, secrets []provedSecret, values []string) ([]byte, error) {
	var key []byte
	add := func(b string) {
		key = binary.BigEndian.AppendUint64(key, uint64(len(b)))
		key = append(key, b...)
	}
	add(string(seed))
	for i, s := range secrets {
		add(fmt.Sprint(s.Missing))
		add(values[i])
	}
	sum := sha256.Sum256(content)
	return pbkdf2.Key(sha512.New, string(key), slices.Concat(salt, sum[:]), sasl.ScramIterations, sealBytes)
}

// resume returns what was in force when the last process ended, if Compile would
// make the same of what there is now. Otherwise it returns nil, and notes what
// spares compile work: the snapshot and the secrets of its verifiers, if the seal
// is good and only the documents, or the time, are others.
func (r *resources) resume() *loaded {
	result, err := r.resumed()
	if err != nil {
		r.log.Debug("the documents are compiled before anybody is served", "why", err)
		return nil
	}
	return result
}

func (r *resources) resumed() (*loaded, error) {
	text, err := os.ReadFile(filepath.Join(r.state.dir, resumeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the data directory has nothing to resume")
	} else if err != nil {
		return nil, err
	}
	line, content, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) != 3 || fields[0] != resumeFormat {
		return nil, errors.New("the file is of another format")
	}
	salt, err := hex.DecodeString(fields[1])
	if err != nil {
		return nil, err
	}
	mac, err := hex.DecodeString(fields[2])
	if err != nil {
		return nil, err
	}
	head, tail, _ := bytes.Cut(content, []byte("\n"))
	var p past
	if err := json.Unmarshal(head, &p); err != nil {
		return nil, err
	}
	directory, err := os.Getwd()
	switch {
	case err != nil:
		return nil, err
	case r.program == "" || p.Program != r.program:
		return nil, errors.New("another program has compiled it")
	case p.Directory != directory || p.Environment != r.opts.Config.Environment:
		return nil, errors.New("it is of another working directory or environment")
	}
	for _, name := range []string{historyFile, snapshotFile} {
		if p.Beside[name] != r.state.stamp(name) {
			return nil, fmt.Errorf("%s is not the one that was written with it", name)
		}
	}
	// What takes milliseconds each is done side by side.
	var group sync.WaitGroup
	var digest string
	group.Go(func() {
		if slices.Equal(p.Resources, r.opts.Resources) {
			digest = resource.Digest(p.Resources, p.Read)
		}
	})
	snapshot := new(grant.Snapshot)
	var unread error
	group.Go(func() { unread = snapshot.UnmarshalBinary(tail) })
	values := make([]string, len(p.Secrets))
	for i, s := range p.Secrets {
		value, err := config.ReadSecret(s.Ref)
		if (err != nil) != s.Missing {
			group.Wait()
			return nil, fmt.Errorf("%s was there, and is not, or the reverse", s.Ref.Describe())
		}
		values[i] = value
	}
	again, err := seal(content, salt, r.state.seed, p.Secrets, values)
	group.Wait()
	if err := errors.Join(err, unread); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(again, mac) != 1 {
		return nil, errors.New("a secret has changed, or the file is damaged")
	}
	r.state.snapshot, r.state.written = snapshot, snapshot
	r.proved = provedBy(snapshot, p.Secrets, values)
	now := r.opts.Now()
	if digest == "" || digest != p.Digest {
		return nil, errors.New("the documents have changed")
	}
	if !p.Until.IsZero() && !now.Before(p.Until) {
		return nil, errors.New("time has changed what is in force")
	}
	clusters, problems := publish.Clusters(p.Clusters, p.Environment, config.ReadSecret)
	if len(problems) > 0 {
		return nil, problemsError(problems)
	}
	r.change, r.behind = p.Until, true
	r.told()
	return &loaded{Snapshot: snapshot, Clusters: clusters, NextChange: p.Until}, nil
}

// provedBy returns which secrets have given the credentials of a snapshot their
// verifiers.
func provedBy(s *grant.Snapshot, secrets []provedSecret, values []string) map[grant.Key]string {
	named := make(map[string]string, s.Len())
	for i, secret := range secrets {
		if secret.Missing {
			continue
		}
		for _, name := range secret.Credentials {
			named[name] = values[i]
		}
	}
	proved := make(map[grant.Key]string, len(named))
	for c := range s.All() {
		if secret, ok := named[c.Name]; ok {
			proved[c.Key()] = secret
		}
	}
	return proved
}

// program tells this program from every other that may have written what it finds:
// what documents compile to may differ between releases. "" means it cannot tell.
func program(version string) string {
	name, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(name)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", version, info.Size(), info.ModTime().UnixNano())
}
