package client

import (
	"context"
	"net/http"
	"net/url"

	"sluice/internal/httpapi/schema"
)

// Notifications calls f for those that have not arrived and that the query asks for, the
// oldest first, until there are no more or f returns false.
func (c *Client) Notifications(ctx context.Context, query url.Values, f func(schema.Notification) bool) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page schema.Notifications
		if err := c.do(ctx, http.MethodGet, "/v1/notifications", q, "", nil, &page); err != nil {
			return err
		}
		for _, n := range page.Items {
			if !f(n) {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Set("after", page.Next)
	}
}

// TestNotifications sends a notification to where a team is told, and says how that went.
func (c *Client) TestNotifications(ctx context.Context, team string, o Options) (*schema.NotificationTest, error) {
	var out schema.NotificationTest
	return &out, c.do(ctx, http.MethodPost, "/v1/teams/"+url.PathEscape(team)+"/test-notifications", o.query(), "", nil, &out)
}

// NewWebhookSecret makes what notifications to a team's webhook are signed with.
func (c *Client) NewWebhookSecret(ctx context.Context, team string, o Options) (*schema.WebhookSecret, error) {
	var out schema.WebhookSecret
	return &out, c.do(ctx, http.MethodPost, "/v1/teams/"+url.PathEscape(team)+"/webhook-secret", o.query(), "", nil, &out)
}
