package sample

import (
	"math"
	"math/rand/v2"
)

// random is a stream of numbers that follows from what it was drawn of.
type random struct{ *rand.Rand }

// draw returns the stream of a thing, a place and a time.
func draw(thing, place, time uint64) *random {
	return &random{rand.New(rand.NewPCG(mix(thing^mix(place)), mix(time+0x9e3779b97f4a7c15)))}
}

// mix spreads the bits of a number (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chain is the number of a name below another one (FNV-1a).
func chain(above uint64, name string) uint64 {
	h := mix(above)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return h
}

// weighted chooses one of n, the first ones more often.
func (r *random) weighted(n int) int {
	total := 0.0
	weight := func(i int) float64 { return 1 / math.Pow(float64(i+1), 0.7) }
	for i := range n {
		total += weight(i)
	}
	at := r.Float64() * total
	for i := range n {
		if at -= weight(i); at < 0 {
			return i
		}
	}
	return n - 1
}

// of chooses one of several texts.
func (r *random) of(all ...string) string { return all[r.IntN(len(all))] }

// letters makes a text of so many characters of an alphabet.
func (r *random) letters(n int, alphabet string) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(out)
}
