package app

import (
	"regexp"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/grant/feed"
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

// What gateways that run apart refuse is explained by the control plane, also after
// either was started again.
func TestRejectionsOfGatewaysApart(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	a.fleet("reader", "other")
	a.join("gw-1")
	a.join("gw-2")
	one, two := a.gateway("gw-1"), a.gateway("gw-2")
	a.settled("gw-1", "gw-2")
	list := func(application string) *schema.Rejections {
		t.Helper()
		page, err := a.root.Rejections(t.Context(), application, nil)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	// write is refused at a gateway, and returns the id that its log has of it.
	write := func(r *running, user, topic string) string {
		t.Helper()
		if err := a.plain(r, user).ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err == nil {
			t.Fatalf("%s may be written", topic)
		}
		ids := regexp.MustCompile(`rejection=(R\w+) .*topic=`+regexp.QuoteMeta(topic)).FindAllStringSubmatch(a.log.String(), -1)
		if len(ids) == 0 {
			t.Fatalf("no rejection of %s in the log", topic)
		}
		return ids[len(ids)-1][1]
	}
	explained := func(id, gateway string) {
		t.Helper()
		a.within(patience, "the rejection at "+gateway+" is told", func() bool {
			why, err := a.root.Rejection(t.Context(), id)
			return err == nil && why.Gateway == gateway && why.Application == "reader" && why.Environment == "test" && why.Credential == "reader" && why.Address == "127.0.0.1" &&
				why.API == "Produce" && why.Name == "orders.placed" && why.Topic != nil && !why.Topic.Write.Granted
		})
	}
	first := write(one, "reader", "orders.placed")
	explained(first, "gw-1")
	second := write(two, "reader", "orders.placed")
	explained(second, "gw-2")
	if page := list("reader"); len(page.Items) != 2 || page.Items[0].ID != second || page.Items[1].ID != first {
		t.Errorf("the list has %+v", page.Items)
	}
	if page := list("other"); len(page.Items) != 0 {
		t.Errorf("another application has %+v", page.Items)
	}

	// What is refused while the control plane is away, and what it had forgotten.
	a.end()
	a.within(patience, "the gateways notice", func() bool {
		return !one.follower.receiver.Standing().Connected && !two.follower.receiver.Standing().Connected
	})
	meanwhile := write(two, "reader", "orders.placed")
	a.begin()
	a.root = a.personAt(a.control.management, "root")
	explained(first, "gw-1")
	explained(second, "gw-2")
	explained(meanwhile, "gw-2")
	if page := list("reader"); len(page.Items) != 3 {
		t.Errorf("the list has %+v", page.Items)
	}

	// A gateway that is started again has told what it knew, and goes on.
	two.stop()
	if err := <-two.done; err != nil {
		t.Fatal(err)
	}
	two = a.gateway("gw-2")
	a.settled("gw-1", "gw-2")
	explained(meanwhile, "gw-2")
	explained(write(two, "reader", "orders.placed"), "gw-2")
	if page := list("reader"); len(page.Items) != 4 {
		t.Errorf("the list has %+v", page.Items)
	}

	// Nobody is believed about another environment, nor told twice.
	a.control.management.reported("gw-1", "test", feed.Report{Rejections: []feed.Rejection{{ID: "RFOREIGN", Application: "reader", Environment: "prod"}, {ID: "RNOWHERE", Application: "reader"}, {ID: first, Application: "other", Environment: "test"}}})
	if page := list("reader"); len(page.Items) != 4 || len(list("other").Items) != 0 {
		t.Errorf("the list has %+v", page.Items)
	}
}
