package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// Gateways is what is known of gateways that run apart.
type Gateways interface {
	// Standing is how a gateway stands, nil when it has not been here.
	Standing(name string) *schema.Standing
	// Token makes of an invitation's secret what a gateway joins with, and says where.
	Token(secret string) (token, control string)
}

type inviteInput struct {
	Name   string `path:"name" maxLength:"128"`
	DryRun bool   `query:"dryRun" doc:"Say whether it could be, and change nothing."`
	Reason string `query:"reason" doc:"For the audit log."`
}

// joining registers the route of gateways that no other kind has.
func (a *API) joining() {
	huma.Register(a.huma, huma.Operation{OperationID: "invite-gateway", Method: http.MethodPost, Path: "/v1/gateways/{name}/invite", Summary: "Make a token with which a gateway joins, once; it is shown this once", Tags: []string{string(resource.KindGateway)}, DefaultStatus: http.StatusCreated},
		func(ctx context.Context, in *inviteInput) (*struct{ Body schema.Joining }, error) {
			q := request(ctx)
			q.DryRun, q.Reason = in.DryRun, in.Reason
			if a.gateways == nil {
				q.DryRun = true // who may not is told that first
			}
			secret, until, err := a.plane.InviteGateway(ctx, q, in.Name)
			if err == nil && a.gateways == nil {
				err = fault.New(fault.Conflict, "this control plane runs with its gateway in one process, and others cannot join: start it with sluice control")
			}
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := &struct{ Body schema.Joining }{schema.Joining{Gateway: in.Name}}
			if !q.DryRun {
				out.Body.Expires = until
				out.Body.Token, out.Body.Control = a.gateways.Token(secret.Reveal())
			}
			return out, nil
		})
}

// standing adds to a document of a gateway what is known of it besides.
func (a *API) standing(d *schema.Document, r *control.Record) {
	if r.Key().Kind != resource.KindGateway {
		return
	}
	s := &schema.Standing{}
	if a.gateways != nil {
		if known := a.gateways.Standing(r.Key().Name); known != nil {
			s = known
		}
	}
	if !r.Status.Joined.Time.IsZero() {
		s.Joined = &r.Status.Joined.Time
	}
	d.Status.Gateway = s
}
