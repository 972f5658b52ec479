package identity

import (
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

func (b *bucket) full(now time.Time, perMinute float64) bool {
	return b.left+now.Sub(b.at).Minutes()*perMinute >= perMinute
}

// pace bounds attempts by address and overall.
type pace struct {
	mu        sync.Mutex // guards all below
	all       bucket
	others    bucket // of all addresses that there is no room for
	byAddress map[netip.Prefix]*bucket
	forgot    time.Time // when full buckets were last looked for
}

func newPace(now time.Time) *pace {
	return &pace{all: bucket{overall, now}, others: bucket{perAddress, now}, byAddress: map[netip.Prefix]*bucket{}}
}

// take counts one attempt. Its error is Limited, with the time to wait.
func (p *pace) take(from netip.Addr, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := network(from)
	b := p.byAddress[key]
	if b == nil && len(p.byAddress) >= maxAddresses && now.Sub(p.forgot) >= time.Second { // or the search is what keeps us busy
		p.forgot = now
		for k, old := range p.byAddress {
			if old.full(now, perAddress) {
				delete(p.byAddress, k)
			}
		}
	}
	switch {
	case b == nil && len(p.byAddress) >= maxAddresses:
		b = &p.others
	case b == nil:
		b = &bucket{perAddress, now}
		p.byAddress[key] = b
	}
	if wait := b.take(now, perAddress); wait > 0 {
		return limited(wait, "too many attempts to log in from your address")
	}
	if wait := p.all.take(now, overall); wait > 0 {
		return limited(wait, "too many attempts to log in")
	}
	return nil
}

// spent says whether an address may try no more for now.
func (p *pace) spent(from netip.Addr, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.byAddress[network(from)]
	if b == nil && len(p.byAddress) >= maxAddresses {
		b = &p.others
	}
	return b != nil && b.left+now.Sub(b.at).Minutes()*perAddress < 1
}

// Guesses bound how often machines may fail to prove themselves, by where they are:
// 30 times a minute. Who succeeds is not counted. It is safe for concurrent use.
type Guesses struct{ pace *pace }

// NewGuesses returns a count that begins now.
func NewGuesses(now time.Time) *Guesses { return &Guesses{newPace(now)} }

// Spent says whether there have been too many lately from an address.
func (f *Guesses) Spent(from netip.Addr, now time.Time) bool { return f.pace.spent(from, now) }

// Count counts one.
func (f *Guesses) Count(from netip.Addr, now time.Time) {
	f.pace.take(from, now) // whether it is spent is asked for before
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
