package script

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func hostPort(address string) (string, int32, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	return host, int32(n), err
}

// effects writes down what the script left on the target cluster: records, groups with their committed offsets,
// transactions, and topics of its own.
func (s *Session) effects() {
	write := func(place string, v any) { s.names.write(s.out, "effects: "+place, "", reflect.ValueOf(v)) }

	for _, g := range s.groups() {
		exposed, _ := s.mine(g.Group)
		physical := g.Group
		g.Group = exposed
		write("group "+s.label(exposed), g)
		offsets := kmsg.NewPtrOffsetFetchRequest()
		offsets.Version = 7
		offsets.Group = physical
		resp, err := s.Lane.Admin.Do(offsets)
		if err != nil {
			s.fail("look at group %s: %w", physical, err)
		}
		for _, t := range resp.(*kmsg.OffsetFetchResponse).Topics {
			t.Topic = s.exposed(t.Topic)
			write("group "+s.label(exposed)+" offsets "+s.label(t.Topic), t)
		}
	}

	listed := s.admin(kmsg.NewPtrListTransactionsRequest()).(*kmsg.ListTransactionsResponse)
	for _, t := range listed.TransactionStates {
		exposed, ok := s.mine(t.TransactionalID)
		if !ok {
			continue
		}
		describe := kmsg.NewPtrDescribeTransactionsRequest()
		describe.TransactionalIDs = []string{t.TransactionalID}
		for _, d := range s.settled(describe) {
			d.TransactionalID = exposed
			for i := range d.Topics {
				d.Topics[i].Topic = s.exposed(d.Topics[i].Topic)
			}
			write("transaction "+s.label(exposed), d)
		}
	}

	// Behind the transactions, whose markers are records too.
	if err := s.lookAtTopics(true); err != nil {
		s.fail("%w", err)
	}
	s.catchUp()
	for _, t := range s.ownTopics() {
		exposed, _ := s.mine(*t.Topic)
		write("topic "+s.label(exposed), fmt.Sprintf("%d partitions", len(t.Partitions)))
		configs := kmsg.NewPtrDescribeConfigsRequest()
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, *t.Topic
		configs.Resources = append(configs.Resources, r)
		for _, r := range s.admin(configs).(*kmsg.DescribeConfigsResponse).Resources {
			for _, c := range r.Configs {
				if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
					write("topic "+s.label(exposed)+" config "+c.Name, c.Value)
				}
			}
		}
	}
}

// catchUp waits until the broker has heard of what was done to topics of the script's own: it learns what the controller
// decides in one order, so that a topic made now is seen after all that was done before.
func (s *Session) catchUp() {
	switch s.Key {
	case 19, 20, 21, 33, 37, 44:
	default:
		return
	}
	marker := "marker." + s.Lane.Tag + fmt.Sprint(s.Lane.markers)
	s.Lane.markers++
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis, create.Topics = 10_000, append(create.Topics, newTopic(marker, 1))
	s.admin(create)
	look := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &marker
	look.Topics = append(look.Topics, t)
	for deadline := time.Now().Add(retryFor); ; time.Sleep(2 * time.Millisecond) {
		if s.admin(look).(*kmsg.MetadataResponse).Topics[0].ErrorCode == 0 {
			break
		}
		if time.Now().After(deadline) {
			s.fail("the broker does not hear of topic %s", marker)
		}
	}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TimeoutMillis, remove.TopicNames = 10_000, []string{marker}
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &marker
	remove.Topics = append(remove.Topics, rt)
	s.admin(remove)
}

// settled describes transactions once none is about to be committed or aborted.
func (s *Session) settled(req *kmsg.DescribeTransactionsRequest) []kmsg.DescribeTransactionsResponseTransactionState {
	for deadline := time.Now().Add(retryFor); ; time.Sleep(2 * time.Millisecond) {
		states := s.admin(req).(*kmsg.DescribeTransactionsResponse).TransactionStates
		if !slices.ContainsFunc(states, func(t kmsg.DescribeTransactionsResponseTransactionState) bool {
			return strings.HasPrefix(t.State, "Prepare")
		}) || time.Now().After(deadline) {
			return states
		}
	}
}

