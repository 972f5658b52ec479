package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/control/contract"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// What this file has is for control/catalog, which shows it: nobody is asked here who
// wants to know.

// Object is a document of the model as authorisation sees it.
func (m *Model) Object(d resource.Any) identity.Object { return objectOf(d, false, m.Get) }

// Offering is what an environment has of a version.
type Offering struct {
	Environment string
	// Rank counts the environments before it in the order of promotion.
	Rank int
	// Revision is 0 for a version of the time before there were any.
	Revision int
	Time     time.Time
	Offer    resource.Offer
	// Had are the revisions that led here, the oldest first and this one last.
	Had []int
}

// Offerings returns what environments have of a version in the order of promotion, those
// left out that have none of its channels.
func (m *Model) Offerings(version *Record) []Offering {
	v := version.Document.(*resource.Version)
	var out []Offering
	add := func(o Offering) {
		for channel := range o.Offer.Contract {
			if _, mapped := o.Offer.Channels[channel][o.Environment]; mapped {
				o.Rank = rankOf(o.Environment, m.Get)
				out = append(out, o)
				return
			}
		}
	}
	if version.Status.Revision == 0 {
		for _, environment := range environmentsOf(v) {
			add(Offering{Environment: environment, Time: version.Changed, Offer: v.Spec.Offer()})
		}
	}
	for _, environment := range slices.Sorted(maps.Keys(version.Status.Deployments)) {
		d := version.Status.Deployments[environment]
		add(Offering{Environment: environment, Revision: d.Revision, Time: d.Time, Offer: d.offer(v), Had: d.Had})
	}
	slices.SortStableFunc(out, func(a, b Offering) int { return a.Rank - b.Rank })
	return out
}

// Offered returns the contract of a revision of a version as an environment offers it,
// exposed topics and no servers; without an environment, of all its channels. Revision 0
// is what the document of a version says that has no revisions. A revision that is gone
// is not found.
func (p *Plane) Offered(ctx context.Context, version *Record, revision int, environment string) (*contract.Model, error) {
	v := content(version.Document.(*resource.Version), "")
	if revision > 0 {
		var err error
		if _, v, err = p.revisionOf(ctx, version, revision); err != nil {
			return nil, err
		}
	}
	m := seen(v, environment)
	if m == nil {
		return nil, fault.New(fault.Internal, "the contract of %s cannot be read", version.Key())
	}
	return m, nil
}

// History returns the revisions of a version, the oldest first and without their
// documents.
func (p *Plane) History(ctx context.Context, version *Record) (out []Revision, err error) {
	err = p.store.Read(ctx, func(s Reader) error {
		out, err = s.Revisions(version.Key().Name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the revisions of %s: %w", version.Key(), err)
	}
	return out, nil
}
