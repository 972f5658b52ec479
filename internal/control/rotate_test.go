package control_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/lifecycle"
	"sluice/internal/control/publish"
	"sluice/internal/fault"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

// credential is a world with a credential, and its first secret.
func credential(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t)
	w.apply("root", people)
	w.apply("ben", offer)
	return w, w.apply("dan", wish).Outcomes[2].Secret
}

// proved says which secret of billing-1 a text is, and when it ends; 0 for none.
func (w *world) proved(secret string) (int, time.Time) {
	w.t.Helper()
	for _, v := range w.plane.Model().Verifiers("billing-1") {
		if publish.Proves(secret, [][]grant.Verifier{{v}}) == 0 {
			all, err := w.plane.Secrets(w.t.Context(), w.as("dan"), "billing-1")
			if err != nil {
				w.t.Fatal(err)
			}
			i := slices.IndexFunc(all, func(s control.Secret) bool { return int(s.Created.UnixMicro()) == v.Secret })
			return all[i].N, v.NotAfter
		}
	}
	return 0, time.Time{}
}

func (w *world) rotate(login string, overlap time.Duration) (*control.Rotation, error) {
	return w.plane.Rotate(w.t.Context(), w.as(login), "billing-1", overlap, 0)
}

func (w *world) states() string {
	w.t.Helper()
	all, err := w.plane.Secrets(w.t.Context(), w.as("dan"), "billing-1")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		out = append(out, string(s.State))
	}
	return strings.Join(out, " ")
}

func TestASecretIsReplacedWithOverlap(t *testing.T) {
	w, first := credential(t)
	r, err := w.rotate("dan", time.Hour)
	if err != nil || r.N != 2 || len(r.Secret) < 40 || r.Secret == first || r.Record.Serial != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if n, end := w.proved(first); n != 1 || !end.Equal(r.Until) {
		t.Errorf("the one before is %d until %v, want 1 until %v", n, end, r.Until)
	}
	if n, end := w.proved(r.Secret); n != 2 || !end.IsZero() {
		t.Errorf("the new one is %d until %v", n, end)
	}
	all := w.plane.Model().Verifiers("billing-1")
	if len(all) != 4 || all[0].Secret <= all[2].Secret || string(all[0].Salt) != string(all[2].Salt) || string(all[1].Salt) != string(all[3].Salt) {
		t.Error("the newest is not first, or they do not share their salts")
	}
	if got := w.states(); got != "active retiring" {
		t.Errorf("states %q", got)
	}
	// A document that still names the one before changes nothing as long as that is good.
	again := control.Wanted{Documents: documents(t, wish), Secrets: map[string]string{"billing-1": first}}
	if report, err := w.try(w.as("dan"), again); err != nil || report.Outcomes[2].Result != control.Unchanged {
		t.Errorf("applied with the secret before: %+v, %v", report, err)
	}
	if _, err := w.rotate("dan", time.Hour); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "two secrets already") {
		t.Errorf("a third one beside two: %v", err)
	}
	// Nothing happens before the end, and at the end the clock writes down what it is.
	seq := w.seq()
	control.Tick(t.Context(), w.plane)
	if w.seq() != seq {
		t.Error("the clock changes something before the end")
	}
	w.now = r.Until
	control.Tick(t.Context(), w.plane)
	if got := w.states(); got != "active revoked" {
		t.Errorf("at the end: %q", got)
	}
	seq = w.seq()
	control.Tick(t.Context(), w.plane)
	if w.seq() != seq {
		t.Error("the clock ends it twice")
	}
	if _, err := w.try(w.as("dan"), again); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "does not come back") {
		t.Errorf("a secret that has ended is applied again: %v", err)
	}
	var actions []string
	for _, row := range w.rows() {
		if row.Kind == string(resource.KindCredential) {
			actions = append(actions, row.Actor+" "+row.Action)
		}
		if strings.Contains(string(row.Details), first) || strings.Contains(string(row.Details), r.Secret) {
			t.Error("a secret is in the audit log")
		}
	}
	if want := []string{"person dan apply", "person dan rotate", "system end-secret"}; !slices.Equal(actions, want) {
		t.Errorf("audit rows %q, want %q", actions, want)
	}
	if _, err := w.rotate("dan", time.Hour); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// However often a secret is replaced, so many are remembered.
