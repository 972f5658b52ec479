package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/control/identity"
	"sluice/internal/control/identity/openid"
	"sluice/internal/fault"
	"sluice/internal/httpapi/schema"
)

// Cookies of browsers. Where people reach us by https, their names begin with a prefix
// that browsers keep for this host and for TLS (RFC 6265bis §4.1.3.2).
const (
	secureCookies = "__Host-"
	loginCookie   = "sluice_login" // the secret of a login
	flowCookie    = "sluice_oidc"  // what a browser brings back from an identity provider
	flowSeconds   = 600
)

// The pages of a login through an identity provider.
const (
	startPath    = "/v1/login/oidc/start"
	callbackPath = "/v1/login/oidc/callback"
	handOverPath = "/v1/login/oidc/hand-over" // where the way of a program ends; no page
)

// CallbackURL is where identity providers send browsers back to, for the URL of the API.
func CallbackURL(url string) string { return strings.TrimSuffix(url, "/") + callbackPath }

// cookieName is a cookie's name for browsers that reach us by TLS, or without it.
func cookieName(name string, secure bool) string {
	if secure {
		return secureCookies + name
	}
	return name
}

// cookie makes one; secure says that the request came by TLS.
func (a *API) cookie(name, value string, seconds int, secure bool) *http.Cookie {
	secure = secure || a.secure
	return &http.Cookie{Name: cookieName(name, secure), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}
}

func (a *API) loginCookie(secret identity.Secret, login *identity.Login, secure bool) *http.Cookie {
	return a.cookie(loginCookie, secret.Reveal(), int(login.Expires.Sub(login.Created).Seconds()), secure)
}

// external registers the routes of logins through identity providers.
func (a *API) external() {
	tags := []string{"People"}
	open := []map[string][]string{{}}
	huma.Register(a.huma, huma.Operation{OperationID: "list-login-methods", Method: http.MethodGet, Path: "/v1/login/methods", Summary: "Say in which ways people log in", Tags: tags, Security: open},
		func(context.Context, *struct{}) (*struct{ Body schema.LoginMethods }, error) {
			out := &struct{ Body schema.LoginMethods }{schema.LoginMethods{Passwords: string(a.people.Passwords()), Providers: []string{}, SignUp: a.people.SignsUp(), URL: a.url}}
			for _, p := range a.providers {
				out.Body.Providers = append(out.Body.Providers, p.Name())
			}
			return out, nil
		})
	huma.Register(a.huma, huma.Operation{OperationID: "exchange-login", Method: http.MethodPost, Path: "/v1/login/oidc/exchange", Summary: "Log a program in, with the code that a browser brought it", Tags: tags, Security: open},
		func(ctx context.Context, in *struct{ Body schema.HandedOver }) (*struct{ Body schema.Login }, error) {
			secret, login, err := a.people.LogInByCode(ctx, from(ctx), in.Body.Code, in.Body.Verifier)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &struct{ Body schema.Login }{schema.Login{Token: secret.Reveal(), Person: login.Person, Expires: login.Expires}}, nil
		})
	text := func(name, description string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	a.page(huma.Operation{OperationID: "start-oidc", Method: http.MethodGet, Path: startPath, Summary: "Send a browser to an identity provider", Tags: tags, Security: open, Parameters: []*huma.Param{
		text("provider", "The name of the provider; the only one by default."), text("return", "The path to end up at, in a browser."),
		text("port", "For programs: the port on 127.0.0.1 to which the browser brings a code."), text("challenge", "For programs: the S256 challenge (RFC 7636)."), text("state", "For programs: what the browser brings back with the code."),
	}}, a.start)
	a.page(huma.Operation{OperationID: "finish-oidc", Method: http.MethodGet, Path: callbackPath, Summary: "Where identity providers send browsers back to", Tags: tags, Security: open, Parameters: []*huma.Param{
		text("state", "As the provider got it."), text("code", "The provider's."), text("iss", "The provider (RFC 9207)."), text("error", "Why it came to nothing."),
	}}, a.callback)
}

// page registers a route for browsers, which are sent on.
func (a *API) page(op huma.Operation, serve func(http.ResponseWriter, *http.Request) error) {
	a.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Referrer-Policy", "no-referrer")
		if err := serve(w, r); err != nil {
			id := request(r.Context()).ID
			a.told(id, err)
			refuseLogin(w, r, unasked(request(r.Context()).Actor, problem(err, id)))
		}
	})
	op.Responses = map[string]*huma.Response{"302": {Description: "Where the browser goes on."}}
	a.huma.OpenAPI().AddOperation(&op)
}

