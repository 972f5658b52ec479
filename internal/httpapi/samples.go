package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/control/codesample"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

type samplesInput struct {
	Name  string `path:"name" maxLength:"128"`
	Topic string `query:"topic" maxLength:"249" doc:"An exposed topic of the application; the first one where it is not said."`
	Group string `query:"group" maxLength:"255" doc:"A consumer group; the name of the application where it is not said."`
}

// samples registers the route of code samples.
func (a *API) samples() {
	huma.Register(a.huma, huma.Operation{OperationID: "credential-samples", Method: http.MethodGet, Path: "/v1/credentials/{name}/samples", Tags: []string{"Credential"},
		Summary:     "Get complete programs that read and write a topic with a credential",
		Description: "In twelve languages and tools, with address, topic, group and user in their places. In the place of the secret, which is not kept here, stands " + codesample.Secret + ": parts say where."}, a.samplesOf)
}

func (a *API) samplesOf(ctx context.Context, in *samplesInput) (*struct{ Body schema.Samples }, error) {
	e, err := a.plane.EffectiveOf(request(ctx), in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	if len(e.Credentials) == 0 {
		return nil, a.failed(ctx, fault.New(fault.NotFound, "there is no credential %s", in.Name))
	}
	mine := e.Credentials[0].Topics
	at := slices.IndexFunc(e.Topics, func(t control.EffectiveTopic) bool {
		return slices.Contains(mine, t.Topic) && (in.Topic == "" || t.Topic == in.Topic)
	})
	if at < 0 {
		if in.Topic != "" {
			return nil, a.failed(ctx, fault.New(fault.Invalid, "%s has no topic %s: it has %d others", in.Name, in.Topic, len(mine)))
		}
		return nil, a.failed(ctx, fault.New(fault.Conflict, "%s has no topic yet: subscribe to a product, and wait for its approval", in.Name))
	}
	topic := e.Topics[at]
	group := in.Group
	if group == "" {
		group = e.Application
	}
	client := a.connecting(ctx, in.Name, "")
	if client == nil {
		return nil, a.failed(ctx, fault.New(fault.NotFound, "there is no credential %s", in.Name))
	}
	values := codesample.Values{
		Bootstrap: client.Bootstrap, TLS: client.Protocol != "SASL_PLAINTEXT", CA: client.CA != "", Mechanism: client.Mechanism, Username: client.Username, TokenEndpoint: client.TokenEndpoint,
		Topic: topic.Topic, Group: group, Read: topic.Read.Granted, Write: topic.Write.Granted,
	}
	if values.Bootstrap == "" {
		values.Bootstrap = "HOST:PORT"
	}
	all, err := codesample.All(values)
	if err != nil {
		return nil, a.failed(ctx, fault.New(fault.Conflict, "%v", err))
	}
	out := schema.Samples{Topic: topic.Topic, Group: group, Client: *client, Items: []schema.Sample{}}
	for _, s := range all {
		out.Items = append(out.Items, schema.Sample{ID: s.ID, Title: s.Title, Needs: s.Needs, Language: s.Language, Consume: program(s.Consume), Produce: program(s.Produce)})
	}
	return &struct{ Body schema.Samples }{out}, nil
}

func program(p *codesample.Program) *schema.Program {
	if p == nil {
		return nil
	}
	out := &schema.Program{File: p.File}
	for _, part := range p.Text {
		out.Text = append(out.Text, schema.Part(part))
	}
	for _, part := range p.Run {
		out.Run = append(out.Run, schema.Part(part))
	}
	return out
}
