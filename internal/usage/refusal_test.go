package usage

import (
	"fmt"
	"testing"
)

func TestRefusalsAreBoundedByApplicationAndAltogether(t *testing.T) {
	r := NewRefusals("gw-1")
	note := func(application string, n int) string {
		id := fmt.Sprintf("R-%s-%d", application, n)
		r.Note(Refusal{ID: id, Application: application, Rule: "because"})
		return id
	}
	quiet := note("quiet", 1)
	for n := range maxRefusalsPerApplication + 10 {
		note("loud", n)
	}
	if got, ok := r.Find(quiet); !ok || got.Application != "quiet" || got.Gateway != "gw-1" {
		t.Errorf("the quiet one's is %+v, %v", got, ok)
	}
	if _, ok := r.Find("R-loud-9"); ok {
		t.Error("the loud one's oldest is kept")
	}
	if _, ok := r.Find("R-loud-10"); !ok || r.of["loud"].Len() != maxRefusalsPerApplication {
		t.Errorf("%d of the loud one are kept", r.of["loud"].Len())
	}
	for n := range maxRefusals + 10 {
		note(fmt.Sprint("app", n), n)
	}
	if r.all.Len() != maxRefusals || len(r.known) != maxRefusals || len(r.of) != maxRefusals {
		t.Errorf("%d, %d of %d applications are kept", r.all.Len(), len(r.known), len(r.of))
	}
	if _, ok := r.Find(quiet); ok {
		t.Error("the oldest of all is kept")
	}
	if _, ok := r.Find("R-nothing"); ok {
		t.Error("what never was is found")
	}
}
