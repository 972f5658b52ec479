package identity

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sluice/internal/control/audit"
	"sluice/internal/fault"
)

// Config says how accounts are kept. [DefaultConfig] has what is sensible.
type Config struct {
	// Product is what authenticators call us. The default is Sluice.
	Product string
	// Key seals second factors and keys hashes of what is short, so that a copy of the
	// store alone is of no use. 32 bytes, kept outside the store; when it changes, second
	// factors and recovery codes are lost.
	Key []byte
	// Idle is how long a login may rest, Absolute how long it lasts at most. The
	// defaults are 1 h and 12 h.
	Idle, Absolute time.Duration
	// TokenLife is how long an API token works by default, MaxTokenLife at most. The
	// defaults are 90 days.
	TokenLife, MaxTokenLife time.Duration
	// OneTimeLife is how long a one-time token waits. The default is 24 h.
	OneTimeLife time.Duration
	// GroupsLife is how long groups count after a provider named them: tokens of
	// somebody who left there end with it. The default is 30 days.
	GroupsLife time.Duration
	// Providers are the identity providers, with the organisations in which their
	// groups count; nil means all, which is for a single provider only.
	Providers map[string][]string
	// Passwords says who may log in with one; the default is Everybody.
	Passwords PasswordsFor
	// SignUp lets people make accounts themselves. It needs passwords for Everybody.
	SignUp bool
	// Hashes is how many passwords are checked at once, each with 19 MiB, and Waiting
	// how many callers wait for that. The defaults are 2 and 32.
	Hashes, Waiting int
}

// PasswordsFor says who may log in with a password.
type PasswordsFor string

// Who may. API tokens are not passwords.
const (
	Everybody      PasswordsFor = "everybody"
	PlatformAdmins PasswordsFor = "platform-admins" // for when the identity provider is away
	NoOne          PasswordsFor = "nobody"
)

// DefaultConfig is everything but Key and Providers.
func DefaultConfig() Config {
	const day = 24 * time.Hour
	return Config{
		Product: "Sluice", Idle: time.Hour, Absolute: 12 * time.Hour, TokenLife: 90 * day, MaxTokenLife: 90 * day,
		OneTimeLife: day, GroupsLife: 30 * day, Passwords: Everybody, Hashes: 2, Waiting: 32,
	}
}

// Validate returns everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(len(c.Key) != 32, "the key of accounts has %d bytes and not 32", len(c.Key))
	wrong(c.Product == "" || strings.Contains(c.Product, ":"), "%q is no name for authenticators", c.Product)
	wrong(c.Idle <= 0 || c.Absolute < c.Idle, "logins last %s, and %s when they rest: the first must be the longer", c.Absolute, c.Idle)
	wrong(c.TokenLife <= 0 || c.MaxTokenLife < c.TokenLife, "API tokens last %s by default, and at most %s", c.TokenLife, c.MaxTokenLife)
	wrong(c.OneTimeLife <= 0 || c.GroupsLife <= 0, "one-time tokens and groups must last some time")
	wrong(c.Passwords != Everybody && c.Passwords != PlatformAdmins && c.Passwords != NoOne, "passwords are for %q: write %s, %s or %s", c.Passwords, Everybody, PlatformAdmins, NoOne)
	wrong(c.Passwords == NoOne && len(c.Providers) == 0, "nobody could log in: there is no identity provider, and passwords are for %s", NoOne)
	wrong(c.SignUp && c.Passwords != Everybody, "people may sign up, and passwords are for %s: nobody could log in with the account", c.Passwords)
	wrong(c.Hashes < 1 || c.Waiting < 0, "%d passwords are checked at once, and %d wait: that is too few", c.Hashes, c.Waiting)
	for name, organisations := range c.Providers {
		wrong(!providerName.MatchString(name), "%q is no name of an identity provider: use lower-case letters, digits and dashes", name)
		wrong(len(c.Providers) > 1 && organisations == nil, "there are several identity providers: say in which organisations the groups of %q count", name)
	}
	return errors.Join(errs...)
}

// Deps are what People needs.
type Deps struct {
	Store Store
	// Directory returns who has which roles now.
	Directory func() *Directory
	Now       func() time.Time
	Log       *slog.Logger
	// Cheap makes hashes of passwords cost next to nothing. It is for tests.
	Cheap bool
}

