package gateway

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/gateway/handler"
	"sluice/internal/gateway/upstream"
	"sluice/internal/grant"
	"sluice/internal/kafka/sasl"
	"sluice/internal/kafka/wire"
	"sluice/internal/usage"
)

// login is where a connection stands between accept and its principal, and
// again whenever it re-authenticates (KIP-368).
type login struct {
	mechanism string // chosen by the handshake
	server    sasl.Server
	until     time.Time         // when the session ends; zero means never
	software  string            // what the client calls itself, for logs only
	asked     int               // ApiVersions requests before the login
	claimed   string            // who the client says it is, for the log of a refusal
	why       string            // what speaks against it, for the log only
	known     *grant.Credential // whose secret was proved, although it does not count
}

// against is what the log says of a refused login.
func (l *login) against(err error) []any {
	if l.claimed == "" { // a token: its validator knows
		return []any{"why", err}
	}
	return []any{"client_id", l.claimed, "why", l.why}
}

func (l *login) expired(now time.Time) bool { return !l.until.IsZero() && now.After(l.until) }

// Delays of the login (the design's §2.1): a refused one is answered late, so
// that clients which retry without a pause are held to one try a second, and
// its socket is kept a moment, so that the text is read.
const (
	refusalDelay  = time.Second
	refusalLinger = time.Second
	maxAsked      = 16

	// refusalsLogged is how many refusals of a result are logged in a second,
	// before a login: strangers cause as many as they like.
	refusalsLogged = 5
)

// authenticate serves the three Kafka APIs of a login until the connection has
// a principal: ApiVersions, SaslHandshake, SaslAuthenticate. Nothing else is
// read, and nothing is sent upstream.
func (c *clientConn) authenticate() error {
	certificate := c.certified()
	for {
		size, err := c.frames.Size(c.ctx, wire.Limit{Name: "max_unauthenticated_frame_bytes", Bytes: c.g.config.Limits.MaxUnauthenticatedFrameBytes})
		if err != nil {
			return c.readError(err)
		}
		// A client with a certificate goes straight to its first request: look
		// at the key before the frame is taken from the stream.
		if certificate != nil && size >= 2 {
			if err := c.frames.Need(c.ctx, 2, 0, 0, size); err != nil {
				return c.readError(err)
			}
			if key := c.frames.Window(); !wire.PreAuth(int16(uint16(key[0])<<8 | uint16(key[1]))) {
				if err := c.admitted(certificate, sasl.Identity{Mechanism: "TLS"}); err != nil {
					return err
				}
				if c.stopping.Load() { // the credential ended since the handshake
					return errFinished
				}
				return c.first(size)
			}
		}
		frame, err := c.frames.View(c.ctx, size)
		if err != nil {
			return c.readError(err)
		}
		header, body, err := wire.ParseRequestHeader(frame)
		if err == nil && !wire.PreAuth(header.APIKey) {
			err = fmt.Errorf("%s before the login: the client needs a security.protocol with SASL, and a sasl.mechanism", wire.APIName(header.APIKey))
		}
		if err != nil {
			return endedBy("client", "%w", err)
		}
		err = c.administer(header, body)
		c.frames.Discard(size)
		if err != nil {
			return err
		}
		if c.credential.Load() != nil {
			return nil
		}
	}
}

// first serves the request with which a client that has a certificate begins.
// Its length has been read already.
func (c *clientConn) first(size int) error {
	frame, err := c.frames.View(c.ctx, size)
	if err != nil {
		return c.readError(err)
	}
	defer c.frames.Discard(size)
	c.active = c.g.deps.Now()
	header, body, err := wire.ParseRequestHeader(frame)
	if err != nil {
		return endedBy("client", "%w", err)
	}
	if c.login.expired(c.g.deps.Now()) {
		return endedBy("client", "the credential of its certificate has ended")
	}
	api := handler.Lookup(header.APIKey)
	if api == nil || header.APIVersion < api.Min || header.APIVersion > api.Max {
		return endedBy("client", "Kafka API %d version %d is not offered", header.APIKey, header.APIVersion)
	}
	return c.handle(api, header, body)
}

