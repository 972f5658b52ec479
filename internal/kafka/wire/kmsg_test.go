package wire

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// message is what kmsg's requests and responses share.
type message interface {
	Key() int16
	MaxVersion() int16
	SetVersion(int16)
	GetVersion() int16
	IsFlexible() bool
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

// newMessage returns kmsg's message for a key, or nil.
func newMessage(key int16, response bool) message {
	if response {
		if m := kmsg.ResponseForKey(key); m != nil {
			return m.(message)
		}
	} else if m := kmsg.RequestForKey(key); m != nil {
		return m.(message)
	}
	return nil
}

var tagsType = reflect.TypeFor[kmsg.Tags]()

// newerTags names the tagged fields that kmsg writes in every flexible
// version, with the first version that has them.
var newerTags = map[string]int16{
	"ProduceResponse.Brokers":                               10,
	"ProduceResponseTopicPartition.CurrentLeader":           10,
	"FetchRequest.ReplicaState":                             15,
	"FetchRequestTopicPartition.ReplicaDirectoryID":         17,
	"FetchRequestTopicPartition.HighWatermark":              18,
	"FetchResponse.Brokers":                                 16,
	"VoteResponse.NodeEndpoints":                            1,
	"BeginQuorumEpochResponse.NodeEndpoints":                1,
	"EndQuorumEpochResponse.NodeEndpoints":                  1,
	"FetchSnapshotRequestTopicPartition.ReplicaDirectoryID": 1,
	"FetchSnapshotResponse.NodeEndpoints":                   1,
	"BrokerHeartbeatRequest.OfflineLogDirs":                 1,
	"BrokerHeartbeatRequest.CordonedLogDirs":                2,
}

// fill sets every field below v at random. What a version lacks, kmsg leaves
// out when it encodes, except for the newerTags.
func fill(r *rand.Rand, v reflect.Value, version int16, unknownTags bool) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == tagsType {
			if unknownTags && r.IntN(4) == 0 {
				tags := v.Addr().Interface().(*kmsg.Tags)
				for range 1 + r.IntN(3) {
					tags.Set(100+r.Uint32N(1<<20), randomBytes(r))
				}
			}
			return
		}
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name != "Version" && f.IsExported() && version >= newerTags[v.Type().Name()+"."+f.Name] {
				fill(r, v.Field(i), version, unknownTags)
			}
		}
	case reflect.Pointer:
		v.SetZero()
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), version, unknownTags)
		}
	case reflect.Slice:
		n := r.IntN(5) - 1
		if n < 0 {
			v.SetZero()
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(randomBytes(r))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i), version, unknownTags)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), version, unknownTags)
		}
	case reflect.String:
		v.SetString(string(randomBytes(r)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64N(250) - 125)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(r.Uint64N(250))
	case reflect.Float64:
		v.SetFloat(r.Float64())
	default:
		panic("bug: " + v.Type().String())
	}
}

func randomBytes(r *rand.Rand) []byte {
	n := r.IntN(20)
	if r.IntN(10) == 0 {
		n = r.IntN(300)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// deepSize is the memory that v points to, bytes fields left out since kmsg
// makes them views of the body.
func deepSize(v reflect.Value) (n int64) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == tagsType {
			if l := v.Addr().Interface().(*kmsg.Tags).Len(); l > 0 {
				return 48 + 28*int64(l)
			}
			return 0
		}
		for i := range v.NumField() {
			n += deepSize(v.Field(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			n = int64(v.Type().Elem().Size()) + deepSize(v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return 0
		}
		n = int64(v.Len()) * int64(v.Type().Elem().Size())
		for i := range v.Len() {
			n += deepSize(v.Index(i))
		}
	case reflect.String:
		n = int64(v.Len())
	}
	return n
}

// eachVersion calls f for every message version that kmsg and the table share.
func eachVersion(f func(key, version int16, response bool)) {
	for key := range APIKeys() {
		lo, hi, _ := APIVersions(key)
		for _, response := range [...]bool{false, true} {
			m := newMessage(key, response)
			if m == nil {
				continue
			}
			for v := lo; v <= min(hi, m.MaxVersion()); v++ {
				f(key, v, response)
			}
		}
	}
}

func randomBody(r *rand.Rand, key, version int16, response bool) []byte {
	m := newMessage(key, response)
	m.SetVersion(version)
	fill(r, reflect.ValueOf(m).Elem(), version, true)
	return m.AppendTo(nil)
}

func checkEither(key, version int16, response bool, body []byte) (Shape, error) {
	if response {
		return CheckResponse(key, version, body, 0)
	}
	return CheckRequest(key, version, body, 0)
}

func TestCheckPassesWhatKmsgEncodes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n := 0
	eachVersion(func(key, version int16, response bool) {
		for range 40 {
			body := randomBody(r, key, version, response)
			shape, err := checkEither(key, version, response, body)
			if err != nil {
				t.Errorf("%v\nbody %x", err, body)
				return
			}
			m := newMessage(key, response)
			m.SetVersion(version)
			if err := m.ReadFrom(body); err != nil {
				t.Fatalf("%s v%d response=%v: kmsg cannot read what it wrote: %v", APIName(key), version, response, err)
			}
			v := reflect.ValueOf(m).Elem()
			if real := int64(v.Type().Size()) + deepSize(v); shape.DecodedBytes < real {
				t.Errorf("%s v%d response=%v: estimated %d bytes, really %d", APIName(key), version, response, shape.DecodedBytes, real)
				return
			}
			n++
		}
	})
	t.Logf("%d messages", n)
}

func TestSchemaCoversKmsg(t *testing.T) {
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		m := newMessage(key, false)
		if m == nil {
			continue
		}
		lo, hi, ok := APIVersions(key)
		if !ok {
			t.Logf("no schema for key %d %s", key, kmsg.NameForKey(key))
			continue
		}
		if hi != m.MaxVersion() || lo > 0 {
			t.Logf("%s: schema v%d-%d, kmsg v0-%d", APIName(key), lo, hi, m.MaxVersion())
		}
		for v := lo; v <= min(hi, m.MaxVersion()); v++ {
			if m.SetVersion(v); m.IsFlexible() != Flexible(key, v) {
				t.Errorf("%s v%d: flexible %v, kmsg says otherwise", APIName(key), v, Flexible(key, v))
			}
		}
	}
}
