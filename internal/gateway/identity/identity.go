// Package identity keeps users for applications at a target cluster that is to know them
// apart: for each one a SCRAM user with a secret derived from a master key, ACLs that
// follow its grants, and quotas. Its main type is Keeper.
//
// A Keeper looks at what there is, and changes what differs from what there should be.
// All that it writes follows from the snapshot and the master key, so that any number of
// gateways come to the same, and nothing has to be agreed on. What does not begin with the
// keeper's prefix is nobody's that it knows, and stays.
//
// The package must not know of clients, nor of products and plans: it turns grants into
// rights of Kafka's own.
package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
)

// Config is what a Keeper is made of.
type Config struct {
	// Cluster is the target cluster's name, as grants have it.
	Cluster string
	// Prefix begins the names of all users, see [Prefix].
	Prefix string
	// Fresh says whether what is in force here is the newest; nothing is changed at the
	// cluster while it is not, since another gateway may know better. nil means always.
	Fresh func() bool
	Log   *slog.Logger
	Now   func() time.Time
	// Every is how often the cluster is looked at; 15 s if zero.
	Every time.Duration
	// Settle is how long something must have been out of place before it is removed, for
	// gateways that heard of it earlier or later; 3 s if zero.
	Settle time.Duration
	// Leave is how long users stay after they are no longer used, for requests in
	// flight; 30 s if zero.
	Leave time.Duration
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		v  *time.Duration
		to time.Duration
	}{{&c.Every, 15 * time.Second}, {&c.Settle, 3 * time.Second}, {&c.Leave, 30 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.to
		}
	}
	if c.Fresh == nil {
		c.Fresh = func() bool { return true }
	}
	return c
}

// Settings are those of the target cluster.
type Settings struct {
	// PerApplication switches users on. Otherwise those that there are get removed.
	PerApplication bool
	Mechanism      string // SCRAM-SHA-256 or SCRAM-SHA-512
	MasterKey      string
}

// Standing is how a Keeper gets on.
type Standing struct {
	On      bool // users are kept
	Wanted  int  // applications that are to have one
	Ready   int  // and have it
	Failure string
	Changes map[string]int // by what was changed, since the start
}

// What a Keeper changes, in Standing.Changes.
const (
	ChangedUsers  = "users"
	ChangedACLs   = "acls"
	ChangedQuotas = "quotas"
)

// Keeper keeps the users of applications at one target cluster. Its methods are safe for
// concurrent use; Run is called once.
type Keeper struct {
	cfg  Config
	wake chan struct{} // of capacity 1

	mu       sync.Mutex // guards what follows
	settings *Settings  // nil: nothing is said, and nothing done
	snapshot *grant.Snapshot
	tidy     bool      // there may be users though none are wanted
	leaveAt  time.Time // when to remove them
	frozen   bool
	users    map[string]*upstream.User // by application
	changed  chan struct{}             // closed when users has changed
	refused  map[string]bool           // users that a broker did not let in
	standing Standing

	// Of Run alone.
	seen    *there
	seenAt  time.Time
	every   time.Duration
	secrets map[string]*secret
	of      *Settings // whom secrets belong to
	set     map[string]time.Time
	surplus map[right]time.Time // what is out of place, and since when; a right without a name is the whole user
	after   time.Time           // a failure: not before
	backoff time.Duration
}

// New returns a Keeper that does nothing until it is given settings.
func New(cfg Config) *Keeper {
	return &Keeper{cfg: cfg.withDefaults(), wake: make(chan struct{}, 1), users: map[string]*upstream.User{}, changed: make(chan struct{}),
		refused: map[string]bool{}, set: map[string]time.Time{}, standing: Standing{Changes: map[string]int{}}}
}