// administer answers one request of the login's three APIs, before or after it.
func (c *clientConn) administer(header wire.RequestHeader, body []byte) error {
	p := &pending{key: header.APIKey, version: header.APIVersion, correlationID: header.CorrelationID, name: wire.APIName(header.APIKey)}
	switch header.APIKey {
	case 18:
		return c.apiVersions(p, body)
	case 17:
		return c.saslHandshake(p, body)
	default:
		return c.saslAuthenticate(p, body)
	}
}

func (c *clientConn) reply(p *pending, body func([]byte) []byte) error {
	return c.answerFrame(p, c.frameOf(p, 1024, body))
}

// apiVersions answers from the table of the gateway, narrowed to what every
// broker of the target clusters offers: it comes before the login, so it cannot
// depend on who asks.
func (c *clientConn) apiVersions(p *pending, body []byte) error {
	if c.login.asked++; c.login.asked > maxAsked && c.credential.Load() == nil {
		return endedBy("client", "asked for the API versions %d times before its login", maxAsked)
	}
	r, err := wire.ParseApiVersions(p.version, body)
	switch {
	case errors.Is(err, wire.ErrUnsupportedVersion) || p.version > 4:
		// Kafka answers a version it does not know in version 0.
		p.version = 0
		own := []wire.APIVersionRange{{APIKey: 18, Min: 0, Max: 4}}
		return c.reply(p, func(b []byte) []byte {
			return wire.AppendApiVersionsResponse(b, 0, wire.APIVersionsResponse{ErrorCode: kerr.UnsupportedVersion.Code, Keys: own})
		})
	case errors.Is(err, wire.ErrSoftwareName):
		return c.reply(p, func(b []byte) []byte {
			return wire.AppendApiVersionsResponse(b, p.version, wire.APIVersionsResponse{ErrorCode: kerr.InvalidRequest.Code, FinalizedEpoch: -1})
		})
	case err != nil:
		return endedBy("client", "%w", err)
	}
	if r.SoftwareName != "" {
		c.login.software = r.SoftwareName[:min(len(r.SoftwareName), 64)] + " " + r.SoftwareVersion[:min(len(r.SoftwareVersion), 64)]
		c.software.Store(new(c.login.software))
	}
	resp := c.g.offered()
	return c.reply(p, func(b []byte) []byte { return wire.AppendApiVersionsResponse(b, p.version, resp) })
}

// refuse answers a login with an error code and text, late, and ends the
// connection a moment later.
func (c *clientConn) refuse(p *pending, mechanism, result string, message string, args ...any) error {
	id := handler.RejectionID()
	c.g.metrics.logins.WithLabelValues(mechanism, result).Inc()
	most := refusalsLogged
	if c.credential.Load() != nil {
		most = math.MaxInt
	}
	c.g.atMost(most, c.log, slog.LevelInfo, "login refused "+result, "login refused",
		append([]any{"rejection", id, "mechanism", mechanism, "result", result, "software", c.login.software}, args...)...)
	c.refused(usage.Refusal{ID: id, Time: c.g.deps.Now(), API: "SaslAuthenticate", Operation: "log in", What: "mechanism", Name: mechanism, Verdict: result, Rule: message})
	c.pause(refusalDelay)
	text := message + " (rejection " + id + ")"
	err := c.reply(p, func(b []byte) []byte {
		return wire.AppendSaslAuthenticateResponse(b, p.version, kerr.SaslAuthenticationFailed.Code, &text, nil, 0)
	})
	if err != nil {
		return err
	}
	c.pause(refusalLinger)
	return errFinished
}

// refused keeps why the client was refused something.
func (c *clientConn) refused(r usage.Refusal) {
	refusals := c.g.deps.Refusals
	if refusals == nil {
		return
	}
	if c.inside == nil {
		r.Address = c.address.String()
	}
	cred := c.credential.Load()
	if cred == nil {
		cred = c.login.known
	}
	if cred != nil {
		r.Credential, r.Application, r.Environment = cred.Name, cred.Grant.Application, cred.Grant.Environment
	}
	refusals.Note(r)
}

// pause waits, shorter when the gateway drains or the connection ends.
func (c *clientConn) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	case <-c.g.draining:
	}
}

