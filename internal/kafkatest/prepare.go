package kafkatest

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// prepare waits until every broker knows all brokers, then makes the SCRAM users and raises features.
func (c *Cluster) prepare(ctx context.Context) error {
	for i, seed := range c.Bootstrap() {
		client, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.MetadataMinAge(10*time.Millisecond))
		if err != nil {
			return err
		}
		err = awaitBrokers(ctx, client, c.options.Brokers)
		if err == nil && i == 0 {
			err = c.alter(ctx, client)
		}
		if err == nil {
			err = c.awaitUsers(ctx, client)
		}
		client.Close()
		if err != nil {
			return fmt.Errorf("broker %d: %w", i+1, err)
		}
	}
	return nil
}

// awaitBrokers waits until the seed broker's metadata lists n brokers.
func awaitBrokers(ctx context.Context, client *kgo.Client, n int) error {
	return poll(ctx, func() error {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		resp, err := req.RequestWith(ctx, client.SeedBrokers()[0])
		if err != nil {
			return fmt.Errorf("ask for metadata: %w", err)
		}
		if len(resp.Brokers) != n {
			return fmt.Errorf("%d of %d brokers are known", len(resp.Brokers), n)
		}
		return nil
	})
}

// poll tries until f succeeds; the last error is returned when ctx ends.
func poll(ctx context.Context, f func() error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

const scramIterations = 4096 // the least Kafka takes

var scramMechanisms = []struct {
	id   int8 // as the protocol numbers them
	hash func() hash.Hash
	size int
}{
	{1, sha256.New, sha256.Size},
	{2, sha512.New, sha512.Size},
}

func (c *Cluster) alter(ctx context.Context, client *kgo.Client) error {
	if c.options.SASL {
		for _, m := range scramMechanisms { // a request may name a user only once
			req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
			for _, name := range slices.Sorted(maps.Keys(c.options.Users)) {
				u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
				u.Name, u.Mechanism, u.Iterations, u.Salt = name, m.id, scramIterations, make([]byte, 16)
				_, _ = rand.Read(u.Salt) // never fails
				var err error
				if u.SaltedPassword, err = pbkdf2.Key(m.hash, c.options.Users[name], u.Salt, scramIterations, m.size); err != nil {
					return err
				}
				req.Upsertions = append(req.Upsertions, u)
			}
			resp, err := req.RequestWith(ctx, client)
			if err != nil {
				return fmt.Errorf("make SCRAM users: %w", err)
			}
			for _, r := range resp.Results {
				if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
					return fmt.Errorf("make SCRAM user %q: %w", r.User, err)
				}
			}
		}
	}
	if len(c.options.Features) > 0 {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.TimeoutMillis = 30_000
		for _, name := range slices.Sorted(maps.Keys(c.options.Features)) {
			u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			u.Feature, u.MaxVersionLevel, u.UpgradeType = name, c.options.Features[name], 1
			req.FeatureUpdates = append(req.FeatureUpdates, u)
		}
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return fmt.Errorf("raise features %v: %w", c.options.Features, err)
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return fmt.Errorf("raise features %v: %w %s", c.options.Features, err, deref(resp.ErrorMessage))
		}
		for _, r := range resp.Results {
			if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
				return fmt.Errorf("raise feature %s: %w %s", r.Feature, err, deref(r.ErrorMessage))
			}
		}
	}
	return nil
}

// awaitUsers waits until the seed broker has learned of the SCRAM users, which takes it a moment.
func (c *Cluster) awaitUsers(ctx context.Context, client *kgo.Client) error {
	if !c.options.SASL {
		return nil
	}
	return poll(ctx, func() error {
		resp, err := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest().RequestWith(ctx, client.SeedBrokers()[0])
		if err != nil {
			return fmt.Errorf("ask for SCRAM users: %w", err)
		}
		known := 0
		for _, r := range resp.Results {
			known += len(r.CredentialInfos)
		}
		if want := len(c.options.Users) * len(scramMechanisms); known < want {
			return fmt.Errorf("%d of %d SCRAM credentials are known", known, want)
		}
		return nil
	})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
