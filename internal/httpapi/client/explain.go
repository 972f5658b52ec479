package client

import (
	"context"
	"net/http"
	"net/url"

	"sluice/internal/httpapi/schema"
)

// Effective says what an application or a credential may do, and why; plural is
// applications or credentials, and the environment for applications only.
func (c *Client) Effective(ctx context.Context, plural, name, environment string) (*schema.Effective, error) {
	q := url.Values{}
	if environment != "" {
		q.Set("environment", environment)
	}
	var out schema.Effective
	return &out, c.do(ctx, http.MethodGet, "/v1/"+plural+"/"+url.PathEscape(name)+"/effective", q, "", nil, &out)
}

// Rejection says why a gateway refused a client something.
func (c *Client) Rejection(ctx context.Context, id string) (*schema.Rejection, error) {
	var out schema.Rejection
	return &out, c.do(ctx, http.MethodGet, "/v1/rejections/"+url.PathEscape(id), nil, "", nil, &out)
}

// Rejections returns a page of what gateways refused an application lately, the newest
// first; query has environment, before, after and limit.
func (c *Client) Rejections(ctx context.Context, application string, query url.Values) (*schema.Rejections, error) {
	var out schema.Rejections
	return &out, c.do(ctx, http.MethodGet, "/v1/applications/"+url.PathEscape(application)+"/rejections", query, "", nil, &out)
}

// WhoIs says whose a name on a target cluster is.
func (c *Client) WhoIs(ctx context.Context, name string) (*schema.WhoIs, error) {
	var out schema.WhoIs
	return &out, c.do(ctx, http.MethodGet, "/v1/whois", url.Values{"name": {name}}, "", nil, &out)
}
