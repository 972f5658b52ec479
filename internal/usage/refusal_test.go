package usage

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestRefusalsAreBoundedByApplicationAndAltogether(t *testing.T) {
	r := NewRefusals("gw-1", time.Now())
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

func TestRefusalsOfAnApplication(t *testing.T) {
	r := NewRefusals("gw-1", time.Now())
	ids := func(application string) (out []string) {
		last := ^uint64(0)
		for _, x := range r.Of(application) {
			if x.Number >= last {
				t.Errorf("%s is not older than the one before", x.ID)
			}
			last = x.Number
			out = append(out, x.ID+"@"+x.Gateway)
		}
		return out
	}
	r.Note(Refusal{ID: "R1", Application: "a"})
	r.Note(Refusal{ID: "R2", Application: "b"})
	r.Note(Refusal{ID: "R3", Application: "a", Gateway: "gw-2"})
	r.Note(Refusal{ID: "R1", Application: "b", Gateway: "gw-2"}) // told twice
	if got := fmt.Sprint(ids("a"), ids("b"), ids("c")); got != "[R3@gw-2 R1@gw-1] [R2@gw-1] []" {
		t.Error(got)
	}
	for n := range 2 * maxRefusalsPerApplication { // each twice
		r.Note(Refusal{ID: fmt.Sprint("S", n/2), Application: "a"})
	}
	if got := r.Of("a"); len(got) != maxRefusalsPerApplication || got[0].ID != fmt.Sprint("S", maxRefusalsPerApplication-1) || got[len(got)-1].ID != "S0" {
		t.Errorf("%d are kept", len(got))
	}
}

func TestRefusalsArePassedOn(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := NewRefusals("gw-1", began)
	after := func(number uint64, most int) string {
		var out []string
		for _, x := range r.After(number, most) {
			out = append(out, x.ID)
		}
		return strings.Join(out, " ")
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	want(after(0, 9), "")
	for _, id := range []string{"R1", "R2", "R3", "R4"} {
		r.Note(Refusal{ID: id, Application: "a"})
	}
	first := r.After(0, 9)[0].Number
	want(after(0, 9), "R1 R2 R3 R4")
	want(after(0, 3), "R1 R2 R3")
	want(after(first, 9), "R2 R3 R4")
	want(after(first+2, 9), "R4")
	want(after(first+3, 9), "")
	want(after(first+4, 9), "R1 R2 R3 R4") // of a process whose clock was ahead
	want(after(first-1, 9), "R1 R2 R3 R4") // of a process before
	if later := NewRefusals("gw-1", began.Add(time.Second)); later.first <= first+3 {
		t.Error("the numbers of the next process do not follow")
	}
	r.Told(first + 1)
	r.Told(first)       // says less than is known
	r.Told(first + 100) // is not of this collection
	for n := range maxRefusalsPerApplication - 1 {
		r.Note(Refusal{ID: fmt.Sprint("S", n), Application: "a"})
	}
	want(after(first, 2), "R4 S0")
	if got := r.Dropped(); got != 1 { // R3, and not those that were passed on
		t.Errorf("%d are counted as dropped, want 1", got)
	}
}

func TestWhatAClientSaysIsKeptInPart(t *testing.T) {
	r := NewRefusals("gw-1", time.Now())
	r.Note(Refusal{ID: "R1", Name: strings.Repeat("ä", 10_000), Rule: "short"})
	got, _ := r.Find("R1")
	if len(got.Name) > maxRefusalText || len(got.Name) < maxRefusalText-4 || !utf8.ValidString(got.Name) || got.Rule != "short" {
		t.Errorf("%d bytes are kept: %q", len(got.Name), got.Name)
	}
}
