package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/grant"
)

// DeleteRecords, versions 0 to 2 (KIP-107): of the application's own topics,
// as Kafka Streams does with what it has repartitioned, and of those whose plan
// says so.

func deleteRecords(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DeleteRecordsRequest)
	return byName[kmsg.DeleteRecordsRequestTopic, kmsg.DeleteRecordsResponseTopic]{
		op:     grant.DeleteRecords,
		topics: &req.Topics,
		name:   func(t *kmsg.DeleteRecordsRequestTopic) *string { return &t.Topic },
		refused: func(to *target, t *kmsg.DeleteRecordsRequestTopic, _ string) kmsg.DeleteRecordsResponseTopic {
			out := kmsg.NewDeleteRecordsResponseTopic()
			for _, p := range t.Partitions {
				rp := kmsg.NewDeleteRecordsResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.LowWatermark = p.Partition, administrationCode(to.decision), -1
				out.Partitions = append(out.Partitions, rp)
			}
			return out
		},
		list: func(r kmsg.Response) *[]kmsg.DeleteRecordsResponseTopic {
			return &r.(*kmsg.DeleteRecordsResponse).Topics
		},
		exposed: func(t *kmsg.DeleteRecordsResponseTopic) *string { return &t.Topic },
	}.serve(x, req), nil
}

// administrationCode is the error of a topic that may not be administered now.
func administrationCode(d grant.Decision) int16 {
	if d.Verdict == grant.RefusePolicy {
		return kerr.PolicyViolation.Code
	}
	return kerr.TopicAuthorizationFailed.Code
}