// Set says what is to be. Connections of users that are no longer the ones to use are
// replaced before their next request.
func (k *Keeper) Set(settings *Settings, s *grant.Snapshot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.settings
	k.snapshot = s
	if !same(before, settings) {
		k.settings = settings
		k.endAll()
		switch off := settings == nil || !settings.PerApplication; {
		case off && before.on():
			k.tidy, k.leaveAt = true, k.cfg.Now().Add(k.cfg.Leave)
		case off:
			k.tidy = k.tidy || settings != nil
		default:
			k.tidy = false
		}
	}
	if k.settings != nil || k.tidy {
		k.poke()
	}
}

func (s *Settings) on() bool { return s != nil && s.PerApplication }

func same(a, b *Settings) bool { return a == b || a != nil && b != nil && *a == *b }

// Freeze stops all changes for good: the cluster is another keeper's now, or nobody's.
// Users that were ready can be used on.
func (k *Keeper) Freeze() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frozen = true
}

func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// endAll lets all connections be made anew. The lock is held.
func (k *Keeper) endAll() {
	for _, u := range k.users {
		u.End()
	}
	clear(k.users)
	clear(k.refused)
	k.tell()
}

// tell wakes who waits for a user. The lock is held.
func (k *Keeper) tell() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// User is upstream.Users'.
func (k *Keeper) User(ctx context.Context, application string) (*upstream.User, error) {
	for {
		k.mu.Lock()
		on, user, changed, why := k.settings.on(), k.users[application], k.changed, k.standing.Failure
		k.mu.Unlock()
		if !on || user != nil {
			return user, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			err := fmt.Errorf("the user of application %q is not there yet: %w", application, ctx.Err())
			if why != "" {
				err = fmt.Errorf("%w (%s)", err, why)
			}
			return nil, err
		}
	}
}

// Standing returns how things are.
func (k *Keeper) Standing() Standing {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.standing
	out.On, out.Ready = k.settings.on(), min(len(k.users), out.Wanted)
	out.Changes = maps.Clone(out.Changes)
	return out
}

// Run keeps the users until the context ends, once ready is closed.
func (k *Keeper) Run(ctx context.Context, admin Admin, ready <-chan struct{}) {
	select {
	case <-ready:
	case <-ctx.Done():
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.wake:
		}
		timer.Reset(k.pass(ctx, admin))
	}
}

const (
	idle         = time.Hour // until there is something to do
	firstBackoff = time.Second
)

// task is what a pass works on: the settings and snapshot of its beginning.
type task struct {
	settings *Settings
	want     map[string]*account
	refused  map[string]bool
	now      time.Time
}

// pass makes what is there what it should be, as far as that is due, and returns how
// long it is until the next one.
func (k *Keeper) pass(ctx context.Context, admin Admin) time.Duration {
	now := k.cfg.Now()
	k.mu.Lock()
	t := task{settings: k.settings, now: now, refused: maps.Clone(k.refused)}
	snapshot, tidy, leaveAt := k.snapshot, k.tidy, k.leaveAt
	on := t.settings.on()
	rest := k.frozen || !on && !tidy
	k.mu.Unlock()
	switch {
	case rest:
		return idle
	case !on && now.Before(leaveAt):
		return leaveAt.Sub(now)
	case now.Before(k.after):
		return k.after.Sub(now)
	}
	if k.of != t.settings {
		k.of, k.secrets, k.seen = t.settings, map[string]*secret{}, nil
	}
	if on {
		t.want = accounts(snapshot, k.cfg.Cluster, k.cfg.Prefix, now)
	}
	if !k.cfg.Fresh() {
		k.ready(t, nil) // they stay as they are, and may well be there
		return k.cfg.Settle
	}
	again, err := k.settle(ctx, admin, t)
	if ctx.Err() != nil {
		return idle
	}
	k.ready(t, err)
	if err != nil {
		k.seen = nil
		k.backoff = min(max(2*k.backoff, firstBackoff), k.every)
		k.after = k.cfg.Now().Add(k.backoff)
		return k.backoff
	}
	k.backoff = 0
	return again
}

