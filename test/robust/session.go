package robust

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is a client that speaks Kafka by hand on one connection, so that it knows of every byte what has become of it.
type session struct {
	conn     net.Conn
	user     string
	value    string // of its record
	patience time.Duration

	correlation int32
	offset      int64 // of the record that was produced last
	acked       []ack
	written     int            // bytes
	ends        map[string]int // how many were written once the record's request was whole
}

// ack is what a broker said of a record.
type ack struct {
	value  string
	offset int64
}

// wrong is an answer that must not be, whatever breaks. Anything else that ends a session is the fault's doing.
type wrong struct{ error }

func wrongf(format string, args ...any) error { return wrong{fmt.Errorf(format, args...)} }

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("robust"))

// send writes a request and returns the number of its answer.
func (s *session) send(req kmsg.Request) (int32, error) {
	s.correlation++
	s.conn.SetDeadline(time.Now().Add(s.patience))
	frame := formatter.AppendRequest(nil, req, s.correlation)
	s.written += len(frame)
	_, err := s.conn.Write(frame)
	return s.correlation, err
}

// ask sends a request and reads its answer.
func (s *session) ask(req kmsg.Request) (kmsg.Response, error) {
	correlation, err := s.send(req)
	if err != nil {
		return nil, fmt.Errorf("send %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	frame, err := readFrame(s.conn)
	if err != nil {
		return nil, fmt.Errorf("answer to %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	resp, err := parse(req, correlation, frame)
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > 64<<20 {
		return nil, wrongf("a frame of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// parse reads an answer, which has to be the one to the request, whole and nothing besides.
func parse(req kmsg.Request, correlation int32, frame []byte) (kmsg.Response, error) {
	name := kmsg.NameForKey(req.Key())
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlation {
		return nil, wrongf("%s: answer to request %d, want %d", name, got, correlation)
	}
	body := frame[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != 18 {
		if len(body) == 0 || body[0] != 0 {
			return nil, wrongf("%s: the answer's header has tags", name)
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, wrongf("%s: %w", name, err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		return nil, wrongf("%s: the answer is %x, which means %x", name, body, again)
	}
	return resp, nil
}

// login proves who it is by PLAIN.
func (s *session) login() error {
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 3, "robust", "1"
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "PLAIN"
	authenticate := kmsg.NewPtrSASLAuthenticateRequest()
	authenticate.Version, authenticate.SASLAuthBytes = 2, []byte("\x00"+s.user+"\x00"+password)
	for _, req := range []kmsg.Request{versions, handshake, authenticate} {
		resp, err := s.ask(req)
		if err != nil {
			return err
		}
		if err := code(resp); err != nil {
			return err
		}
	}
	return nil
}

// code is the error that an answer carries.
func code(resp kmsg.Response) error {
	c := int16(0)
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		c = r.ErrorCode
	case *kmsg.SASLHandshakeResponse:
		c = r.ErrorCode
	case *kmsg.SASLAuthenticateResponse:
		c = r.ErrorCode
	case *kmsg.FindCoordinatorResponse:
		c = r.Coordinators[0].ErrorCode
	case *kmsg.SyncGroupResponse:
		c = r.ErrorCode
	case *kmsg.HeartbeatResponse:
		c = r.ErrorCode
	case *kmsg.LeaveGroupResponse:
		c = r.ErrorCode
	case *kmsg.OffsetCommitResponse:
		c = r.Topics[0].Partitions[0].ErrorCode
	case *kmsg.OffsetFetchResponse:
		c = r.ErrorCode
	case *kmsg.InitProducerIDResponse:
		c = r.ErrorCode
	}
	if c != 0 {
		return fmt.Errorf("%s: error code %d", kmsg.NameForKey(resp.Key()), c)
	}
	return nil
}

func metadata() kmsg.Request {
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(exposed)
	req.Version, req.Topics, req.AllowAutoTopicCreation = 9, []kmsg.MetadataRequestTopic{topic}, false
	return req
}

func produceOf(value string, acks int16) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 10_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = exposed
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = batch(value)
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	return req
}

// batch is a record batch of one record (KIP-98).
func batch(value string) []byte {
	now := time.Now().UnixMilli()
	record := kmsg.Record{Value: []byte(value)}
	record.Length = int32(len(record.AppendTo(nil)) - 1) // of a length of one byte, which the next line mends
	record.Length = int32(len(record.AppendTo(nil)) - kmsgVarintLen(record.Length))
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: record.AppendTo(nil),
	}
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	b.CRC = int32(crc32.Checksum(b.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

func kmsgVarintLen(n int32) int {
	return len(binary.AppendVarint(nil, int64(n)))
}

// produce produces a record and waits for its acknowledgement.
func (s *session) produce(value string) error {
	req := produceOf(value, -1)
	if s.ends != nil {
		s.ends[value] = s.written + len(formatter.AppendRequest(nil, req, s.correlation))
	}
	resp, err := s.ask(req)
	if err != nil {
		return err
	}
	p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return fmt.Errorf("Produce: error code %d", p.ErrorCode)
	}
	s.offset = p.BaseOffset
	s.acked = append(s.acked, ack{value, p.BaseOffset})
	return nil
}

func fetchOf(offset int64, maxBytes int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, 500, 1, maxBytes, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = exposed
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.FetchOffset, partition.PartitionMaxBytes, partition.CurrentLeaderEpoch = offset, maxBytes, -1
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	return req
}

// fetch reads from an offset on, where a record has to be.
func (s *session) fetch(offset int64) error {
	resp, err := s.ask(fetchOf(offset, 1)) // one batch is always given
	if err != nil {
		return err
	}
	p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return fmt.Errorf("Fetch: error code %d", p.ErrorCode)
	}
	if len(p.RecordBatches) < 61 {
		return wrongf("Fetch from %d: %d bytes, no record", offset, len(p.RecordBatches))
	}
	if got := int64(binary.BigEndian.Uint64(p.RecordBatches)); got != offset {
		return wrongf("Fetch from %d: a batch at %d", offset, got)
	}
	return nil
}

// whole is a session as an application has it: login, metadata, a producer, a consumer, a member of a group.
func (s *session) whole() error {
	if err := s.login(); err != nil {
		return err
	}
	resp, err := s.ask(metadata())
	if err != nil {
		return err
	}
	if m := resp.(*kmsg.MetadataResponse); len(m.Topics) != 1 || m.Topics[0].ErrorCode != 0 || len(m.Topics[0].Partitions) == 0 {
		return wrongf("Metadata: %+v", m.Topics)
	}
	idempotence := kmsg.NewPtrInitProducerIDRequest()
	idempotence.Version = 3
	if resp, err = s.ask(idempotence); err != nil {
		return err
	} else if err := code(resp); err != nil {
		return err
	}
	if err := s.produce(s.value); err != nil {
		return err
	}
	first := s.offset
	if err := s.produce(s.value + "-again"); err != nil {
		return err
	}
	_, err = s.send(produceOf(s.value+"-unanswered", 0))
	if s.ends != nil {
		s.ends[s.value+"-unanswered"] = s.written
	}
	if err != nil {
		return fmt.Errorf("send Produce: %w", err)
	}
	offsets := kmsg.NewPtrListOffsetsRequest()
	offsets.Version, offsets.ReplicaID = 6, -1
	topic, partition := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	topic.Topic, partition.Timestamp = exposed, -1
	topic.Partitions = append(topic.Partitions, partition)
	offsets.Topics = append(offsets.Topics, topic)
	if resp, err = s.ask(offsets); err != nil {
		return err
	}
	if p := resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.Offset <= s.offset {
		return wrongf("ListOffsets: error code %d, end at %d though a record is at %d", p.ErrorCode, p.Offset, s.offset)
	}
	for _, offset := range []int64{first, s.offset} {
		if err := s.fetch(offset); err != nil {
			return err
		}
	}
	return s.group("group-" + s.value)
}

// group joins a group of its own, commits and leaves.
func (s *session) group(name string) error {
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{name}
	resp, err := s.ask(find)
	if err != nil {
		return err
	}
	if err := code(resp); err != nil {
		return err
	}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType = 5, name, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 10_000, 10_000
	member := kmsg.NewConsumerMemberMetadata()
	member.Topics = []string{exposed}
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: member.AppendTo(nil)}}
	var joined *kmsg.JoinGroupResponse
	for range 2 { // the first time one is told a name
		if resp, err = s.ask(join); err != nil {
			return err
		}
		joined = resp.(*kmsg.JoinGroupResponse)
		join.MemberID = joined.MemberID
		if joined.ErrorCode == 0 {
			break
		}
	}
	if joined.ErrorCode != 0 || joined.LeaderID != joined.MemberID || len(joined.Members) != 1 {
		return wrongf("JoinGroup: error code %d, %d members", joined.ErrorCode, len(joined.Members))
	}
	assignment := kmsg.NewConsumerMemberAssignment()
	assignment.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: exposed, Partitions: []int32{0}}}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.Generation, sync.MemberID = 3, name, joined.Generation, joined.MemberID
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: assignment.AppendTo(nil)}}
	heartbeat := kmsg.NewPtrHeartbeatRequest()
	heartbeat.Version, heartbeat.Group, heartbeat.Generation, heartbeat.MemberID = 3, name, joined.Generation, joined.MemberID
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Version, commit.Group, commit.Generation, commit.MemberID = 7, name, joined.Generation, joined.MemberID
	ct, cp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	ct.Topic, cp.Offset = exposed, s.offset
	ct.Partitions = append(ct.Partitions, cp)
	commit.Topics = append(commit.Topics, ct)
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Version, fetch.Group = 6, name
	fetch.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: exposed, Partitions: []int32{0}}}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Version, leave.Group, leave.MemberID = 2, name, joined.MemberID
	for _, req := range []kmsg.Request{sync, heartbeat, commit, fetch, leave} {
		if resp, err = s.ask(req); err != nil {
			return err
		}
		if err := code(resp); err != nil {
			return err
		}
		switch r := resp.(type) {
		case *kmsg.SyncGroupResponse:
			if !bytes.Equal(r.MemberAssignment, sync.GroupAssignment[0].MemberAssignment) {
				return wrongf("SyncGroup: another assignment")
			}
		case *kmsg.OffsetFetchResponse:
			if got := r.Topics[0].Partitions[0].Offset; got != s.offset {
				return wrongf("OffsetFetch: %d, committed was %d", got, s.offset)
			}
		}
	}
	return nil
}

// isWrong reports whether a session ended by an answer that must not be.
func isWrong(err error) bool { return errors.As(err, new(wrong)) }

// quantile is the q-th of durations.
func quantile(d []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
