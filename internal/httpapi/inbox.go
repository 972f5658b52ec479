package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

type inboxOutput struct{ Body schema.Inbox }

type threadOutput struct{ Body schema.Thread }

type sayInput struct {
	Name string `path:"name" maxLength:"128"`
	Body schema.Say
}

// inbox registers what waits for somebody, and what is said about subscriptions.
func (a *API) inbox() {
	tags := []string{string(resource.KindSubscription)}
	huma.Register(a.huma, huma.Operation{OperationID: "inbox", Method: http.MethodGet, Path: "/v1/inbox", Summary: "Say what waits for whoever asks", Tags: []string{"People"}}, a.waiting)
	huma.Register(a.huma, huma.Operation{OperationID: "list-messages", Method: http.MethodGet, Path: "/v1/subscriptions/{name}/messages", Summary: "List what was said and done about a subscription", Tags: tags}, a.thread)
	huma.Register(a.huma, huma.Operation{OperationID: "say", Method: http.MethodPost, Path: "/v1/subscriptions/{name}/messages", Summary: "Write a message about a subscription", Tags: tags, MaxBodyBytes: maxBodyBytes}, a.say)
}

func (a *API) waiting(ctx context.Context, _ *struct{}) (*inboxOutput, error) {
	all, more := a.plane.Inbox(request(ctx))
	undelivered, err := a.plane.Undelivered(ctx, request(ctx))
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	all = append(all, undelivered...)
	out := &inboxOutput{Body: schema.Inbox{Items: []schema.InboxItem{}, More: more}}
	for _, w := range all {
		item := schema.InboxItem{What: w.What, Kind: string(w.Key.Kind), Name: w.Key.Name, Environment: w.Environment, Revision: w.Revision, Plan: w.Plan, About: w.About, By: w.By, Since: w.Since, Message: w.Message}
		if !w.Until.IsZero() {
			item.Until = &w.Until
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}

func (a *API) thread(ctx context.Context, in *nameInput) (*threadOutput, error) {
	all, err := a.plane.Thread(ctx, request(ctx), in.Name)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &threadOutput{Body: schema.Thread{Items: []schema.Message{}}}
	for _, e := range all {
		out.Body.Items = append(out.Body.Items, schema.Message{Time: e.Time, By: e.By, Action: string(e.Action), Internal: e.Internal, Text: e.Text})
	}
	return out, nil
}

func (a *API) say(ctx context.Context, in *sayInput) (*threadOutput, error) {
	q := request(ctx)
	if err := a.plane.Say(ctx, q, in.Name, in.Body.Text, in.Body.Internal); err != nil {
		return nil, a.failed(ctx, err)
	}
	return a.thread(ctx, &nameInput{Name: in.Name})
}
