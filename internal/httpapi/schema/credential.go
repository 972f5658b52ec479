package schema

import "time"

// Rotate asks for a new secret of a credential.
type Rotate struct {
	// Overlap is how long the secret before stays good, as 24h; with 0s it ends at once,
	// and with it the connections that logged in with it.
	Overlap string `json:"overlap,omitempty" doc:"How long the secret before stays good, as 24h, which is the default; 0s for not at all."`
	// Reason is for the audit log.
	Reason string `json:"reason,omitempty"`
}

// Rotation is a new secret.
type Rotation struct {
	Name string `json:"name"`
	// Number counts the secrets of the credential.
	Number int `json:"number"`
	// Secret is shown this once and kept nowhere; not there of a dry run.
	Secret string `json:"secret,omitempty"`
	// Client is how a Kafka client logs in with it.
	Client *Client `json:"client,omitempty"`
	// PreviousUntil is when the secret before ends, or has ended.
	PreviousUntil time.Time `json:"previousUntil"`
	Serial        int64     `json:"serial"`
	Request       string    `json:"request"`
	DryRun        bool      `json:"dryRun,omitempty"`
}

// Client is how a Kafka client logs in with a credential.
type Client struct {
	// Username is what it logs in as, and asks for tokens as; not there with a certificate,
	// or tokens of an issuer elsewhere.
	Username string `json:"username,omitempty"`
	// Bootstrap is where it connects, as host:port; not there where nobody has said so.
	Bootstrap string `json:"bootstrap,omitempty"`
	// Protocol is SASL_SSL, SASL_PLAINTEXT or SSL, Mechanism that of SASL.
	Protocol  string `json:"protocol,omitempty"`
	Mechanism string `json:"mechanism,omitempty"`
	// TokenEndpoint gives tokens for username and secret.
	TokenEndpoint string `json:"tokenEndpoint,omitempty"`
	// CA is the authority that the client is to trust, in PEM; not there for a public one.
	CA string `json:"ca,omitempty"`
	// Properties are those of Kafka's own clients, the secret included; shown this once.
	Properties string `json:"properties,omitempty"`
}

// Secret is what may be told of a credential's secret.
type Secret struct {
	// Number counts the secrets of the credential; 0 where none is counted, as with a
	// certificate.
	Number int `json:"number"`
	// State is active, retiring or revoked.
	State   string     `json:"state" enum:"active,retiring,revoked"`
	Created *time.Time `json:"created,omitempty"`
	// Ends is when it ends, or has ended.
	Ends *time.Time `json:"ends,omitempty"`
	// Used is the last login with it, within a minute or so.
	Used *Use `json:"used,omitempty"`
}

// Use is a login.
type Use struct {
	Time    time.Time `json:"time"`
	Address string    `json:"address,omitempty"`
	// Software is what the client calls itself.
	Software string `json:"software,omitempty"`
	// Gateway is which one it came to.
	Gateway string `json:"gateway,omitempty"`
}
