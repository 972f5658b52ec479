package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/control"
	"sluice/internal/control/activity"
	"sluice/internal/control/catalog"
	"sluice/internal/resource"
)

// newActivity looks at the clusters of a plane with the secrets that their documents
// refer to, as far as they are where this process runs.
func newActivity(plane *control.Plane, store control.Store, i inventory) *activity.Activity {
	return activity.New(activity.Deps{Plane: plane, Store: store, Log: i.log, Now: i.now, Open: func(_ context.Context, d *resource.Cluster) (activity.Cluster, error) {
		client, err := i.client(d, "sluice-activity", kgo.RetryTimeout(10*time.Second))
		if err != nil {
			return nil, err
		}
		return lookedAt{client, kadm.NewClient(client)}, nil
	}})
}

// flow is what the catalog is told.
func flow(a *activity.Activity) func(string, resource.Backing) (catalog.Flow, bool) {
	return func(_ string, at resource.Backing) (catalog.Flow, bool) {
		f, known := a.Flow(at)
		return catalog.Flow(f), known
	}
}

// lookedAt is activity.Cluster's.
type lookedAt struct {
	client *kgo.Client
	admin  *kadm.Client
}

// maxAsked is about how many topics one request asks.
const maxAsked = 1000

// Ends is activity.Cluster's: one ListOffsets to each broker.
func (l lookedAt) Ends(ctx context.Context, topics []string) (map[string]activity.End, error) {
	out := map[string]activity.End{}
	for some := range slices.Chunk(topics, maxAsked) {
		listed, err := l.admin.ListEndOffsets(ctx, some...)
		if err != nil && len(listed) == 0 {
			return nil, fmt.Errorf("ask for the ends of topics: %w", err)
		}
		for topic, partitions := range listed {
			end := activity.End{Partitions: len(partitions)}
			for _, p := range partitions {
				if p.Err != nil || p.Offset < 0 { // a part of it says nothing of the whole
					end.Partitions = 0
					break
				}
				end.Offset += p.Offset
			}
			if end.Partitions > 0 {
				out[topic] = end
			}
		}
	}
	return out, nil
}

// LastEvents is activity.Cluster's; brokers before 3.0 cannot tell (KIP-734).
func (l lookedAt) LastEvents(ctx context.Context, topics []string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for some := range slices.Chunk(topics, maxAsked) {
		listed, err := l.admin.ListMaxTimestampOffsets(ctx, some...)
		if err != nil && len(listed) == 0 {
			return nil, fmt.Errorf("ask for the newest records of topics: %w", err)
		}
		listed.Each(func(o kadm.ListedOffset) {
			if at := time.UnixMilli(o.Timestamp); o.Err == nil && o.Timestamp > 0 && at.After(out[o.Topic]) {
				out[o.Topic] = at
			}
		})
	}
	return out, nil
}

// Retentions is activity.Cluster's.
func (l lookedAt) Retentions(ctx context.Context, topics []string) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for some := range slices.Chunk(topics, maxAsked) {
		all, err := l.admin.DescribeTopicConfigs(ctx, some...)
		if err != nil && len(all) == 0 {
			return nil, fmt.Errorf("ask for the settings of topics: %w", err)
		}
		for _, topic := range all {
			for _, c := range topic.Configs {
				switch {
				case topic.Err != nil || c.Value == nil:
				case c.Key == "cleanup.policy" && *c.Value == "compact":
					out[topic.Name] = -1
				case c.Key == "retention.ms" && out[topic.Name] == 0:
					if ms, err := strconv.ParseInt(*c.Value, 10, 64); err == nil {
						out[topic.Name] = time.Duration(max(-1, min(ms, int64(1<<62/time.Millisecond)))) * time.Millisecond
					}
				}
			}
		}
	}
	return out, nil
}

// Close is activity.Cluster's.
func (l lookedAt) Close() { l.client.Close() }