func TestOldSecretsAreForgotten(t *testing.T) {
	w, first := credential(t)
	for range 30 {
		if _, err := w.rotate("dan", 0); err != nil {
			t.Fatal(err)
		}
	}
	err := w.store.Read(t.Context(), func(r control.Reader) error {
		all, err := r.Verifiers("billing-1")
		if len(all) != 21 || all[0].N != 11 || all[20].N != 31 {
			t.Errorf("%d secrets are known: %+v", len(all), all)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	next, err := w.rotate("dan", time.Hour)
	if err != nil || next.N != 32 {
		t.Fatalf("the next one is %d, %v", next.N, err)
	}
	if n, _ := w.proved(next.Secret); n != 32 {
		t.Errorf("the newest is secret %d", n)
	}
	if n, _ := w.proved(first); n != 0 {
		t.Errorf("the first one counts: %d", n)
	}
}

func TestASecretIsReplacedAtOnce(t *testing.T) {
	w, first := credential(t)
	second, err := w.rotate("dan", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	third, err := w.rotate("dan", 0)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := w.proved(first); n != 0 {
		t.Errorf("the first one is still known, as %d", n)
	}
	if n, end := w.proved(second.Secret); n != 2 || end.After(w.now) {
		t.Errorf("the second one is %d until %v", n, end)
	}
	if n, end := w.proved(third.Secret); n != 3 || !end.IsZero() {
		t.Errorf("the third one is %d until %v", n, end)
	}
	if p := w.another(w.store); len(p.Model().Verifiers("billing-1")) != 4 || p.Model().Verifiers("billing-1")[0].Secret != w.plane.Model().Verifiers("billing-1")[0].Secret {
		t.Error("another process sees it differently")
	}
}

func TestTheSecretBeforeIsRevoked(t *testing.T) {
	w, first := credential(t)
	revoke := func(login, reason string) error {
		q := w.as(login)
		q.Reason = reason
		_, err := w.plane.RevokePrevious(t.Context(), q, "billing-1", 0)
		return err
	}
	if err := revoke("dan", ""); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "one secret only") {
		t.Errorf("the only one: %v", err)
	}
	r, err := w.rotate("dan", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := revoke("root", ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a platform-admin without a reason: %v", err)
	}
	if err := revoke("root", "it leaked"); err != nil {
		t.Fatal(err)
	}
	if n, end := w.proved(first); n != 1 || end.After(w.now) {
		t.Errorf("the one before is %d until %v", n, end)
	}
	if n, end := w.proved(r.Secret); n != 2 || !end.IsZero() {
		t.Errorf("the new one is %d until %v", n, end)
	}
	if got := w.state(resource.KindCredential, "billing-1"); got != "active" {
		t.Errorf("the credential is %s", got)
	}
}

func TestWhoMayNotRotate(t *testing.T) {
	w, _ := credential(t)
	for login, want := range map[string]fault.Kind{"ben": fault.NotFound, "nobody": fault.NotFound, "olga": fault.Denied, "root": fault.Denied} {
		if _, err := w.rotate(login, time.Hour); fault.KindOf(err) != want {
			t.Errorf("%s: %v, want %v", login, err, want)
		}
	}
	for _, overlap := range []time.Duration{-1, control.MaxOverlap + 1} {
		if _, err := w.rotate("dan", overlap); fault.KindOf(err) != fault.Invalid {
			t.Errorf("overlap %v: %v", overlap, err)
		}
	}
	if _, err := w.plane.Rotate(t.Context(), w.as("dan"), "billing-1", 0, 7); fault.KindOf(err) != fault.Conflict {
		t.Errorf("another serial: %v", err)
	}
	w.apply("dan", "kind: Credential\nmetadata: {name: billing-tls, environment: prod}\nspec: {application: billing, type: mtls, san: 'dns:billing.example.com'}")
	if _, err := w.plane.Rotate(t.Context(), w.as("dan"), "billing-tls", 0, 0); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "no secret") {
		t.Errorf("a certificate: %v", err)
	}
	q := w.as("dan")
	q.DryRun = true
	seq := w.seq()
	if r, err := w.plane.Rotate(t.Context(), q, "billing-1", time.Hour, 0); err != nil || r.Secret != "" || r.N != 2 || w.seq() != seq {
		t.Errorf("a dry run: %+v, %v", r, err)
	}
	if err := w.act("dan", control.Move{Key: resource.Key{Kind: resource.KindCredential, Name: "billing-1"}, Action: lifecycle.Revoke}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rotate("dan", time.Hour); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a revoked one: %v", err)
	}
}

// What ends by itself is told before, and written down when it has.
func TestTheClockEndsWhatIsDue(t *testing.T) {
	w, _ := credential(t)
	end := w.now.Add(20 * 24 * time.Hour).Truncate(time.Second)
	w.apply("dan", "kind: Credential\nmetadata: {name: billing-2, environment: prod}\nspec: {application: billing, type: scram, notAfter: "+end.Format(time.RFC3339)+"}")
	w.apply("dan", "kind: Credential\nmetadata: {name: billing-3, environment: prod}\nspec: {application: billing, type: scram}")
	if err := w.act("dan", control.Move{Key: resource.Key{Kind: resource.KindCredential, Name: "billing-3"}, Action: lifecycle.Retire, Until: end}, ""); err != nil {
		t.Fatal(err)
	}
	told := func() (n int) {
		for _, row := range w.rows() {
			if row.Action == "warn-end" && row.Name == "billing-2" {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		before time.Duration
		want   int
	}{{19 * 24 * time.Hour, 0}, {13 * 24 * time.Hour, 1}, {12 * 24 * time.Hour, 1}, {6 * 24 * time.Hour, 2}, {time.Hour, 3}, {time.Minute, 3}} {
		w.now = end.Add(-step.before)
		control.Tick(t.Context(), w.plane)
		if got := told(); got != step.want {
			t.Errorf("%v before the end: told %d times, want %d", step.before, got, step.want)
		}
	}
	w.now = end
	control.Tick(t.Context(), w.plane)
	for _, name := range []string{"billing-2", "billing-3"} {
		if got := w.state(resource.KindCredential, name); got != "expired" {
			t.Errorf("%s is %s at its end", name, got)
		}
	}
	if got := w.state(resource.KindCredential, "billing-1"); got != "active" {
		t.Errorf("one without an end is %s", got)
	}
	// What is exported now can be applied, and changes nothing.
	r := w.plane.Model().Get(resource.Key{Kind: resource.KindCredential, Name: "billing-3"})
	if report, err := w.try(w.as("dan"), control.Wanted{Documents: []resource.Any{r.Document}}); err != nil || report.Outcomes[0].Result != control.Unchanged {
		t.Errorf("%+v, %v", report, err)
	}
}

// What ends in its time is not for credentials alone.
func TestTheClockEndsSubscriptionsAndVersions(t *testing.T) {
	w, _ := credential(t)
	end := w.now.Add(time.Hour).Truncate(time.Second)
	w.apply("dan", strings.Replace(strings.Split(wish, "---")[1], "plan: partner", "plan: open, expires: "+end.Format(time.RFC3339), 1))
	if err := w.act("ben", control.Move{Key: resource.Key{Kind: resource.KindVersion, Name: "orders.v1"}, Action: lifecycle.Deprecate, Sunset: end, Grace: time.Hour}, "nothing follows"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at                    time.Time
		subscription, version string
	}{{end.Add(-time.Minute), "active", "deprecated"}, {end, "expired", "deprecated"}, {end.Add(time.Hour), "expired", "retired"}} {
		w.now = step.at
		control.Tick(t.Context(), w.plane)
		if s, v := w.state(resource.KindSubscription, "billing-orders"), w.state(resource.KindVersion, "orders.v1"); s != step.subscription || v != step.version {
			t.Errorf("at %v: %s and %s, want %s and %s", step.at, s, v, step.subscription, step.version)
		}
	}
}

// A client id that is taken is told so, and not whose it is.
func TestAClashTellsNothingForeign(t *testing.T) {
	w, _ := credential(t)
	w.apply("root", "kind: Team\nmetadata: {name: other}\nspec: {organisation: acme, members: {eve: [app-developer]}}")
	for _, name := range []string{"aaa", "zzz"} { // before and after the foreign one
		_, err := w.try(w.as("eve"), control.Wanted{Documents: documents(t, "kind: Application\nmetadata: {name: eves, team: other}\nspec: {}\n---\nkind: Credential\nmetadata: {name: "+name+", environment: prod}\nspec: {application: eves, type: scram, clientId: billing-1}")})
		problems, ok := errors.AsType[*control.ProblemsError](err)
		if !ok || len(problems.Problems) != 1 || problems.Problems[0].Name != name || strings.Contains(err.Error(), "credential billing-1") || !strings.Contains(err.Error(), "logs in with the same scram identity") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := w.try(w.as("dan"), control.Wanted{Documents: documents(t, "kind: Credential\nmetadata: {name: aaa, environment: prod}\nspec: {application: billing, type: scram, clientId: billing-1}")})
	if err == nil || !strings.Contains(err.Error(), "Credential billing-1: spec: credential aaa") {
		t.Errorf("one's own: %v", err)
	}
}

// What ended does not come back by removing the credential and applying it again, however
// often, and what had not ended does.
func TestAnEndedSecretDoesNotComeBackWithAnotherCredential(t *testing.T) {
	const text = "kind: Credential\nmetadata: {name: billing-1, environment: prod}\nspec: {application: billing, type: scram}"
	key := resource.Key{Kind: resource.KindCredential, Name: "billing-1"}
	given, other := strings.Repeat("given", 8), strings.Repeat("other", 8)
	for name, c := range map[string]struct {
		end  func(*world) error
		want fault.Kind
	}{
		"revoked": {func(w *world) error {
			return w.act("dan", control.Move{Key: key, Action: lifecycle.Revoke}, "it leaked")
		}, fault.Conflict},
		"revoked by a platform-admin": {func(w *world) error {
			return w.act("root", control.Move{Key: key, Action: lifecycle.Revoke}, "it leaked")
		}, fault.Conflict},
		"replaced": {func(w *world) error { _, err := w.rotate("dan", 0); return err }, fault.Conflict},
		"active":   {func(*world) error { return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := credential(t)
			apply := func(text, secret string) error {
				_, err := w.try(w.as("dan"), control.Wanted{Documents: documents(t, text), Secrets: map[string]string{"billing-1": secret}})
				return err
			}
			remove := func() {
				t.Helper()
				if _, err := w.plane.Delete(t.Context(), w.as("dan"), []resource.Key{key}, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := apply(text, given); err != nil {
				t.Fatal(err)
			}
			if err := c.end(w); err != nil {
				t.Fatal(err)
			}
			remove()
			for _, as := range []string{text, strings.Replace(text, "scram", "plain", 1)} {
				if err := apply(as, given); fault.KindOf(err) != c.want || err != nil && !strings.Contains(err.Error(), "does not come back") {
					t.Errorf("applied again: %v, want %q", err, c.want)
				}
			}
			if c.want == "" {
				return
			}
			if err := apply(text, other); err != nil {
				t.Fatalf("another secret: %v", err)
			}
			if err := apply(text, given); fault.KindOf(err) != c.want {
				t.Errorf("in place of another one: %v", err)
			}
			remove()
			if err := apply(text, given); fault.KindOf(err) != c.want {
				t.Errorf("removed twice: %v", err)
			}
			if err := apply(text, other); err != nil {
				t.Errorf("one that had not ended: %v", err)
			}
		})
	}
}