func (c *clientConn) saslHandshake(p *pending, body []byte) error {
	if p.version != 1 {
		return endedBy("client", "SaslHandshake version %d: raw tokens are refused, only version 1 is served", p.version)
	}
	mechanism, err := wire.ParseSaslHandshake(p.version, body)
	if err != nil {
		return endedBy("client", "%w", err)
	}
	offered := c.l.config.Mechanisms
	if !slices.Contains(offered, mechanism) {
		c.g.metrics.logins.WithLabelValues("other", "mechanism").Inc()
		p.last = true
		return c.reply(p, func(b []byte) []byte {
			return wire.AppendSaslHandshakeResponse(b, kerr.UnsupportedSaslMechanism.Code, offered)
		})
	}
	server, err := sasl.New(mechanism, sasl.Deps{Lookup: c.verifier, PhantomSecret: c.g.phantom, Tokens: c.g.deps.Tokens})
	if err != nil {
		return endedBy("gateway", "mechanism %s: %w", mechanism, err)
	}
	c.login.mechanism, c.login.server = mechanism, server
	return c.reply(p, func(b []byte) []byte { return wire.AppendSaslHandshakeResponse(b, 0, offered) })
}

func methodOf(mechanism string) grant.Method {
	switch mechanism {
	case sasl.Plain:
		return grant.Plain
	case sasl.OAuthBearer:
		return grant.OAuth
	}
	return grant.Scram
}

// verifier finds what a client has to prove, and notes for the log what it would
// be refused for.
func (c *clientConn) verifier(mechanism, clientID string) (first sasl.Verifier, others []sasl.Verifier, ok bool) {
	snapshot := c.g.Snapshot()
	c.login.claimed, c.login.why = clientID[:min(len(clientID), maxClaimed)], "wrong secret"
	cred := snapshot.Lookup(methodOf(mechanism), clientID)
	if cred == nil {
		c.login.why = "no credential has this client id"
		for _, other := range []grant.Method{grant.Plain, grant.Scram} {
			if cred := snapshot.Lookup(other, clientID); cred != nil {
				c.login.why = fmt.Sprintf("credential %s is of type %s, the client uses %s", cred.Name, other, mechanism)
			}
		}
		return sasl.Verifier{}, nil, false
	}
	for i := range cred.Verifiers {
		switch v := &cred.Verifiers[i]; {
		case v.Mechanism != mechanism:
		case !ok:
			first, ok = proof(v), true
		default:
			others = append(others, proof(v))
		}
	}
	if !ok {
		c.login.why = "the credential has no verifier for " + mechanism
	}
	return first, others, ok
}

// proof is a verifier as a login takes it.
func proof(v *grant.Verifier) sasl.Verifier {
	return sasl.Verifier{Mechanism: v.Mechanism, Salt: v.Salt, Iterations: v.Iterations, StoredKey: v.StoredKey, ServerKey: v.ServerKey, Secret: v.Secret}
}

// maxClaimed bounds what a stranger writes into the log.
const maxClaimed = 100

func (c *clientConn) saslAuthenticate(p *pending, body []byte) error {
	l := &c.login
	if p.version < 0 || p.version > 2 {
		return endedBy("client", "SaslAuthenticate version %d is not offered, only 0 to 2", p.version)
	}
	if l.server == nil {
		return endedBy("client", "SaslAuthenticate without SaslHandshake")
	}
	data, err := wire.ParseSaslAuthenticate(p.version, body)
	if err != nil {
		return endedBy("client", "%w", err)
	}
	challenge, done, err := l.server.Next(data)
	switch {
	case errors.Is(err, sasl.ErrMalformed):
		return c.refuse(p, l.mechanism, "malformed", err.Error())
	case err != nil:
		// One answer for an unknown client and a wrong secret; the reason is
		// the log's.
		return c.refuse(p, l.mechanism, "failed", "authentication failed: unknown client or wrong secret", c.login.against(err)...)
	case !done:
		return c.reply(p, func(b []byte) []byte {
			return wire.AppendSaslAuthenticateResponse(b, p.version, 0, nil, challenge, 0)
		})
	}
	identity := l.server.Identity()
	l.server = nil // an exchange is used once
	name := identity.Name
	if l.mechanism == sasl.OAuthBearer {
		name = identity.Issuer + "|" + identity.Name
	}
	now := c.g.deps.Now()
	cred := c.g.Snapshot().Lookup(methodOf(l.mechanism), name)
	if cred == nil {
		return c.refuse(p, l.mechanism, "failed", "authentication failed: no credential for this identity", "identity", name)
	}
	if why := cred.SecretUsable(identity.Secret, now); why != "" {
		c.login.known = cred
		return c.refuse(p, l.mechanism, "ended", why, "principal", cred.Name)
	}
	if before := c.credential.Load(); before != nil && before.Key() != cred.Key() {
		return c.refuse(p, l.mechanism, "changed", "re-authentication has to keep the principal", "principal", before.Name, "new", cred.Name)
	}
	if err := c.admitted(cred, identity); err != nil {
		return err
	}
	lifetime := int64(0)
	if !l.until.IsZero() {
		lifetime = max(l.until.Sub(now).Milliseconds(), 1)
	}
	return c.reply(p, func(b []byte) []byte {
		return wire.AppendSaslAuthenticateResponse(b, p.version, 0, nil, challenge, lifetime)
	})
}

