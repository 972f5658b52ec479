package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

type listInput struct {
	Environment  string `query:"environment" doc:"Of this environment."`
	Team         string `query:"team" doc:"Owned by this team."`
	Organisation string `query:"organisation" doc:"Owned by this organisation."`
	Owner        string `query:"owner" doc:"Applied by this owner."`
	To           string `query:"to" doc:"That refer to this document, as Application/acme-erp."`
	After        string `query:"after" doc:"What next said of the page before."`
	Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

type pageOutput struct{ Body schema.Page }

type nameInput struct {
	Name string `path:"name" maxLength:"128"`
}

type documentOutput struct {
	ETag string `header:"ETag"`
	Body schema.Document
}

// ChangeInput is what every change of one document may be asked for with. Its name is
// exported since huma fills no others.
type ChangeInput struct {
	Name    string `path:"name" maxLength:"128"`
	IfMatch string `header:"If-Match" doc:"The ETag that the document must have."`
	DryRun  bool   `query:"dryRun" doc:"Say what would happen, and change nothing."`
}

type putInput struct {
	ChangeInput
	IfNoneMatch string `header:"If-None-Match" doc:"* if it must not be there."`
	Reason      string `query:"reason" doc:"For the audit log, and for moves that want one."`
	Waive       string `query:"waive" doc:"The reason for deploying what breaks somebody, which is refused without."`
	RawBody     []byte
}

type outcomeOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   schema.Report
}

type deleteInput struct {
	ChangeInput
	Reason string `query:"reason" doc:"For the audit log."`
}

type reportOutput struct{ Body schema.Report }

// documents registers the routes that all kinds have.
func (a *API) documents() {
	for _, kind := range resource.Kinds {
		path, name := "/v1/"+kind.Plural(), strings.ToLower(string(kind))
		huma.Register(a.huma, huma.Operation{OperationID: "list-" + name, Method: http.MethodGet, Path: path, Summary: "List documents of kind " + string(kind), Tags: []string{string(kind)}},
			func(ctx context.Context, in *listInput) (*pageOutput, error) { return a.list(ctx, kind, in) })
		huma.Register(a.huma, huma.Operation{OperationID: "get-" + name, Method: http.MethodGet, Path: path + "/{name}", Summary: "Get a document of kind " + string(kind), Tags: []string{string(kind)}},
			func(ctx context.Context, in *nameInput) (*documentOutput, error) { return a.get(ctx, kind, in.Name) })
		huma.Register(a.huma, huma.Operation{OperationID: "put-" + name, Method: http.MethodPut, Path: path + "/{name}", Summary: "Create or change a document of kind " + string(kind), Tags: []string{string(kind)},
			MaxBodyBytes: maxBodyBytes, RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: a.documentSchema(kind)}}}, SkipValidateBody: true},
			func(ctx context.Context, in *putInput) (*outcomeOutput, error) { return a.putDocument(ctx, kind, in) })
		huma.Register(a.huma, huma.Operation{OperationID: "delete-" + name, Method: http.MethodDelete, Path: path + "/{name}", Summary: "Remove a document of kind " + string(kind), Tags: []string{string(kind)}},
			func(ctx context.Context, in *deleteInput) (*reportOutput, error) { return a.delete(ctx, kind, in) })
	}
}

// documentSchema describes the documents of one kind.
func (a *API) documentSchema(kind resource.Kind) *huma.Schema {
	registry := a.huma.OpenAPI().Components.Schemas
	field, _ := reflect.TypeOf(resource.New(kind)).Elem().FieldByName("Spec") // every document has one
	spec := registry.Schema(field.Type, true, string(kind)+"Spec")
	metadata := registry.Schema(reflect.TypeFor[resource.Metadata](), true, "Metadata")
	s := &huma.Schema{Type: huma.TypeObject, Required: []string{"apiVersion", "kind", "metadata", "spec"}, AdditionalProperties: false, Properties: map[string]*huma.Schema{
		"apiVersion": {Type: huma.TypeString, Enum: []any{resource.APIVersion}}, "kind": {Type: huma.TypeString, Enum: []any{string(kind)}}, "metadata": metadata, "spec": spec,
	}}
	registry.Map()[string(kind)] = s
	return &huma.Schema{Ref: "#/components/schemas/" + string(kind)}
}

func (a *API) list(ctx context.Context, kind resource.Kind, in *listInput) (*pageOutput, error) {
	q := request(ctx)
	query := control.Query{Kind: kind, Environment: in.Environment, Team: in.Team, Organisation: in.Organisation, Owner: in.Owner, After: in.After, Limit: in.Limit}
	if in.To != "" {
		of, name, ok := strings.Cut(in.To, "/")
		if !ok || !slices.Contains(resource.Kinds, resource.Kind(of)) {
			return nil, a.failed(ctx, fault.New(fault.Invalid, "to is %q: write a kind and a name, as Application/acme-erp", in.To))
		}
		query.To = resource.Key{Kind: resource.Kind(of), Name: name}
	}
	records, next, err := a.plane.List(ctx, q, query)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &pageOutput{Body: schema.Page{Items: []schema.Document{}, Next: next}}
	for _, r := range records {
		d, err := document(r)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		a.standing(&d, r)
		out.Body.Items = append(out.Body.Items, d)
	}
	return out, nil
}

