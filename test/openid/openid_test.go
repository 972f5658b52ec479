package openid

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/identity"
	"sluice/internal/control/identity/openid"
	"sluice/internal/fault"
	"sluice/internal/outbound"
	"sluice/internal/resource"
	"sluice/internal/store/sqlstore"
)

const (
	back   = "https://portal.example.com/login/corp"
	secret = "canary-client-secret-0123456789abcdef"
)

// client is one that the provider knows.
func client(id, alg, method string) object { return clientAt(back, id, alg, method) }

// clientAt is one that people are sent back to.
func clientAt(back, id, alg, method string) object {
	c := object{"client_id": id, "redirect_uris": []string{back}, "id_token_signed_response_alg": alg, "token_endpoint_auth_method": method}
	if method != "none" {
		c["client_secret"] = secret
	}
	return c
}

var people = map[string]object{
	"bob": {"name": "Bob B.", "preferred_username": "bob", "email": "ada@example.com", "email_verified": true, "groups": []string{"shop-devs", "platform-admins"}},
	"eve": {"name": "Eve", "preferred_username": "ada", "email": "root@example.com", "groups": "shop-devs"},
}

// provider is our side of the issuer, as a client of it.
func provider(t *testing.T, i Issuer, change ...func(*openid.Config)) *openid.Provider {
	t.Helper()
	config := openid.Config{
		Name: "corp", Issuer: i.URL, ClientID: "sluice", ClientSecret: identity.NewSecret(secret), RedirectURL: back,
		Scopes: []string{"openid", "profile", "email", "groups"},
	}
	for _, c := range change {
		c(&config)
	}
	out := outbound.New(outbound.Config{AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: time.Minute})
	t.Cleanup(out.Close)
	p, err := openid.New(config, openid.Deps{Client: out, Key: bytes.Repeat([]byte{1}, 32), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func answer(q url.Values) openid.Answer {
	return openid.Answer{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error")}
}

// login takes somebody there and back.
func login(t *testing.T, p *openid.Provider, b *Browser) (identity.External, error) {
	t.Helper()
	location, bring, err := p.Begin(t.Context(), "/catalog")
	if err != nil {
		t.Fatal(err)
	}
	q, err := b.Visit(t.Context(), location, back)
	if err != nil {
		t.Fatal(err)
	}
	who, path, err := p.Finish(t.Context(), bring.Reveal(), answer(q))
	if err == nil && path != "/catalog" {
		t.Errorf("it ends at %q", path)
	}
	return who, err
}

// TestLogin logs people in with each kind of client and of signature, and sees who they are here.
func TestLogin(t *testing.T) {
	clients := []object{
		client("sluice", "RS256", "client_secret_basic"), client("post", "PS256", "client_secret_post"), client("elliptic", "ES256", "client_secret_basic"),
		client("edwards", "EdDSA", "client_secret_basic"), client("public", "RS256", "none"), client("shared", "HS256", "client_secret_basic"),
	}
	i := Start(t, clients, people)
	bob := NewBrowser("bob")
	for _, c := range clients {
		id := c["client_id"].(string)
		p := provider(t, i, func(config *openid.Config) {
			config.ClientID = id
			if id == "public" {
				config.ClientSecret = identity.Secret{}
			}
		})
		who, err := login(t, p, bob)
		if id == "shared" {
			if fault.KindOf(err) != fault.Denied || !strings.Contains(err.Error(), "HS256") {
				t.Errorf("a token signed with a shared secret: %v", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("client %s: %v", id, err)
			continue
		}
		if who.Issuer != i.URL || who.Subject != "bob" || who.Name != "bob" || who.Title != "Bob B." || who.Email != "ada@example.com" || !slices.Equal(who.Groups, []string{"shop-devs", "platform-admins"}) {
			t.Errorf("client %s: %+v", id, who)
		}
	}
	pages := bob.Pages
	if _, err := login(t, provider(t, i), bob); err != nil || bob.Pages != pages {
		t.Errorf("somebody who is logged in there fills in %d pages: %v", bob.Pages-pages, err)
	}

	// Who they are here: people of a real store, with roles from documents.
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "sluice.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	directory := identity.NewDirectory([]*resource.Organisation{
		{Metadata: resource.Metadata{Name: "acme"}, Spec: resource.OrganisationSpec{Members: map[string][]string{"ada": {"org-admin"}}, Groups: map[string][]string{"platform-admins": {"platform-admin"}}}},
		{Metadata: resource.Metadata{Name: "other"}, Spec: resource.OrganisationSpec{Groups: map[string][]string{"shop-devs": {"org-admin"}}}},
	}, []*resource.Team{{Metadata: resource.Metadata{Name: "shop"}, Spec: resource.TeamSpec{Organisation: "acme", Groups: map[string][]string{"shop-devs": {"publisher"}}}}})
	config := identity.DefaultConfig()
	config.Key, config.Providers = make([]byte, 32), map[string][]string{"corp": {"acme"}}
	accounts, err := identity.New(config, identity.Deps{Store: control.People(store), Directory: func() *identity.Directory { return directory }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p := provider(t, i, func(c *openid.Config) { c.NameClaim = "preferred_username" })
	for _, c := range []struct {
		browser *Browser
		name    string
	}{{bob, "corp:bob"}, {NewBrowser("eve"), "corp:ada"}} {
		who, err := login(t, p, c.browser)
		if err != nil {
			t.Fatal(err)
		}
		here, _, err := accounts.LogInExternal(t.Context(), identity.From{}, who)
		if err != nil {
			t.Fatal(err)
		}
		actor, _, err := accounts.Who(t.Context(), here.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		want := []identity.Membership{{Role: identity.Publisher, Organisation: "acme", Team: "shop"}}
		if actor.Name() != c.name || actor.PlatformAdmin() || !slices.Equal(actor.Memberships(), want) {
			t.Errorf("%s is %v with %v, platform-admin %v, want %v", c.browser.Login, actor, actor.Memberships(), actor.PlatformAdmin(), want)
		}
	}
}

// TestRefusals asks the provider for what it, or we, must refuse.
func TestRefusals(t *testing.T) {
	i := Start(t, []object{client("sluice", "RS256", "client_secret_basic")}, people)
	p := provider(t, i)
	begin := func() (string, string) {
		t.Helper()
		location, bring, err := p.Begin(t.Context(), "/")
		if err != nil {
			t.Fatal(err)
		}
		return location, bring.Reveal()
	}
	refused := func(what string, err error, kind fault.Kind, words string) {
		t.Helper()
		if fault.KindOf(err) != kind || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %s, %v, want %s with %q", what, fault.KindOf(err), err, kind, words)
		}
	}
	bob := NewBrowser("bob")
	visit := func(location string) openid.Answer {
		t.Helper()
		q, err := bob.Visit(t.Context(), location, back)
		if err != nil {
			t.Fatal(err)
		}
		return answer(q)
	}
	location, bring := begin()
	a := visit(location)
	if a.Issuer != i.URL {
		t.Errorf("the answer is from %q", a.Issuer)
	}
	without := a
	without.Issuer = ""
	_, _, err := p.Finish(t.Context(), bring, without)
	refused("an answer that does not say from whom", err, fault.Denied, "begin again")
	if _, _, err := p.Finish(t.Context(), bring, a); err != nil {
		t.Error(err)
	}
	_, _, err = p.Finish(t.Context(), bring, a)
	refused("a code a second time", err, fault.Denied, "invalid_grant")

	// A code that was got with somebody else's challenge is of no use here.
	_, bring = begin()
	theirs, _ := begin()
	mine, bring2 := begin()
	a = visit(theirs)
	_, _, err = p.Finish(t.Context(), bring, a)
	refused("another browser's answer", err, fault.Denied, "begin again")
	u, _ := url.Parse(theirs)
	m, _ := url.Parse(mine)
	q := m.Query()
	q.Set("code_challenge", u.Query().Get("code_challenge"))
	m.RawQuery = q.Encode()
	_, _, err = p.Finish(t.Context(), bring2, visit(m.String()))
	refused("another challenge", err, fault.Denied, "invalid_grant")

	// The same nonce in two logins would make their tokens alike.
	mine, bring = begin()
	m, _ = url.Parse(mine)
	q = m.Query()
	q.Set("nonce", u.Query().Get("nonce"))
	m.RawQuery = q.Encode()
	_, _, err = p.Finish(t.Context(), bring, visit(m.String()))
	refused("another nonce", err, fault.Denied, "nonce")

	no := NewBrowser("bob")
	no.Refuse = true
	location, bring = begin()
	said, err := no.Visit(t.Context(), location, back)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = p.Finish(t.Context(), bring, answer(said))
	refused("the person does not want to", err, fault.Denied, "access_denied")

	for name, change := range map[string]func(*openid.Config){
		"a page that is not registered": func(c *openid.Config) { c.RedirectURL = back + "/" },
		"a client that is not known":    func(c *openid.Config) { c.ClientID = "nobody" },
	} {
		location, _, err := provider(t, i, change).Begin(t.Context(), "/")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bob.Visit(t.Context(), location, back); !errors.Is(err, errStays) {
			t.Errorf("%s: got %v, want that the person stays there", name, err)
		}
	}
	p = provider(t, i, func(c *openid.Config) { c.ClientSecret = identity.NewSecret("canary-wrong") })
	location, bring = begin()
	_, _, err = p.Finish(t.Context(), bring, visit(location))
	refused("a wrong secret of ours", err, fault.Denied, "invalid_client")
}
