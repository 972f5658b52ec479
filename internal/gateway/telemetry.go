package gateway

import (
	"sync"

	"sluice/internal/gateway/clientmetrics"
	"sluice/internal/grant"
)

// applicationsOf returns a function that says whether an application is in the
// snapshot in force. It looks through a snapshot at most once, and not while one
// is put in force.
func (g *Gateway) applicationsOf() func(clientmetrics.Owner) bool {
	var mu sync.Mutex // guards both
	var of *grant.Snapshot
	var known map[clientmetrics.Owner]bool
	return func(o clientmetrics.Owner) bool {
		mu.Lock()
		defer mu.Unlock()
		if s := g.Snapshot(); s != of {
			of, known = s, map[clientmetrics.Owner]bool{}
			for c := range s.All() {
				known[clientmetrics.Owner{Application: c.Grant.Application, Environment: c.Grant.Environment}] = true
			}
		}
		return known[o]
	}
}
