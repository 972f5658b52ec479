package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"sluice/internal/config"
	"sluice/internal/control"
	"sluice/internal/control/draft"
	"sluice/internal/control/draft/registry"
	"sluice/internal/control/publish"
	"sluice/internal/outbound"
	"sluice/internal/resource"
)

// inventory reads clusters and schema registries for imports. Clusters are reached with
// the secrets that their documents refer to, as they are where this process runs.
type inventory struct {
	outbound *outbound.Client
	version  string
	now      func() time.Time
	log      *slog.Logger
}

// client returns a client of a cluster, with the secrets of now, which it reads again when
// it logs in again.
func (i inventory) client(d *resource.Cluster, id string, more ...kgo.Opt) (*kgo.Client, error) {
	compiled, problems := publish.Clusters([]*resource.Cluster{d}, d.Metadata.Environment, config.ReadSecret)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s: %s", problems[0].Path, problems[0].Message)
	}
	spec := compiled[0]
	opts := append([]kgo.Opt{kgo.SeedBrokers(spec.Bootstrap...), kgo.ClientID(id), kgo.SoftwareNameAndVersion("sluice", i.version), kgo.DialTimeout(10 * time.Second), kgo.RequestTimeoutOverhead(10 * time.Second)}, more...)
	if spec.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(spec.TLS))
	}
	if spec.SASL != nil {
		opts = append(opts, kgo.SASL(loginMechanism{spec.SASL.Mechanism, newLogin(spec, clusterDeps{log: i.log, outbound: i.outbound, now: i.now})}))
	}
	return kgo.NewClient(opts...)
}

// loginMechanism logs in with what is right at that time: tokens end.
type loginMechanism struct {
	name  string
	login *login
}

// Name is sasl.Mechanism's.
func (m loginMechanism) Name() string { return m.name }

// Authenticate is sasl.Mechanism's.
func (m loginMechanism) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	now, err := m.login.mechanism(ctx)
	if err != nil {
		return nil, nil, err
	}
	return now.Authenticate(ctx, host)
}

// Topics is control.Inventory's.
func (i inventory) Topics(ctx context.Context, d *resource.Cluster) ([]draft.Topic, error) {
	client, err := i.client(d, "sluice-import", kgo.RetryTimeout(20*time.Second))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	names := details.Names()
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil && len(configs) == 0 {
		i.log.Info("the settings of topics cannot be read", "cluster", d.Name(), "err", err)
	}
	var out []draft.Topic
	for _, t := range details.Sorted() {
		topic := draft.Topic{Name: t.Topic, Partitions: len(t.Partitions), Replicas: t.Partitions.NumReplicas()}
		if t.Err != nil {
			topic.Problem = t.Err.Error()
		}
		settings, configErr := configs.On(t.Topic, nil)
		switch {
		case configErr != nil:
			topic.Problem = strings.TrimPrefix(configErr.Error(), "UNKNOWN_SERVER_ERROR: ")
		case settings.Err != nil:
			topic.Problem = settings.Err.Error()
		default:
			topic.Settings = map[string]string{}
			for _, c := range settings.Configs {
				if c.Value != nil {
					topic.Settings[c.Key] = *c.Value
				}
			}
		}
		out = append(out, topic)
	}
	return out, nil
}

// Subjects is control.Inventory's.
func (i inventory) Subjects(ctx context.Context, r control.SchemaRegistry, wanted func(string) bool) ([]draft.Subject, error) {
	return registry.New(i.outbound, r.URL, r.Username, r.Password.Reveal()).Subjects(ctx, wanted)
}