// label is a name without what differs between cells.
func (s *Session) label(name string) string { return s.names.text(name) }

// exposed is the client's name of a topic on the target cluster.
func (s *Session) exposed(physical string) string {
	for _, t := range Topics {
		if s.Lane.Backing(t) == physical {
			return s.Topic(t)
		}
	}
	if name, ok := s.mine(physical); ok {
		return name
	}
	return physical
}

func (s *Session) groups() (out []kmsg.ListGroupsResponseGroup) {
	for _, g := range s.admin(kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse).Groups {
		if _, ok := s.mine(g.Group); ok {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b kmsg.ListGroupsResponseGroup) int { return compareStrings(a.Group, b.Group) })
	return out
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s *Session) ownTopics() (out []kmsg.MetadataResponseTopic) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil
	for _, t := range s.admin(req).(*kmsg.MetadataResponse).Topics {
		if t.Topic == nil {
			continue
		}
		if _, ok := s.mine(*t.Topic); ok {
			out = append(out, t)
		}
	}
	return out
}

// tidy removes what the script made, so that later listings stay short.
func (s *Session) tidy() {
	groups := kmsg.NewPtrDeleteGroupsRequest()
	for _, g := range s.groups() {
		if g.GroupState == "Empty" || g.GroupState == "Dead" {
			groups.Groups = append(groups.Groups, g.Group)
		}
	}
	if len(groups.Groups) > 0 {
		s.admin(groups)
	}
	topics := kmsg.NewPtrDeleteTopicsRequest()
	topics.TimeoutMillis = 10_000
	for _, t := range s.ownTopics() {
		topics.TopicNames = append(topics.TopicNames, *t.Topic)
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = t.Topic
		topics.Topics = append(topics.Topics, rt)
	}
	if len(topics.Topics) > 0 {
		s.admin(topics)
	}
}

// lookAtTopics reads the Topics from where it last stopped, and writes down what is new.
func (s *Session) lookAtTopics(write bool) error {
	l := s.Lane
	if l.offsets == nil {
		l.offsets = map[string]map[int32]int64{}
		for _, t := range Topics {
			l.offsets[t] = map[int32]int64{}
			for p := range int32(Partitions) {
				l.offsets[t][p] = 0
			}
		}
	}
	for {
		req := kmsg.NewPtrFetchRequest()
		req.Version = 12
		req.SessionEpoch, req.MaxBytes, req.MinBytes, req.MaxWaitMillis = -1, 8<<20, 0, 0
		byName := map[string]string{}
		for _, t := range Topics {
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic = l.Backing(t)
			byName[rt.Topic] = t
			for p := range int32(Partitions) {
				rp := kmsg.NewFetchRequestTopicPartition()
				rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = p, l.offsets[t][p], 1<<20, -1
				rt.Partitions = append(rt.Partitions, rp)
			}
			req.Topics = append(req.Topics, rt)
		}
		resp, err := l.Admin.Do(req)
		if err != nil {
			return fmt.Errorf("look at topics: %w", err)
		}
		more := false
		for _, t := range resp.(*kmsg.FetchResponse).Topics {
			name := byName[t.Topic]
			for _, p := range t.Partitions {
				if p.ErrorCode == 1 { // OFFSET_OUT_OF_RANGE: records were deleted
					l.offsets[name][p.Partition] = p.LogStartOffset
					more = true
					continue
				}
				if p.ErrorCode != 0 {
					return fmt.Errorf("look at %s/%d: error code %d", name, p.Partition, p.ErrorCode)
				}
				batches, err := batchesIn(p.RecordBatches)
				if err != nil {
					return err
				}
				for _, b := range batches {
					l.offsets[name][p.Partition] = b.FirstOffset + int64(b.LastOffsetDelta) + 1
				}
				if write && len(batches) > 0 {
					s.names.records(s.out, fmt.Sprintf("effects: records of %s/%d", name, p.Partition), p.RecordBatches)
				}
				if write {
					s.out[fmt.Sprintf("effects: start of %s/%d", name, p.Partition)] = fmt.Sprint(p.LogStartOffset)
				}
				more = more || l.offsets[name][p.Partition] < p.HighWatermark
			}
		}
		if !more {
			return nil
		}
	}
}
