package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

type revisionsOutput struct{ Body schema.Revisions }

type revisionInput struct {
	Name string `path:"name" maxLength:"128"`
	N    int    `path:"n" minimum:"1"`
}

type revisionOutput struct{ Body schema.Revision }

type contractInput struct {
	Name        string `path:"name" maxLength:"128"`
	Revision    int    `query:"revision" minimum:"0" doc:"The newest one by default, or the one that the environment has."`
	Environment string `query:"environment" doc:"As it is offered there."`
	Format      string `query:"format" enum:"yaml,json" default:"yaml"`
}

type textOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

type comparisonInput struct {
	Name        string `path:"name" maxLength:"128"`
	From        int    `query:"from" minimum:"0" doc:"A revision; the newest one by default."`
	To          int    `query:"to" minimum:"0" doc:"A revision; the newest one by default."`
	Environment string `query:"environment" doc:"As it is offered there, with the subscriptions that are concerned."`
}

type comparisonOutput struct{ Body schema.Comparison }

type deploymentsOutput struct{ Body schema.Deployments }

type promoteInput struct {
	ChangeInput
	Body schema.Promote
}

type rollbackInput struct {
	ChangeInput
	Body schema.Rollback
}

type deployOutput struct {
	ETag string `header:"ETag"`
	Body schema.DeployReport
}

// deployments registers the routes of revisions, and of where they are.
func (a *API) deployments() {
	const path = "/v1/versions/{name}"
	tags := []string{string(resource.KindVersion)}
	huma.Register(a.huma, huma.Operation{OperationID: "list-revisions", Method: http.MethodGet, Path: path + "/revisions", Summary: "List the revisions of a version", Tags: tags}, a.revisions)
	huma.Register(a.huma, huma.Operation{OperationID: "get-revision", Method: http.MethodGet, Path: path + "/revisions/{n}", Summary: "Get a revision of a version", Tags: tags}, a.revision)
	huma.Register(a.huma, huma.Operation{OperationID: "get-contract", Method: http.MethodGet, Path: path + "/contract", Summary: "Get the AsyncAPI document of a version", Tags: tags}, a.contract)
	huma.Register(a.huma, huma.Operation{OperationID: "compare-revisions", Method: http.MethodGet, Path: path + "/comparison", Summary: "Compare two revisions of a version", Tags: tags}, a.compare)
	huma.Register(a.huma, huma.Operation{OperationID: "list-deployments", Method: http.MethodGet, Path: path + "/deployments", Summary: "Say which environment has which revision", Tags: tags}, a.listDeployments)
	huma.Register(a.huma, huma.Operation{OperationID: "promote-version", Method: http.MethodPost, Path: path + "/promote", Summary: "Bring a revision to the next environment", Tags: tags, MaxBodyBytes: maxBodyBytes}, a.promote)
	huma.Register(a.huma, huma.Operation{OperationID: "rollback-version", Method: http.MethodPost, Path: path + "/rollback", Summary: "Bring an earlier revision back to an environment", Tags: tags, MaxBodyBytes: maxBodyBytes}, a.rollback)
}

