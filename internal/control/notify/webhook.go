package notify

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/outbound"
)

// Poster is what webhooks need of an outbound.Client.
type Poster interface {
	Post(ctx context.Context, rawURL string, header map[string]string, body []byte) (status int, err error)
}

// Webhooks post notifications, signed as Standard Webhooks has it (v1, HMAC-SHA256).
type Webhooks struct {
	Client Poster
	// URL is where the webhook of a team is, "" for none.
	URL func(team string) string
	// Keys are what its notifications are signed with, the newest first.
	Keys func(ctx context.Context, team string) ([][]byte, error)
	Now  func() time.Time
}

// Deliver is a Deliver.
func (h *Webhooks) Deliver(ctx context.Context, n Notification) error {
	url := h.URL(n.To)
	if url == "" {
		return fault.New(fault.NotFound, "team %s has no webhook any more", n.To)
	}
	keys, err := h.Keys(ctx, n.To)
	if err != nil {
		return err
	}
	at := strconv.FormatInt(h.Now().Unix(), 10)
	status, err := h.Client.Post(ctx, url, map[string]string{
		"Content-Type": "application/cloudevents+json; charset=UTF-8", "User-Agent": "Sluice",
		"Webhook-Id": n.ID, "Webhook-Timestamp": at, "Webhook-Signature": signatures(keys, n.ID, at, n.Event),
	}, n.Event)
	var refused *outbound.RefusedError
	switch {
	case errors.As(err, &refused): // what the name leads to is the operator's to know
		return fault.Wrap(fault.Unavailable, err, "the webhook is at an address that is not public: whoever operates this has to allow it (outbound.allowNetworks)")
	case errors.Is(err, outbound.ErrRedirected):
		return fault.Wrap(fault.Unavailable, err, "the webhook redirects, which is not followed: write the URL that it redirects to")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, err, "the webhook did not answer in time")
	case err != nil:
		return fault.Wrap(fault.Unavailable, err, "the webhook could not be reached")
	case status == 410: // Gone
		return fault.New(fault.NotFound, "the webhook says that it is gone (status 410)")
	case status/100 != 2:
		return fault.New(fault.Unavailable, "the webhook answered with status %d", status)
	}
	return nil
}

// signatures signs with each key: while a secret is being replaced, either is good.
func signatures(keys [][]byte, id, at string, body []byte) string {
	var all []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}

// Overlap is how long notifications are signed with the secret before as well.
const Overlap = 24 * time.Hour

// secretPrefix begins a secret, as Standard Webhooks has it.
const secretPrefix = "whsec_"

// made says which secrets a team's webhook has: each follows from the seed of the
// installation and a number that is used once, so that none is in the store.
type made struct {
	Now    string    `json:"now"`
	Before string    `json:"before,omitzero"`
	Until  time.Time `json:"until,omitzero"`
}

// Notes is what secrets need of a store.
type Notes interface {
	Note(name string) (string, error)
}

func secretNote(team string) string { return "webhook secret " + team }

func secretsOf(r Notes, team string) (m made, err error) {
	text, err := r.Note(secretNote(team))
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &m)
	}
	if err != nil {
		return m, fmt.Errorf("read which secret the webhook of team %s has: %w", team, err)
	}
	return m, nil
}

// Keys returns what notifications to a team's webhook are signed with now. Before a
// secret was made, it is one that nobody knows.
func Keys(r Notes, seed []byte, team string, now time.Time) ([][]byte, error) {
	m, err := secretsOf(r, team)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(seed, team, m.Now)
	if err != nil {
		return nil, err
	}
	keys := [][]byte{key}
	if m.Before != "" && now.Before(m.Until) {
		if key, err = keyOf(seed, team, m.Before); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func keyOf(seed []byte, team, once string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, seed, []byte(once), "sluice webhook of "+team, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of a webhook: %w", err)
	}
	return key, nil
}

// NewSecret makes a secret for a team's webhook, and returns it. The one before counts
// for Overlap.
func NewSecret(w Store, seed []byte, team string, now time.Time) (string, error) {
	m, err := secretsOf(w, team)
	if err != nil {
		return "", err
	}
	next := made{Now: rand.Text()}
	if m.Now != "" {
		next.Before, next.Until = m.Now, now.Add(Overlap).UTC()
	}
	b, err := json.Marshal(next)
	if err == nil {
		err = w.PutNote(secretNote(team), string(b))
	}
	if err != nil {
		return "", err
	}
	key, err := keyOf(seed, team, next.Now)
	return secretPrefix + base64.StdEncoding.EncodeToString(key), err
}

// ForgetSecret is for a team that is gone: another one with its name has another secret.
func ForgetSecret(w Store, team string) error { return w.PutNote(secretNote(team), "") }
