package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
)

const (
	// maxLoginRounds is more than any mechanism needs.
	maxLoginRounds = 8
	// maxScramIterations bounds the work a broker can make us do per login;
	// Kafka itself stops at 16384.
	maxScramIterations = 100_000
)

// login authenticates: handshake v1, so that tokens travel as requests, then
// as many rounds as the mechanism wants. It is used again for KIP-368.
func (c *Conn) login(ctx context.Context) error {
	mechanism, err := c.mechanism(ctx)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	if mechanism == nil {
		return nil
	}
	name := mechanism.Name()
	if err := c.offer(name); err != nil {
		return err
	}
	session, message, err := mechanism.Authenticate(ctx, c.addr)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	user, secrets := firstMessage(name, message)
	who := strings.TrimSpace(name + " " + user)

	asked := time.Now()
	var lifetime time.Duration
	for round, done := 0, false; !done || len(message) > 0; round++ {
		if round == maxLoginRounds {
			return malformed("%s does not end after %d rounds", name, round)
		}
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.SASLAuthBytes = message
		answer, err := c.request(req, maxLoginResponseBytes, 0)
		if err != nil {
			if hungUp(err) {
				return fmt.Errorf("broker closed the connection on %s, so it probably refuses the credentials: %w", who, err)
			}
			return err
		}
		resp := answer.(*kmsg.SASLAuthenticateResponse)
		if resp.ErrorCode != 0 {
			return refused(who, resp, secrets)
		}
		lifetime = time.Duration(resp.SessionLifetimeMillis) * time.Millisecond
		message = nil
		if done {
			break
		}
		if err := sane(name, resp.SASLAuthBytes, secrets); err != nil {
			return err
		}
		if done, message, err = session.Challenge(resp.SASLAuthBytes); err != nil {
			return fmt.Errorf("%s: %s", who, clip(redact(err.Error(), secrets)))
		}
	}
	if lifetime > 0 {
		lifetime = max(lifetime-time.Since(asked), time.Millisecond)
	}
	c.setLifetime(lifetime)
	return nil
}

// mechanism returns how to log in; nil for not at all.
func (c *Conn) mechanism(ctx context.Context) (sasl.Mechanism, error) {
	switch {
	case c.user != nil:
		return c.user.Mechanism, nil
	case c.d.cfg.SASL != nil:
		return c.d.cfg.SASL(ctx)
	}
	return nil, nil
}

func (c *Conn) offer(mechanism string) error {
	if r := c.api.ranges[kmsg.SASLHandshake.Int16()]; r.Max < 1 {
		return errors.New("broker is too old: it has no SaslHandshake v1")
	}
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Mechanism = mechanism
	answer, err := c.request(req, maxLoginResponseBytes, 0)
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.SASLHandshakeResponse)
	switch code := resp.ErrorCode; code {
	case 0:
		return nil
	case kerr.UnsupportedSaslMechanism.Code:
		return fmt.Errorf("broker does not offer mechanism %s; offers %s", mechanism, quoteSome(resp.SupportedMechanisms))
	case kerr.IllegalSaslState.Code:
		return fmt.Errorf("broker expects no login on this listener: %w", kerr.ErrorForCode(code))
	default:
		return fmt.Errorf("offer %s: %w", mechanism, kerr.ErrorForCode(code))
	}
}

func refused(who string, resp *kmsg.SASLAuthenticateResponse, secrets []string) error {
	err := kerr.ErrorForCode(resp.ErrorCode)
	if resp.ErrorMessage != nil && *resp.ErrorMessage != "" {
		return fmt.Errorf("broker refused %s: %s (%w)", who, strconv.Quote(clip(redact(*resp.ErrorMessage, secrets))), err)
	}
	return fmt.Errorf("broker refused %s: %w", who, err)
}

// sane looks at a challenge before the mechanism does.
func sane(mechanism string, challenge []byte, secrets []string) error {
	switch {
	case strings.HasPrefix(mechanism, "SCRAM-"):
		for field := range bytes.SplitSeq(challenge, []byte(",")) {
			if n, ok := bytes.CutPrefix(field, []byte("i=")); ok {
				if i, err := strconv.Atoi(string(n)); err != nil || i > maxScramIterations {
					return malformed("%s asks for %q iterations, more than %d", mechanism, clip(string(n)), maxScramIterations)
				}
			}
		}
	case mechanism == "OAUTHBEARER" && len(challenge) > 0:
		var problem struct{ Status string }
		if json.Unmarshal(challenge, &problem) == nil && problem.Status != "" {
			return fmt.Errorf("broker refused the OAUTHBEARER token: %s", strconv.Quote(clip(redact(problem.Status, secrets))))
		}
		return errors.New("broker refused the OAUTHBEARER token")
	}
	return nil
}

// firstMessage finds the user in the first message of a mechanism, for errors
// ("user sluice"), and what must never be seen in one.
func firstMessage(mechanism string, message []byte) (user string, secrets []string) {
	m := string(message)
	switch {
	case mechanism == "PLAIN":
		if parts := strings.Split(m, "\x00"); len(parts) == 3 {
			return "user " + parts[1], parts[2:]
		}
	case strings.HasPrefix(mechanism, "SCRAM-"):
		for field := range strings.SplitSeq(m, ",") {
			if n, ok := strings.CutPrefix(field, "n="); ok {
				return "user " + strings.NewReplacer("=2C", ",", "=3D", "=").Replace(n), nil
			}
		}
	case mechanism == "OAUTHBEARER":
		if _, after, ok := strings.Cut(m, "auth=Bearer "); ok {
			token, _, _ := strings.Cut(after, "\x01")
			return "", []string{token}
		}
	}
	return "", nil
}

// redact takes secrets out of a text that a broker may have put them into.
func redact(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	return text
}
