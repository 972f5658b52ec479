package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/control/publish"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

type effectiveInput struct {
	Name        string `path:"name" maxLength:"128"`
	Environment string `query:"environment" doc:"Needed where the application has subscriptions in several."`
}

type effectiveOutput struct{ Body schema.Effective }

type rejectionInput struct {
	ID string `path:"id" maxLength:"64"`
}

type rejectionOutput struct{ Body schema.Rejection }

type rejectionsInput struct {
	Name        string `path:"name" maxLength:"128"`
	Environment string `query:"environment" maxLength:"128" doc:"In this environment."`
	Before      uint64 `query:"before" minimum:"1" doc:"What next said of the page before."`
	After       uint64 `query:"after" minimum:"1" doc:"Only those behind this number: what has come since."`
	Limit       int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

type whoIsInput struct {
	Name string `query:"name" required:"true" maxLength:"255" doc:"A group, transactional id or topic, as the target cluster has it."`
}

type whoIsOutput struct{ Body schema.WhoIs }

// explaining registers what says why something is as it is.
func (a *API) explaining() {
	huma.Register(a.huma, huma.Operation{OperationID: "effective-application", Method: http.MethodGet, Path: "/v1/applications/{name}/effective", Summary: "Say what an application may do with which topics, and why", Tags: []string{string(resource.KindApplication)}},
		func(ctx context.Context, in *effectiveInput) (*effectiveOutput, error) {
			return a.effective(ctx)(a.plane.Effective(request(ctx), in.Name, in.Environment))
		})
	huma.Register(a.huma, huma.Operation{OperationID: "effective-credential", Method: http.MethodGet, Path: "/v1/credentials/{name}/effective", Summary: "Say what a credential may do with which topics, and why", Tags: []string{string(resource.KindCredential)}},
		func(ctx context.Context, in *nameInput) (*effectiveOutput, error) {
			return a.effective(ctx)(a.plane.EffectiveOf(request(ctx), in.Name))
		})
	huma.Register(a.huma, huma.Operation{OperationID: "get-rejection", Method: http.MethodGet, Path: "/v1/rejections/{id}", Summary: "Say why a gateway refused a client something", Tags: []string{"Gateways"}}, a.rejection)
	huma.Register(a.huma, huma.Operation{OperationID: "list-rejections", Method: http.MethodGet, Path: "/v1/applications/{name}/rejections", Summary: "List what gateways refused an application lately, the newest first", Tags: []string{string(resource.KindApplication)}}, a.rejections)
	huma.Register(a.huma, huma.Operation{OperationID: "whois", Method: http.MethodGet, Path: "/v1/whois", Summary: "Say whose a name on a target cluster is", Tags: []string{"Gateways"}}, a.whoIs)
}

func (a *API) effective(ctx context.Context) func(*control.Effective, error) (*effectiveOutput, error) {
	return func(e *control.Effective, err error) (*effectiveOutput, error) {
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		out := &effectiveOutput{Body: schema.Effective{Application: e.Application, Environment: e.Environment, Suspended: e.Suspended, Topics: []schema.EffectiveTopic{}, Credentials: []schema.EffectiveCredential{}}}
		for _, t := range e.Topics {
			out.Body.Topics = append(out.Body.Topics, topicBody(t))
		}
		for _, c := range e.Credentials {
			out.Body.Credentials = append(out.Body.Credentials, schema.EffectiveCredential{Name: c.Name, Type: c.Type, State: string(c.State), Topics: c.Topics, Not: c.Not})
		}
		return out, nil
	}
}

func topicBody(t control.EffectiveTopic) schema.EffectiveTopic {
	out := schema.EffectiveTopic{
		Topic: t.Topic, Subscription: t.Subscription, Product: t.Product, Plan: t.Plan, Version: t.Version, Channel: t.Channel, Revision: t.Revision,
		Read: schema.EffectiveRight(t.Read), Write: schema.EffectiveRight(t.Write), Manage: t.Manage, Now: phaseBody(t.Phase), Methods: t.Methods,
	}
	for _, p := range t.Next {
		out.Next = append(out.Next, phaseBody(p))
	}
	for _, l := range t.Limits {
		out.Limits = append(out.Limits, schema.Limit{Name: l.Name, Value: l.Value, From: "plan " + t.Plan + " of " + t.Product})
	}
	return out
}

func phaseBody(p publish.Phase) schema.Phase {
	out := schema.Phase{State: p.State, Rule: p.Rule}
	if !p.From.IsZero() {
		out.From = &p.From
	}
	return out
}

func (a *API) rejection(ctx context.Context, in *rejectionInput) (*rejectionOutput, error) {
	r, err := a.plane.Refusal(request(ctx), in.ID)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &rejectionOutput{Body: rejectionBody(*r)}
	if r.Topic != nil {
		t := topicBody(*r.Topic)
		out.Body.Topic = &t
	}
	return out, nil
}

func rejectionBody(r control.Refusal) schema.Rejection {
	return schema.Rejection{
		Number: r.Number, ID: r.ID, Time: r.Time, Application: r.Application, Environment: r.Environment, Credential: r.Credential, Gateway: r.Gateway, Address: r.Address,
		API: r.API, Operation: r.Operation, What: r.What, Name: r.Name, Verdict: r.Verdict, Rule: r.Rule,
	}
}

func (a *API) rejections(ctx context.Context, in *rejectionsInput) (*struct{ Body schema.Rejections }, error) {
	page, next, err := a.plane.Refusals(request(ctx), control.RefusalQuery{Application: in.Name, Environment: in.Environment, Before: in.Before, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &struct{ Body schema.Rejections }{schema.Rejections{Items: []schema.Rejection{}, Next: next}}
	for _, r := range page {
		out.Body.Items = append(out.Body.Items, rejectionBody(r))
	}
	return out, nil
}

func (a *API) whoIs(ctx context.Context, in *whoIsInput) (*whoIsOutput, error) {
	all, err := a.plane.WhoIs(request(ctx), in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &whoIsOutput{}
	for _, p := range all {
		out.Body.Items = append(out.Body.Items, schema.Physical{Application: p.Application, Environment: p.Environment, Name: p.Name, Adopted: p.Adopted})
	}
	return out, nil
}
