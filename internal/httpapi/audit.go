package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/audit"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

type auditInput struct {
	Actor        string    `query:"actor" maxLength:"300" doc:"By this actor, as person ada, token ci-shop or system."`
	Action       string    `query:"action" maxLength:"100" doc:"Of this action, as apply, approve or login."`
	Object       string    `query:"object" maxLength:"300" doc:"Done to this, as Subscription/acme-orders or Person/ada; a kind alone is all of the kind."`
	Organisation string    `query:"organisation" maxLength:"128" doc:"Of what belongs to this organisation."`
	Team         string    `query:"team" maxLength:"128" doc:"Of what belongs to this team."`
	From         time.Time `query:"from" doc:"Not before this moment."`
	To           time.Time `query:"to" doc:"Before this moment."`
	Before       int64     `query:"before" minimum:"1" doc:"What next said of the page before."`
	Limit        int       `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

// auditing registers the routes of the audit log.
func (a *API) auditing() {
	tags := []string{"Audit"}
	huma.Register(a.huma, huma.Operation{OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Summary: "Search the audit log, the newest rows first", Tags: tags},
		func(ctx context.Context, in *auditInput) (*struct{ Body schema.AuditPage }, error) {
			query := audit.Query{Actor: in.Actor, Action: in.Action, Organisation: in.Organisation, Team: in.Team, From: in.From.UTC(), To: in.To.UTC(), Before: in.Before, Limit: in.Limit}
			query.Kind, query.Name, _ = strings.Cut(in.Object, "/")
			rows, next, err := a.plane.Audit(ctx, request(ctx), query)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := &struct{ Body schema.AuditPage }{schema.AuditPage{Items: []schema.AuditRow{}, Next: next}}
			for _, r := range rows {
				out.Body.Items = append(out.Body.Items, schema.AuditRow{
					Seq: r.Seq, Time: r.Time, Actor: r.Actor, Action: r.Action, Kind: r.Kind, Name: r.Name, Organisation: r.Organisation, Team: r.Team,
					Result: r.Result, Reason: r.Reason, Request: r.Request, Address: r.Address, Details: r.Details, Hash: r.Hash,
				})
			}
			return out, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "get-audit-key", Method: http.MethodGet, Path: "/v1/audit/key", Summary: "Get the public key that heads of the audit log are signed with here", Tags: tags},
		func(ctx context.Context, _ *struct{}) (*struct{ Body schema.AuditKey }, error) {
			log, key, err := a.plane.AuditKey(request(ctx))
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.AuditKey }{schema.AuditKey{Log: log, Key: audit.KeyID(key), PEM: string(audit.PublicPEM(key))}}, nil
		})
	a.stream(streamed{
		operation: huma.Operation{OperationID: "export-audit", Method: http.MethodGet, Path: "/v1/audit/export", Summary: "Export the audit log as CloudEvents, one a line, with signed heads", Tags: tags,
			Parameters: []*huma.Param{{Name: "from", In: "query", Description: "The number of the first row; 1 by default.", Schema: &huma.Schema{Type: huma.TypeInteger}}}},
		contentType: "application/jsonl",
		write: func(r *http.Request, out *streamWriter) error {
			from := int64(1)
			if given := r.URL.Query().Get("from"); given != "" {
				var err error
				if from, err = strconv.ParseInt(given, 10, 64); err != nil || from < 1 {
					return fault.New(fault.Invalid, "from is %q: write the number of a row", given)
				}
			}
			return a.plane.ExportAudit(r.Context(), request(r.Context()), from, out)
		},
	})
	a.stream(streamed{
		operation:   huma.Operation{OperationID: "back-up", Method: http.MethodGet, Path: "/v1/backup", Summary: "Get a backup of everything, which is as secret as the store", Tags: []string{"Platform"}},
		contentType: "application/jsonl",
		write: func(r *http.Request, out *streamWriter) error {
			return a.plane.Backup(r.Context(), request(r.Context()), out)
		},
	})
}
