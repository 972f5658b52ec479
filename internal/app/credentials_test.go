package app

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
)

// subscribed is a control plane with an application that reads orders, by whatever
// credentials are applied; its first one, reader-1, is of type scram.
func (w *world) subscribed(r *running) (root *client.Client, password string) {
	w.t.Helper()
	root = w.person(r, "root")
	w.apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"root":["publisher","approver","app-developer"]}}}`,
		`{"kind":"Cluster","metadata":{"name":"main","environment":"test"},"spec":{"bootstrap":["`+w.broker.Addresses()[0]+`"]}}`)
	w.apply(root, `{"kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"visibility":"team"}}`,
		`{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"address":"orders.placed","send":true}}},"channels":{"placed":{"test":{"cluster":"main","topic":"backing.orders"}}},"lifecycle":{"state":"published"}}}`,
		`{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"versions":["orders.v1"],"plans":{"free":{"auth":["plain","scram","oauth","mtls"],"approval":"automatic"}}}}`,
		`{"kind":"Application","metadata":{"name":"reader","team":"shop"},"spec":{}}`,
		`{"kind":"Subscription","metadata":{"name":"reader-orders","environment":"test"},"spec":{"application":"reader","product":"orders","plan":"free"}}`)
	return root, w.credential(root, `{"kind":"Credential","metadata":{"name":"reader-1","environment":"test"},"spec":{"application":"reader","type":"scram"}}`)
}

// credential applies one, and returns the secret that the server made.
func (w *world) credential(c *client.Client, document string) (secret string) {
	w.t.Helper()
	for _, o := range w.apply(c, document).Outcomes {
		secret += o.Secret
	}
	return secret
}

// ends counts the connections of a client that have ended.
type ends struct{ n atomic.Int64 }

func (e *ends) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { e.n.Add(1) }

// connected is a client that has logged in, with a count of the connections it lost.
func (w *world) connected(r *running, user, secret string) (*kgo.Client, *ends) {
	w.t.Helper()
	e := &ends{}
	c := w.known(r, user, secret, kgo.WithHooks(e))
	w.within(patience, "a login of "+user, func() bool { return c.Ping(w.t.Context()) == nil })
	e.n.Store(0) // those that came before the credential was in force
	return c, e
}

// refused returns why a login is refused, once it is.
func (w *world) refused(c *kgo.Client) string {
	w.t.Helper()
	var err error
	w.within(patience, "the login is refused", func() bool {
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		err = c.Ping(ctx)
		return errors.Is(err, kerr.SaslAuthenticationFailed)
	})
	return err.Error()
}

// While a secret is replaced both log in; with the end of the one before, its
// connections close, and no others.
func TestASecretIsReplacedWhileClientsAreConnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.control()
	root, first := w.subscribed(r)
	old, oldEnds := w.connected(r, "reader-1", first)
	rotation, err := root.Rotate(t.Context(), "reader-1", schema.Rotate{Overlap: "1h"}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	current, currentEnds := w.connected(r, "reader-1", rotation.Secret)
	late, lateEnds := w.connected(r, "reader-1", first) // the one before still logs in
	if oldEnds.n.Load()+currentEnds.n.Load()+lateEnds.n.Load() > 0 {
		t.Error("a rotation with overlap ends connections")
	}
	d, err := root.Get(t.Context(), "credentials", "reader-1")
	if err != nil || len(d.Status.Secrets) != 2 || d.Status.Secrets[0].State != "active" || d.Status.Secrets[1].State != "retiring" {
		t.Errorf("%+v, %v", d.Status, err)
	}

	if _, err := root.Move(t.Context(), "credentials", "reader-1", "revoke-previous", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "connections of the secret before are closed", func() bool { return oldEnds.n.Load() > 0 && lateEnds.n.Load() > 0 })
	if why := w.refused(old); !strings.Contains(why, "replaced by another one") {
		t.Errorf("whoever proves the secret before is told %q", why)
	}
	late.Close()
	old.Close()
	if err := current.Ping(t.Context()); err != nil || currentEnds.n.Load() > 0 {
		t.Errorf("a connection of the new secret: %v, %d have ended", err, currentEnds.n.Load())
	}

	// The end of an overlap comes by itself.
	rotation, err = root.Rotate(t.Context(), "reader-1", schema.Rotate{Overlap: "1s"}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	newest, newestEnds := w.connected(r, "reader-1", rotation.Secret)
	w.within(patience, "the overlap is over", func() bool { return currentEnds.n.Load() > 0 })
	if early := time.Until(rotation.PreviousUntil); early > 0 {
		t.Errorf("connections end %v before the overlap does", early)
	}
	w.within(patience, "the control plane knows", func() bool {
		d, err := root.Get(t.Context(), "credentials", "reader-1")
		return err == nil && d.Status.Secrets[1].State == "revoked"
	})
	if err := newest.Ping(t.Context()); err != nil || newestEnds.n.Load() > 0 {
		t.Errorf("a connection of the newest secret: %v, %d have ended", err, newestEnds.n.Load())
	}
	w.within(patience, "the last login is told", func() bool {
		d, err := root.Get(t.Context(), "credentials", "reader-1")
		if err != nil || d.Status.Secrets[0].Used == nil {
			return false
		}
		u := d.Status.Secrets[0].Used
		return u.Address == "127.0.0.1" && u.Gateway == hostName() && strings.HasPrefix(u.Software, "kgo")
	})
	if text := w.log.String(); strings.Contains(text, first) || strings.Contains(text, rotation.Secret) {
		t.Error("a secret is in the log")
	}
}
