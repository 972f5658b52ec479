package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

type importInput struct {
	Name string `path:"name" maxLength:"128"`
	Body schema.Import
}

type importOutput struct{ Body schema.Imported }

// importing registers the route that makes drafts of a cluster's topics.
func (a *API) importing() {
	huma.Register(a.huma, huma.Operation{OperationID: "import-cluster", Method: http.MethodPost, Path: "/v1/clusters/{name}/import", Summary: "Make draft documents of the topics of a cluster and its schema registry; nothing is changed", Tags: []string{string(resource.KindCluster)}},
		func(ctx context.Context, in *importInput) (*importOutput, error) {
			want := control.Import{Cluster: in.Name, Team: in.Body.Team, Topics: in.Body.Topics}
			if r := in.Body.SchemaRegistry; r != nil {
				want.Registry = control.SchemaRegistry{URL: r.URL, Username: r.Username, Password: identity.NewSecret(r.Password)}
			}
			found, err := a.plane.Import(ctx, request(ctx), want)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			out := &importOutput{schema.Imported{Documents: []schema.Document{}, Tags: map[string]string{}, Notes: []schema.ImportNote{}, Known: found.Known}}
			for _, d := range found.Documents {
				body, err := bodyOf(d)
				if err != nil {
					return nil, a.failed(ctx, err)
				}
				out.Body.Documents = append(out.Body.Documents, body)
				if tag := found.Tags[d.Key()]; tag != 0 {
					out.Body.Tags[string(d.Key().Kind)+"/"+d.Key().Name] = etag(tag)
				}
			}
			for _, n := range found.Notes {
				out.Body.Notes = append(out.Body.Notes, schema.ImportNote(n))
			}
			return out, nil
		})
}