// People are the accounts of persons. It is safe for concurrent use.
type People struct {
	config  Config
	deps    Deps
	cost    cost
	phantom string // the hash of nobody's password
	gate    *gate
	pace    *pace
	signUps *pace
	seal    cipher.AEAD
	macKey  []byte
	hashes  atomic.Int64 // that passwords were compared with
}

// From is where a request comes from.
type From struct {
	Address netip.Addr
	// Agent is what the caller calls itself.
	Agent string
	// Request is the request's id.
	Request string
}

// Secret is a secret on its way to somebody. It prints as [redacted]; Reveal is for
// the one place that hands it out.
type Secret struct{ value string }

// Reveal returns the secret.
func (s Secret) Reveal() string { return s.value }

// Format prints nothing of it, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue logs nothing of it.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON writes nothing of it.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// New returns the accounts of a store.
func New(config Config, deps Deps) (*People, error) {
	c := defaultCost
	if deps.Cheap {
		c = cost{memoryKiB: 8, passes: 1, lanes: 1}
	}
	return newPeople(config, deps, c)
}

func newPeople(config Config, deps Deps, c cost) (*People, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	derive := func(what string) []byte {
		key, err := hkdf.Key(sha256.New, config.Key, nil, "sluice accounts: "+what, 32)
		if err != nil {
			panic("bug: " + err.Error())
		}
		return key
	}
	block, err := aes.NewCipher(derive("seal"))
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return &People{
		config: config, deps: deps, cost: c, phantom: hashPassword(c, rand.Text()), gate: newGate(config.Hashes, config.Waiting),
		pace: newPace(deps.Now()), signUps: newSignUpPace(deps.Now()), seal: seal, macKey: derive("mac"),
	}, nil
}

