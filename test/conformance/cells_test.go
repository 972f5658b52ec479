package conformance

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"sluice/test/harness"
)

// How a topic stands for an application: the rows of the table "many subscriptions on one connection".
const (
	open      = "open"
	brownOut  = "withheld, writes slowed"
	suspended = "withheld, writes refused"
	ended     = "ended"
	readOnly  = "open for reading"
	writeOnly = "open for writing"
	refused   = "refused"
)

// situations are what documents can say of a topic, and how it then stands.
func situations() []struct {
	name, stands string
	topic        harness.Topic
	later        func(*harness.Topic) // a change after the application had it
	app          string               // default: acme
} {
	day := func(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	sub := func(s string) map[string]string { return map[string]string{"acme": s} }
	type row = struct {
		name, stands string
		topic        harness.Topic
		later        func(*harness.Topic)
		app          string
	}
	version := func(lifecycle string) harness.Topic {
		return harness.Topic{Lifecycle: lifecycle, Subscriptions: sub("")}
	}
	subscription := func(spec string) harness.Topic { return harness.Topic{Subscriptions: sub(spec)} }
	had := func(later func(*harness.Topic)) (harness.Topic, func(*harness.Topic)) {
		return subscription(""), later
	}
	rows := []row{
		{"version preview", open, version("state: preview"), nil, ""},
		{"version published", open, version("state: published"), nil, ""},
		{"version deprecated", open, version("state: deprecated, sunset: " + day(30)), nil, ""},
		{"between brown-outs", open, version("state: deprecated, sunset: " + day(30) + ", brownouts: [{from: " + day(1) + ", to: " + day(2) + "}]"), nil, ""},
		{"subscription expires later", open, subscription("expires: " + day(1)), nil, ""},
		{"deprecated, in its grace", open, version("state: deprecated, sunset: " + day(-1) + ", grace: 72h"), nil, ""},

		{"brown-out window", brownOut, version("state: deprecated, sunset: " + day(30) + ", brownouts: [{from: " + day(-1) + ", to: " + day(1) + "}]"), nil, ""},
		{"subscription suspended", suspended, subscription("state: suspended"), nil, ""},
		{"application suspended", suspended, harness.Topic{Subscriptions: map[string]string{"paused": ""}}, nil, "paused"},

		{"subscription closed", ended, subscription("state: closed"), nil, ""},
		{"subscription expired", ended, subscription("state: expired"), nil, ""},
		{"subscription expired yesterday", ended, subscription("expires: " + day(-1)), nil, ""},
		{"version retired", ended, version("state: retired"), nil, ""},
		{"version deprecated, sunset over", ended, version("state: deprecated, sunset: " + day(-1)), nil, ""},
		{"version blocked", ended, version("state: blocked"), nil, ""},

		{"read-only channel", readOnly, harness.Topic{Contract: "read", Subscriptions: sub("")}, nil, ""},
		{"write-only channel", writeOnly, harness.Topic{Contract: "write", Subscriptions: sub("")}, nil, ""},
		{"plan narrowed to reading", readOnly, harness.Topic{Rights: "read", Subscriptions: sub("")}, nil, ""},
		{"plan narrowed to writing", writeOnly, harness.Topic{Rights: "write", Subscriptions: sub("")}, nil, ""},

		{"no subscription", refused, harness.Topic{}, nil, ""},
		{"subscription pending", refused, subscription("state: pending"), nil, ""},
		{"subscription rejected", refused, subscription("state: rejected"), nil, ""},
		{"subscription begins tomorrow", refused, subscription("since: " + day(1)), nil, ""},
		{"closed 31 days ago", refused, subscription("state: closed, closedAt: " + day(-31)), nil, ""},
		{"retired 31 days ago", refused, version("state: retired, retiredAt: " + day(-31)), nil, ""},
		{"version draft", refused, version("state: draft"), nil, ""},
		{"method never admitted", refused, harness.Topic{Auth: []string{"scram"}, Subscriptions: sub("")}, nil, ""},
	}
	for name, change := range map[string]struct {
		stands string
		later  func(*harness.Topic)
	}{
		"subscription closed while running":  {ended, func(t *harness.Topic) { t.Subscriptions = sub("state: closed") }},
		"subscription gone from the files":   {ended, func(t *harness.Topic) { t.Subscriptions = nil }},
		"method no longer admitted":          {ended, func(t *harness.Topic) { t.Auth = []string{"scram"} }},
		"version back to draft":              {ended, func(t *harness.Topic) { t.Lifecycle = "state: draft" }},
		"suspended and resumed":              {open, func(t *harness.Topic) { t.Subscriptions = sub("state: active") }},
		"right to write taken away":          {"reads open, writes withdrawn", func(t *harness.Topic) { t.Rights = "read" }},
		"right to read taken away":           {"reads withheld, writes open", func(t *harness.Topic) { t.Rights = "write" }},
		"suspended, then right to read back": {open, func(t *harness.Topic) { t.Rights = "" }},
	} {
		topic, later := had(change.later)
		rows = append(rows, row{name, change.stands, topic, later, ""})
	}
	return rows
}

// expectation is one row of the table in error codes.
type expectation struct {
	listed            bool
	describe          int16 // by name; by id the same, except for 29
	read              string
	write             int16
	offsets           int16
	readByID, writeID int16 // where they differ by id
	slowed            bool
}

const (
	records = "records" // the fetch brings the record
	held    = "held"    // error 0, no records, high watermark = fetch offset, after max_wait
	code29  = "29"
)

var expectations = map[string]expectation{
	open:      {listed: true, read: records},
	brownOut:  {listed: true, read: held, slowed: true},
	suspended: {listed: true, read: held, write: 44},
	ended:     {read: held, write: 44},
	readOnly:  {listed: true, read: records, write: 29, writeID: 29},
	writeOnly: {listed: true, read: code29, readByID: 29},
	refused:   {describe: 29, read: code29, write: 29, offsets: 29, readByID: 100, writeID: 100},

	"reads open, writes withdrawn": {listed: true, read: records, write: 44},
	"reads withheld, writes open":  {listed: true, read: held},
}

const maxWait = 400 * time.Millisecond

// TestStates is the table of what each state of subscription and version answers, cell by cell, by name and by id.
func TestStates(t *testing.T) {
	rows := situations()
	spec := harness.Spec{Apps: []harness.App{{Name: "acme"}, {Name: "paused"}, {Name: "other"}}}
	exposed := func(i int) string { return strings.NewReplacer(" ", "-", ",", "").Replace(rows[i].name) }
	for i := range rows {
		topic := rows[i].topic
		topic.Exposed = exposed(i)
		subs := map[string]string{"other": ""} // has all, so that there is an id to guess
		for app, s := range topic.Subscriptions {
			subs[app] = s
		}
		topic.Subscriptions = subs
		if topic.Lifecycle == "state: draft" {
			delete(topic.Subscriptions, "other")
		}
		spec.Topics = append(spec.Topics, topic)
	}
	w := harness.Start(t, apache, spec)
	feed := func(i int) {
		if err := w.Feed(exposed(i), "x", 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rows {
		feed(i)
	}
	w.Change(func(s *harness.Spec) {
		s.App("paused").More = "suspended: true"
		for i, r := range rows {
			if r.name == "suspended and resumed" {
				s.Topic(exposed(i)).Subscriptions["acme"] = "state: suspended"
			}
			if r.name == "suspended, then right to read back" {
				s.Topic(exposed(i)).Rights = "write"
			}
		}
	})
	w.Change(func(s *harness.Spec) {
		for i, r := range rows {
			if r.later != nil {
				topic := s.Topic(exposed(i))
				r.later(topic)
				if topic.Subscriptions == nil {
					topic.Subscriptions = map[string]string{}
				}
				topic.Subscriptions["other"] = ""
			}
		}
	})

	// One client that speaks names, one that speaks ids where there are any.
	old := kversion.V3_0_0()
	old.SetMaxKeyVersion(9, 7)
	newest := kversion.Tip()
	for _, key := range []int16{0, 1, 3, 8, 9, 75} {
		newest.SetMaxKeyVersion(key, kmsg.RequestForKey(key).MaxVersion())
	}
	name := func(app string) raw {
		return raw{w.Client(app, kgo.MaxVersions(old)), false}
	}
	id := func(app string) raw { return raw{w.Client(app, kgo.MaxVersions(newest)), true} }
	clients := map[string][2]raw{"acme": {name("acme"), id("acme")}, "paused": {name("paused"), id("paused")}}

	rows = append(rows, struct {
		name, stands string
		topic        harness.Topic
		later        func(*harness.Topic)
		app          string
	}{"a name that does not exist", refused, harness.Topic{}, nil, ""})
	for i, r := range rows {
		want := expectations[r.stands]
		app := r.app
		if app == "" {
			app = "acme"
		}
		topic := exposed(i)
		tid := w.TopicID(app, topic)
		if tid == ([16]byte{}) {
			if tid = w.TopicID("other", topic); tid == ([16]byte{}) {
				rand.Read(tid[:])
			}
		}
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			group := "g-" + topic
			for _, c := range clients[app] {
				how := map[bool]string{false: "by name", true: "by id"}[c.byID]
				check := func(what string, got, want any) {
					t.Helper()
					if got != want {
						t.Errorf("%s %s: got %v, want %v", what, how, got, want)
					}
				}
				check("listed", c.listed(ctx, t, topic), want.listed)
				describe, read, write := want.describe, want.read, want.write
				if c.byID {
					if describe == 29 {
						describe = 100
					}
					if read == code29 {
						read = fmt.Sprint(want.readByID)
					}
				}
				check("describe", c.describe(ctx, t, topic, tid), describe)
				if c.byID { // the newest
					check("listed in pages", c.listedInPages(ctx, t, topic), want.listed)
					check("describe in a page", c.describeInPage(ctx, t, topic), want.describe)
				}
				check("delete records", c.deleteRecords(ctx, t, topic), int16(29)) // no plan here lets anybody manage
				check("read", c.read(ctx, t, topic, tid), read)
				code, throttle, byID := c.write(ctx, t, topic, tid)
				if write == 29 && byID {
					write = want.writeID
				}
				check("write", code, write)
				if slowed := throttle > 0; slowed != want.slowed {
					t.Errorf("write %s: throttle_time_ms %d, want it slowed: %t", how, throttle, want.slowed)
				}
				check("list offsets", c.listOffsets(ctx, t, topic), want.offsets)
				check("commit", c.commit(ctx, t, group, topic, tid), want.offsets)
				check("fetch offsets", c.fetchOffsets(ctx, t, group, topic, tid), want.offsets)
			}
		})
	}
}

// refusedByID turns the refusal of versions that name topics by id, from Kafka 4.2 on, into that of the others.
func refusedByID(code int16, byID bool) int16 {
	if code == kerr.UnknownTopicID.Code && byID {
		return kerr.TopicAuthorizationFailed.Code
	}
	return code
}

// raw asks with bare requests.
type raw struct {
	*kgo.Client
	byID bool
}

func request[R kmsg.Response](ctx context.Context, t *testing.T, c raw, req kmsg.Request) R {
	t.Helper()
	ask := c.Broker(1).RetriableRequest
	if _, ok := req.(kmsg.GroupCoordinatorRequest); ok {
		ask = c.Request // which asks for the coordinator first
	}
	resp, err := ask(ctx, req)
	if err != nil {
		t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(R)
}

func (c raw) listed(ctx context.Context, t *testing.T, topic string) bool {
	for _, r := range request[*kmsg.MetadataResponse](ctx, t, c, kmsg.NewPtrMetadataRequest()).Topics {
		if r.Topic != nil && *r.Topic == topic {
			return true
		}
	}
	return false
}

// listedInPages leafs through all topics, three partitions at a time.
func (c raw) listedInPages(ctx context.Context, t *testing.T, topic string) bool {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 3
	found, last := false, ""
	for {
		resp := request[*kmsg.DescribeTopicPartitionsResponse](ctx, t, c, req)
		for _, r := range resp.Topics {
			if r.ErrorCode != 0 || len(r.Partitions) == 0 || *r.Topic < last {
				t.Fatalf("listed in pages, after %q: %+v", last, r)
			}
			last, found = *r.Topic, found || *r.Topic == topic
		}
		if resp.NextCursor == nil {
			return found
		}
		cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
		cursor.Topic, cursor.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
		req.Cursor = &cursor
	}
}

func (c raw) describeInPage(ctx context.Context, t *testing.T, topic string) int16 {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
	rt.Topic = topic
	req.Topics = append(req.Topics, rt)
	resp := request[*kmsg.DescribeTopicPartitionsResponse](ctx, t, c, req)
	if len(resp.Topics) != 1 || *resp.Topics[0].Topic != topic || (resp.Topics[0].ErrorCode == 0) != (len(resp.Topics[0].Partitions) > 0) {
		t.Fatalf("describe in a page: got %+v", resp)
	}
	return resp.Topics[0].ErrorCode
}

func (c raw) deleteRecords(ctx context.Context, t *testing.T, topic string) int16 {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5000
	rt, rp := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = -1
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := request[*kmsg.DeleteRecordsResponse](ctx, t, c, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Topic != topic {
		t.Fatalf("delete records: got %+v", resp)
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func (c raw) describe(ctx context.Context, t *testing.T, topic string, id [16]byte) int16 {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	if c.byID {
		rt.Topic, rt.TopicID = nil, id
	}
	req.Topics = append(req.Topics, rt)
	resp := request[*kmsg.MetadataResponse](ctx, t, c, req)
	if len(resp.Topics) != 1 {
		t.Fatalf("describe: got %d topics", len(resp.Topics))
	}
	if got := resp.Topics[0]; got.ErrorCode == 0 && (len(got.Partitions) == 0 || got.Topic == nil || *got.Topic != topic) {
		t.Errorf("describe: got %+v", got)
	}
	return resp.Topics[0].ErrorCode
}

func (c raw) read(ctx context.Context, t *testing.T, topic string, id [16]byte) string {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.SessionEpoch = int32(maxWait.Milliseconds()), 1, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 1 << 20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	began := time.Now()
	resp := request[*kmsg.FetchResponse](ctx, t, c, req)
	took := time.Since(began)
	if resp.ErrorCode != 0 || resp.ThrottleMillis != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return fmt.Sprintf("error %d, throttle %d, topics %+v", resp.ErrorCode, resp.ThrottleMillis, resp.Topics)
	}
	p := resp.Topics[0].Partitions[0]
	switch {
	case p.ErrorCode != 0:
		if len(p.RecordBatches) > 0 {
			return "an error with records"
		}
		return fmt.Sprint(p.ErrorCode)
	case len(p.RecordBatches) > 0:
		return records
	case p.RecordBatches == nil && resp.Version >= 12: // flexible versions can tell null from empty
		return "null in place of records"
	case p.HighWatermark != 0 || resp.SessionID != 0:
		return fmt.Sprintf("high watermark %d, session %d", p.HighWatermark, resp.SessionID)
	case took < maxWait-20*time.Millisecond:
		return fmt.Sprintf("nothing, after %v", took)
	}
	return held
}

func (c raw) write(ctx context.Context, t *testing.T, topic string, id [16]byte) (code int16, throttle int32, byID bool) {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch()
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := request[*kmsg.ProduceResponse](ctx, t, c, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("produce: got %+v", resp)
	}
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode == kerr.PolicyViolation.Code && (p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, "rejection")) {
		t.Errorf("produce: 44 without a text and the id of the rejection: %v", p.ErrorMessage)
	}
	if throttle = resp.ThrottleMillis; throttle > 1000 {
		t.Errorf("produce: throttle_time_ms %d is more than a second", throttle)
	}
	return p.ErrorCode, throttle, resp.Version >= 13 // which Apache Kafka before 4.1 does not have
}

// batch is one record, "y", as a record batch.
func batch() []byte { return batchOf(-1, -1, -1, false) }

func (c raw) listOffsets(ctx context.Context, t *testing.T, topic string) int16 {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp = -2
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := request[*kmsg.ListOffsetsResponse](ctx, t, c, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("list offsets: got %+v", resp)
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func (c raw) commit(ctx context.Context, t *testing.T, group, topic string, id [16]byte) int16 {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = 1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := request[*kmsg.OffsetCommitResponse](ctx, t, c, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("commit: got %+v", resp)
	}
	return refusedByID(resp.Topics[0].Partitions[0].ErrorCode, c.byID)
}

func (c raw) fetchOffsets(ctx context.Context, t *testing.T, group, topic string, id [16]byte) int16 {
	req := kmsg.NewPtrOffsetFetchRequest()
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	req.Group, req.Topics = group, []kmsg.OffsetFetchRequestTopic{rt}
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.TopicID, gt.Partitions = topic, id, []int32{0}
	rg.Topics = append(rg.Topics, gt)
	req.Groups = append(req.Groups, rg)
	resp := request[*kmsg.OffsetFetchResponse](ctx, t, c, req)
	if len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 {
		return refusedByID(resp.Topics[0].Partitions[0].ErrorCode, c.byID)
	}
	if len(resp.Groups) != 1 || len(resp.Groups[0].Topics) != 1 || len(resp.Groups[0].Topics[0].Partitions) != 1 {
		t.Fatalf("fetch offsets: got %+v", resp)
	}
	p := resp.Groups[0].Topics[0].Partitions[0]
	if p.ErrorCode == 0 && p.Offset != 1 {
		t.Errorf("fetch offsets: got %d, want what was committed, 1", p.Offset)
	}
	return refusedByID(p.ErrorCode, c.byID)
}
