package app

import (
	"regexp"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// A client is refused something, and its id says what decided it.
func TestARejectionIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.control()
	root, secret := w.subscribed(r)
	c, _ := w.connected(r, "reader-1", secret)
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "orders.placed", Value: []byte("x")}).FirstErr(); err == nil {
		t.Fatal("what may only be read can be written")
	}
	id := regexp.MustCompile(`rejection=(R\w+) .*topic=orders.placed`).FindStringSubmatch(w.log.String())
	if id == nil {
		t.Fatalf("no rejection in the log:\n%s", w.log.String())
	}
	why, err := root.Rejection(t.Context(), id[1])
	if err != nil || why.Application != "reader" || why.Environment != "test" || why.Credential != "reader-1" || why.Address != "127.0.0.1" || why.Name != "orders.placed" || why.API != "Produce" || why.Topic == nil || why.Topic.Write.Granted || !why.Topic.Read.Granted {
		t.Errorf("%+v, %v", why, err)
	}
	if _, err := root.Move(t.Context(), "credentials", "reader-1", "revoke", schema.Move{Reason: "lost"}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`\(rejection (R\w+)\)`).FindStringSubmatch(w.refused(c))
	if told == nil {
		t.Fatal("a refused login has no id")
	}
	if why, err = root.Rejection(t.Context(), told[1]); err != nil || why.Application != "reader" || why.Operation != "log in" || why.Rule != "the credential was revoked" {
		t.Errorf("%+v, %v", why, err)
	}
	if _, err := root.Rejection(t.Context(), "RNOTHING"); err == nil {
		t.Error("what never was is explained")
	}
}