// settle looks and changes. Additions come first, so that nothing is missing meanwhile.
func (k *Keeper) settle(ctx context.Context, admin Admin, t task) (again time.Duration, err error) {
	k.every = max(k.every, k.cfg.Every)
	every := k.every
	if len(t.refused) > 0 { // whoever took a user away may have taken more
		every /= 4
	}
	if k.seen == nil || t.now.Sub(k.seenAt) >= every {
		began := time.Now()
		seen, err := look(ctx, admin, k.cfg.Prefix)
		if err != nil {
			return 0, err
		}
		// What there is may be much to read: the cluster has other work.
		k.seen, k.seenAt, k.every = seen, t.now, max(k.cfg.Every, 20*time.Since(began))
	}
	if k.seen.without && t.settings.on() {
		err = errors.New("the cluster has no authorizer: it knows applications apart, and lets each do everything")
	}
	if addErr := k.add(ctx, admin, t); addErr != nil {
		return 0, addErr
	}
	again, removeErr := k.remove(ctx, admin, t)
	if removeErr != nil {
		return 0, removeErr
	}
	if !t.settings.on() && again == idle {
		k.mu.Lock()
		if k.settings == t.settings {
			k.tidy = false
		}
		k.mu.Unlock()
		return idle, nil
	}
	return min(again, k.every), err
}

// add makes what is missing, and makes right what is wrong.
func (k *Keeper) add(ctx context.Context, admin Admin, t task) error {
	var rights []right
	var quotas []string
	var secrets []*secret
	for _, user := range slices.Sorted(maps.Keys(t.want)) {
		a := t.want[user]
		for r := range a.acls {
			if !k.seen.without && !k.seen.acls[user][r] {
				rights = append(rights, right{user, r})
			}
		}
		if !maps.Equal(k.seen.quotas[user], rates(a.quota)) {
			quotas = append(quotas, user)
		}
		s := k.secret(t.settings, user)
		if k.seen.users[user][s.number()] != s.iterations || t.refused[user] && t.now.Sub(k.set[user]) > k.cfg.Settle {
			secrets = append(secrets, s)
		}
	}
	if err := createACLs(ctx, admin, rights); err != nil {
		return fmt.Errorf("create ACLs: %w", err)
	}
	for _, r := range rights {
		if k.seen.acls[r.user] == nil {
			k.seen.acls[r.user] = map[acl]bool{}
		}
		k.seen.acls[r.user][r.acl] = true
	}
	if err := alterQuotas(ctx, admin, quotas, func(user string) map[string]float64 { return rates(t.want[user].quota) }); err != nil {
		return fmt.Errorf("set quotas: %w", err)
	}
	for _, user := range quotas {
		k.seen.quotas[user] = rates(t.want[user].quota)
	}
	if err := alterUsers(ctx, admin, secrets, nil); err != nil {
		return fmt.Errorf("set users: %w", err)
	}
	for _, s := range secrets {
		if k.seen.users[s.user] == nil {
			k.seen.users[s.user] = map[int8]int{}
		}
		k.seen.users[s.user][s.number()] = s.iterations
		k.set[s.user] = t.now
	}
	k.did(len(secrets), len(rights), len(quotas), "missing")
	return nil
}

