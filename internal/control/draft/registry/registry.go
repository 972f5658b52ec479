// Package registry reads a schema registry that speaks the REST API which Confluent's
// made common, through the product's one outbound client. Its main type is Registry. It
// knows nothing of topics and of what becomes of the schemas.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/control/contract/schema"
	"sluice/internal/control/draft"
	"sluice/internal/outbound"
)

// MaxSubjects is how many subjects are read at once, and maxReferences how many schemas
// those may refer to together.
const (
	MaxSubjects   = 2000
	maxReferences = 2000
)

// What one subject may refer to: so many schemas and bytes, counted as often as they
// are referred to, and so deep.
const (
	maxSchemas     = 500
	maxSchemaBytes = 4 << 20
	maxDepth       = 16
)

// Registry is one schema registry. It is safe for concurrent use.
type Registry struct {
	client         *outbound.Client
	url            string
	user, password string
}

// New returns the registry at a URL; user and password are for basic authentication,
// none when user is empty.
func New(client *outbound.Client, url, user, password string) *Registry {
	return &Registry{client: client, url: strings.TrimRight(url, "/"), user: user, password: password}
}

// Subjects reads the newest version of each subject that is wanted, in the order of
// their names. One that cannot be read says so in its Problem; the error is for when
// there is no telling which there are.
func (r *Registry) Subjects(ctx context.Context, wanted func(subject string) bool) ([]draft.Subject, error) {
	var names []string
	if err := r.get(ctx, "/subjects", &names); err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !wanted(name) })
	slices.Sort(names)
	if len(names) > MaxSubjects {
		return nil, fmt.Errorf("it has %d subjects that are wanted, and at most %d are read at once: name fewer topics", len(names), MaxSubjects)
	}
	read := reading{registry: r, known: map[string]answer{}}
	out := make([]draft.Subject, 0, len(names))
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := draft.Subject{Name: name}
		a, err := read.version(ctx, name, "latest")
		if err == nil {
			s.Version = a.Version
			read.schemas, read.bytes = 0, 0
			s.Registered, err = read.registered(ctx, a, nil)
		}
		if err != nil {
			s.Problem = err.Error()
		}
		out = append(out, s)
	}
	return out, nil
}

// answer is what the registry says of a version of a subject.
type answer struct {
	Version    int
	SchemaType string
	Schema     string
	References []struct {
		Name, Subject string
		Version       int
	}
}

// reading is one run of Subjects.
type reading struct {
	registry *Registry
	known    map[string]answer // by subject and version
	schemas  int               // that the subject has come to, each as often as it is referred to
	bytes    int               // of them
}

func (r *reading) version(ctx context.Context, subject, version string) (answer, error) {
	key := subject + "\n" + version
	if a, ok := r.known[key]; ok {
		return a, nil
	}
	if len(r.known) > MaxSubjects+maxReferences {
		return answer{}, fmt.Errorf("subjects refer to more than %d others", maxReferences)
	}
	var a answer
	if err := r.registry.get(ctx, "/subjects/"+url.PathEscape(subject)+"/versions/"+url.PathEscape(version), &a); err != nil {
		return answer{}, err
	}
	r.known[key] = a
	return a, nil
}

// registered makes a schema of an answer, with what it refers to.
func (r *reading) registered(ctx context.Context, a answer, above []string) (schema.Registered, error) {
	out := schema.Registered{Text: a.Schema}
	if r.schemas, r.bytes = r.schemas+1, r.bytes+len(a.Schema); r.schemas > maxSchemas || r.bytes > maxSchemaBytes {
		return out, fmt.Errorf("refers to more than %d schemas, or to more than %d bytes of them", maxSchemas, maxSchemaBytes)
	}
	switch strings.ToUpper(a.SchemaType) {
	case "", "AVRO":
		out.Kind = schema.Avro
	case "JSON":
		out.Kind = schema.JSON
	case "PROTOBUF":
		out.Kind = schema.Protobuf
	default:
		return out, fmt.Errorf("its language is %q, which is none of AVRO, JSON and PROTOBUF", a.SchemaType)
	}
	for _, ref := range a.References {
		key := ref.Subject + "/" + strconv.Itoa(ref.Version)
		if slices.Contains(above, key) {
			return out, fmt.Errorf("refers to itself by %s", key)
		}
		if len(above) == maxDepth {
			return out, fmt.Errorf("refers to others more than %d deep", maxDepth)
		}
		inner, err := r.version(ctx, ref.Subject, strconv.Itoa(ref.Version))
		if err != nil {
			return out, fmt.Errorf("refers to %s: %w", key, err)
		}
		i, err := r.registered(ctx, inner, append(slices.Clone(above), key))
		if err != nil {
			return out, fmt.Errorf("refers to %s: %w", key, err)
		}
		out.References = append(out.References, schema.Import{Name: ref.Name, Registered: i})
	}
	return out, nil
}

// get reads a JSON answer. Errors say nothing of what else the server wrote: it may be
// any server.
func (r *Registry) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		return errors.New("its URL is none")
	}
	req.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if r.user != "" {
		req.SetBasicAuth(r.user, r.password)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &outbound.StatusError{Code: resp.StatusCode}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("what answers does not speak a schema registry's API")
	}
	return nil
}
