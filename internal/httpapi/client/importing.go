package client

import (
	"context"
	"net/http"
	"net/url"

	"sluice/internal/httpapi/schema"
)

// Import makes drafts of the topics of a cluster. Nothing is changed by it.
func (c *Client) Import(ctx context.Context, cluster string, body schema.Import) (*schema.Imported, error) {
	var out schema.Imported
	return &out, c.do(ctx, http.MethodPost, "/v1/clusters/"+url.PathEscape(cluster)+"/import", nil, "", body, &out)
}
