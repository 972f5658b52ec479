package handler

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configRule says which values a configuration may have: one or, for a list,
// some of words; or a number from min to max, or -1 where endless.
type configRule struct {
	words    []string
	list     bool
	min, max float64
	fraction bool
	endless  bool
}

const (
	longest = math.MaxInt64 // as a float64 it is 2^63, which no int64 exceeds
	minute  = float64(time.Minute / time.Millisecond)
)

// topicConfigs are the configurations that an application may set on its own
// topics: those that concern its data and not the cluster. The bounds keep one
// application from a broker's file handles and cleaner threads; what Kafka
// Streams and Connect set on their internal topics lies well within.
var topicConfigs = map[string]configRule{
	"cleanup.policy":                      {words: []string{"compact", "delete"}, list: true},
	"compression.type":                    {words: []string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"}},
	"delete.retention.ms":                 {min: 0, max: 366 * 24 * 60 * minute},
	"max.compaction.lag.ms":               {min: 10 * minute, max: longest},
	"max.message.bytes":                   {min: 1 << 10, max: 10 << 20},
	"message.timestamp.type":              {words: []string{"CreateTime", "LogAppendTime"}},
	"message.timestamp.before.max.ms":     {min: 0, max: longest},
	"message.timestamp.after.max.ms":      {min: 0, max: longest},
	"message.timestamp.difference.max.ms": {min: 0, max: longest},
	"min.cleanable.dirty.ratio":           {min: 0.01, max: 1, fraction: true},
	"min.compaction.lag.ms":               {min: 0, max: longest},
	"min.insync.replicas":                 {min: 1, max: 16},
	"retention.bytes":                     {min: 1 << 20, max: longest, endless: true},
	"retention.ms":                        {min: minute, max: longest, endless: true},
	"segment.bytes":                       {min: 1 << 20, max: math.MaxInt32},
	"segment.ms":                          {min: minute, max: longest},
}

// forbiddenConfig returns the error of the first configuration that an
// application may not set.
func forbiddenConfig(configs []kmsg.CreateTopicsRequestTopicConfig) (int16, *string) {
	for _, c := range configs {
		rule, ok := topicConfigs[c.Name]
		s := fmt.Sprintf("configuration %q cannot be set by an application", c.Name)
		if ok {
			if c.Value != nil && rule.allows(strings.TrimSpace(*c.Value)) { // Kafka trims as well
				continue
			}
			s = fmt.Sprintf("configuration %q must be %s", c.Name, rule)
		}
		return kerr.PolicyViolation.Code, &s
	}
	return 0, nil
}

func (r configRule) allows(value string) bool {
	switch {
	case r.list:
		for part := range strings.SplitSeq(value, ",") {
			if !slices.Contains(r.words, strings.TrimSpace(part)) {
				return false
			}
		}
		return true
	case r.words != nil:
		return slices.Contains(r.words, value)
	case r.fraction:
		f, err := strconv.ParseFloat(value, 64)
		return err == nil && f >= r.min && f <= r.max
	}
	n, err := strconv.ParseInt(value, 10, 64)
	return err == nil && (float64(n) >= r.min && float64(n) <= r.max || r.endless && n == -1)
}

func (r configRule) String() string {
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	s := "from " + number(r.min) + " to " + number(r.max)
	switch {
	case r.list:
		return "a list of " + strings.Join(r.words, " and ")
	case r.words != nil:
		return "one of " + strings.Join(r.words, ", ")
	case r.max == longest:
		s = "at least " + number(r.min)
	}
	if r.endless {
		s += ", or -1"
	}
	return s
}
