package grant

import (
	"fmt"
	"slices"
	"time"
)

// Stale returns the snapshot as it counts for a gateway that has not heard for some time
// whether it is the newest: topics whose MaxStaleness is not more than that fall silent,
// as suspended ones do. It has the same number, and is the snapshot itself when no topic
// does. withheld counts them; next is the age at which more do, 0 for never.
func (s *Snapshot) Stale(age time.Duration) (counts *Snapshot, withheld int, next time.Duration) {
	var put []*Credential
	silent := map[*Grant]*Grant{}
	for g := range s.Grants() {
		n := 0
		for _, t := range g.Topics {
			switch {
			case t.MaxStaleness <= 0, !slices.ContainsFunc(t.Phases, served):
			case t.MaxStaleness <= age:
				n++
			case next == 0 || t.MaxStaleness < next:
				next = t.MaxStaleness
			}
		}
		if n > 0 {
			withheld += n
			silent[g] = g.stale(age)
		}
	}
	if withheld == 0 {
		return s, 0, next
	}
	for c := range s.All() {
		if g := silent[c.Grant]; g != nil {
			copied := *c
			copied.Grant = g
			put = append(put, &copied)
		}
	}
	counts, err := s.with(s.number, put, nil)
	if err != nil { // the grants differ from sound ones in phases only
		panic(fmt.Sprintf("bug: a snapshot without stale topics: %v", err))
	}
	return counts, withheld, next
}

func served(p Phase) bool { return p.State == Open || p.State == BrownOut }

func (g *Grant) stale(age time.Duration) *Grant {
	out := &Grant{
		Application: g.Application, Environment: g.Environment, Cluster: g.Cluster, VirtualClusterID: g.VirtualClusterID, Prefix: g.Prefix, IDKey: g.IDKey,
		Topics: slices.Clone(g.Topics), Namespace: g.Namespace, Quota: g.Quota, Groups: g.Groups, TransactionalIDs: g.TransactionalIDs,
	}
	for i, t := range out.Topics {
		if t.MaxStaleness <= 0 || t.MaxStaleness > age {
			continue
		}
		silent := *t
		silent.Phases = slices.Clone(t.Phases)
		for j, p := range silent.Phases {
			if served(p) {
				silent.Phases[j] = Phase{From: p.From, State: Suspended, Rule: fmt.Sprintf("the control plane has been away for more than %v", t.MaxStaleness), Message: "this topic rests until the gateway knows again who may use it"}
			}
		}
		out.Topics[i] = &silent
	}
	return out
}
