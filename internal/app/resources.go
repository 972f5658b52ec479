package app

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/config"
	"sluice/internal/control"
	"sluice/internal/control/publish"
	"sluice/internal/control/token"
	"sluice/internal/grant"
	"sluice/internal/grant/feed"
	"sluice/internal/resource"
)

// generation of the snapshots that are made here. A control plane that was
// restored from a backup raises it; files have no such past.
const generation = 1

// loaded is what resource documents compile to.
type loaded = publish.Result

// resources reads resource documents and compiles them. It is used by one
// goroutine at a time.
type resources struct {
	opts  Options
	log   *slog.Logger
	state *state

	plane       *control.Plane // where the documents are; nil when they are in files
	tokens      *token.Issuer  // of the plane
	number      uint64         // the generation of snapshots
	environment string
	seq         int64        // of the documents that were read last
	reserve     *reserve     // of numbers, where gateways run apart; else nil
	common      *feed.Common // what the last state's grants have in common
	here        *resolved    // clusters of the control plane's documents, where its gateway is this process
	warnings    []string     // what was said of its documents

	set    *resource.Set // the last good one
	files  []string      // all that the last read referred to
	stamp  string        // of what was read last
	seen   string        // at the last look, to wait until writing has ended
	change time.Time     // when to compile again by itself

	program string               // that this is
	behind  bool                 // what is in force was resumed, and the documents are not read yet
	proved  map[grant.Key]string // secrets of the snapshot's verifiers, until it is replaced

	saves    prometheus.Gauge // 1 while the data directory has what is in force
	saveNext time.Time        // when to try again to write it; zero when it has it
}

func newResources(opts Options, s *state) *resources {
	return &resources{opts: opts, log: opts.Log, state: s, number: generation, environment: opts.Config.Environment, program: program(opts.Version), saves: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_data_directory_saved", Help: "1 while the data directory has what is in force, 0 while it cannot be written.",
	})}
}

// from takes the documents of a control plane from now on.
func (r *resources) from(m *management) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r.plane, r.here = m.plane, newResolved(r.opts.Log)
	r.state.publishes()
	r.tokens = m.tokens
	return m.store.Read(ctx, func(s control.Reader) error {
		id, err := s.Identity()
		r.number = id.Generation
		return err
	})
}

func (r *resources) look() string {
	return resource.Stamp(slices.Concat(r.opts.Resources, r.files)...)
}

// changed reports whether files have changed since they were read and have
// stayed the same for one look, so that nothing is read while it is written.
func (r *resources) changed() bool {
	if r.plane != nil {
		return r.plane.Model().Seq() != r.seq
	}
	now := r.look()
	settled := now == r.seen
	r.seen = now
	return settled && now != r.stamp
}

// start returns what to serve first: what was in force when the last process
// ended, if nothing has changed since, or else what the documents say.
func (r *resources) start() (*loaded, error) {
	if r.plane == nil {
		if result := r.resume(); result != nil {
			return result, nil
		}
	}
	return r.load()
}

// load reads and compiles the documents, and keeps what came out.
func (r *resources) load() (*loaded, error) {
	if r.plane != nil {
		state, err := r.compiled()
		if err != nil {
			return nil, err
		}
		return r.here.take(state)
	}
	if len(r.opts.Resources) == 0 {
		return nil, errors.New("no resource documents are named: give their files or directories with -f, or as resources in the configuration")
	}
	set, problems := r.read()
	if resource.Bad(problems) {
		return nil, problemsError(problems)
	}
	result, more, err := r.compile(set, nil)
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Concat(problems, more) {
		r.log.Warn("resources", "problem", p.String())
	}
	return result, nil
}

// warned logs problems of the control plane's documents, each set once.
func (r *resources) warned(problems []resource.Problem) {
	var text []string
	for _, p := range problems {
		text = append(text, p.String())
	}
	if slices.Equal(text, r.warnings) {
		return
	}
	r.warnings = text
	for _, p := range text {
		r.log.Warn("resources", "problem", p)
	}
}

// read reads the documents. Their stamp is of before, so that a change made
// meanwhile is seen at the next look.
func (r *resources) read() (set *resource.Set, problems []resource.Problem) {
	set, problems = resource.Read(r.opts.Resources...)
	r.files, r.stamp, r.seen = set.Files, set.Stamp, set.Stamp
	return set, problems
}

// again compiles the last good documents once more, since time has passed.
func (r *resources) again() (*loaded, error) {
	if r.set == nil || r.plane != nil { // they could not be read since the start, or are at hand
		result, err := r.load()
		if err != nil {
			r.later()
		}
		return result, err
	}
	result, _, err := r.compile(r.set, nil)
	if err != nil {
		r.later() // a secret may be unreadable: not at once again
	}
	return result, err
}

// later lets what could not be compiled be compiled again in a minute.
func (r *resources) later() { r.change = r.opts.Now().Add(time.Minute) }

