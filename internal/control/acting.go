package control

import (
	"context"
	"fmt"

	"sluice/internal/control/contract"
	"sluice/internal/control/identity"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

// Acting is as whom somebody reads or writes records through a gateway that is in one
// process with the control plane, and of what.
type Acting struct {
	Application, Environment string
	// Credential is the one as which it is done; empty for the application as a whole.
	Credential string
	// Key is what the gateway knows that by.
	Key grant.Key
	// Topic is an exposed one; empty where it is about none.
	Topic string
	// Messages are those of the topic's channel; none where the application has no
	// subscription to it, or its contract says nothing of them.
	Messages []*contract.Message
	// Limits are those of the plan that brings the topic.
	Limits resource.Limits
}

// ActingQuery says as whom somebody wants to act.
type ActingQuery struct {
	Application string
	// Environment may be empty where the application has subscriptions in only one.
	Environment string
	// Credential is one of the application's there, or empty.
	Credential string
	Topic      string
}

// ActAs returns as whom somebody acts who may do an operation, [identity.ReadRecords],
// [identity.WriteRecords] or [identity.Read], with the application. What a topic has to do
// with it is the gateway's to say.
func (p *Plane) ActAs(ctx context.Context, q Request, op identity.Operation, query ActingQuery) (*Acting, error) {
	m := p.Model()
	object := identity.Object{Kind: resource.KindApplication, Name: query.Application, Absent: true}
	if app := m.Get(resource.Key{Kind: resource.KindApplication, Name: query.Application}); app != nil {
		object = m.Object(app.Document)
	}
	if err := identity.Authorise(q.Actor, op, object); err != nil {
		return nil, err
	}
	environment, err := m.placeOf(query.Application, query.Environment)
	if err != nil {
		return nil, err
	}
	if m.Get(resource.Key{Kind: resource.KindEnvironment, Name: environment}) == nil {
		return nil, fault.New(fault.NotFound, "there is no Environment %q that you may see", environment)
	}
	a := &Acting{Application: query.Application, Environment: environment, Topic: query.Topic, Key: grant.Key{Method: grant.Inside, Identity: query.Application}}
	if query.Credential != "" {
		d := m.Get(resource.Key{Kind: resource.KindCredential, Name: query.Credential})
		if d == nil {
			return nil, fault.New(fault.NotFound, "there is no Credential %q of application %s in environment %s", query.Credential, query.Application, environment)
		}
		credential := d.Document.(*resource.Credential)
		if credential.Spec.Application != query.Application || credential.Metadata.Environment != environment {
			return nil, fault.New(fault.NotFound, "there is no Credential %q of application %s in environment %s", query.Credential, query.Application, environment)
		}
		a.Credential, a.Key = query.Credential, publish.KeyOf(credential)
	}
	return a, p.describe(ctx, m, a)
}

// Wrote notes in the audit log that somebody is about to write records as an application:
// how many, and not what they hold. Without it, nothing may be written.
func (p *Plane) Wrote(ctx context.Context, q Request, a *Acting, records int) error {
	return p.change(ctx, q, func(c *changing) error {
		r := c.edit.Get(resource.Key{Kind: resource.KindApplication, Name: a.Application})
		if r == nil {
			return fault.New(fault.NotFound, "there is no Application %q any more", a.Application)
		}
		if err := c.may(identity.WriteRecords, c.object(r.Document, false)); err != nil {
			return err
		}
		details := map[string]any{"environment": a.Environment, "topic": a.Topic, "records": records}
		if a.Credential != "" {
			details["credential"] = a.Credential
		}
		return c.tell(r, "write-records", details)
	})
}

// Guest returns as whom people without an account watch records of a topic in an
// environment, which its document allows.
func (p *Plane) Guest(ctx context.Context, environment, topic string) (*Acting, error) {
	m := p.Model()
	nothing := fault.New(fault.NotFound, "there is nothing to watch without an account in environment %q", environment)
	e := m.Get(resource.Key{Kind: resource.KindEnvironment, Name: environment})
	if e == nil {
		return nil, nothing
	}
	sandbox := e.Document.(*resource.Environment).Spec.Sandbox
	if sandbox == nil || sandbox.Guest == "" || m.Get(resource.Key{Kind: resource.KindApplication, Name: sandbox.Guest}) == nil {
		return nil, nothing
	}
	a := &Acting{Application: sandbox.Guest, Environment: environment, Topic: topic, Key: grant.Key{Method: grant.Inside, Identity: sandbox.Guest}}
	if err := p.describe(ctx, m, a); err != nil {
		return nil, err
	}
	return a, nil
}

// describe adds what the documents say of the topic.
func (p *Plane) describe(ctx context.Context, m *Model, a *Acting) error {
	if a.Topic == "" {
		return nil
	}
	for _, e := range publish.Explain(m.Set(), publish.Options{Environment: a.Environment, Now: p.now(), Seed: p.seed}, a.Application) {
		if e.Topic != a.Topic {
			continue
		}
		a.Limits = e.Limits
		version := m.Get(resource.Key{Kind: resource.KindVersion, Name: e.Version})
		if version == nil {
			return nil
		}
		says, err := p.Offered(ctx, version, version.Status.Deployments[a.Environment].Revision, a.Environment)
		if err != nil {
			return fmt.Errorf("what records of %s hold: %w", a.Topic, err)
		}
		if c := says.Channel(e.Channel); c != nil {
			a.Messages = c.Messages
		}
	}
	return nil
}