func (a *API) revisions(ctx context.Context, in *nameInput) (*revisionsOutput, error) {
	r, all, err := a.plane.Revisions(ctx, request(ctx), in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &revisionsOutput{Body: schema.Revisions{Items: []schema.Revision{}}}
	for _, revision := range all {
		out.Body.Items = append(out.Body.Items, revisionBody(r, revision))
	}
	return out, nil
}

func revisionBody(of *control.Record, r control.Revision) schema.Revision {
	out := schema.Revision{N: r.N, Hash: r.Hash, Created: r.Created, By: r.By}
	for environment, d := range of.Status.Deployments {
		if d.Revision == r.N {
			out.Environments = append(out.Environments, environment)
		}
	}
	slices.Sort(out.Environments)
	return out
}

func (a *API) revision(ctx context.Context, in *revisionInput) (*revisionOutput, error) {
	of, r, v, err := a.plane.Revision(ctx, request(ctx), in.Name, in.N)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &revisionOutput{Body: revisionBody(of, *r)}
	if out.Body.Spec, err = json.Marshal(v.Spec); err != nil {
		return nil, a.failed(ctx, err)
	}
	return out, nil
}

func (a *API) contract(ctx context.Context, in *contractInput) (*textOutput, error) {
	document, source, err := a.plane.Contract(ctx, request(ctx), in.Name, in.Revision, in.Environment)
	switch {
	case err != nil:
		return nil, a.failed(ctx, err)
	case in.Format == "json":
		return &textOutput{"application/json", document.JSON()}, nil
	case source != "":
		return &textOutput{"application/yaml", []byte(source)}, nil
	}
	return &textOutput{"application/yaml", document.YAML()}, nil
}

func (a *API) compare(ctx context.Context, in *comparisonInput) (*comparisonOutput, error) {
	c, err := a.plane.Compare(ctx, request(ctx), in.Name, in.From, in.To, in.Environment)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &comparisonOutput{Body: schema.Comparison{From: c.From, To: c.To, Differences: []schema.Difference{}, Findings: []schema.Finding{}}}
	for _, d := range c.Differences {
		out.Body.Differences = append(out.Body.Differences, schema.Difference{Path: d.Path, Before: d.Before, After: d.After})
	}
	for _, f := range c.Findings {
		out.Body.Findings = append(out.Body.Findings, schema.Finding{Rule: f.Rule, Severity: f.Severity.String(), Channel: f.Channel, Who: f.Who, Message: f.Message, Fix: f.Fix, Line: f.Line, Subscriptions: f.Subscriptions, Others: f.Others})
	}
	return out, nil
}

func (a *API) listDeployments(ctx context.Context, in *nameInput) (*deploymentsOutput, error) {
	r, stages, err := a.plane.Deployments(request(ctx), in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &deploymentsOutput{Body: schema.Deployments{Newest: r.Status.Revision, Items: []schema.Deployment{}}}
	for _, s := range stages {
		body := schema.Deployment{Environment: s.Environment, After: s.After, FourEyes: s.FourEyes}
		if d, there := r.Status.Deployments[s.Environment]; there {
			body.Revision, body.Time, body.By, body.ApprovedBy, body.Had = d.Revision, &d.Time, d.By, d.ApprovedBy, d.Had
			body.Waiver = (*schema.Waiver)(d.Waiver)
		}
		if p, waits := r.Status.Proposals[s.Environment]; waits {
			body.Waiting = &schema.Waiting{Revision: p.Revision, Time: p.Time, By: p.By, From: p.From, Reason: p.Reason, Waive: p.Waive}
		}
		out.Body.Items = append(out.Body.Items, body)
	}
	return out, nil
}

func (a *API) promote(ctx context.Context, in *promoteInput) (*deployOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Body.Reason
	tag, err := versionTag(in.IfMatch, in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return a.deployed(ctx, q)(a.plane.Promote(ctx, q, control.Promotion{Version: in.Name, From: in.Body.From, To: in.Body.To, Revision: in.Body.Revision, Waive: in.Body.Waive, Tag: tag}))
}

func (a *API) rollback(ctx context.Context, in *rollbackInput) (*deployOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Body.Reason
	tag, err := versionTag(in.IfMatch, in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return a.deployed(ctx, q)(a.plane.Rollback(ctx, q, control.Rollback{Version: in.Name, Environment: in.Body.Environment, To: in.Body.To, Tag: tag}))
}

func versionTag(tag, name string) (int64, error) {
	key := resource.Key{Kind: resource.KindVersion, Name: name}
	tags, err := tagsOf(tag, key)
	return tags[key], err
}

// deployed makes an answer of what became of a revision.
func (a *API) deployed(ctx context.Context, q control.Request) func(*control.Record, control.Deployed, []resource.Problem, error) (*deployOutput, error) {
	return func(r *control.Record, d control.Deployed, warnings []resource.Problem, err error) (*deployOutput, error) {
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		out := &deployOutput{ETag: etag(r.Tag()), Body: schema.DeployReport{Deployed: deployedBody(d), Serial: r.Serial, Request: q.ID, DryRun: q.DryRun}}
		for _, w := range warnings {
			out.Body.Warnings = append(out.Body.Warnings, faultOf(w))
		}
		return out, nil
	}
}

func deployedBody(d control.Deployed) schema.Deployed {
	return schema.Deployed{Environment: d.Environment, Revision: d.Revision, Was: d.Was, Waits: d.Waits, Waiver: (*schema.Waiver)(d.Waiver)}
}

// windows reads brown-outs.
func windows(in []schema.Brownout) (out []resource.Window, err error) {
	for _, w := range in {
		if !w.From.Before(w.To) {
			return nil, fault.New(fault.Invalid, "a brown-out ends before it begins")
		}
		out = append(out, resource.Window{From: w.From.UTC(), To: w.To.UTC()})
	}
	return out, nil
}
