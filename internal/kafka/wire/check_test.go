package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCheckRefuses(t *testing.T) {
	for _, c := range []struct {
		name         string
		key, version int16
		response     bool
		body         string
		want         string // of the error; empty when the body passes
	}{
		{"count beyond the frame", 3, 12, false, "\x81\x80\x80\x20\x00\x00\x00", "Metadata request v12: Topics: count 67108864 exceeds the 3 bytes left at offset 4"},
		{"count of elements that cannot fit", 3, 0, false, "\x00\x00\x00\x02\x00\x01a", "Metadata request v0: Topics: count 2 exceeds the 3 bytes left at offset 4"},
		{"null where null is everything", 3, 1, false, "\xff\xff\xff\xff", ""},
		{"null array in a version without", 3, 0, false, "\xff\xff\xff\xff", "Metadata request v0: Topics: null where the protocol allows none at offset 4"},
		{"negative count", 3, 1, false, "\xff\xff\xff\xfe", "Metadata request v1: Topics: negative length -2 at offset 4"},
		{"tag count of two to the 26", 18, 3, false, "\x01\x01\x80\x80\x80\x20", "ApiVersions request v3: tag count 67108864 exceeds half of the 0 bytes left at offset 6"},
		{"tag count within, tags without end", 18, 3, false, "\x01\x01\x02\x05\x00\x06\x01", "ApiVersions request v3: tag of 1 bytes exceeds the 0 bytes left at offset 7"},
		{"unknown tags", 18, 3, false, "\x01\x01\x02\x05\x00\x06\x01x", ""},
		{"tags twice", 18, 3, false, "\x01\x01\x02\x05\x00\x05\x00", "ApiVersions request v3: tag 5 follows tag 5 at offset 6"},
		{"varint without end", 18, 3, false, "\xff\xff\xff\xff\xff\x01\x01\x00", "ApiVersions request v3: ClientSoftwareName: varint longer than 32 bits at offset 0"},
		{"string beyond the frame", 18, 3, false, "\x09ab", "ApiVersions request v3: ClientSoftwareName: length 8 exceeds the 2 bytes left at offset 1"},
		{"string that Kafka would not read", 18, 3, false, "\x81\x80\x02" + strings.Repeat("a", 32768) + "\x01\x00", "ApiVersions request v3: ClientSoftwareName: string of 32768 bytes exceeds Kafka's limit of 32767 at offset 3"},
		{"bytes left over, as librdkafka sends them", 3, 13, false, "\x00\x00\x00\x00\x01\x00\x00", ""},
		{"bytes left over in an answer", 12, 0, true, "\x00\x00\x00", "Heartbeat response v0: 1 bytes left over after the message at offset 2"},
		{"cut off among fixed fields", 12, 0, false, "\x00\x01g\x00\x00", "Heartbeat request v0: GenerationId: needs 4 bytes, 2 left at offset 3"},
		{"presence of neither kind", 75, 0, false, "\x01\x00\x00\x00\x01\x05\x00", "DescribeTopicPartitions request v0: Cursor: presence byte 5 is neither 1 nor -1 at offset 6"},
		{"deep inside", 1, 13, false, string(bytes.Repeat([]byte{0}, 25)) + "\x03" + string(bytes.Repeat([]byte{1}, 16)) + "\x01\x00" + string(bytes.Repeat([]byte{2}, 16)) + "\xff\x01", "Fetch request v13: Topics[1].Partitions: count 254 exceeds the 0 bytes left at offset 62"},
		{"tag of a later version", 0, 9, true, "\x01\x00\x00\x00\x00\x01\x00\x01\x01", "Produce response v9: NodeEndpoints: tag 0 does not exist in this version at offset 8"},
		{"tag with a rest", 18, 3, true, "\x00\x00\x01\x00\x00\x00\x00\x01\x01\x09\x00\x00\x00\x00\x00\x00\x00\x00\x07", "ApiVersions response v3: FinalizedFeaturesEpoch: 1 bytes left over in a tagged field at offset 18"},
		{"tag that says too much inside", 18, 3, true, "\x00\x00\x01\x00\x00\x00\x00\x01\x00\x01\x7f", "ApiVersions response v3: SupportedFeatures: count 126 exceeds the 0 bytes left at offset 11"},
		{"unknown key", 999, 0, false, "", "API key 999 v0: unknown Kafka API key"},
		{"key no broker has any more", 4, 0, false, "", "API key 4 v0: unknown Kafka API key"},
		{"negative key", -1, 0, false, "", "API key -1 v0: unknown Kafka API key"},
		{"version of the future", 18, 99, false, "", "ApiVersions v99: unsupported version of a Kafka API"},
		{"version before the first", 0, 2, false, "", "Produce v2: unsupported version of a Kafka API"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := checkEither(c.key, c.version, c.response, []byte(c.body))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCheckBudgetsMemory(t *testing.T) {
	// Topics of CreateTopics take few bytes on the wire and many in memory.
	n := 200_000
	body := binary.AppendUvarint(nil, uint64(n)+1)
	for range n {
		body = append(body, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0)
	}
	body = append(body, 0, 0, 0, 0, 0, 0)
	var refused *CheckError
	if _, err := CheckRequest(19, 7, body, 0); !errors.As(err, &refused) || refused.Path != "Topics" || !strings.Contains(refused.Problem, "more than the 12194340 allowed") {
		t.Errorf("got %v", err)
	}
	shape, err := CheckRequest(19, 7, body, 1<<30)
	if err != nil || shape.Elements != n {
		t.Errorf("got %+v, %v", shape, err)
	}
	// One unknown tag each costs a decoder a map.
	body = binary.AppendUvarint(nil, uint64(n)+1)
	for range n {
		body = append(body, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 9, 0)
	}
	body = append(body, 0, 0, 0, 0, 0, 0)
	if shape, err := CheckRequest(19, 7, body, 1<<30); err != nil || shape.UnknownTags != n || shape.DecodedBytes < int64(n)*400 {
		t.Errorf("got %+v, %v", shape, err)
	}
}

// hostile are frames that take a decoder which trusts counts seconds, or
// gigabytes, for a few bytes.
func hostile() map[string]struct {
	key, version int16
	body         []byte
} {
	type frame = struct {
		key, version int16
		body         []byte
	}
	return map[string]frame{
		"tags of ApiVersions":       {18, 3, []byte("\x01\x01\x80\x80\x80\x20")},
		"all tags of ApiVersions":   {18, 3, []byte("\x02a\x02a\xff\xff\xff\xff\x0f")},
		"tags of Metadata":          {3, 12, []byte("\x01\x00\x00\x80\x80\x80\x20")},
		"topics of Metadata":        {3, 12, append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, make([]byte, 64)...)},
		"partitions of Produce":     {0, 9, append([]byte{0, 0, 0, 0, 0, 0, 0, 2, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}, make([]byte, 32)...)},
		"a mebibyte of Metadata":    {3, 12, append([]byte{0x81, 0x80, 0x40}, make([]byte, 1<<20)...)},
		"a mebibyte of tag order":   {18, 3, append([]byte{1, 1, 0x80, 0x80, 0x20}, make([]byte, 1<<20)...)},
		"a mebibyte of OffsetFetch": {9, 8, append([]byte{0x81, 0x80, 0x40}, make([]byte, 1<<20)...)},
	}
}

func TestCheckRefusesHostileFramesCheaply(t *testing.T) {
	for name, f := range hostile() {
		t.Run(name, func(t *testing.T) {
			if _, err := CheckRequest(f.key, f.version, f.body, 0); err == nil {
				t.Fatal("passes")
			}
			best := time.Hour
			for range 5 { // the best, since others share the machine
				start := time.Now()
				CheckRequest(f.key, f.version, f.body, 0)
				best = min(best, time.Since(start))
			}
			if limit := time.Millisecond * time.Duration(1+len(f.body)>>10); best > limit {
				t.Errorf("took %v", best)
			}
			if n := testing.AllocsPerRun(10, func() { CheckRequest(f.key, f.version, f.body, 0) }); n > 16 { // the race detector adds its own
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	for name, f := range typical() {
		if n := testing.AllocsPerRun(50, func() {
			if _, err := check(f.key, f.version, f.response, f.body, 0); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

type body struct {
	key, version int16
	response     bool
	body         []byte
}

func typical() map[string]body {
	produce := kmsg.NewPtrProduceRequest()
	produce.SetVersion(12)
	fetch := kmsg.NewPtrFetchRequest()
	fetch.SetVersion(17)
	fetched := kmsg.NewPtrFetchResponse()
	fetched.SetVersion(17)
	metadata := kmsg.NewPtrMetadataResponse()
	metadata.SetVersion(12)
	for range 10 {
		pt, ft, rt, mt := kmsg.NewProduceRequestTopic(), kmsg.NewFetchRequestTopic(), kmsg.NewFetchResponseTopic(), kmsg.NewMetadataResponseTopic()
		pt.Topic, mt.Topic = "orders.v1", kmsg.StringPtr("orders.v1")
		for i := range int32(10) {
			pp, fp, rp, mp := kmsg.NewProduceRequestTopicPartition(), kmsg.NewFetchRequestTopicPartition(), kmsg.NewFetchResponseTopicPartition(), kmsg.NewMetadataResponseTopicPartition()
			pp.Partition, pp.Records, rp.RecordBatches = i, make([]byte, 1000), make([]byte, 1000)
			mp.Replicas, mp.ISR = []int32{1, 2, 3}, []int32{1, 2, 3}
			pt.Partitions, ft.Partitions = append(pt.Partitions, pp), append(ft.Partitions, fp)
			rt.Partitions, mt.Partitions = append(rt.Partitions, rp), append(mt.Partitions, mp)
		}
		produce.Topics, fetch.Topics = append(produce.Topics, pt), append(fetch.Topics, ft)
		fetched.Topics, metadata.Topics = append(fetched.Topics, rt), append(metadata.Topics, mt)
	}
	return map[string]body{
		"produce request of 100 partitions":   {0, 12, false, produce.AppendTo(nil)},
		"fetch request of 100 partitions":     {1, 17, false, fetch.AppendTo(nil)},
		"fetch response of 100 partitions":    {1, 17, true, fetched.AppendTo(nil)},
		"metadata response of 100 partitions": {3, 12, true, metadata.AppendTo(nil)},
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, f := range typical() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := check(f.key, f.version, f.response, f.body, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/partition")
		})
	}
}

// mutate damages a body the ways that catch decoders out.
func mutate(r *rand.Rand, body []byte) []byte {
	body = slices.Clone(body)
	for range 1 + r.IntN(3) {
		if len(body) == 0 {
			return append(body, byte(r.Uint32()))
		}
		at := r.IntN(len(body))
		switch r.IntN(7) {
		case 0:
			body = body[:at]
		case 1:
			body[at] ^= 1 << r.IntN(8)
		case 2:
			body[at]++
		case 3:
			body[at]--
		case 4:
			copy(body[at:], [...]string{"\x7f\xff\xff\xff", "\xff\xff\xff\xff\x0f", "\x80\x00\x00\x00", "\xff\xff\xff\xff\xff\xff", "\x00\x00\x00\x00"}[r.IntN(5)])
		case 5:
			from := r.IntN(len(body))
			body = slices.Insert(body, at, body[from:min(len(body), from+r.IntN(16))]...)
		case 6:
			body = append(body[:at:at], body[min(len(body), at+r.IntN(8)):]...)
		}
	}
	return body
}

// decodable fails unless a body that passed the check is one that kmsg reads,
// in time and memory that the check foresaw.
func decodable(t *testing.T, key, version int16, response bool, body []byte) (passed bool) {
	t.Helper()
	shape, err := checkEither(key, version, response, body)
	if err != nil {
		var refused *CheckError
		if !errors.As(err, &refused) || refused.Offset < 0 || refused.Offset > len(body) {
			t.Fatalf("%s v%d %x: %v", APIName(key), version, body, err)
		}
		return false
	}
	m := newMessage(key, response)
	if m == nil || version > m.MaxVersion() {
		return true
	}
	m.SetVersion(version)
	start := time.Now()
	if err := m.ReadFrom(body); err != nil {
		t.Fatalf("%s v%d response=%v %x passes, but kmsg: %v", APIName(key), version, response, body, err)
	}
	if took := time.Since(start); took > 10*time.Second+time.Duration(len(body))*time.Microsecond {
		t.Fatalf("%s v%d response=%v %x: kmsg took %v", APIName(key), version, response, body, took)
	}
	v := reflect.ValueOf(m).Elem()
	if real := int64(v.Type().Size()) + deepSize(v); real > shape.DecodedBytes {
		t.Fatalf("%s v%d response=%v %x: estimated %d bytes, really %d", APIName(key), version, response, body, shape.DecodedBytes, real)
	}
	return true
}

func TestCheckThenDecodeMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	passed, refused := 0, 0
	eachVersion(func(key, version int16, response bool) {
		for range 5 {
			body := randomBody(r, key, version, response)
			for range 60 {
				if decodable(t, key, version, response, mutate(r, body)) {
					passed++
				} else {
					refused++
				}
			}
		}
	})
	t.Logf("%d passed, %d refused", passed, refused)
	if passed < 1000 || refused < 1000 {
		t.Error("mutations do not try both")
	}
}

// TestTagsOfKmsgAreKnown guards against a decoder that would read, as a known
// field, what the check takes for an unknown tag and steps over.
func TestTagsOfKmsgAreKnown(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	eachVersion(func(key, version int16, response bool) {
		m := newMessage(key, response)
		m.SetVersion(version)
		for range 30 {
			fill(r, reflect.ValueOf(m).Elem(), noVersion, false) // all tags, whatever the version
			shape, err := checkEither(key, version, response, m.AppendTo(nil))
			var refused *CheckError
			if errors.As(err, &refused) && strings.Contains(refused.Problem, "does not exist in this version") {
				continue
			}
			if err != nil || shape.UnknownTags > 0 {
				t.Errorf("%s v%d response=%v: %+v %v", APIName(key), version, response, shape, err)
				return
			}
		}
	})
}

func TestFields(t *testing.T) {
	var got []string
	for f := range Fields(1, false, 13) {
		if f.EntityType != "" || f.Type == "uuid" || f.Tag >= 0 {
			got = append(got, fmt.Sprintf("%s %s %s %d", f.Path, f.Type, f.EntityType, f.Tag))
		}
	}
	want := []string{
		"ClusterId string  0", "ReplicaId int32 brokerId -1",
		"Topics.TopicId uuid  -1", "ForgottenTopicsData.TopicId uuid  -1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for f := range Fields(1, false, 3) {
		t.Errorf("got %v of a version that is not known", f)
	}
	for f := range Fields(3, false, 1) { // may be left early
		if f.Path != "Topics" || !f.Nullable || f.Type != "[]MetadataRequestTopic" {
			t.Errorf("got %+v", f)
		}
		break
	}
}

func FuzzCheckRequest(f *testing.F)  { fuzzCheck(f, false) }
func FuzzCheckResponse(f *testing.F) { fuzzCheck(f, true) }

func fuzzCheck(f *testing.F, response bool) {
	r := rand.New(rand.NewPCG(7, 8))
	eachVersion(func(key, version int16, resp bool) {
		if _, hi, _ := APIVersions(key); resp == response && version == hi {
			f.Add(key, version, randomBody(r, key, version, response))
		}
	})
	for _, h := range hostile() {
		if len(h.body) < 100 {
			f.Add(h.key, h.version, h.body)
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		lo, hi, ok := APIVersions(key)
		if !ok || version < lo || version > hi {
			if _, err := checkEither(key, version, response, body); err == nil {
				t.Fatal("passes what is not known")
			}
			return
		}
		decodable(t, key, version, response, body)
	})
}
