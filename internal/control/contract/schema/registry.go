package schema

import (
	"net/url"
	"strconv"
	"strings"
)

// Scheme begins a reference to whatever registry is configured, as
// schema-registry:///subjects/orders-value/versions/3 or
// schema-registry:///schemas/ids/42. URLs of a registry's own, with the same paths,
// are understood too.
const Scheme = "schema-registry:"

// Reference names a schema in a registry: by id, or by subject and version.
type Reference struct {
	// ID is not 0 when the schema is named by it.
	ID      int
	Subject string
	// Version is a number, or latest.
	Version string
	// URL is the reference as it was written.
	URL string
}

// Registered is a schema as a registry has it.
type Registered struct {
	// Kind is Avro, JSON or Protobuf.
	Kind Kind
	Text string
	// References are the schemas that the text refers to by name.
	References []Import
}

// AsText returns the schema's text.
func (r Registered) AsText() []byte { return []byte(r.Text) }

// Registry looks up schemas. Whoever makes one bounds its time and size; an error
// must be fit for the reader of the document.
type Registry interface {
	Schema(Reference) (Registered, error)
}

// ParseReference reads a reference to a registry.
func ParseReference(location string) (Reference, bool) {
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "schema-registry" && u.Scheme != "http" && u.Scheme != "https" {
		return Reference{}, false
	}
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i := range parts {
		if parts[i], err = url.PathUnescape(parts[i]); err != nil {
			return Reference{}, false
		}
	}
	if n := len(parts); n > 0 && parts[n-1] == "schema" {
		parts = parts[:n-1]
	}
	n := len(parts)
	switch {
	case n >= 3 && parts[n-3] == "schemas" && parts[n-2] == "ids":
		id, err := strconv.Atoi(parts[n-1])
		if err != nil || id <= 0 {
			return Reference{}, false
		}
		return Reference{ID: id, URL: location}, true
	case n >= 4 && parts[n-4] == "subjects" && parts[n-2] == "versions":
		if v := parts[n-1]; v != "latest" && strings.Trim(v, "0123456789") != "" || parts[n-3] == "" {
			return Reference{}, false
		}
		return Reference{Subject: parts[n-3], Version: parts[n-1], URL: location}, true
	}
	return Reference{}, false
}