var (
	providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	// A local login name has no colon: those with one are a provider's.
	localName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,127}$`)
)

const maxName = 256 // bytes of what is typed as a login name, of titles and of agents

var (
	errWrong = fault.New(fault.Denied, "login name, password or code is wrong")
	// ErrCodeNeeded says that the password is right, and that the code of the second
	// factor has to come with it.
	ErrCodeNeeded  = fault.New(fault.Denied, "the code of your authenticator is needed besides, or a recovery code")
	errNoPasswords = fault.New(fault.Denied, "passwords are not for you here: log in through the identity provider")
	errOneTime     = fault.New(fault.Denied, "this token does not exist, was used, or is too old: ask for another")
	errNoLogin     = fault.New(fault.Denied, "log in again: this login does not exist, or has ended")
	errNoPerson    = fault.New(fault.Denied, "this is about accounts, and for a person who is logged in: a token is not enough")
)

func (p *People) now() time.Time { return p.deps.Now().UTC().Truncate(time.Microsecond) }

// canonical is a login name as it is looked up. Those of providers are exact.
func canonical(login string) string {
	login = strings.TrimSpace(login)
	if strings.Contains(login, ":") {
		return login
	}
	return strings.ToLower(login)
}

// hashOf is what is stored of a secret with 256 bits.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// mac is what is stored of what is shorter, or what should not be read.
func (p *People) mac(what, value string) string {
	m := hmac.New(sha256.New, p.macKey)
	fmt.Fprintf(m, "%s\x00%s", what, value)
	return hex.EncodeToString(m.Sum(nil))
}

func (p *People) sealed(plain []byte, login string) []byte {
	nonce := make([]byte, p.seal.NonceSize())
	rand.Read(nonce)
	return p.seal.Seal(nonce, nonce, plain, []byte("totp "+login))
}

func (p *People) opened(sealed []byte, login string) ([]byte, error) {
	n := p.seal.NonceSize()
	if len(sealed) < n {
		return nil, errors.New("open the second factor: it is too short")
	}
	plain, err := p.seal.Open(nil, sealed[:n], sealed[n:], []byte("totp "+login))
	if err != nil {
		return nil, fmt.Errorf("open the second factor of %q: the key of accounts is not the one it was sealed with: %w", login, err)
	}
	return plain, nil
}

// newSecret is 256 bits in letters, digits, dashes and underscores.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func newID() string {
	b := make([]byte, 8)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return s
}

// record writes the audit row of a change, or of an attempt.
func (p *People) record(w Writer, actor Actor, action, login, result string, from From, details map[string]any) error {
	row := audit.Row{Time: p.now(), Actor: actor.String(), Action: action, Kind: "Person", Name: login, Result: result, Request: from.Request}
	if from.Address.IsValid() {
		row.Address = from.Address.Unmap().String()
	}
	if len(details) > 0 {
		b, err := json.Marshal(details)
		if err != nil {
			return fmt.Errorf("write the audit row of %s: %w", action, err)
		}
		row.Details = b
	}
	if _, err := w.AppendAudit(row); err != nil {
		return fmt.Errorf("write the audit row of %s: %w", action, err)
	}
	return nil
}

// LogIn proves somebody by password, and by the code of their second factor where
// they have one: one of now, or a recovery code. It returns the login's secret, which
// is stored nowhere. Its faults are Denied for whatever is wrong, without saying what,
// ErrCodeNeeded, Limited with a *TooSoonError, and Unavailable.
func (p *People) LogIn(ctx context.Context, from From, login, password, code string) (Secret, *Login, error) {
	var secret Secret
	var l *Login
	if p.config.Passwords == NoOne {
		return Secret{}, nil, fmt.Errorf("log in: %w", errNoPasswords)
	}
	err := p.prove(ctx, from, canonical(login), password, code, "login", func(w Writer, person *Person) error {
		if p.config.Passwords == PlatformAdmins && !person.PlatformAdmin {
			return errNoPasswords
		}
		method := "password"
		if person.HasSecondFactor() {
			method = "password and code"
		}
		var err error
		secret, l, err = p.begin(w, from, person, method)
		return err
	})
	if err != nil {
		return Secret{}, nil, fmt.Errorf("log in: %w", err)
	}
	return secret, l, nil
}

// prove checks password and code of somebody and calls then in the same change. What
// fails is counted and recorded as a failed action.
func (p *People) prove(ctx context.Context, from From, login, password, code, action string, then func(Writer, *Person) error) error {
	if err := p.pace.take(from.Address, p.now()); err != nil {
		return err
	}
	if len(login) > maxName || len(password) > MaxPasswordBytes || len(code) > 64 {
		return errWrong
	}
	key := p.mac("failures", login)
	person, before, err := p.reserve(ctx, key, login)
	if err != nil {
		return err
	}
	// Whoever is unknown, disabled or somebody else's costs the same.
	hash := p.phantom
	if person != nil && person.HasPassword() && !person.Disabled {
		hash = person.Secrets.Password
	}
	right, readable := false, false
	if err := p.gate.do(ctx, func() { right, readable = verifyPassword(hash, password) }); err != nil {
		// Nothing was found out, so nothing counts.
		if undo := p.deps.Store.Write(context.WithoutCancel(ctx), func(w Writer) error { return p.forgive(w, key, before) }); undo != nil {
			err = errors.Join(err, undo)
		}
		return err
	}
	right = right && hash != p.phantom
	if readable {
		p.hashes.Add(1)
	} else {
		p.deps.Log.Error("the hash of a password cannot be read: the person needs a new password", "person", login)
	}
	var answer error
	err = p.deps.Store.Write(ctx, func(w Writer) error {
		answer = nil
		if !right {
			known := ""
			if person != nil {
				known = person.Login // what else was typed may be a password
			}
			answer = errWrong
			return p.record(w, Nobody(), action, known, string(fault.Denied), from, nil)
		}
		now, err := w.Person(login)
		if errors.Is(err, ErrNotFound) || err == nil && (now.Disabled || now.Secrets.Password != person.Secrets.Password) {
			answer = errWrong // it changed while the hash was worked out
			return nil
		}
		if err != nil {
			return err
		}
		if now.HasSecondFactor() {
			switch ok, err := p.useCode(now, code); {
			case err != nil:
				return err
			case code == "":
				answer = ErrCodeNeeded
				return p.forgive(w, key, before)
			case !ok:
				answer = errWrong
				return p.record(w, Nobody(), action, login, string(fault.Denied), from, map[string]any{"wrong": "code"})
			}
			if err := w.PutPerson(now); err != nil {
				return err
			}
		}
		if err := w.PutFailures(key, Failures{}); err != nil {
			return err
		}
		return then(w, now)
	})
	if err != nil {
		return err
	}
	return answer
}

// reserve counts an attempt as failed before anybody works on it, so that no number of
// them side by side gets more than its share, and returns what was counted before.
func (p *People) reserve(ctx context.Context, key, login string) (person *Person, before Failures, err error) {
	err = p.deps.Store.Write(ctx, func(w Writer) error {
		f, err := w.Failures(key)
		if err != nil {
			return err
		}
		now := p.now()
		if now.Sub(f.Last) > forgetAfter {
			f = Failures{}
		}
		if wait := f.Last.Add(delay(f.Count)).Sub(now); f.Count > 0 && wait > 0 {
			return limited(wait, "too many wrong passwords for this name")
		}
		before = f
		if person, err = w.Person(login); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return w.PutFailures(key, Failures{Count: f.Count + 1, Last: now})
	})
	return person, before, err
}

// forgive takes back what reserve counted.
func (p *People) forgive(w Writer, key string, before Failures) error {
	f, err := w.Failures(key)
	if err != nil {
		return err
	}
	if f.Count == before.Count+1 {
		return w.PutFailures(key, before)
	}
	return w.PutFailures(key, Failures{Count: max(0, f.Count-1), Last: f.Last}) // others failed meanwhile
}

// useCode says whether a code is right, and takes it out of the person.
func (p *People) useCode(person *Person, code string) (bool, error) {
	key, err := p.opened(person.Secrets.TOTP, person.Login)
	if err != nil {
		return false, err
	}
	code = plainCode(code)
	if step, ok := totpStepOf(key, code, p.now(), person.Secrets.Step); ok {
		person.Secrets.Step = step
		return true, nil
	}
	if i := slices.Index(person.Secrets.Recovery, p.mac("recovery "+person.Login, code)); i >= 0 {
		person.Secrets.Recovery = slices.Delete(person.Secrets.Recovery, i, i+1)
		return true, nil
	}
	return false, nil
}

// begin makes a login of a person who has been proved.
func (p *People) begin(w Writer, from From, person *Person, method string) (Secret, *Login, error) {
	now, secret := p.now(), newSecret()
	l := &Login{
		Hash: hashOf(secret), ID: newID(), Person: person.Login, Method: method, Agent: clip(from.Agent),
		Created: now, Seen: now, Expires: now.Add(p.config.Absolute),
	}
	if from.Address.IsValid() {
		l.Address = from.Address.Unmap().String()
	}
	if err := w.PutLogin(l); err != nil {
		return Secret{}, nil, err
	}
	actor := Someone(person.Login, person.PlatformAdmin, nil)
	return Secret{secret}, l, p.record(w, actor, "login", person.Login, "ok", from, map[string]any{"method": method, "login": l.ID})
}

// roles are a person's, at this moment.
func (p *People) roles(person *Person) []Membership {
	groups := Groups{}
	if organisations, ok := p.config.Providers[person.Provider]; ok && p.now().Sub(person.SeenByProvider) < p.config.GroupsLife {
		groups = Groups{Names: person.Groups, Organisations: organisations}
	}
	return p.deps.Directory().Of(person.Login, groups)
}

// Passwords says who may log in with one.
func (p *People) Passwords() PasswordsFor { return p.config.Passwords }

// SignsUp says whether people make accounts themselves.
func (p *People) SignsUp() bool { return p.config.SignUp }

// Roles are those that documents give a person at this moment.
func (p *People) Roles(person *Person) []Membership { return p.roles(person) }

// Sweep removes what has ended. It is to be called now and then.
func (p *People) Sweep(ctx context.Context) error {
	now := p.now()
	// Tokens stay in sight for a while, so that people see what ended.
	err := p.deps.Store.Write(ctx, func(w Writer) error { return w.Sweep(now, now.Add(-30*24*time.Hour), now.Add(-forgetAfter)) })
	if err != nil {
		return fmt.Errorf("remove logins and tokens that have ended: %w", err)
	}
	return nil
}

// NewSecret returns a secret that was read elsewhere.
func NewSecret(value string) Secret { return Secret{value} }

// Attempt counts an attempt to log in that is not LogIn's, by the same measure. The
// fault is Limited.
func (p *People) Attempt(from From) error { return p.pace.take(from.Address, p.now()) }
