package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"sluice/internal/httpapi/schema"
)

// Audit calls f for rows of the audit log that the query asks for, the newest first,
// until there are no more or f returns false.
func (c *Client) Audit(ctx context.Context, query url.Values, f func(schema.AuditRow) bool) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page schema.AuditPage
		if err := c.do(ctx, http.MethodGet, "/v1/audit", q, "", nil, &page); err != nil {
			return err
		}
		for _, row := range page.Items {
			if !f(row) {
				return nil
			}
		}
		if page.Next == 0 {
			return nil
		}
		q.Set("before", strconv.FormatInt(page.Next, 10))
	}
}

// AuditKey returns what heads of the audit log are verified with.
func (c *Client) AuditKey(ctx context.Context) (*schema.AuditKey, error) {
	var out schema.AuditKey
	return &out, c.do(ctx, http.MethodGet, "/v1/audit/key", nil, "", nil, &out)
}

// ExportAudit writes the audit log from a row on, as CloudEvents. What was written is
// whole only when the error is nil.
func (c *Client) ExportAudit(ctx context.Context, from int64, out io.Writer) error {
	return c.stream(ctx, "/v1/audit/export", url.Values{"from": {strconv.FormatInt(from, 10)}}, out)
}

// Backup writes everything that the control plane has. What was written is whole only
// when the error is nil.
func (c *Client) Backup(ctx context.Context, out io.Writer) error {
	return c.stream(ctx, "/v1/backup", nil, out)
}
