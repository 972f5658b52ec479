package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/tree"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// digestOf is how a document names the text of its AsyncAPI document.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// takeContract takes the text of a version's AsyncAPI document out of it and leaves
// its digest. A document with the digest alone means the text that is there.
func takeContract(v *resource.Version, before *Record) (text string, err error) {
	c := &v.Spec.Contract
	if c.AsyncAPI != "" {
		text, c.Digest, c.AsyncAPI = c.AsyncAPI, digestOf(c.AsyncAPI), ""
		return text, nil
	}
	if c.Digest == "" {
		return "", nil
	}
	if before != nil {
		was := before.Document.(*resource.Version).Spec.Contract
		if was.Digest == c.Digest && reflect.DeepEqual(was.Channels, c.Channels) {
			return "", nil
		}
	}
	return "", &ProblemsError{[]resource.Problem{v.Problem("spec.contract.digest", "is not that of the AsyncAPI document that the version has, or the channels are others", "send the document in spec.contract.asyncapi, or remove the digest to go on without one")}}
}

// hashOf is that of what makes a revision: contract and mapping.
func hashOf(v *resource.Version) (string, error) {
	b, err := json.Marshal(struct {
		Digest string
		resource.Offer
	}{v.Spec.Contract.Digest, v.Spec.Offer()})
	if err != nil {
		return "", fmt.Errorf("bug: content of %s: %w", v.Key(), err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// content is a version as its revision keeps it: with the text of its contract, and
// without what belongs to no revision.
func content(v *resource.Version, text string) *resource.Version {
	out := &resource.Version{APIVersion: v.APIVersion, Kind: v.Kind, Metadata: resource.Metadata{Name: v.Name()}}
	out.Spec.Contract = resource.Contract{AsyncAPI: text, Digest: v.Spec.Contract.Digest, Channels: v.Spec.Contract.Channels}
	out.Spec.Channels = v.Spec.Channels
	return out
}

// revised is what a change of a version's document makes of it.
type revised struct {
	revisions []*Revision // to be kept
	deployed  []Deployed
	warnings  []resource.Problem
}

// notes are what the audit row says of it, and of the fields that differ.
func (r *revised) notes(differences []Difference) map[string]any {
	out := map[string]any{}
	if len(differences) > 0 {
		out["changes"] = differences
	}
	if r != nil && len(r.revisions) > 0 {
		out["revision"] = r.revisions[len(r.revisions)-1].N
		if len(r.deployed) > 0 {
			out["deployed"] = r.deployed
		}
	}
	return out
}

// revise makes a revision of a version whose content has changed, and deploys it to
// the environments at the beginning of the order; nil when it has not.
func (c *changing) revise(after, before *Record, text, waive string) (*revised, error) {
	v := after.Document.(*resource.Version)
	hash, err := hashOf(v)
	if err != nil {
		return nil, err
	}
	out := &revised{}
	s := &after.Status
	s.Deployments = maps.Clone(s.Deployments)
	if s.Deployments == nil {
		s.Deployments = map[string]Deployment{}
	}
	if before != nil {
		was := before.Document.(*resource.Version)
		old, err := hashOf(was)
		if err != nil || old == hash {
			return nil, err
		}
		if s.Revision == 0 { // of the time before revisions
			first, err := c.keep(after, was, "", old)
			if err != nil {
				return nil, err
			}
			first.Created, first.By = before.Changed, ""
			out.revisions = append(out.revisions, first)
			for _, environment := range environmentsOf(was) {
				s.Deployments[environment] = Deployment{Revision: first.N, Time: before.Changed, Had: []int{first.N}, Against: []int{first.N}}
			}
		}
		offer := was.Spec.Offer()
		for environment, d := range s.Deployments {
			if d.Offer == nil {
				d.Offer = &offer
				s.Deployments[environment] = d
			}
		}
		if text == "" && v.Spec.Contract.Digest != "" { // as before
			newest, err := c.revision(v.Name(), before.Status.Revision)
			if err != nil {
				return nil, err
			}
			text = newest.Spec.Contract.AsyncAPI
		}
	}
	next, err := c.keep(after, v, text, hash)
	if err != nil {
		return nil, err
	}
	out.revisions = append(out.revisions, next)
	direct := map[string]bool{}
	for _, environment := range slices.Concat(environmentsOf(v), slices.Collect(maps.Keys(s.Deployments))) {
		direct[environment] = c.environment(environment).After == ""
	}
	for _, environment := range slices.Sorted(maps.Keys(direct)) {
		if !direct[environment] {
			continue
		}
		d, err := c.deploy(after, content(v, text), deploying{environment: environment, revision: next.N, waive: waive})
		if err != nil {
			return nil, err
		}
		out.deployed, out.warnings = append(out.deployed, d.Deployed), append(out.warnings, d.warnings...)
	}
	return out, nil
}

// file puts revisions where they are kept for good.
func (c *changing) file(version string, of *revised) error {
	if of == nil || len(c.tasks) > 0 { // there is another turn
		return nil
	}
	for _, r := range of.revisions {
		if err := c.w.PutRevision(version, r); err != nil {
			return fmt.Errorf("keep revision %d of Version %s: %w", r.N, version, err)
		}
	}
	return nil
}

// keep makes the next revision.
func (c *changing) keep(after *Record, v *resource.Version, text, hash string) (*Revision, error) {
	document, err := resource.Marshal(content(v, text))
	if err != nil {
		return nil, err
	}
	after.Status.Revision++
	return &Revision{N: after.Status.Revision, Hash: hash, Document: document, Created: c.now, By: c.q.Actor.String()}, nil
}

// revision reads the content of a revision.
func (c *changing) revision(version string, n int) (*resource.Version, error) {
	r, err := c.w.Revision(version, n)
	if err != nil {
		return nil, fmt.Errorf("read revision %d of Version %s: %w", n, version, err)
	}
	return contentOf(r)
}

func contentOf(r *Revision) (*resource.Version, error) {
	d, err := resource.Unmarshal(r.Document)
	if err != nil {
		return nil, fmt.Errorf("read revision %d: %w", r.N, err)
	}
	v, ok := d.(*resource.Version)
	if !ok {
		return nil, fmt.Errorf("read revision %d: it is a %s", r.N, d.Key().Kind)
	}
	return v, nil
}

// environmentsOf are those that a version's document names, sorted.
func environmentsOf(v *resource.Version) []string {
	seen := map[string]bool{}
	for _, by := range v.Spec.Channels {
		for environment := range by {
			seen[environment] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// described is the contract of a revision as an AsyncAPI document, made from its
// channels where there is none.
func described(v *resource.Version, opts contract.Options) *contract.Document {
	text := []byte(v.Spec.Contract.AsyncAPI)
	if len(text) == 0 {
		text = made(v)
	}
	return contract.Load("", text, opts)
}

// made writes an AsyncAPI document for a contract that has none.
func made(v *resource.Version) []byte {
	m := &contract.Model{Info: tree.NewObject().Set("title", tree.Text(v.Name())).Set("version", tree.Text("1.0.0"))}
	for _, name := range slices.Sorted(maps.Keys(v.Spec.Contract.Channels)) {
		c := v.Spec.Contract.Channels[name]
		ch := &contract.Channel{Name: name, Address: resource.ExposedTopic(v, name)}
		if c.Description != "" {
			ch.Rest = tree.NewObject().Set("description", tree.Text(c.Description))
		}
		m.Channels = append(m.Channels, ch)
		if c.Send {
			m.Operations = append(m.Operations, &contract.Operation{Name: "send." + name, Action: contract.Send, Channel: name})
		}
		if c.Receive {
			m.Operations = append(m.Operations, &contract.Operation{Name: "receive." + name, Action: contract.Receive, Channel: name})
		}
	}
	return m.Emit(contract.Version30).YAML()
}

// seen narrows a contract to what one environment offers of it.
func seen(v *resource.Version, environment string) *contract.Model {
	d := described(v, contract.Options{Known: true})
	if d.Model == nil {
		return nil
	}
	view := contract.View{Channels: map[string]contract.ViewChannel{}}
	for name, c := range v.Spec.Contract.Channels {
		if _, mapped := v.Spec.Channels[name][environment]; mapped || environment == "" {
			view.Channels[name] = contract.ViewChannel{Address: resource.ExposedTopic(v, name), Read: c.Send, Write: c.Receive}
		}
	}
	return d.Model.For(view)
}

// viewed is a revision with its contract as an environment offers it.
type viewed struct {
	*resource.Version
	model *contract.Model // nil for one that cannot be read
}

func view(v *resource.Version, environment string) viewed { return viewed{v, seen(v, environment)} }

// mayRead returns a version to somebody who may see its revisions: those who may see
// its backing topics.
func (p *Plane) mayRead(q Request, version string) (*Record, error) {
	key := resource.Key{Kind: resource.KindVersion, Name: version}
	if _, err := p.Get(q, key); err != nil {
		return nil, err
	}
	m := p.Model()
	r := m.Get(key)
	if r == nil {
		return nil, fault.New(fault.NotFound, "%s is not there any more", key)
	}
	return r, identity.Authorise(q.Actor, identity.ReadBacking, objectOf(r.Document, false, m.Get))
}

// Revisions returns the revisions of a version, the oldest first and without their
// documents. They are for those who own it.
func (p *Plane) Revisions(ctx context.Context, q Request, version string) (r *Record, out []Revision, err error) {
	if r, err = p.mayRead(q, version); err != nil {
		return nil, nil, err
	}
	err = p.store.Read(ctx, func(s Reader) error {
		out, err = s.Revisions(version)
		return err
	})
	return r, out, err
}

// Revision returns one revision of a version, 0 being the newest, and what it says.
// It is for those who own it.
func (p *Plane) Revision(ctx context.Context, q Request, version string, n int) (of *Record, r *Revision, v *resource.Version, err error) {
	if of, err = p.mayRead(q, version); err != nil {
		return nil, nil, nil, err
	}
	r, v, err = p.revisionOf(ctx, of, n)
	return of, r, v, err
}

// revisionOf reads a revision, 0 being the newest one.
func (p *Plane) revisionOf(ctx context.Context, of *Record, n int) (revision *Revision, v *resource.Version, err error) {
	if n == 0 {
		n = of.Status.Revision
	}
	err = p.store.Read(ctx, func(s Reader) error {
		revision, err = s.Revision(of.Key().Name, n)
		return err
	})
	switch {
	case isNotFound(err):
		return nil, nil, fault.New(fault.NotFound, "%s has no revision %d", of.Key(), n)
	case err != nil:
		return nil, nil, err
	}
	v, err = contentOf(revision)
	return revision, v, err
}

// Contract returns the contract of a version as an AsyncAPI document. Those who own
// the version get it as it was sent, unless they name an environment. Everybody else
// gets what an environment offers: no servers, exposed topics only. With an
// environment, 0 is the revision that is deployed there, else the newest one.
func (p *Plane) Contract(ctx context.Context, q Request, version string, n int, environment string) (document *tree.Node, source string, err error) {
	r, err := p.mayRead(q, version)
	outside := fault.KindOf(err) == fault.Denied
	if err != nil && !outside {
		return nil, "", err
	}
	there := slices.Sorted(maps.Keys(r.Status.Deployments))
	if r.Status.Revision == 0 {
		there = environmentsOf(r.Document.(*resource.Version))
	}
	if outside && environment == "" && len(there) == 1 {
		environment = there[0]
	}
	switch {
	case outside && environment == "":
		return nil, "", fault.New(fault.Invalid, "name the environment whose contract you want to see: %s has it in %s", r.Key(), cmp.Or(strings.Join(there, ", "), "none"))
	case outside && n != 0:
		return nil, "", err
	case environment != "" && n == 0 && !slices.Contains(there, environment):
		return nil, "", fault.New(fault.NotFound, "%s is not deployed to %s", r.Key(), environment)
	}
	v := content(r.Document.(*resource.Version), "")
	if environment != "" && n == 0 {
		n = r.Status.Deployments[environment].Revision
	}
	if r.Status.Revision > 0 { // else it is of the time before
		if _, v, err = p.revisionOf(ctx, r, n); err != nil {
			return nil, "", err
		}
	}
	if environment == "" && v.Spec.Contract.AsyncAPI != "" {
		return described(v, contract.Options{Known: true}).Root, v.Spec.Contract.AsyncAPI, nil
	}
	m := seen(v, environment)
	if m == nil {
		return nil, "", fault.New(fault.Internal, "the contract of %s cannot be read", r.Key())
	}
	return m.Emit(contract.Version30), "", nil
}

// Comparison is what differs between two revisions of a version.
type Comparison struct {
	From, To    int
	Differences []Difference
	// Findings are what clients notice, under the mode that counts in the environment.
	Findings []Finding
}

// Compare compares two revisions of a version, 0 being the newest one, as an
// environment has them, or as a whole without one. It is for those who own it.
func (p *Plane) Compare(ctx context.Context, q Request, version string, from, to int, environment string) (*Comparison, error) {
	r, err := p.mayRead(q, version)
	if err != nil {
		return nil, err
	}
	var documents [2]*resource.Version
	out := &Comparison{}
	for i, n := range []int{from, to} {
		revision, v, err := p.revisionOf(ctx, r, n)
		if err != nil {
			return nil, err
		}
		documents[i], *[]*int{&out.From, &out.To}[i] = v, revision.N
	}
	bare := func(v *resource.Version) *resource.Version { // the text is told by its digest
		out := content(v, "")
		out.Spec.Contract.Digest = v.Spec.Contract.Digest
		return out
	}
	if out.Differences, err = differ(&Record{Document: bare(documents[0])}, bare(documents[1])); err != nil {
		return nil, err
	}
	e := p.Model().edit()
	c := &changing{plane: p, q: q, edit: e}
	mode := cmp.Or(c.environment(environment).Compatibility, r.Document.(*resource.Version).Spec.Compatibility, "BACKWARD")
	if mode == "NONE" { // nothing is refused, and all is told
		mode = "BACKWARD"
	}
	out.Findings = compatible(mode, view(documents[0], environment), view(documents[1], environment), environment)
	for i := range out.Findings {
		out.Findings[i].Revision = out.From
	}
	if environment != "" {
		c.concerned(out.Findings, version, environment)
	}
	return out, nil
}