// admitted gives the connection its principal.
func (c *clientConn) admitted(cred *grant.Credential, identity sasl.Identity) error {
	now := c.g.deps.Now()
	c.login.until = time.Time{}
	until := func(t time.Time) {
		if !t.IsZero() && (c.login.until.IsZero() || t.Before(c.login.until)) {
			c.login.until = t
		}
	}
	if life := c.g.config.Limits.SessionLifetime; life > 0 && identity.Mechanism != "TLS" && c.inside == nil {
		until(now.Add(life))
	}
	until(identity.ExpiresAt)
	until(cred.NotAfter)
	secretEnd, _ := cred.SecretEnd(identity.Secret)
	until(secretEnd)
	c.secret.Store(int64(identity.Secret))
	c.g.metrics.logins.WithLabelValues(identity.Mechanism, "ok").Inc()
	if logins := c.g.deps.Logins; logins != nil && c.inside == nil { // no client used it
		logins.Note(usage.Login{Credential: cred.Name, Secret: identity.Secret, Time: now, Address: c.address.String(), Software: c.login.software})
	}
	if c.credential.Load() != nil { // re-authentication: the same principal, as it is now, perhaps by another secret
		c.regrant()
		c.regranting.Lock()
		defer c.regranting.Unlock()
		c.watchExpiry(c.credential.Load())
		return nil
	}
	cluster := c.g.deps.Clusters.Cluster(cred.Grant.Cluster)
	if cluster == nil {
		return endedBy("gateway", "application %q is on target cluster %q, which this gateway does not know", cred.Grant.Application, cred.Grant.Cluster)
	}
	c.log = c.log.With("virtual_cluster", cred.Grant.Application, "principal", cred.Name)
	c.cluster = cluster
	c.state = &handler.Conn{
		Cluster: cluster, Addresses: c.l.addressing, Limits: c.g.config.Limits.Handler,
		Metrics: c.g.handling, Reservations: &c.g.reserved, Telemetry: c.g.telemetry, Log: c.log, Refused: c.refused, Current: func() *grant.Grant { return c.credential.Load().Grant },
	}
	c.credential.Store(cred)
	c.g.authenticated(c, cred.Grant.Application)
	c.frames.SetBudget(c.application.budget)
	c.frames.SetFirstBytes(firstBytes)
	c.watchExpiry(cred)
	c.log.Debug("login", "mechanism", identity.Mechanism, "software", c.login.software)
	// A snapshot that came in between has not seen this connection.
	c.regrant()
	return nil
}

// certified returns the credential of the client's certificate, or nil: the one
// that exactly one of its subject alternative names belongs to.
func (c *clientConn) certified() *grant.Credential {
	if c.tls == nil {
		return nil
	}
	state := c.tls.ConnectionState()
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return nil
	}
	var found *grant.Credential
	for _, name := range subjectNames(state.PeerCertificates[0]) {
		cred := c.g.Snapshot().Lookup(grant.MTLS, name)
		if cred == nil {
			continue
		}
		if found != nil && found != cred {
			c.g.atMost(refusalsLogged, c.log, slog.LevelWarn, "certificate of two", "client certificate fits two credentials and counts for neither", "principal", found.Name, "other", cred.Name)
			return nil
		}
		found = cred
	}
	if found != nil && found.Usable(c.g.deps.Now()) != "" {
		c.g.atMost(refusalsLogged, c.log, slog.LevelInfo, "certificate ended", "client certificate of an ended credential", "principal", found.Name)
		return nil
	}
	return found
}

