package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"sluice/internal/config"
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

// token asks the token endpoint, as a client may: by the Authorization header, or in the
// body.
func (w *world) token(server, environment, id, secret string, basic bool) (status int, answer map[string]any) {
	w.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	if !basic {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, server+"/v1/oauth/"+environment+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// bearer is a client of the gateway with a token.
func (w *world) bearer(r *running, token string) (*kgo.Client, *ends) {
	w.t.Helper()
	e := &ends{}
	return w.client(kgo.SeedBrokers(r.Bootstrap()), kgo.SASL(oauth.Auth{Token: token}.AsMechanism()), kgo.WithHooks(e),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(100*time.Millisecond)), e
}

// A client gets a token for its secret and logs in with it; when secret or credential
// end, so do token and connection.
func TestTokensOfTheBuiltInEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.control()
	root, _ := w.subscribed(r)
	first := w.credential(root, `{"kind":"Credential","metadata":{"name":"reader-oauth","environment":"test"},"spec":{"application":"reader","type":"oauth"}}`)
	other := w.credential(root, `{"kind":"Credential","metadata":{"name":"reader-other","environment":"test"},"spec":{"application":"reader","type":"oauth","clientId":"other:client%id","subscriptions":["reader-orders"]}}`)
	if len(first) < 40 || first == other {
		t.Fatal("the server made no secrets")
	}
	get := func(id, secret string, basic bool) string {
		t.Helper()
		status, answer := w.token(r.ManagementAddress(), "test", id, secret, basic)
		text, _ := answer["access_token"].(string)
		if status != http.StatusOK || text == "" || answer["token_type"] != "Bearer" || answer["expires_in"] != 600.0 {
			t.Fatalf("%d %v", status, answer)
		}
		return text
	}
	in := func(token string) (*kgo.Client, *ends) {
		t.Helper()
		c, e := w.bearer(r, token)
		w.within(patience, "a login by token", func() bool { return c.Ping(t.Context()) == nil })
		e.n.Store(0)
		return c, e
	}
	token := get("reader-oauth", first, true)
	c, ended := in(token)
	if got := w.topics(c); got != "orders.placed" {
		t.Errorf("sees %q", got)
	}
	in(get("other:client%id", other, true))
	otherClient, otherEnded := in(get("other:client%id", other, false))

	for name, try := range map[string][3]string{
		"a wrong secret": {"test", "reader-oauth", first + "x"}, "an unknown client": {"test", "nobody", first}, "another environment": {"prod", "reader-oauth", first},
		"a credential of another type": {"test", "reader-1", first},
	} {
		status, answer := w.token(r.ManagementAddress(), try[0], try[1], try[2], true)
		if status != http.StatusUnauthorized || answer["error"] != "invalid_client" || answer["error_description"] != "unknown client or wrong secret" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}

	// The secret before is good for tokens until it ends, and then what they opened is closed.
	rotation, err := root.Rotate(t.Context(), "reader-oauth", schema.Rotate{Overlap: "1h"}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	newToken := get("reader-oauth", rotation.Secret, true)
	current, currentEnded := in(newToken)
	old := get("reader-oauth", first, true)
	if ended.n.Load() > 0 {
		t.Error("a rotation with overlap ends connections")
	}
	if _, err := root.Move(t.Context(), "credentials", "reader-oauth", "revoke-previous", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "connections by tokens of the secret before are closed", func() bool { return ended.n.Load() > 0 })
	late, _ := w.bearer(r, old)
	if why := w.refused(late); !strings.Contains(why, "replaced by another one") {
		t.Errorf("a token of the secret before: %q", why)
	}
	if status, answer := w.token(r.ManagementAddress(), "test", "reader-oauth", first, true); status != http.StatusUnauthorized || !strings.Contains(fmt.Sprint(answer["error_description"]), "replaced by another one") {
		t.Errorf("the secret before: %d %v", status, answer)
	}
	if err := current.Ping(t.Context()); err != nil || currentEnded.n.Load() > 0 {
		t.Errorf("a connection by a token of the new secret: %v, %d ended", err, currentEnded.n.Load())
	}

	// A revoked credential ends tokens that would be good for minutes.
	if _, err := root.Move(t.Context(), "credentials", "reader-oauth", "revoke", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "connections of the credential are closed", func() bool { return currentEnded.n.Load() > 0 })
	late, _ = w.bearer(r, newToken)
	if why := w.refused(late); !strings.Contains(why, "revoked") {
		t.Errorf("a token of a revoked credential: %q", why)
	}
	if status, answer := w.token(r.ManagementAddress(), "test", "reader-oauth", rotation.Secret, true); status != http.StatusUnauthorized || !strings.Contains(fmt.Sprint(answer["error_description"]), "revoked") {
		t.Errorf("a revoked credential: %d %v", status, answer)
	}
	if err := otherClient.Ping(t.Context()); err != nil || otherEnded.n.Load() > 0 {
		t.Errorf("a connection of another credential: %v, %d ended", err, otherEnded.n.Load())
	}
	for v := range r.gateway.Snapshot().All() {
		for _, v := range v.Verifiers {
			if v.Mechanism == "OAUTHBEARER" && len(v.StoredKey)+len(v.Salt) > 0 {
				t.Error("what proves a client secret has come to the gateway")
			}
		}
	}
	if text := w.log.String(); strings.Contains(text, first) || strings.Contains(text, token) {
		t.Error("a secret or a token is in the log")
	}
}

// Gateways that run apart take tokens of the control plane's endpoint, also while it is
// away, and tell it who logged in.
func TestTokensAtAGatewayThatRunsApart(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	a.fleet("reader")
	secret := a.credential(a.root, `{"kind":"Credential","metadata":{"name":"reader-oauth","environment":"test"},"spec":{"application":"reader","type":"oauth"}}`)
	a.join("gw-1")
	opts := a.gatewayOptions("gw-1")
	opts.Config.Listeners[0].Mechanisms = append(opts.Config.Listeners[0].Mechanisms, "OAUTHBEARER")
	r := a.start(opts)
	a.settled("gw-1")
	status, answer := a.token(a.control.ManagementAddress(), "test", "reader-oauth", secret, true)
	token, _ := answer["access_token"].(string)
	if status != http.StatusOK || token == "" {
		t.Fatalf("%d %v", status, answer)
	}
	in := func(r *running) {
		t.Helper()
		c, _ := a.bearer(r, token)
		defer c.Close()
		a.within(patience, "a login by token", func() bool { return c.Ping(t.Context()) == nil })
	}
	in(r)
	a.within(patience, "the control plane knows of the login", func() bool {
		d, err := a.root.Get(t.Context(), "credentials", "reader-oauth")
		return err == nil && d.Status.Secrets[0].Used != nil && d.Status.Secrets[0].Used.Gateway == "gw-1" && d.Status.Secrets[0].Used.Address == "127.0.0.1"
	})
	a.end()
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	in(a.start(opts)) // it starts without the control plane
}

// Certificates are credentials of the control plane, too: by a name, which the renewed
// one has again, or by a key, where the next one gets a credential of its own before the
// one before is revoked.
func TestCertificatesOfTheControlPlane(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := newAuthority(t)
	server, serverKey := ca.issue()
	w.write("tls.crt", server)
	w.write("tls.key", serverKey)
	w.write("ca.crt", ca.pem())
	opts := w.withTLS()
	opts.Config.Listeners[0].TLS.ClientCA = config.SecretRef{File: filepath.Join(w.dir, "ca.crt")}
	opts.Resources, opts.Control = nil, true
	opts.Config.Management.Address = "127.0.0.1:0"
	r := w.start(opts)
	root, _ := w.subscribed(r)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	issue := func(names ...string) (tls.Certificate, string) {
		t.Helper()
		cert, key := ca.issue(names...)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return pair, fmt.Sprintf("sha256:%x", sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo))
	}
	in := func(pair tls.Certificate) (*kgo.Client, *ends) {
		t.Helper()
		e := &ends{}
		c := w.client(kgo.SeedBrokers(r.Bootstrap()), kgo.DialTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}), kgo.WithHooks(e),
			kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(100*time.Millisecond))
		w.within(patience, "a login by certificate", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return c.Ping(ctx) == nil
		})
		e.n.Store(0)
		return c, e
	}
	old, oldKey := issue("reader.example.com")
	renewed, _ := issue("reader.example.com")
	next, nextKey := issue()
	w.apply(root, `{"kind":"Credential","metadata":{"name":"by-name","environment":"test"},"spec":{"application":"reader","type":"mtls","san":"dns:reader.example.com"}}`)
	_, byName := in(old)
	in(renewed) // no document has to change
	w.apply(root, `{"kind":"Credential","metadata":{"name":"by-key","environment":"test"},"spec":{"application":"reader","type":"mtls","san":"`+nextKey+`"}}`)
	current, byKey := in(next)
	if got := w.topics(current); got != "orders.placed" {
		t.Errorf("sees %q", got)
	}
	if _, err := root.Move(t.Context(), "credentials", "by-name", "revoke", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	w.within(patience, "connections of the revoked one are closed", func() bool { return byName.n.Load() > 0 })
	if err := current.Ping(t.Context()); err != nil || byKey.n.Load() > 0 {
		t.Errorf("a connection of the other one: %v, %d ended", err, byKey.n.Load())
	}
	w.within(patience, "the login is told", func() bool {
		d, err := root.Get(t.Context(), "credentials", "by-key")
		return err == nil && len(d.Status.Secrets) == 1 && d.Status.Secrets[0].Number == 0 && d.Status.Secrets[0].Used != nil
	})
	body := schema.Apply{Documents: []json.RawMessage{json.RawMessage(`{"apiVersion":"sluice/v1","kind":"Credential","metadata":{"name":"no-key","environment":"test"},"spec":{"application":"reader","type":"mtls","san":"` + strings.ToUpper(oldKey) + `"}}`)}}
	if _, err := root.Apply(t.Context(), body, false); err == nil {
		t.Error("a digest in capitals is taken, which no certificate has")
	}
}
