package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/config"
	"sluice/internal/httpapi/client"
	"sluice/internal/httpapi/schema"
	"sluice/internal/mailer/mailertest"
)

// hook is a webhook's receiver.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	status int             // guarded by mu, as what follows
	types  []string        // of what it has taken, in order
	bodies strings.Builder // with headers
	ids    map[string]int
}

func newHook(t *testing.T) *hook {
	h := &hook{status: http.StatusNoContent, ids: map[string]int{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

// ServeHTTP answers as the test wants.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids[r.Header.Get("Webhook-Id")]++
	if h.status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	if h.status/100 == 2 {
		var event struct{ Type string }
		if err != nil || json.Unmarshal(body, &event) != nil || r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Webhook-Signature"), "v1,") {
			event.Type = "no event: " + string(body)
		}
		h.types = append(h.types, strings.TrimPrefix(event.Type, "sluice."))
		_ = r.Header.Write(&h.bodies)
		h.bodies.Write(body)
	}
	w.WriteHeader(h.status)
}

func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) took() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.types, " ")
}

// tries is how often anything was tried.
func (h *hook) tries() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, of := range h.ids {
		n += of
	}
	return n
}

// A subscription is asked for, discussed and approved while webhook and mail server fail and come back, and the
// control plane is started again. Everything arrives, in order, and no secret does.
func TestNotificationsArrive(t *testing.T) {
	w := newWorld(t)
	h := newHook(t)
	mails := mailertest.New(t, mailertest.Options{User: "sluice", Password: "mail-canary"})
	w.write("ca.pem", string(mails.CA))
	w.write("mail.password", "mail-canary")
	start := func(networks ...string) (*running, *client.Client) {
		opts := w.options()
		opts.Resources, opts.Control, opts.retryNotifications = nil, true, 10*time.Millisecond
		opts.Config.Management.Address = "127.0.0.1:0"
		opts.Config.Outbound = config.Outbound{AllowNetworks: networks, AllowHTTP: true}
		opts.Config.Management.Mail = &config.Mail{Server: mails.Address, From: "sluice@example.com", Username: "sluice", Password: config.SecretRef{File: filepath.Join(w.dir, "mail.password")}, TLS: "starttls", CA: config.SecretRef{File: filepath.Join(w.dir, "ca.pem")}}
		r := w.start(opts)
		return r, w.person(r, "root")
	}
	r, root := start("127.0.0.0/8")
	w.apply(root, `{"kind":"Organisation","metadata":{"name":"acme"},"spec":{}}`,
		`{"kind":"Team","metadata":{"name":"shop"},"spec":{"organisation":"acme","members":{"root":["publisher","approver"]},"notify":{"webhook":{"url":"`+h.URL+`/hooks"},"email":["shop@example.com"]}}}`,
		`{"kind":"Team","metadata":{"name":"erp"},"spec":{"organisation":"acme","email":"erp@example.com","members":{"root":["app-developer"]}}}`,
		`{"kind":"Cluster","metadata":{"name":"main","environment":"test"},"spec":{"bootstrap":["`+w.broker.Addresses()[0]+`"]}}`)
	h.answer(http.StatusServiceUnavailable)
	mails.Down(true)
	report := w.apply(root, `{"kind":"API","metadata":{"name":"orders","team":"shop"},"spec":{"visibility":"team"}}`,
		`{"kind":"Version","metadata":{"name":"orders.v1"},"spec":{"contract":{"channels":{"placed":{"address":"orders.placed","send":true}}},"channels":{"placed":{"test":{"cluster":"main","topic":"backing.orders"}}},"lifecycle":{"state":"published"}}}`,
		`{"kind":"Product","metadata":{"name":"orders","team":"shop"},"spec":{"versions":["orders.v1"],"plans":{"free":{"auth":["scram"],"approval":"manual"}}}}`,
		`{"kind":"Application","metadata":{"name":"reader","team":"erp"},"spec":{}}`,
		`{"kind":"Subscription","metadata":{"name":"reader-orders","environment":"test"},"spec":{"application":"reader","product":"orders","plan":"free"}}`,
		`{"kind":"Credential","metadata":{"name":"reader-1","environment":"test"},"spec":{"application":"reader","type":"scram"}}`)
	secret := ""
	for _, o := range report.Outcomes {
		secret += o.Secret
	}
	if secret == "" {
		t.Fatal("there is no secret")
	}
	w.within(patience, "the webhook is tried again and again", func() bool { return h.tries() > 2 })
	if got := h.took(); got != "" {
		t.Fatalf("took %q", got)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	r, root = start("127.0.0.0/8")
	if _, err := root.Move(t.Context(), "subscriptions", "reader-orders", "approve", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	h.answer(http.StatusFound) // is not followed, and no success
	before := h.tries()
	w.within(patience, "it is tried again", func() bool { return h.tries() > before })
	h.answer(http.StatusNoContent)
	mails.Down(false)
	if _, err := root.Move(t.Context(), "subscriptions", "reader-orders", "close", schema.Move{Reason: "over"}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Move(t.Context(), "credentials", "reader-1", "revoke", schema.Move{}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	const want = "subscription.requested subscription.closed"
	w.within(patience, "everything is there", func() bool { return h.took() == want })
	texts := h.bodies.String()
	got := map[string]string{}
	seen := map[string]bool{}
	for len(seen) < 5 {
		select {
		case m := <-mails.Mails():
			if _, id, _ := strings.Cut(m.Text, "Message-ID: "); seen[id[:20]] { // at least once
				continue
			} else {
				seen[id[:20]] = true
			}
			_, subject, _ := strings.Cut(m.Text, "Subject: [Sluice] ")
			subject, _, _ = strings.Cut(subject, "\n")
			got[m.To] += subject + "; "
			texts += m.Text
			if !m.TLS || m.User != "sluice" {
				t.Errorf("it came without TLS or login: %+v", m)
			}
		case <-time.After(patience):
			t.Fatalf("no more e-mails come, only %v", got)
		}
	}
	if got["shop@example.com"] != "Subscription reader-orders waits for approval; Subscription reader-orders is closed; " ||
		got["erp@example.com"] != "Subscription reader-orders is active; Subscription reader-orders is closed; Credential reader-1 is revoked; " {
		t.Errorf("e-mails %q", got)
	}
	for _, canary := range []string{secret, "mail-canary", "battery staple", "backing.orders"} {
		if strings.Contains(texts, canary) || strings.Contains(w.log.String(), canary) && canary != "backing.orders" {
			t.Errorf("%q is in what was sent, or in the log", canary)
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	// Where nothing allows it, no webhook leads inside.
	r, root = start()
	w.within(patience, "nothing is left", func() bool {
		left := 0
		if err := root.Notifications(t.Context(), nil, func(schema.Notification) bool { left++; return true }); err != nil {
			t.Fatal(err)
		}
		return left == 0
	})
	for len(mails.Mails()) > 0 { // what the stop had cut off came twice
		<-mails.Mails()
	}
	before = h.tries()
	tested, err := root.TestNotifications(t.Context(), "shop", client.Options{})
	if err != nil || len(tested.Items) != 2 || !strings.Contains(tested.Items[0].Problem, "not public") || tested.Items[1].Problem != "" {
		t.Errorf("%v %+v", err, tested)
	}
	if m := <-mails.Mails(); m.To != "shop@example.com" || !strings.Contains(m.Text, "A test") || h.tries() != before {
		t.Errorf("%+v, %d tries", m, h.tries()-before)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
}
