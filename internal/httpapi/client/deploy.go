package client

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"

	"sluice/internal/httpapi/schema"
)

func versionPath(name, below string) string { return "/v1/versions/" + url.PathEscape(name) + below }

// Revisions returns the revisions of a version, the oldest first.
func (c *Client) Revisions(ctx context.Context, version string) (*schema.Revisions, error) {
	var out schema.Revisions
	return &out, c.do(ctx, http.MethodGet, versionPath(version, "/revisions"), nil, "", nil, &out)
}

// Revision returns one revision with what it says.
func (c *Client) Revision(ctx context.Context, version string, n int) (*schema.Revision, error) {
	var out schema.Revision
	return &out, c.do(ctx, http.MethodGet, versionPath(version, "/revisions/"+strconv.Itoa(n)), nil, "", nil, &out)
}

// Contract returns the AsyncAPI document of a version; format is yaml or json. The
// revision 0 is the newest, or the one that the environment has.
func (c *Client) Contract(ctx context.Context, version string, revision int, environment, format string) ([]byte, error) {
	q := url.Values{"format": {format}}
	if revision != 0 {
		q.Set("revision", strconv.Itoa(revision))
	}
	if environment != "" {
		q.Set("environment", environment)
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	var out bytes.Buffer
	err := c.stream(ctx, versionPath(version, "/contract"), q, &out)
	return out.Bytes(), err
}

// Compare compares two revisions of a version, 0 being the newest, as an environment
// has them, or as a whole.
func (c *Client) Compare(ctx context.Context, version string, from, to int, environment string) (*schema.Comparison, error) {
	q := url.Values{"from": {strconv.Itoa(from)}, "to": {strconv.Itoa(to)}}
	if environment != "" {
		q.Set("environment", environment)
	}
	var out schema.Comparison
	return &out, c.do(ctx, http.MethodGet, versionPath(version, "/comparison"), q, "", nil, &out)
}

// Deployments says which environment has which revision of a version.
func (c *Client) Deployments(ctx context.Context, version string) (*schema.Deployments, error) {
	var out schema.Deployments
	return &out, c.do(ctx, http.MethodGet, versionPath(version, "/deployments"), nil, "", nil, &out)
}

// Promote brings a revision to the next environment.
func (c *Client) Promote(ctx context.Context, version string, body schema.Promote, dryRun bool) (*schema.DeployReport, error) {
	var out schema.DeployReport
	return &out, c.do(ctx, http.MethodPost, versionPath(version, "/promote"), Options{DryRun: dryRun}.query(), "", body, &out)
}

// Rollback brings an earlier revision back to an environment.
func (c *Client) Rollback(ctx context.Context, version string, body schema.Rollback, dryRun bool) (*schema.DeployReport, error) {
	var out schema.DeployReport
	return &out, c.do(ctx, http.MethodPost, versionPath(version, "/rollback"), Options{DryRun: dryRun}.query(), "", body, &out)
}
