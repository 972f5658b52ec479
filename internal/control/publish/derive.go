package publish

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"sluice/internal/control/token"
	"sluice/internal/grant"
	"sluice/internal/resource"
)

// derive hashes the installation's seed with what something is for and whose it
// is. Each part is preceded by its length, so no two lists of parts meet.
func (c *compiler) derive(purpose string, parts ...string) [sha256.Size]byte {
	h := sha256.New()
	write := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	write([]byte(purpose))
	write(c.opts.Seed)
	for _, p := range parts {
		write([]byte(p))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// topicID returns the virtual id of an exposed topic, a UUID of version 8
// (RFC 9562). It depends on nothing that a revision or a failover changes.
func (c *compiler) topicID(environment, application, exposed string) grant.TopicID {
	sum := c.derive("sluice topic id", environment, application, exposed)
	id := grant.TopicID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

var base32Lower = base32.StdEncoding.WithPadding(base32.NoPadding)

func (c *compiler) prefix(environment, application string) string {
	sum := c.derive("sluice prefix", environment, application)
	return "t" + strings.ToLower(base32Lower.EncodeToString(sum[:]))[:12] + "."
}

func (c *compiler) idKey(environment, application string) grant.TopicID {
	sum := c.derive("sluice id key", environment, application)
	return grant.TopicID(sum[:16])
}

// virtualClusterID is 22 characters of base64url, as Kafka's own are.
func (c *compiler) virtualClusterID(environment, application string) string {
	sum := c.derive("sluice virtual cluster id", environment, application)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// identityOf returns what a credential proves, as the gateway will look it up.
// KeyOf returns what a gateway knows a credential by.
func KeyOf(d *resource.Credential) grant.Key {
	method, identity := identityOf(d)
	return grant.Key{Method: method, Identity: identity}
}

func identityOf(d *resource.Credential) (grant.Method, string) {
	s := d.Spec
	switch s.Type {
	case "plain", "scram":
		return grant.Method(s.Type), s.ClientID
	case "oauth":
		if s.OwnTokens() && s.ClientID != "" {
			return grant.OAuth, token.Name + "|" + s.ClientID
		}
		if s.Issuer == "" || s.Subject == "" {
			return grant.OAuth, ""
		}
		return grant.OAuth, s.Issuer + "|" + s.Subject
	case "mtls":
		return grant.MTLS, s.SAN
	}
	return "", ""
}