// subjectNames are a certificate's alternative names, and its key, as grants write them.
func subjectNames(cert *x509.Certificate) []string {
	key := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	names := []string{"sha256:" + hex.EncodeToString(key[:])}
	for _, u := range cert.URIs {
		names = append(names, "uri:"+u.String())
	}
	for _, d := range cert.DNSNames {
		names = append(names, "dns:"+d)
	}
	for _, e := range cert.EmailAddresses {
		names = append(names, "email:"+e)
	}
	return names
}

// offered is what ApiVersions says.
func (g *Gateway) offered() wire.APIVersionsResponse {
	resp := wire.APIVersionsResponse{FinalizedEpoch: -1}
	clusters := g.deps.Clusters.All()
	highest := map[int16]int16{}
	for _, api := range handler.Table {
		if api.Posture == handler.Refused || g.telemetry == nil && (api.Key == 71 || api.Key == 72) {
			continue
		}
		lowest, most := api.Min, api.Max
		for _, cluster := range clusters {
			versions := cluster.Versions()
			if versions == nil || api.Posture == handler.Answered {
				continue
			}
			// Metadata is sent upstream in a version of our own.
			r, ok := versions[api.Key]
			if !ok {
				most = -1
				break
			}
			if api.Key != 3 {
				lowest = max(lowest, r.Min)
			}
			most = min(most, r.Max)
		}
		if most < lowest {
			continue
		}
		highest[api.Key] = most
		if api.Key == 0 {
			lowest = 0 // librdkafka before 2.8 needs it (KAFKA-18659); 0 to 2 are refused
		}
		resp.Keys = append(resp.Keys, wire.APIVersionRange{APIKey: api.Key, Min: lowest, Max: most})
	}
	slices.SortFunc(resp.Keys, func(a, b wire.APIVersionRange) int { return int(a.APIKey) - int(b.APIKey) })

	rests := restOn(highest)
	first := true
	for _, cluster := range clusters {
		supported, finalized, epoch := cluster.Features()
		if cluster.Versions() == nil {
			continue
		}
		s, f := features(supported, rests), features(finalized, rests)
		if first {
			resp.SupportedFeatures, resp.FinalizedFeatures, resp.FinalizedEpoch = s, f, epoch
			first = false
			continue
		}
		resp.SupportedFeatures = lower(resp.SupportedFeatures, s)
		resp.FinalizedFeatures = lower(resp.FinalizedFeatures, f)
		resp.FinalizedEpoch = max(resp.FinalizedEpoch, epoch)
	}
	if resp.FinalizedEpoch >= 0 {
		resp.FinalizedEpoch = featuresEpoch(resp.FinalizedFeatures)
	}
	return resp
}

// featuresEpoch is what clients compare to tell newer feature levels from older
// ones. A cluster's own is an offset in its metadata, which grows with whatever
// anybody does there; this one grows only when a level does.
func featuresEpoch(finalized []wire.FeatureRange) (epoch int64) {
	for _, f := range finalized {
		epoch += int64(f.Max)
	}
	return epoch
}

// restOn says which features may be told to clients: a feature is only true
// where every version it rests on is offered. highest are the versions offered,
// by API key.
func restOn(highest map[int16]int16) map[string]bool {
	return map[string]bool{
		"transaction.version": highest[0] >= 12 && highest[26] >= 5 && highest[28] >= 5,
		"group.version":       has(highest, 68) && has(highest, 69),
		"share.version":       has(highest, 76) && has(highest, 77) && has(highest, 78) && has(highest, 79),
		"streams.version":     has(highest, 88) && has(highest, 89),
	}
}

func has(m map[int16]int16, key int16) bool { _, ok := m[key]; return ok }

func features(in map[string]upstream.Range, rests map[string]bool) []wire.FeatureRange {
	var out []wire.FeatureRange
	for name, r := range in {
		if rests[name] {
			out = append(out, wire.FeatureRange{Name: name, Min: r.Min, Max: r.Max})
		}
	}
	slices.SortFunc(out, func(a, b wire.FeatureRange) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// lower keeps the features of both lists at the lower level.
func lower(a, b []wire.FeatureRange) []wire.FeatureRange {
	var out []wire.FeatureRange
	for _, x := range a {
		for _, y := range b {
			if x.Name == y.Name {
				out = append(out, wire.FeatureRange{Name: x.Name, Min: max(x.Min, y.Min), Max: min(x.Max, y.Max)})
			}
		}
	}
	return out
}
