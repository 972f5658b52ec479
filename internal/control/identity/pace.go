package identity

import (
	"crypto/sha256"
	"math"
	"net/netip"
	"sync"
	"time"

	"sluice/internal/fault"
)

// allowance is how often something may be done: so many times at once, and then again as
// time goes by.
type allowance struct{ most, perMinute float64 }

// aMinute is so many times a minute.
func aMinute(n float64) allowance { return allowance{n, n} }

// How often somebody may try to log in, a minute.
const (
	perAddress = 30
	overall    = 200 // in this process
)

// How many accounts people may make themselves, an hour: an office behind one address
// has enough, and a program that would fill the store has not.
const (
	signUpsPerAddress = 5
	signUpsOverall    = 120
)

// What is remembered, and how names wait.
const (
	maxAddresses = 10_000
	freeFailures = 5 // with one name, before the next has to wait
	maxDelay     = 15 * time.Minute
	forgetAfter  = 24 * time.Hour
)

// delay is how long a name has to wait after so many failures in a row.
func delay(failures int) time.Duration {
	if failures < freeFailures {
		return 0
	}
	return min(maxDelay, time.Second<<min(failures-freeFailures, 20))
}

// bucket holds what may still be tried.
type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) take(now time.Time, a allowance) (wait time.Duration) {
	b.left = min(a.most, b.left+now.Sub(b.at).Minutes()*a.perMinute)
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / a.perMinute * float64(time.Minute))
	}
	b.left--
	return 0
}

func (b *bucket) spent(now time.Time, a allowance) bool {
	return b.left+now.Sub(b.at).Minutes()*a.perMinute < 1
}

func (b *bucket) full(now time.Time, a allowance) bool {
	return b.left+now.Sub(b.at).Minutes()*a.perMinute >= a.most
}

// buckets are one for each key, at most so many; what is full is as good as none.
type buckets[K comparable] struct {
	each   allowance
	most   int
	byKey  map[K]*bucket
	forgot time.Time // when full ones were last looked for
}

func newBuckets[K comparable](each allowance, most int) buckets[K] {
	return buckets[K]{each: each, most: most, byKey: map[K]*bucket{}}
}

// of returns the bucket of a key, and makes one; nil where there is no room.
func (s *buckets[K]) of(key K, now time.Time) *bucket {
	b := s.byKey[key]
	if b == nil && len(s.byKey) >= s.most && now.Sub(s.forgot) >= time.Second { // or the search is what keeps us busy
		s.forgot = now
		for k, old := range s.byKey {
			if old.full(now, s.each) {
				delete(s.byKey, k)
			}
		}
	}
	if b == nil && len(s.byKey) < s.most {
		b = &bucket{s.each.most, now}
		s.byKey[key] = b
	}
	return b
}

// spent says whether nothing is left in the bucket of a key, which it does not make.
func (s *buckets[K]) spent(key K, now time.Time) bool {
	b := s.byKey[key]
	return b != nil && b.spent(now, s.each)
}

// pace bounds attempts by address and overall.
type pace struct {
	what    string // is attempted
	address allowance
	overall allowance

	mu        sync.Mutex // guards all below
	all       bucket
	others    bucket // of all addresses that there is no room for
	byAddress buckets[netip.Prefix]
}

// newPace is that of logins.
func newPace(now time.Time) *pace {
	return paceOf("to log in", aMinute(perAddress), aMinute(overall), now)
}

func newSignUpPace(now time.Time) *pace {
	return paceOf("to sign up", allowance{signUpsPerAddress, signUpsPerAddress / 60.0}, allowance{signUpsOverall, signUpsOverall / 60.0}, now)
}

func paceOf(what string, address, overall allowance, now time.Time) *pace {
	return &pace{what: what, address: address, overall: overall, all: bucket{overall.most, now}, others: bucket{address.most, now}, byAddress: newBuckets[netip.Prefix](address, maxAddresses)}
}

// take counts one attempt. Its error is Limited, with the time to wait.
func (p *pace) take(from netip.Addr, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.byAddress.of(network(from), now)
	if b == nil {
		b = &p.others
	}
	if wait := b.take(now, p.address); wait > 0 {
		return limited(wait, "too many attempts "+p.what+" from your address")
	}
	if wait := p.all.take(now, p.overall); wait > 0 {
		return limited(wait, "too many attempts "+p.what)
	}
	return nil
}

// How often machines may fail to prove themselves, a minute.
const (
	guessesOfClient  = 30  // as one client, from one address
	guessesOfAddress = 300 // from one address, behind which there may be many
)

// Guesses bound how often machines may fail to prove themselves, by where they are and
// who they say they are: 30 times a minute as one client, and 300 times from an address,
// so that who guesses does not keep out others behind the same proxy. Who succeeds is not
// counted. What it remembers is bounded. It is safe for concurrent use.
type Guesses struct {
	mu        sync.Mutex // guards all below
	others    bucket     // of all addresses that there is no room for
	byAddress buckets[netip.Prefix]
	byClient  buckets[guesser] // where there is no room, the address alone counts
}

// guesser is an address, and the hash of whom it says to be.
type guesser struct {
	from   netip.Prefix
	client [sha256.Size]byte
}

func guesserOf(from netip.Addr, client string) guesser {
	return guesser{network(from), sha256.Sum256([]byte(client))}
}

// NewGuesses returns a count that begins now.
func NewGuesses(now time.Time) *Guesses {
	return &Guesses{others: bucket{guessesOfAddress, now}, byAddress: newBuckets[netip.Prefix](aMinute(guessesOfAddress), maxAddresses), byClient: newBuckets[guesser](aMinute(guessesOfClient), maxAddresses)}
}

// Spent says whether there have been too many lately, as this client from this address,
// or from this address at all.
func (f *Guesses) Spent(from netip.Addr, client string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := guesserOf(from, client)
	if f.byAddress.byKey[key.from] == nil && len(f.byAddress.byKey) >= maxAddresses && f.others.spent(now, aMinute(guessesOfAddress)) {
		return true
	}
	return f.byAddress.spent(key.from, now) || f.byClient.spent(key, now)
}

// Count counts one.
func (f *Guesses) Count(from netip.Addr, client string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := guesserOf(from, client)
	b := f.byAddress.of(key.from, now)
	if b == nil {
		b = &f.others
	}
	b.take(now, aMinute(guessesOfAddress)) // whether it is spent is asked for before
	if b := f.byClient.of(key, now); b != nil {
		b.take(now, aMinute(guessesOfClient))
	}
}

// network is what one household or host has: an IPv4 address, a /64 of IPv6.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address at all: all of those together
	}
	return p
}

// TooSoonError says how long to wait.
type TooSoonError struct{ Wait time.Duration }

func (e *TooSoonError) Error() string { return "wait " + e.Wait.Round(time.Second).String() }

// limited is a fault with a *TooSoonError as its cause.
func limited(wait time.Duration, why string) error {
	return fault.Wrap(fault.Limited, &TooSoonError{wait}, "%s: wait %d s", why, int(math.Ceil(wait.Seconds())))
}
