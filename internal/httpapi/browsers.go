package httpapi

import (
	"net/http"
	"strings"

	"sluice/internal/control"
	"sluice/internal/resource"
)

// Answers says whether a request is for the management API or of a program, and not for a page.
func (a *API) Answers(r *http.Request) bool {
	if r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/") {
		return true
	}
	_, pattern := a.mux.Handler(r)
	return pattern != "" || a.forMachines(r.URL.Path) != nil
}

// Title returns the title of a document for the page about it, as whoever asks may see
// it; false when they may not, or there is none.
func (a *API) Title(r *http.Request, kind, name string) (title string, ok bool) {
	actor, err := a.authenticate(r)
	if err != nil {
		return "", false
	}
	record, err := a.plane.Get(control.Request{Actor: actor, Address: hostOf(r)}, resource.Key{Kind: resource.Kind(kind), Name: name})
	if err != nil {
		return "", false
	}
	switch d := record.Document.(type) {
	case *resource.API:
		title = d.Spec.Title
	case *resource.Product:
		title = d.Spec.Title
	}
	if title == "" {
		title = name
	}
	return title, true
}
