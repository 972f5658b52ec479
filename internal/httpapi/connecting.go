package httpapi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

// Access is where Kafka clients reach an environment.
type Access struct {
	// Bootstrap is host:port; "" where it is not known.
	Bootstrap string
	// TLS says that the listener speaks TLS.
	TLS bool
	// CA is the authority to trust, in PEM; "" for a public one.
	CA string
	// Mechanisms of SASL that it offers; nil where they are not known.
	Mechanisms []string
}

// access is where clients reach an environment: where its document says, else where this
// process listens.
func (a *API) access(environment string) Access {
	var here Access
	if a.listens != nil {
		here = a.listens(environment)
	}
	if r := a.plane.Model().Get(resource.Key{Kind: resource.KindEnvironment, Name: environment}); r != nil {
		if c := r.Document.(*resource.Environment).Spec.Clients; c != nil {
			here.Bootstrap, here.TLS, here.CA = strings.ReplaceAll(c.Bootstrap, " ", ""), c.TLS, c.CA
		}
	}
	return here
}

// connecting says how a Kafka client logs in with a credential. With its secret, the
// properties of a client are there too. It is nil when there is no such credential.
func (a *API) connecting(ctx context.Context, name, secret string) *schema.Client {
	r := a.plane.Model().Get(resource.Key{Kind: resource.KindCredential, Name: name})
	if r == nil {
		return nil
	}
	credential := r.Document.(*resource.Credential)
	environment, spec := credential.Metadata.Environment, &credential.Spec
	at := a.access(environment)
	out := &schema.Client{Username: spec.ClientID, Bootstrap: at.Bootstrap, CA: at.CA, Protocol: "SASL_PLAINTEXT"}
	if at.TLS {
		out.Protocol = "SASL_SSL"
	}
	const security = "org.apache.kafka.common.security."
	var module string
	options := [2]string{"username", "password"}
	switch spec.Type {
	case "mtls":
		out.Protocol = "SSL"
		return out
	case "plain":
		out.Mechanism, module = "PLAIN", "plain.PlainLoginModule"
	case "scram":
		out.Mechanism, module = "SCRAM-SHA-512", "scram.ScramLoginModule"
		if at.Mechanisms != nil && !slices.Contains(at.Mechanisms, out.Mechanism) {
			out.Mechanism = "SCRAM-SHA-256"
		}
	case "oauth":
		out.Mechanism, module, options = "OAUTHBEARER", "oauthbearer.OAuthBearerLoginModule", [2]string{"clientId", "clientSecret"}
		if spec.OwnTokens() {
			out.TokenEndpoint = asked(ctx).server + "/v1/oauth/" + environment + "/token"
		}
	}
	if secret == "" {
		return out
	}
	var b strings.Builder
	if out.Bootstrap == "" {
		b.WriteString("# bootstrap.servers= is not known here: ask a platform-admin, who can say it in the document of the environment (spec.clients)\n")
	} else {
		fmt.Fprintf(&b, "bootstrap.servers=%s\n", out.Bootstrap)
	}
	fmt.Fprintf(&b, "security.protocol=%s\nsasl.mechanism=%s\n", out.Protocol, out.Mechanism)
	if out.TokenEndpoint != "" {
		fmt.Fprintf(&b, "# Java wants the system property org.apache.kafka.sasl.oauthbearer.allowed.urls with the address of the endpoint besides\n"+
			"sasl.oauthbearer.token.endpoint.url=%s\nsasl.login.callback.handler.class=%soauthbearer.OAuthBearerLoginCallbackHandler\n", out.TokenEndpoint, security)
	}
	fmt.Fprintf(&b, "sasl.jaas.config=%s%s required %s=\"%s\" %s=\"%s\";\n", security, module, options[0], quoted(out.Username), options[1], quoted(secret))
	if out.CA != "" {
		b.WriteString("# the authority, in a file beside this one\nssl.truststore.type=PEM\nssl.truststore.location=ca.pem\n")
	}
	out.Properties = b.String()
	return out
}

// quoted is a text between the quotes of an option of JAAS, in a properties file.
func quoted(text string) string {
	text = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) // for JAAS
	return strings.ReplaceAll(text, `\`, `\\`)                     // for properties
}