// compile makes a snapshot of a set. The verifiers are those of the control plane's
// model that the set is of; nil where secrets are references.
func (r *resources) compile(set *resource.Set, verifiers func(string) []grant.Verifier) (*loaded, []resource.Problem, error) {
	if err := r.state.recall(); err != nil {
		return nil, nil, err
	}
	r.state.setAside(r.log)
	workers := 1 // one processor at most is taken from the clients
	if r.set == nil && !r.behind {
		workers = runtime.GOMAXPROCS(0) // of whom there are none yet
	}
	if r.reserve != nil {
		if err := r.reserve.begin(r.state, r.environment); err != nil {
			return nil, nil, err
		}
	}
	secrets := map[resource.SecretRef]string{}
	opts := publish.Options{
		Environment: r.environment, Generation: r.number, Now: r.opts.Now(), Seed: r.state.seed, Verifiers: verifiers,
		History: r.state.history, Previous: r.state.snapshot, Proved: r.proved, Workers: workers,
	}
	opts.Inside = r.plane != nil && r.reserve == nil // the gateway is in this process
	if opts.Bare = r.plane != nil; !opts.Bare {
		opts.Secret = func(ref resource.SecretRef) (string, error) { // each once, so that what is sealed is what was compiled
			if secret, known := secrets[ref]; known {
				return secret, nil
			}
			secret, err := config.ReadSecret(ref)
			if err == nil {
				secrets[ref] = secret
			}
			return secret, err
		}
	}
	result, problems := publish.Compile(set, opts)
	if result == nil {
		return nil, problems, problemsError(problems)
	}
	if r.plane != nil {
		if err := r.joined(set, result); err != nil {
			return nil, problems, err
		}
	}
	if err := r.state.keep(result.History, result.Snapshot, r.leave(set, result, secrets)); err != nil {
		return nil, problems, err
	}
	r.log.Debug("documents compiled", "snapshot", result.Snapshot.Number(), "verifiers_derived", result.Derived)
	r.set, r.change, r.behind, r.proved = set, result.NextChange, false, nil
	if soon := opts.Now.Add(keysEvery); r.plane != nil && (r.change.IsZero() || soon.Before(r.change)) {
		r.change = soon
	}
	r.told()
	return result, problems, nil
}

// keysEvery is how often gateways are given the keys of the token endpoint that are new,
// well before the first token that they sign.
const keysEvery = 4 * time.Minute

// saveAgain is how often writing the data directory is tried again.
const saveAgain = 5 * time.Second

// catchUp writes what the data directory lacks, if it is time to try.
func (r *resources) catchUp() {
	if !r.saveNext.IsZero() && !r.opts.Now().Before(r.saveNext) {
		r.state.flush()
		r.told()
	}
}

// told says once that the data directory cannot be written, and once that it can
// be again.
func (r *resources) told() {
	failing := !r.saveNext.IsZero()
	if err := r.state.unsaved; err != nil {
		if !failing {
			r.log.Error("what is in force is not in the data directory, and will be tried again: a restart compiles the resources anew", "err", err)
		}
		r.saves.Set(0)
		r.saveNext = r.opts.Now().Add(saveAgain)
		return
	}
	if failing {
		r.log.Info("the data directory has what is in force again")
	}
	r.saves.Set(1)
	r.saveNext = time.Time{}
}

// due reports whether the time to compile again has come.
func (r *resources) due() bool { return !r.change.IsZero() && !r.opts.Now().Before(r.change) }

// untilChange returns how long to wait before asking due. Far moments are
// approached in steps, since clocks are set.
func (r *resources) untilChange() time.Duration {
	const step = time.Hour
	if r.change.IsZero() {
		return step
	}
	return min(max(r.change.Sub(r.opts.Now()), 10*time.Millisecond), step)
}

// problemsError makes an error of the problems that are more than warnings.
func problemsError(problems []resource.Problem) error {
	e := &ProblemsError{What: "resources"}
	for _, p := range resource.Errors(problems) {
		e.Problems = append(e.Problems, p.String())
	}
	return e
}

// moreLater stands after problems that keep the documents from being compiled.
var moreLater = resource.Problem{Warning: true, Message: "the documents are not yet checked against each other", Fix: "more may follow once these are repaired"}

// Check reads and compiles resource documents as a start would, without taking
// the data directory or opening anything. It returns every problem, warnings
// included. withoutSecrets makes warnings of secrets that cannot be read, for
// checking where they are not.
func Check(opts Options, withoutSecrets bool) []resource.Problem {
	opts = opts.withDefaults()
	if len(opts.Resources) == 0 && opts.Control {
		return nil // they are in the store
	}
	if len(opts.Resources) == 0 {
		return []resource.Problem{{Message: "no resource documents are named", Fix: "give their files or directories with -f, or as resources in the configuration"}}
	}
	set, problems := resource.Read(opts.Resources...)
	if resource.Bad(problems) {
		return append(problems, moreLater)
	}
	return append(problems, checkSet(opts, set, withoutSecrets, nil)...)
}

// checkSet compiles a set and hands the result on.
func checkSet(opts Options, set *resource.Set, withoutSecrets bool, use func(*loaded)) []resource.Problem {
	past := &state{dir: opts.Config.DataDir, saved: map[string]string{}}
	if past.read() != nil { // what a start says about it
		past = &state{seed: make([]byte, seedBytes)}
	}
	unread := map[string]bool{}
	result, problems := publish.Compile(set, publish.Options{
		Environment: opts.Config.Environment, Generation: generation, Now: opts.Now(), Seed: past.seed, History: past.history, Previous: past.snapshot, Workers: runtime.GOMAXPROCS(0),
		Secret: func(ref resource.SecretRef) (string, error) {
			secret, err := config.ReadSecret(ref)
			if err != nil {
				unread[err.Error()] = true
			}
			return secret, err
		},
	})
	for i := range problems {
		if withoutSecrets && unread[problems[i].Message] {
			problems[i].Warning = true
		}
	}
	if result != nil && use != nil {
		use(result)
	}
	return problems
}
