package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/sasl"
)

// User is who an application is at a target cluster that knows applications apart.
type User struct {
	// Mechanism logs the user in. It is used for many logins, also at once.
	Mechanism sasl.Mechanism
	// Refused is called when the cluster has refused such a login.
	Refused func(error)

	ended atomic.Bool
}

// End lets connections of the user be replaced before their next request. It is safe
// for concurrent use.
func (u *User) End() { u.ended.Store(true) }

// Users knows who applications are at a target cluster.
type Users interface {
	// User returns an application's, as soon as the cluster knows it, or an error when
	// ctx ends before. nil says that applications go by the gateway's own login.
	User(ctx context.Context, application string) (*User, error)
}

// A user that was made a moment ago may be unknown to some brokers yet, so a login
// that is refused is tried again, ever more slowly: about three seconds in all.
const (
	userAttempts = 6
	userBackoff  = 100 * time.Millisecond
)

// DialFor is Dial for a connection that carries an application's requests: it logs in
// as the application where the cluster knows applications apart, and waits for that
// user within DialTimeout.
func (c *Cluster) DialFor(ctx context.Context, node int32, clientID, application string) (*Conn, error) {
	if c.cfg.Users == nil {
		return c.Dial(ctx, node, clientID)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	conn, err := c.dialUser(ctx, node, clientID, application)
	if err != nil {
		return nil, fmt.Errorf("target cluster %q: %w", c.cfg.Name, err)
	}
	return conn, nil
}

func (c *Cluster) dialUser(ctx context.Context, node int32, clientID, application string) (*Conn, error) {
	for attempt := 1; ; attempt++ {
		user, err := c.cfg.Users.User(ctx, application)
		if err != nil {
			return nil, err
		}
		conn, err := c.dial(ctx, node, clientID, user)
		if user == nil || !refusedLogin(err) {
			return conn, err
		}
		user.Refused(err)
		if attempt == userAttempts {
			return nil, err
		}
		timer := time.NewTimer(userBackoff << (attempt - 1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// refusedLogin says that a broker was reached and did not believe who we are.
func refusedLogin(err error) bool {
	var failed *DialError
	return errors.As(err, &failed) && failed.Step == StepLogin && errors.Is(err, kerr.SaslAuthenticationFailed)
}
