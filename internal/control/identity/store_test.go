package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/control/audit"
	. "sluice/internal/control/identity"
	"sluice/internal/store/storetest"
)

// memory is a Store that forgets. It passes the suite of the real ones.
type memory struct {
	mu    sync.RWMutex
	state tables
	// fail, if set, is asked before each change and ends it with its error.
	fail func() error
}

type tables struct {
	persons  map[string]*Person
	logins   map[string]*Login
	tokens   map[string]*Token
	oneTimes map[string]*OneTime
	failures map[string]Failures
	rows     []audit.Row
}

func newMemory() *memory { return &memory{} }

func (m *memory) Read(ctx context.Context, f func(Reader) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f(&m.state)
}

func (m *memory) Write(ctx context.Context, f func(Writer) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return err
		}
	}
	next := tables{clone(m.state.persons), clone(m.state.logins), clone(m.state.tokens), clone(m.state.oneTimes), clone(m.state.failures), slices.Clone(m.state.rows)}
	if err := f(&next); err != nil {
		return err
	}
	m.state = next
	return nil
}

func clone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

func copyPerson(p *Person) *Person {
	c := *p
	c.Groups, c.Secrets.Recovery = slices.Clone(p.Groups), slices.Clone(p.Secrets.Recovery)
	c.Secrets.TOTP, c.Secrets.Pending = slices.Clone(p.Secrets.TOTP), slices.Clone(p.Secrets.Pending)
	return &c
}

func copyToken(t *Token) *Token {
	c := *t
	c.Scope.Roles = slices.Clone(t.Scope.Roles)
	return &c
}

func copyOf[V any](v *V) *V {
	c := *v
	return &c
}

func get[V any](m map[string]*V, key string, c func(*V) *V) (*V, error) {
	if v, ok := m[key]; ok {
		return c(v), nil
	}
	return nil, ErrNotFound
}

func (s *tables) Person(login string) (*Person, error) { return get(s.persons, login, copyPerson) }

func (s *tables) PersonOf(issuer, subject string) (*Person, error) {
	for _, p := range s.persons {
		if issuer != "" && p.Issuer == issuer && p.Subject == subject {
			return copyPerson(p), nil
		}
	}
	return nil, ErrNotFound
}

func (s *tables) People(after string, limit int) ([]*Person, bool, error) {
	var out []*Person
	for _, login := range slices.Sorted(maps.Keys(s.persons)) {
		if login <= after {
			continue
		}
		if limit > 0 && len(out) == limit {
			return out, true, nil
		}
		out = append(out, copyPerson(s.persons[login]))
	}
	return out, false, nil
}

func (s *tables) PlatformAdmins() ([]string, error) {
	var out []string
	for login, p := range s.persons {
		if p.PlatformAdmin {
			out = append(out, login)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *tables) Login(hash string) (*Login, error) { return get(s.logins, hash, copyOf[Login]) }

func (s *tables) Logins(person string) ([]*Login, error) {
	var out []*Login
	for _, l := range s.logins {
		if l.Person == person {
			out = append(out, copyOf(l))
		}
	}
	slices.SortFunc(out, func(a, b *Login) int { return a.Created.Compare(b.Created) })
	return out, nil
}

func (s *tables) Token(id string) (*Token, error) { return get(s.tokens, id, copyToken) }

func (s *tables) Tokens(person string) ([]*Token, error) {
	var out []*Token
	for _, t := range s.tokens {
		if t.Person == person {
			out = append(out, copyToken(t))
		}
	}
	slices.SortFunc(out, func(a, b *Token) int { return a.Created.Compare(b.Created) })
	return out, nil
}

func (s *tables) OneTime(hash string) (*OneTime, error) {
	return get(s.oneTimes, hash, copyOf[OneTime])
}

func (s *tables) Failures(key string) (Failures, error) { return s.failures[key], nil }

func (s *tables) PutPerson(p *Person) error {
	if p.Issuer != "" {
		if other, err := s.PersonOf(p.Issuer, p.Subject); err == nil && other.Login != p.Login {
			return errors.New("another person is this subject")
		}
	}
	s.persons[p.Login] = copyPerson(p)
	return nil
}

func (s *tables) RemovePerson(login string) error {
	delete(s.persons, login)
	maps.DeleteFunc(s.logins, func(_ string, l *Login) bool { return l.Person == login })
	maps.DeleteFunc(s.tokens, func(_ string, t *Token) bool { return t.Person == login })
	return nil
}

func (s *tables) PutLogin(l *Login) error         { s.logins[l.Hash] = copyOf(l); return nil }
func (s *tables) RemoveLogin(hash string) error   { delete(s.logins, hash); return nil }
func (s *tables) PutToken(t *Token) error         { s.tokens[t.ID] = copyToken(t); return nil }
func (s *tables) RemoveToken(id string) error     { delete(s.tokens, id); return nil }
func (s *tables) PutOneTime(o *OneTime) error     { s.oneTimes[o.Hash] = copyOf(o); return nil }
func (s *tables) RemoveOneTime(hash string) error { delete(s.oneTimes, hash); return nil }

func (s *tables) RemoveOneTimes(purpose Purpose, person string) error {
	maps.DeleteFunc(s.oneTimes, func(_ string, o *OneTime) bool {
		return o.Purpose == purpose && (person == "" || o.Person == person)
	})
	return nil
}

func (s *tables) PutFailures(key string, f Failures) error {
	s.failures[key] = f
	if f == (Failures{}) {
		delete(s.failures, key)
	}
	return nil
}

func (s *tables) Sweep(now, tokens, failures time.Time) error {
	maps.DeleteFunc(s.logins, func(_ string, l *Login) bool { return l.Expires.Before(now) })
	maps.DeleteFunc(s.oneTimes, func(_ string, o *OneTime) bool { return o.Expires.Before(now) })
	maps.DeleteFunc(s.tokens, func(_ string, t *Token) bool { return t.Expires.Before(tokens) })
	maps.DeleteFunc(s.failures, func(_ string, f Failures) bool { return f.Last.Before(failures) })
	return nil
}

func (s *tables) AppendAudit(r audit.Row) (audit.Row, error) {
	r.Seq = int64(len(s.rows)) + 1
	s.rows = append(s.rows, r)
	return r, nil
}

// dump is everything the store holds, in text, secrets of accounts included.
func (m *memory) dump() string {
	var b strings.Builder
	for _, p := range m.state.persons {
		type plain Secrets
		writeJSON(&b, p, plain(p.Secrets))
	}
	writeJSON(&b, m.state.logins, m.state.tokens, m.state.oneTimes, m.state.failures, m.state.rows)
	return b.String()
}

func TestMemory(t *testing.T) {
	storetest.People(t, func(*testing.T) Store { return newMemory() })
}

func writeJSON(b *strings.Builder, values ...any) {
	for _, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		b.Write(text)
		b.WriteByte('\n')
	}
}
