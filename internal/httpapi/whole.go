package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control"
	"sluice/internal/control/lifecycle"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

type applyInput struct {
	DryRun bool `query:"dryRun" doc:"Say what would happen, and change nothing."`
	Body   schema.Apply
}

type moveInput struct {
	ChangeInput
	Body schema.Move
}

type meOutput struct{ Body schema.Me }

// whole registers the routes that are of no kind.
func (a *API) whole() {
	huma.Register(a.huma, huma.Operation{OperationID: "apply", Method: http.MethodPost, Path: "/v1/apply", Summary: "Bring documents about, all of them or none", Tags: []string{"Documents"}, MaxBodyBytes: maxApplyBytes},
		a.apply)
	huma.Register(a.huma, huma.Operation{OperationID: "whoami", Method: http.MethodGet, Path: "/v1/me", Summary: "Say who asks, and with which roles", Tags: []string{"People"}},
		func(ctx context.Context, _ *struct{}) (*meOutput, error) {
			actor := request(ctx).Actor
			out := &meOutput{Body: schema.Me{Actor: actor.String(), PlatformAdmin: actor.PlatformAdmin()}}
			for _, m := range actor.Memberships() {
				out.Body.Roles = append(out.Body.Roles, schema.MyRole{Role: string(m.Role), Organisation: m.Organisation, Team: m.Team})
			}
			return out, nil
		})
	a.mux.HandleFunc("GET /v1/changes", a.watch)
	a.huma.OpenAPI().AddOperation(&huma.Operation{OperationID: "watch", Method: http.MethodGet, Path: "/v1/changes", Summary: "Follow changes of documents, as server-sent events", Tags: []string{"Documents"},
		Parameters: []*huma.Param{{Name: "after", In: "query", Description: "The number behind which it begins; that of now by default. Last-Event-ID does the same.", Schema: &huma.Schema{Type: huma.TypeInteger}}},
		Responses:  map[string]*huma.Response{"200": {Description: "Events of type change; one of type reset says that everything has to be read anew.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}})
}

// moves registers a route for each action of each life cycle.
func (a *API) moves() {
	for _, kind := range resource.Kinds {
		seen := map[lifecycle.Action]bool{lifecycle.Create: true, lifecycle.Request: true, lifecycle.Rotate: true, lifecycle.RevokePrevious: true, lifecycle.Expire: true} // a document does, or a route of its own, or the clock
		for _, move := range lifecycle.Moves(kind) {
			action := move.Action
			if seen[action] {
				continue
			}
			seen[action] = true
			huma.Register(a.huma, huma.Operation{OperationID: fmt.Sprintf("%s-%s", action, kind.Plural()), Method: http.MethodPost, Path: "/v1/" + kind.Plural() + "/{name}/" + string(action),
				Summary: fmt.Sprintf("%s: %s", kind, action), Tags: []string{string(kind)}, MaxBodyBytes: maxBodyBytes},
				func(ctx context.Context, in *moveInput) (*documentOutput, error) {
					return a.move(ctx, kind, action, in)
				})
		}
	}
}

func (a *API) apply(ctx context.Context, in *applyInput) (*reportOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Body.Reason
	want := control.Wanted{Secrets: in.Body.Secrets, Owner: in.Body.Owner, Prune: in.Body.Prune, Waive: in.Body.Waive, AsIs: in.Body.AsIs}
	for name, text := range in.Body.Tags {
		kind, of, ok := strings.Cut(name, "/")
		tag := int64(0)
		if ok && text != "" {
			tag, ok = tagOf(text)
		}
		if !ok {
			return nil, a.failed(ctx, fault.New(fault.Invalid, "tags: %q: %q: write a kind and a name, as API/orders, and an ETag, quotes included", clip(name), clip(text)))
		}
		if want.Tags == nil {
			want.Tags = map[resource.Key]int64{}
		}
		want.Tags[resource.Key{Kind: resource.Kind(kind), Name: of}] = tag
	}
	wrong := &control.ProblemsError{}
	for i, body := range in.Body.Documents {
		set, err := read(body)
		if problems, ok := err.(*control.ProblemsError); ok {
			wrong.Problems = append(wrong.Problems, problems.Problems...)
			continue
		} else if err != nil {
			return nil, a.failed(ctx, fault.Wrap(fault.KindOf(err), nil, "documents[%d]: %s", i, fault.MessageOf(err)))
		}
		documents := slices.Collect(set.All())
		if len(documents) != 1 {
			return nil, a.failed(ctx, fault.New(fault.Invalid, "documents[%d] is not one document", i))
		}
		want.Documents = append(want.Documents, documents...)
	}
	if len(wrong.Problems) > 0 {
		return nil, a.failed(ctx, wrong)
	}
	report, err := a.plane.Apply(ctx, q, want)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &reportOutput{a.reported(ctx, q, report)}, nil
}

func (a *API) move(ctx context.Context, kind resource.Kind, action lifecycle.Action, in *moveInput) (*documentOutput, error) {
	q := request(ctx)
	q.DryRun, q.Reason = in.DryRun, in.Body.Reason
	m := control.Move{Key: resource.Key{Kind: kind, Name: in.Name}, Action: action, Successor: in.Body.Successor, Environment: in.Body.Environment, Revision: in.Body.Revision, Plan: in.Body.Plan}
	var err error
	if m.Brownouts, err = windows(in.Body.Brownouts); err != nil {
		return nil, a.failed(ctx, err)
	}
	if in.Body.Sunset != nil {
		m.Sunset = in.Body.Sunset.UTC()
	}
	if in.Body.Until != nil {
		m.Until = in.Body.Until.UTC()
	}
	if in.Body.Grace != "" {
		grace, err := time.ParseDuration(in.Body.Grace)
		if err != nil {
			return nil, a.failed(ctx, fault.New(fault.Invalid, "grace is %q: write a number and a unit, as 72h", in.Body.Grace))
		}
		m.Grace = grace
	}
	tags, err := tagsOf(in.IfMatch, m.Key)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	m.Tag = tags[m.Key]
	r, err := a.plane.Act(ctx, q, m)
	return a.moved(ctx, r, err)
}

// moved answers what became of a document that was moved.
func (a *API) moved(ctx context.Context, r *control.Record, err error) (*documentOutput, error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	d, err := document(r)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &documentOutput{ETag: etag(r.Tag()), Body: d}, nil
}

// How a watch works.
const (
	watchPage  = 500
	watchQuiet = 15 * time.Second // after which a comment keeps the connection open
	watchWrite = 10 * time.Second
)

// watch sends changes as they come (server-sent events, HTML Living Standard §9.2).
func (a *API) watch(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	q := request(ctx)
	after := a.plane.Model().Seq()
	given := r.Header.Get("Last-Event-ID")
	if given == "" {
		given = r.URL.Query().Get("after")
	}
	if given != "" {
		n, err := strconv.ParseInt(given, 10, 64)
		if err != nil || n < 0 {
			refuse(w, problem(fault.New(fault.Invalid, "after is %q: write the number of a change", given), q.ID))
			return
		}
		after = n
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	send := func(text string) bool {
		control.SetWriteDeadline(time.Now().Add(watchWrite))
		if _, err := w.Write([]byte(text)); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !send(": changes after " + strconv.FormatInt(after, 10) + "\n\n") {
		return
	}
	for ctx.Err() == nil {
		actor, err := a.authenticate(r)
		if err != nil {
			return // the login or token has ended since, or cannot be looked up
		}
		q.Actor = actor // with the roles of now
		changes, upTo, known, err := a.plane.Changes(ctx, q, after, watchPage)
		if err != nil {
			a.told(q.ID, err)
			return // the client comes back with the last number it has
		}
		if !known {
			after = a.plane.Model().Seq()
			if !send("event: reset\nid: " + strconv.FormatInt(after, 10) + "\ndata: {}\n\n") {
				return
			}
			continue
		}
		for _, c := range changes {
			body, err := json.Marshal(schema.Change{Seq: c.Seq, Kind: string(c.Key.Kind), Name: c.Key.Name, Serial: c.Serial, Time: c.Time})
			if err != nil || !send("event: change\nid: "+strconv.FormatInt(c.Seq, 10)+"\ndata: "+string(body)+"\n\n") {
				return
			}
		}
		if after = upTo; len(changes) == 0 && !send(": quiet\n\n") {
			return
		}
		a.plane.Wait(ctx, after, watchQuiet)
	}
}
