package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// defaultOverlap is how long a secret that is replaced stays good when nobody says.
const defaultOverlap = 24 * time.Hour

type rotateInput struct {
	ChangeInput
	Body schema.Rotate
}

type rotationOutput struct {
	ETag string `header:"ETag"`
	Body schema.Rotation
}

// credentials registers the routes of credentials' secrets.
func (a *API) credentials() {
	tags := []string{string(resource.KindCredential)}
	huma.Register(a.huma, huma.Operation{OperationID: "rotate-credentials", Method: http.MethodPost, Path: "/v1/credentials/{name}/rotate", Summary: "Credential: rotate, make a new secret, while the one before stays good for an overlap", Tags: tags, MaxBodyBytes: maxBodyBytes}, a.rotate)
	huma.Register(a.huma, huma.Operation{OperationID: "revoke-previous-credentials", Method: http.MethodPost, Path: "/v1/credentials/{name}/revoke-previous", Summary: "Credential: revoke the secret that is being replaced, and not the newest one", Tags: tags, MaxBodyBytes: maxBodyBytes}, a.revokePrevious)
}

func (a *API) rotate(ctx context.Context, in *rotateInput) (*rotationOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Body.Reason
	overlap := defaultOverlap
	if in.Body.Overlap != "" {
		var err error
		if overlap, err = time.ParseDuration(in.Body.Overlap); err != nil {
			return nil, a.failed(ctx, fault.New(fault.Invalid, "overlap is %q: write a number and a unit, as 24h", in.Body.Overlap))
		}
	}
	key := resource.Key{Kind: resource.KindCredential, Name: in.Name}
	tags, err := tagsOf(in.IfMatch, key)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	r, err := a.plane.Rotate(ctx, q, in.Name, overlap, tags[key])
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	var client *schema.Client
	if !q.DryRun {
		client = a.connecting(ctx, in.Name, r.Secret)
	}
	return &rotationOutput{ETag: etag(r.Record.Tag()), Body: schema.Rotation{
		Name: in.Name, Number: r.N, Secret: r.Secret, Client: client, PreviousUntil: r.Until, Serial: r.Record.Serial, Request: q.ID, DryRun: q.DryRun,
	}}, nil
}

func (a *API) revokePrevious(ctx context.Context, in *moveInput) (*documentOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Body.Reason
	key := resource.Key{Kind: resource.KindCredential, Name: in.Name}
	tags, err := tagsOf(in.IfMatch, key)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	r, err := a.plane.RevokePrevious(ctx, q, in.Name, tags[key])
	return a.moved(ctx, r, err)
}

// withSecrets adds to a credential's body what may be told of its secrets.
func (a *API) withSecrets(ctx context.Context, q control.Request, d *schema.Document, name string) error {
	secrets, err := a.plane.Secrets(ctx, q, name)
	if err != nil {
		return err
	}
	for _, s := range secrets {
		body := schema.Secret{Number: s.N, State: string(s.State)}
		if !s.Created.IsZero() {
			body.Created = &s.Created
		}
		if u := s.Used; u != nil {
			body.Used = &schema.Use{Time: u.Time, Address: u.Address, Software: u.Software, Gateway: u.Gateway}
		}
		if !s.Ends.IsZero() {
			body.Ends = &s.Ends
		}
		d.Status.Secrets = append(d.Status.Secrets, body)
	}
	return nil
}