func (a *API) provider(name string) (*openid.Provider, error) {
	for _, p := range a.providers {
		if p.Name() == name || name == "" && len(a.providers) == 1 {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no identity provider %q here", clip(name))
}

// start sends a browser to an identity provider.
func (a *API) start(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	p, err := a.provider(q.Get("provider"))
	if err != nil {
		return err
	}
	back := q.Get("return")
	if back == "" {
		back = "/"
	}
	if port := q.Get("port"); port != "" {
		over := url.Values{"port": {port}, "challenge": {q.Get("challenge")}, "state": {q.Get("state")}}
		if _, err := handOverTo(over); err != nil {
			return err
		}
		back = handOverPath + "?" + over.Encode()
	}
	location, bring, err := p.Begin(r.Context(), back)
	if err != nil {
		return err
	}
	http.SetCookie(w, a.cookie(flowCookie, p.Name()+"."+bring.Reveal(), flowSeconds, r.TLS != nil))
	http.Redirect(w, r, location, http.StatusFound)
	return nil
}

// handOverTo returns the address of a program on the person's machine (RFC 8252 §7.3).
func handOverTo(q url.Values) (string, error) {
	port, err := strconv.ParseUint(q.Get("port"), 10, 16)
	if err != nil || port < 1024 || !identity.IsChallenge(q.Get("challenge")) || len(q.Get("state")) > 128 {
		return "", fault.New(fault.Invalid, "a program needs a port from 1024 on, an S256 challenge, and a state of 128 characters at most")
	}
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10)) + "/", nil
}

// callback takes a browser back from an identity provider.
func (a *API) callback(w http.ResponseWriter, r *http.Request) error {
	brought := a.cookie(flowCookie, "", -1, r.TLS != nil)
	c, err := r.Cookie(brought.Name)
	if err != nil {
		return fault.New(fault.Denied, "this is not the browser that the login began with, or it took too long: begin again")
	}
	http.SetCookie(w, brought) // forgotten, whatever comes of it
	if err := a.people.Attempt(from(r.Context())); err != nil {
		return err
	}
	name, bring, _ := strings.Cut(c.Value, ".")
	p, err := a.provider(name)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	person, back, err := p.Finish(r.Context(), bring, openid.Answer{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error")})
	if err != nil {
		return err
	}
	if over, ok := strings.CutPrefix(back, handOverPath+"?"); ok {
		return a.handOver(w, r, person, over)
	}
	secret, login, err := a.people.LogInExternal(r.Context(), from(r.Context()), person)
	if err != nil {
		return err
	}
	http.SetCookie(w, a.loginCookie(secret, login, r.TLS != nil))
	http.Redirect(w, r, back, http.StatusFound)
	return nil
}

// handOver sends the browser on to the program that began the login.
func (a *API) handOver(w http.ResponseWriter, r *http.Request, person identity.External, over string) error {
	q, err := url.ParseQuery(over)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the login was not begun as it should be")
	}
	to, err := handOverTo(q)
	if err != nil {
		return err
	}
	code, err := a.people.HandOver(r.Context(), from(r.Context()), person, q.Get("challenge"))
	if err != nil {
		return err
	}
	http.Redirect(w, r, to+"?"+url.Values{"code": {code.Reveal()}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	return nil
}
