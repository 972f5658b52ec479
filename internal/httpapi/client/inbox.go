package client

import (
	"context"
	"net/http"
	"net/url"

	"sluice/internal/httpapi/schema"
)

// Inbox returns what waits for whoever asks.
func (c *Client) Inbox(ctx context.Context) (*schema.Inbox, error) {
	var out schema.Inbox
	return &out, c.do(ctx, http.MethodGet, "/v1/inbox", nil, "", nil, &out)
}

// Messages returns what was said and done about a subscription, the oldest first.
func (c *Client) Messages(ctx context.Context, subscription string) (*schema.Thread, error) {
	var out schema.Thread
	return &out, c.do(ctx, http.MethodGet, "/v1/subscriptions/"+url.PathEscape(subscription)+"/messages", nil, "", nil, &out)
}

// Say writes a message about a subscription, and returns all there are.
func (c *Client) Say(ctx context.Context, subscription string, body schema.Say) (*schema.Thread, error) {
	var out schema.Thread
	return &out, c.do(ctx, http.MethodPost, "/v1/subscriptions/"+url.PathEscape(subscription)+"/messages", nil, "", body, &out)
}
