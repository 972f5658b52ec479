// Package usage is the contract that goes up from the gateway to the control plane:
// what clients did. Its main type so far is Logins, which credentials were used, when
// and from where. It knows nothing of products, plans, sockets or frames, and imports
// nothing of ours.
package usage

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Login is a login that succeeded.
type Login struct {
	Credential string
	// Secret is the number of the one that was proved; 0 where none is counted.
	Secret int
	Time   time.Time
	// Address is where the client was, Software what it calls itself, "" when it does
	// not, and Gateway which one it came to.
	Address, Software, Gateway string
}

// Coarse is how often the logins with a secret are told of, at most.
const Coarse = time.Minute

// Logins collects logins until somebody takes them: of each secret the last one, at
// most once in Coarse, however many there are. It holds no more than one for each
// secret that gateways know. It is safe for concurrent use.
type Logins struct {
	gateway string

	mu      sync.Mutex // guards what follows
	waiting map[secret]Login
	told    map[secret]time.Time // when, of those that were taken less than Coarse ago
}

type secret struct {
	credential string
	n          int
}

// NewLogins returns a collection for the gateway of a name.
func NewLogins(gateway string) *Logins {
	return &Logins{gateway: gateway, waiting: map[secret]Login{}, told: map[secret]time.Time{}}
}

// Note takes down a login, at the collection's own gateway unless it names another. It
// never waits for whoever takes them.
func (l *Logins) Note(login Login) {
	login.Gateway = cmp.Or(login.Gateway, l.gateway)
	key := secret{login.Credential, login.Secret}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.waiting[key]; !ok || !login.Time.Before(last.Time) {
		l.waiting[key] = login
	}
}

// Take returns what is to be told now, by credential and secret, at most so many unless
// most is 0, and forgets it. What cannot be passed on is given back by Note.
func (l *Logins) Take(now time.Time, most int) []Login {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, at := range l.told {
		if age := now.Sub(at); age >= Coarse || age < 0 { // clocks are set
			delete(l.told, key)
		}
	}
	var out []Login
	for key, login := range l.waiting {
		if most > 0 && len(out) == most {
			break
		}
		if _, lately := l.told[key]; lately {
			continue
		}
		delete(l.waiting, key)
		l.told[key] = now
		out = append(out, login)
	}
	slices.SortFunc(out, func(a, b Login) int {
		return cmp.Or(cmp.Compare(a.Credential, b.Credential), cmp.Compare(a.Secret, b.Secret))
	})
	return out
}
