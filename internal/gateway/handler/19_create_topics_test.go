package handler

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTopicConfigurationsHaveBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		configs string // "key=value", separated by spaces
		want    string // in the error's text
	}{
		"Streams repartition":        {"cleanup.policy=delete segment.bytes=52428800 retention.ms=-1 message.timestamp.type=CreateTime", ""},
		"Streams changelog":          {"cleanup.policy=compact message.timestamp.type=CreateTime", ""},
		"Streams windowed changelog": {"cleanup.policy=compact,delete retention.ms=86460000 message.timestamp.type=CreateTime", ""},
		"Streams versioned store":    {"cleanup.policy=compact min.compaction.lag.ms=86700000", ""},
		"Connect offsets":            {"cleanup.policy=compact min.insync.replicas=1", ""},
		"Kafka's defaults": {"max.compaction.lag.ms=9223372036854775807 segment.ms=604800000 segment.bytes=1073741824 retention.bytes=-1 " +
			"message.timestamp.before.max.ms=9223372036854775807 max.message.bytes=1048588 min.cleanable.dirty.ratio=0.5 compression.type=producer delete.retention.ms=86400000", ""},
		"largest segment":      {"segment.bytes=2147483647", ""},
		"tiny segments":        {"segment.bytes=14", `"segment.bytes" must be from 1048576 to 2147483647`},
		"short segments":       {"segment.ms=1", `"segment.ms" must be at least 60000`},
		"no retention":         {"retention.ms=0", `"retention.ms" must be at least 60000, or -1`},
		"another endlessness":  {"retention.ms=-2", "or -1"},
		"huge messages":        {"max.message.bytes=10485761", "from 1024 to 10485760"},
		"restless cleaner":     {"min.cleanable.dirty.ratio=0", "from 0.01 to 1"},
		"no ratio":             {"min.cleanable.dirty.ratio=NaN", "from 0.01 to 1"},
		"no number":            {"segment.ms=1h", "at least 60000"},
		"too large a number":   {"segment.ms=9223372036854775808", "at least 60000"},
		"unknown word":         {"compression.type=rar", "one of producer, uncompressed"},
		"unknown in a list":    {"cleanup.policy=compact,shred", "a list of compact and delete"},
		"empty":                {"cleanup.policy=", "a list of compact and delete"},
		"the cluster's matter": {"unclean.leader.election.enable=true", "cannot be set by an application"},
		"second of two":        {"retention.ms=-1 segment.bytes=1", "segment.bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var configs []kmsg.CreateTopicsRequestTopicConfig
			for _, c := range strings.Fields(tc.configs) {
				key, value, _ := strings.Cut(c, "=")
				configs = append(configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
			}
			code, message := forbiddenConfig(configs)
			switch {
			case tc.want == "" && code != 0:
				t.Errorf("refused: %s", *message)
			case tc.want != "" && (code != kerr.PolicyViolation.Code || !strings.Contains(*message, tc.want)):
				t.Errorf("got %d %v, want %q", code, message, tc.want)
			}
		})
	}
	if code, _ := forbiddenConfig([]kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}); code == 0 {
		t.Error("a configuration without a value is accepted")
	}
}
