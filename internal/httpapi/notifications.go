package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/notify"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

type notificationsInput struct {
	Team         string `query:"team" maxLength:"128" doc:"To this team."`
	Organisation string `query:"organisation" maxLength:"128" doc:"To teams of this organisation."`
	Failed       bool   `query:"failed" doc:"Those that were given up only."`
	After        string `query:"after" maxLength:"128" doc:"What next said of the page before."`
	Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

type ofTeamInput struct {
	Name   string `path:"name" maxLength:"128"`
	DryRun bool   `query:"dryRun" doc:"Say whether it could be, and do nothing."`
	Reason string `query:"reason" doc:"For the audit log."`
}

// notifications registers the routes of what is told to teams.
func (a *API) notifications() {
	team := []string{string(resource.KindTeam)}
	huma.Register(a.huma, huma.Operation{OperationID: "list-notifications", Method: http.MethodGet, Path: "/v1/notifications", Summary: "List notifications that have not arrived, the oldest first", Tags: team},
		func(ctx context.Context, in *notificationsInput) (*struct{ Body schema.Notifications }, error) {
			page, next, err := a.plane.Notifications(ctx, request(ctx), notify.Query{Team: in.Team, Organisation: in.Organisation, Failed: in.Failed, After: in.After, Limit: in.Limit})
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := &struct{ Body schema.Notifications }{schema.Notifications{Items: []schema.Notification{}, Next: next}}
			for _, n := range page {
				d, err := notify.Read(n.Event)
				if err != nil {
					return nil, a.failed(ctx, err)
				}
				item := schema.Notification{ID: n.ID, Type: n.Type, Channel: string(n.Channel), To: n.To, Team: n.Team, Organisation: n.Organisation, Title: d.Title, Time: n.Time, Attempts: n.Attempts, Problem: n.Problem}
				if n.Failed.IsZero() {
					item.Next = &n.Next
				} else {
					item.Failed = &n.Failed
				}
				out.Body.Items = append(out.Body.Items, item)
			}
			return out, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "test-notifications", Method: http.MethodPost, Path: "/v1/teams/{name}/test-notifications", Summary: "Send a notification to where a team is told, once and now", Tags: team},
		func(ctx context.Context, in *ofTeamInput) (*struct{ Body schema.NotificationTest }, error) {
			q := request(ctx)
			q.DryRun, q.Reason = in.DryRun, in.Reason
			all, err := a.plane.TestNotifications(ctx, q, in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := &struct{ Body schema.NotificationTest }{schema.NotificationTest{Items: []schema.TestedReceiver{}}}
			for _, t := range all {
				out.Body.Items = append(out.Body.Items, schema.TestedReceiver{Channel: string(t.Channel), To: t.To, Problem: t.Problem})
			}
			return out, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "make-webhook-secret", Method: http.MethodPost, Path: "/v1/teams/{name}/webhook-secret", Summary: "Make the secret that notifications to a team's webhook are signed with; it is shown this once", Tags: team, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *ofTeamInput) (*struct{ Body schema.WebhookSecret }, error) {
			q := request(ctx)
			q.DryRun, q.Reason = in.DryRun, in.Reason
			secret, until, err := a.plane.NewWebhookSecret(ctx, q, in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.WebhookSecret }{schema.WebhookSecret{Team: in.Name, Secret: secret, PreviousUntil: until}}, nil
		})
}
