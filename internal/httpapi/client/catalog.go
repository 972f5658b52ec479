package client

import (
	"context"
	"net/http"
	"net/url"

	"sluice/internal/httpapi/schema"
)

// Pages returns the documentation of an API as its provider wrote it.
func (c *Client) Pages(ctx context.Context, api string) (*schema.Pages, error) {
	var out schema.Pages
	return &out, c.do(ctx, http.MethodGet, "/v1/apis/"+url.PathEscape(api)+"/docs", nil, "", nil, &out)
}

// Catalog returns a part of the list of what there is.
func (c *Client) Catalog(ctx context.Context, query url.Values) (*schema.Catalog, error) {
	var out schema.Catalog
	return &out, c.do(ctx, http.MethodGet, "/v1/catalog", query, "", nil, &out)
}

// CatalogAPI returns the page of an API.
func (c *Client) CatalogAPI(ctx context.Context, api string, query url.Values) (*schema.APIPage, error) {
	var out schema.APIPage
	return &out, c.do(ctx, http.MethodGet, "/v1/catalog/"+url.PathEscape(api), query, "", nil, &out)
}

// Search returns what was found.
func (c *Client) Search(ctx context.Context, words string) (*schema.SearchResults, error) {
	var out schema.SearchResults
	return &out, c.do(ctx, http.MethodGet, "/v1/search", url.Values{"q": {words}}, "", nil, &out)
}