func (a *API) get(ctx context.Context, kind resource.Kind, name string) (*documentOutput, error) {
	q := request(ctx)
	r, err := a.plane.Get(q, resource.Key{Kind: kind, Name: name})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	d, err := document(r)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	a.standing(&d, r)
	for _, choice := range a.plane.Actions(q, r) {
		d.Status.Actions = append(d.Status.Actions, string(choice.Action))
	}
	if kind == resource.KindCredential {
		if err := a.withSecrets(ctx, q, &d, name); err != nil {
			return nil, a.failed(ctx, err)
		}
	}
	return &documentOutput{ETag: etag(r.Tag()), Body: d}, nil
}

func (a *API) putDocument(ctx context.Context, kind resource.Kind, in *putInput) (*outcomeOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Reason
	set, err := read(in.RawBody)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	documents := slices.Collect(set.All())
	key := resource.Key{Kind: kind, Name: in.Name}
	if len(documents) != 1 || documents[0].Key() != key {
		return nil, a.failed(ctx, fault.New(fault.Invalid, "the body has to be the %s that the path names: kind: %s, metadata: {name: %s}", key, kind, in.Name))
	}
	tags, err := tagsOf(in.IfMatch, key)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	if in.IfNoneMatch == "*" {
		tags = map[resource.Key]int64{key: 0}
	}
	report, err := a.plane.Apply(ctx, q, control.Wanted{Documents: documents, Tags: tags, Waive: in.Waive})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &outcomeOutput{Status: http.StatusOK, Body: a.reported(ctx, q, report)}
	if o := report.Outcomes[0]; !in.DryRun {
		out.ETag = etag(o.Tag)
		if o.Result == control.Created {
			out.Status = http.StatusCreated
		}
	}
	return out, nil
}

func (a *API) delete(ctx context.Context, kind resource.Kind, in *deleteInput) (*reportOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Reason
	key := resource.Key{Kind: kind, Name: in.Name}
	tags, err := tagsOf(in.IfMatch, key)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	report, err := a.plane.Delete(ctx, q, []resource.Key{key}, tags)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &reportOutput{a.reported(ctx, q, report)}, nil
}

// etag is a tag as HTTP has it, "" for none.
func etag(tag int64) string {
	if tag == 0 {
		return ""
	}
	return strconv.Quote(strconv.FormatInt(tag, 36))
}

// tagsOf reads If-Match; nil when there is none.
func tagsOf(text string, key resource.Key) (map[resource.Key]int64, error) {
	if text == "" {
		return nil, nil
	}
	tag, ok := tagOf(text)
	if !ok {
		return nil, fault.New(fault.Invalid, "If-Match is %q: write the ETag of the document, quotes included", text)
	}
	return map[resource.Key]int64{key: tag}, nil
}

// tagOf is the tag of an ETag.
func tagOf(text string) (int64, bool) {
	inside, err := strconv.Unquote(strings.TrimPrefix(text, "W/"))
	tag, perr := strconv.ParseInt(inside, 36, 64)
	return tag, err == nil && perr == nil && tag > 0
}

// bodyOf makes a body of a document, without what the server knows besides.
func bodyOf(document resource.Any) (d schema.Document, err error) {
	b, err := resource.Marshal(document)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("bug: %s: %w", document.Key(), err)
	}
	return d, nil
}

// document makes a body of a record.
func document(r *control.Record) (schema.Document, error) {
	d, err := bodyOf(r.Document)
	if err != nil {
		return d, err
	}
	d.Status = &schema.Status{Serial: r.Serial, ETag: etag(r.Tag()), Organisation: r.Organisation, Team: r.Team, Owner: r.Owner, Created: r.Created, Changed: r.Changed, By: r.Status.By}
	if !r.Status.Since.IsZero() {
		d.Status.Since = &r.Status.Since
	}
	for _, s := range r.Status.Trail {
		d.Status.Trail = append(d.Status.Trail, schema.Step{Time: s.Time, By: s.By, Action: s.Action, From: s.From, To: s.To, Message: s.Message})
	}
	return d, nil
}

// decides is the team that decides about a subscription.
func (a *API) decides(name string) string {
	m := a.plane.Model()
	subscription := m.Get(resource.Key{Kind: resource.KindSubscription, Name: name})
	if subscription == nil {
		return ""
	}
	product := m.Get(resource.Key{Kind: resource.KindProduct, Name: subscription.Document.(*resource.Subscription).Spec.Product})
	if product == nil {
		return ""
	}
	return product.Team
}

// reported makes a body of a report.
func (a *API) reported(ctx context.Context, q control.Request, r *control.Report) schema.Report {
	out := schema.Report{Outcomes: []schema.Outcome{}, Request: q.ID, DryRun: q.DryRun}
	for _, o := range r.Outcomes {
		body := schema.Outcome{ETag: etag(o.Tag), Was: etag(o.Before), Kind: string(o.Key.Kind), Name: o.Key.Name, Result: o.Result, Serial: o.Serial, State: string(o.State), Revision: o.Revision, Secret: o.Secret}
		if o.Key.Kind == resource.KindCredential && o.Result == control.Created && o.State != lifecycle.Revoked && o.State != lifecycle.Expired && !q.DryRun {
			body.Client = a.connecting(ctx, o.Key.Name, o.Secret)
		}
		if o.Key.Kind == resource.KindSubscription && o.State == lifecycle.Pending && !q.DryRun {
			body.WaitsFor = a.decides(o.Key.Name)
		}
		for _, d := range o.Deployed {
			body.Deployed = append(body.Deployed, deployedBody(d))
		}
		for _, d := range o.Differences {
			body.Differences = append(body.Differences, schema.Difference{Path: d.Path, Before: d.Before, After: d.After})
		}
		out.Outcomes = append(out.Outcomes, body)
	}
	for _, w := range r.Warnings {
		out.Warnings = append(out.Warnings, faultOf(w))
	}
	return out
}
