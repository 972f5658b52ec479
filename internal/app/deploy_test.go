package app

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/httpapi/schema"
)

// A gateway serves the revision that its environment has, whatever the document says
// by now, and clients of other products notice nothing of a promotion or rollback.
func TestAGatewayServesWhatWasDeployed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.control()
	root, secret := w.subscribed(r)
	w.apply(root, `{"kind":"Environment","metadata":{"name":"dev"},"spec":{}}`, `{"kind":"Environment","metadata":{"name":"test"},"spec":{"after":"dev"}}`,
		`{"kind":"Cluster","metadata":{"name":"dev","environment":"dev"},"spec":{"bootstrap":["127.0.0.1:1"]}}`)
	if _, err := kadm.NewClient(w.direct()).CreateTopic(t.Context(), 1, 1, nil, "backing.more"); err != nil {
		t.Fatal(err)
	}
	c, ends := w.connected(r, "reader-1", secret)
	w.within(patience, "the first revision is served", func() bool { return w.topics(c) == "orders.placed" })

	const channels = `{"placed":{"address":"orders.placed","send":true},"more":{"address":"orders.more","send":true,"receive":true}}`
	w.apply(root, `{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":`+channels+`},"channels":{
		"placed":{"test":{"cluster":"main","topic":"backing.orders"},"dev":{"cluster":"dev","topic":"orders"}},
		"more":{"test":{"cluster":"main","topic":"backing.more"},"dev":{"cluster":"dev","topic":"more"}}},"lifecycle":{"state":"published"}}}`)
	// Something that does reach the gateway, behind it: once it is there, so would be what came before.
	w.apply(root, `{"kind":"Application","metadata":{"name":"other","team":"shop"},"spec":{}}`)
	other, _ := w.connected(r, "other-1", w.credential(root, `{"kind":"Credential","metadata":{"name":"other-1","environment":"test"},"spec":{"application":"other","type":"scram"}}`))
	other.Close()
	if got := w.topics(c); got != "orders.placed" {
		t.Errorf("before the promotion clients see %q", got)
	}
	writer := w.known(r, "reader-1", secret)
	if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders.more", Value: []byte("x")}).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a topic that was not promoted: %v", err)
	}
	writer.Close()
	if _, err := root.Promote(t.Context(), "orders.v1", schema.Promote{From: "dev", To: "test"}, false); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "the promoted revision is served", func() bool { return w.topics(c) == "orders.more orders.placed" })
	if _, err := root.Rollback(t.Context(), "orders.v1", schema.Rollback{Environment: "test"}, false); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "the revision before is served", func() bool { return w.topics(c) == "orders.placed" })
	if n := ends.n.Load(); n > 0 {
		t.Errorf("%d connections have ended", n)
	}
}
