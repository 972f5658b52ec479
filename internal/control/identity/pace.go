package identity

import (
	"crypto/sha256"
	"math"
	"net/netip"
	"sync"
	"time"

	"sluice/internal/fault"
)

// How often somebody may try to log in.
const (
	perAddress   = 30  // a minute
	overall      = 200 // a minute, in this process
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

func (b *bucket) take(now time.Time, perMinute float64) (wait time.Duration) {
	b.left = min(perMinute, b.left+now.Sub(b.at).Minutes()*perMinute)
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / perMinute * float64(time.Minute))
	}
	b.left--
	return 0
}

func (b *bucket) spent(now time.Time, perMinute float64) bool {
	return b.left+now.Sub(b.at).Minutes()*perMinute < 1
}

func (b *bucket) full(now time.Time, perMinute float64) bool {
	return b.left+now.Sub(b.at).Minutes()*perMinute >= perMinute
}

// buckets are one for each key, at most so many; what is full is as good as none.
type buckets[K comparable] struct {
	perMinute float64
	most      int
	byKey     map[K]*bucket
	forgot    time.Time // when full ones were last looked for
}

func newBuckets[K comparable](perMinute float64, most int) buckets[K] {
	return buckets[K]{perMinute: perMinute, most: most, byKey: map[K]*bucket{}}
}

// of returns the bucket of a key, and makes one; nil where there is no room.
func (s *buckets[K]) of(key K, now time.Time) *bucket {
	b := s.byKey[key]
	if b == nil && len(s.byKey) >= s.most && now.Sub(s.forgot) >= time.Second { // or the search is what keeps us busy
		s.forgot = now
		for k, old := range s.byKey {
			if old.full(now, s.perMinute) {
				delete(s.byKey, k)
			}
		}
	}
	if b == nil && len(s.byKey) < s.most {
		b = &bucket{s.perMinute, now}
		s.byKey[key] = b
	}
	return b
}

// spent says whether nothing is left in the bucket of a key, which it does not make.
func (s *buckets[K]) spent(key K, now time.Time) bool {
	b := s.byKey[key]
	return b != nil && b.spent(now, s.perMinute)
}

// pace bounds attempts by address and overall.
type pace struct {
	mu        sync.Mutex // guards all below
	all       bucket
	others    bucket // of all addresses that there is no room for
	byAddress buckets[netip.Prefix]
}

func newPace(now time.Time) *pace {
	return &pace{all: bucket{overall, now}, others: bucket{perAddress, now}, byAddress: newBuckets[netip.Prefix](perAddress, maxAddresses)}
}

// take counts one attempt. Its error is Limited, with the time to wait.
func (p *pace) take(from netip.Addr, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.byAddress.of(network(from), now)
	if b == nil {
		b = &p.others
	}
	if wait := b.take(now, perAddress); wait > 0 {
		return limited(wait, "too many attempts to log in from your address")
	}
	if wait := p.all.take(now, overall); wait > 0 {
		return limited(wait, "too many attempts to log in")
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
	return &Guesses{others: bucket{guessesOfAddress, now}, byAddress: newBuckets[netip.Prefix](guessesOfAddress, maxAddresses), byClient: newBuckets[guesser](guessesOfClient, maxAddresses)}
}

// Spent says whether there have been too many lately, as this client from this address,
// or from this address at all.
func (f *Guesses) Spent(from netip.Addr, client string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := guesserOf(from, client)
	if f.byAddress.byKey[key.from] == nil && len(f.byAddress.byKey) >= maxAddresses && f.others.spent(now, guessesOfAddress) {
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
	b.take(now, guessesOfAddress) // whether it is spent is asked for before
	if b := f.byClient.of(key, now); b != nil {
		b.take(now, guessesOfClient)
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
