package publish

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"sluice/internal/resource"
)

// Cluster is a target cluster with its secrets, ready to be dialled.
type Cluster struct {
	Name      string
	Bootstrap []string
	// TLS is nil for plaintext. It is at least TLS 1.2.
	TLS *tls.Config
	// SASL is nil for none.
	SASL *SASL
	// System marks the cluster that holds Sluice's own topics.
	System bool
	// Identity is who applications are there; nil where nothing is said of it.
	Identity *Identity
	// Fingerprint changes when anything above does.
	Fingerprint string
}

// Identity is who applications are at a target cluster.
type Identity struct {
	PerApplication bool
	Mechanism      string          // SCRAM-SHA-256 or SCRAM-SHA-512
	MasterKey      resource.Secret // set with PerApplication
}

// minMasterKey is how long a master key is at least, in bytes.
const minMasterKey = 32

// SASL is who the gateway is at a target cluster.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	Mechanism string
	Username  string
	Password  resource.Secret
	// Token is a bearer token; Issuer gets one instead.
	Token      resource.Secret
	Issuer     *TokenIssuer
	Extensions map[string]string
}

// TokenIssuer is where bearer tokens come from (RFC 6749 §4.4).
type TokenIssuer struct {
	TokenEndpoint string
	ClientID      string
	ClientSecret  resource.Secret
	Scope         string
}

// Clusters resolves the target clusters of an environment, as Compile does; docs may
// have others too. It returns every problem.
func Clusters(docs []*resource.Cluster, environment string, secret func(resource.SecretRef) (string, error)) ([]Cluster, []resource.Problem) {
	c := &compiler{set: &resource.Set{Clusters: docs}, opts: Options{Environment: environment, Secret: secret}}
	return c.clusters(), c.sorted()
}

// clusters resolves the clusters of the environment.
func (c *compiler) clusters() []Cluster {
	var out []Cluster
	for _, d := range c.set.Clusters {
		if d.Metadata.Environment != c.opts.Environment {
			continue
		}
		out = append(out, c.cluster(d))
	}
	slices.SortFunc(out, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (c *compiler) cluster(d *resource.Cluster) Cluster {
	h := sha256.New()
	resolve := func(path string, ref resource.SecretRef) string {
		if ref.IsZero() {
			return ""
		}
		secret, err := c.opts.Secret(ref)
		if err != nil {
			c.add(d.Problem(path, err.Error(), "set it, or correct the reference"))
		}
		fmt.Fprintf(h, "%s=%q\n", path, secret)
		return secret
	}
	s := d.Spec
	out := Cluster{Name: d.Name(), Bootstrap: s.Bootstrap, System: s.System}
	fmt.Fprintf(h, "%q %t\n", s.Bootstrap, s.System)
	if t := s.TLS; t != nil {
		fmt.Fprintf(h, "tls %q %t\n", t.ServerName, t.InsecureSkipVerify)
		out.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
		if ca := resolve("spec.tls.ca", t.CA); ca != "" {
			out.TLS.RootCAs = x509.NewCertPool()
			if !out.TLS.RootCAs.AppendCertsFromPEM([]byte(ca)) {
				c.add(d.Problem("spec.tls.ca", t.CA.Describe()+" holds no certificate", "give certificates in PEM"))
			}
		}
		certificate, key := resolve("spec.tls.certificate", t.Certificate), resolve("spec.tls.key", t.Key)
		if certificate != "" && key != "" {
			pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
			if err != nil {
				c.add(d.Problem("spec.tls.certificate", err.Error(), "give a certificate and its key in PEM"))
			}
			out.TLS.Certificates = []tls.Certificate{pair}
		}
	}
	if a := s.SASL; a != nil {
		fmt.Fprintf(h, "sasl %q %q\n", a.Mechanism, a.Username)
		for _, k := range slices.Sorted(maps.Keys(a.Extensions)) {
			fmt.Fprintf(h, "%q=%q\n", k, a.Extensions[k])
		}
		out.SASL = &SASL{
			Mechanism: a.Mechanism, Username: a.Username, Extensions: a.Extensions,
			Password: resource.Secret(resolve("spec.sasl.password", a.Password)),
			Token:    resource.Secret(resolve("spec.sasl.token", a.Token)),
		}
		if is := a.Issuer; is != nil {
			fmt.Fprintf(h, "issuer %q %q %q\n", is.TokenEndpoint, is.ClientID, is.Scope)
			out.SASL.Issuer = &TokenIssuer{TokenEndpoint: is.TokenEndpoint, ClientID: is.ClientID, Scope: is.Scope,
				ClientSecret: resource.Secret(resolve("spec.sasl.issuer.clientSecret", is.ClientSecret))}
		}
	}
	if id := s.Identity; id != nil {
		out.Identity = &Identity{PerApplication: id.PerApplication, Mechanism: cmp.Or(id.Mechanism, "SCRAM-SHA-512")}
		fmt.Fprintf(h, "identity %t %q\n", id.PerApplication, out.Identity.Mechanism)
		if id.PerApplication {
			key := resolve("spec.identity.masterKey", id.MasterKey)
			if key != "" && len(key) < minMasterKey {
				c.add(d.Problem("spec.identity.masterKey", fmt.Sprintf("%s holds %d bytes, too few for secrets to be derived from", id.MasterKey.Describe(), len(key)), fmt.Sprintf("make one of %d random bytes or more", minMasterKey)))
			}
			out.Identity.MasterKey = resource.Secret(key)
		}
	}
	out.Fingerprint = hex.EncodeToString(h.Sum(nil)[:16])
	return out
}