// remove takes away what is out of place since a while, and returns when to come again.
func (k *Keeper) remove(ctx context.Context, admin Admin, t task) (again time.Duration, err error) {
	again = idle
	if t.settings.on() {
		again = k.cfg.Every
	}
	var rights []right
	var quotas []string
	var users []kmsg.AlterUserSCRAMCredentialsRequestDeletion
	surplus := map[right]time.Time{}
	due := func(r right) bool {
		since, known := k.surplus[r]
		if !known {
			since = t.now
		}
		if left := k.cfg.Settle - t.now.Sub(since); left > 0 && t.settings.on() {
			surplus[r] = since
			again = min(again, left)
			return false
		}
		return true
	}
	discard := func(user string, mechanism int8) {
		users = append(users, kmsg.AlterUserSCRAMCredentialsRequestDeletion{Name: user, Mechanism: mechanism})
	}
	for _, user := range k.seen.names() {
		a := t.want[user]
		if a == nil {
			if !due(right{user: user}) {
				continue
			}
			for mechanism := range k.seen.users[user] {
				discard(user, mechanism)
				break // a request may name a user once: the other one the next time
			}
			for r := range k.seen.acls[user] {
				rights = append(rights, right{user, r})
			}
			if k.seen.quotas[user] != nil {
				quotas = append(quotas, user)
			}
			continue
		}
		for r := range k.seen.acls[user] {
			if !a.acls[r] && due(right{user, r}) {
				rights = append(rights, right{user, r})
			}
		}
		for mechanism := range k.seen.users[user] {
			if mechanism != mechanismNumber(t.settings.Mechanism) {
				discard(user, mechanism)
			}
		}
	}
	k.surplus = surplus
	if err := alterUsers(ctx, admin, nil, users); err != nil {
		return 0, fmt.Errorf("remove users: %w", err)
	}
	for _, u := range users {
		if delete(k.seen.users[u.Name], u.Mechanism); len(k.seen.users[u.Name]) > 0 {
			again = 0
		} else {
			delete(k.seen.users, u.Name)
		}
	}
	if err := deleteACLs(ctx, admin, rights); err != nil {
		return 0, fmt.Errorf("remove ACLs: %w", err)
	}
	for _, r := range rights {
		if delete(k.seen.acls[r.user], r.acl); len(k.seen.acls[r.user]) == 0 {
			delete(k.seen.acls, r.user)
		}
	}
	if err := alterQuotas(ctx, admin, quotas, func(string) map[string]float64 { return nil }); err != nil {
		return 0, fmt.Errorf("remove quotas: %w", err)
	}
	for _, user := range quotas {
		delete(k.seen.quotas, user)
	}
	k.did(len(users), len(rights), len(quotas), "surplus")
	return again, nil
}

func (k *Keeper) secret(settings *Settings, user string) *secret {
	s := k.secrets[user]
	if s == nil {
		s = newSecret([]byte(settings.MasterKey), settings.Mechanism, user)
		k.secrets[user] = s
	}
	return s
}

// did counts and logs changes.
func (k *Keeper) did(users, acls, quotas int, what string) {
	if users+acls+quotas == 0 {
		return
	}
	k.cfg.Log.Info("users of applications were put right", "cluster", k.cfg.Cluster, "what", what, "users", users, "acls", acls, "quotas", quotas)
	k.mu.Lock()
	defer k.mu.Unlock()
	for kind, n := range map[string]int{ChangedUsers: users, ChangedACLs: acls, ChangedQuotas: quotas} {
		k.standing.Changes[kind] += n
	}
}

// ready lets the users of a task be used. With an error that may be a little early: one
// that is not there is refused by the cluster, and one that is need not wait until the
// gateway's own user may look.
func (k *Keeper) ready(t task, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.settings != t.settings {
		return
	}
	before := k.standing.Failure
	k.standing.Wanted, k.standing.Failure = len(t.want), ""
	if err != nil {
		k.standing.Failure = err.Error()
	}
	wanted := make(map[string]bool, len(t.want))
	told := false
	for user, a := range t.want {
		wanted[a.application] = true
		if k.users[a.application] == nil {
			k.users[a.application] = &upstream.User{Mechanism: k.secret(t.settings, user), Refused: func(error) { k.suspect(user) }}
			told = true
		}
	}
	for application, u := range k.users {
		if !wanted[application] {
			u.End()
			delete(k.users, application)
		}
	}
	for user := range t.refused {
		delete(k.refused, user)
	}
	if told || before != k.standing.Failure {
		k.tell()
	}
	switch now := k.standing.Failure; {
	case now != "" && now != before:
		k.cfg.Log.Warn("users of applications are not as they should be", "cluster", k.cfg.Cluster, "err", now)
	case now == "" && before != "":
		k.cfg.Log.Info("users of applications are as they should be again", "cluster", k.cfg.Cluster)
	}
}

// suspect lets a user be made again that a broker did not let in.
func (k *Keeper) suspect(user string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.refused[user] {
		k.refused[user] = true
		k.poke()
	}
}
