package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sluice/internal/control/publish"
	"sluice/internal/outbound"
)

// tokenSource gets bearer tokens by client credentials (RFC 6749 §4.4) and keeps
// one until shortly before it expires. Safe for concurrent use.
type tokenSource struct {
	client *outbound.Client
	now    func() time.Time

	mu     sync.Mutex // guards what follows
	issuer publish.TokenIssuer
	kept   string
	until  time.Time
}

func (t *tokenSource) token(ctx context.Context, is publish.TokenIssuer) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept != "" && t.issuer == is && t.now().Before(t.until) {
		return t.kept, nil
	}
	token, lifetime, err := t.fetch(ctx, is)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	// The last tenth is left for logins under way; without a lifetime nothing is kept.
	t.issuer, t.kept, t.until = is, token, t.now().Add(lifetime-lifetime/10)
	return token, nil
}

func (t *tokenSource) fetch(ctx context.Context, is publish.TokenIssuer) (string, time.Duration, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if is.Scope != "" {
		form.Set("scope", is.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, is.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errors.New("tokenEndpoint is not a URL")
	}
	req.SetBasicAuth(url.QueryEscape(is.ClientID), url.QueryEscape(is.ClientSecret.Reveal())) // RFC 6749 §2.3.1
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"`
		Error   string  `json:"error"`
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	switch {
	case resp.StatusCode != http.StatusOK:
		return "", 0, fmt.Errorf("%s answers %d %.80q", req.URL.Host, resp.StatusCode, answer.Error)
	case err != nil:
		return "", 0, fmt.Errorf("%s does not answer JSON", req.URL.Host)
	case answer.Token == "":
		return "", 0, fmt.Errorf("%s answers without an access_token", req.URL.Host)
	}
	return answer.Token, time.Duration(min(max(answer.Expires, 0), 86400) * float64(time.Second)), nil
}
