package script

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// bytes is place of an answer's bytes in a recording, below the answer.
const bytesField = "bytes"

// rejection is the id in a refusal, which is another one each time.
var rejection = regexp.MustCompile(`rejection R[A-Z2-7]+`)

// exact returns an answer's bytes with what a cluster makes up replaced by the symbols for it: correlation, member,
// session and producer ids, leader epochs, times, throttle times, ports. The order of lists stays, but for those of topics. It changes resp.
func (n *names) exact(resp kmsg.Response) string {
	n.settle("", reflect.ValueOf(resp).Elem())
	return hex.EncodeToString(resp.AppendTo(nil))
}

// number is a symbol's.
func number(symbol string) int64 {
	i, err := strconv.ParseInt(symbol[strings.LastIndexByte(symbol, '-')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return i
}

func (n *names) settle(field string, v reflect.Value) {
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			n.settle(field, v.Elem())
		}
	case v.Type() == reflect.TypeFor[[16]byte]():
		id := v.Interface().([16]byte)
		if id != ([16]byte{}) && n.ids[id] == "" {
			var out [16]byte
			copy(out[:], n.symbol("id", hex.EncodeToString(id[:])))
			v.Set(reflect.ValueOf(out))
		}
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[kmsg.Tags]():
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Version" {
				n.settle(f.Name, v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		if field == "RecordBatches" {
			v.SetBytes(n.settleRecords(v.Bytes()))
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			n.settle(field, v.Index(i))
		}
		if hashed(v.Type().Elem()) {
			sort.SliceStable(v.Interface(), func(i, j int) bool { return n.order(v.Index(i)) < n.order(v.Index(j)) })
		}
	case v.Kind() == reflect.String:
		s := v.String()
		if symbolFields[field] != "" && field != "ClusterID" && s != "" {
			s = n.symbol(symbolFields[field], s)
		}
		v.SetString(rejection.ReplaceAllString(s, "rejection R"))
	case v.CanInt() && field == "ThrottleMillis":
		v.SetInt(0)
	case v.CanInt() && symbolFields[field] != "" && (v.Int() > 0 || field == "SubscriptionID"):
		v.SetInt(number(n.symbol(symbolFields[field], fmt.Sprint(v.Int()))))
	case v.CanInt() && (timeFields[field] || field == "Port") && v.Int() > 0:
		v.SetInt(1)
	case v.CanInt() && strings.HasSuffix(field, "LeaderEpoch") && v.Int() > 0:
		v.SetInt(0)
	}
}

// hashed reports whether a list of a type comes in the order of the hash of topics' ids on the target cluster, which are
// others on each.
func hashed(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, name := range []string{"TopicID", "Partition"} {
		if _, ok := t.FieldByName(name); ok {
			return true
		}
	}
	return false
}

// order is what a list of topics is sorted by.
func (n *names) order(v reflect.Value) string {
	r := Recording{}
	n.write(r, "", "", v)
	var b strings.Builder
	for _, place := range slices.Sorted(maps.Keys(r)) {
		b.WriteString(place + "=" + r[place] + "\n")
	}
	return b.String()
}

// settleRecords gives the batches of a fetched partition the symbol of their producer, and those of a broker no time.
func (n *names) settleRecords(b []byte) []byte {
	batches, err := batchesIn(b)
	if err != nil {
		return b
	}
	out := []byte{}
	for _, rb := range batches {
		if rb.ProducerID >= 0 {
			rb.ProducerID = number(n.symbol("producer", fmt.Sprint(rb.ProducerID)))
		}
		if rb.Attributes&control != 0 {
			rb.FirstTimestamp, rb.MaxTimestamp = 0, 0
		}
		rb.PartitionLeaderEpoch = 0
		at := len(out)
		out = rb.AppendTo(out)
		binary.BigEndian.PutUint32(out[at+17:], crc32.Checksum(out[at+21:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return out
}

// Guess is what somebody may try to name that is not his.
type Guess struct {
	What     string
	Name     string   // of a topic, a group, a transactional id
	ID       [16]byte // of a topic
	Member   string
	Producer int64
}

// Guesses returns a script that puts a guess into every field of a Kafka API that can name something, whatever the API is.
func Guesses(key int16, guesses []Guess) func(*Session) {
	return func(s *Session) {
		for _, g := range guesses {
			req := kmsg.RequestForKey(key)
			req.SetVersion(s.Version)
			g.fill("", reflect.ValueOf(req).Elem())
			if p, ok := req.(*kmsg.ProduceRequest); ok {
				p.Acks = -1
			}
			s.Do("guess: "+g.What, req)
		}
	}
}

// fill puts the guess into a request: one element into every list, the name into every text.
func (g Guess) fill(field string, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[[16]byte]():
		v.Set(reflect.ValueOf(g.ID))
	case v.Type() == reflect.TypeFor[kmsg.Tags]():
	case v.Kind() == reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok && field != "" {
			d.Default()
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || f.Name == "Version" || f.Name == "ReplicaState" || f.Name == "ClusterID" {
				continue
			}
			g.fill(f.Name, v.Field(i))
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		g.fill(field, v.Elem())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes([]byte(g.Name))
	case v.Kind() == reflect.Slice:
		if field == "ReplicaAssignment" || field == "Assignment" {
			return // of brokers
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		g.fill(field+"[]", v.Index(0))
	case v.Kind() == reflect.String && field == "MemberID" && g.Member != "":
		v.SetString(g.Member)
	case v.Kind() == reflect.String:
		v.SetString(g.Name)
	case v.CanInt() && field == "ProducerID":
		v.SetInt(g.Producer)
	case v.CanInt() && field == "ResourceType":
		v.SetInt(int64(kmsg.ConfigResourceTypeTopic))
	case v.CanInt() && field == "TimeoutMillis":
		v.SetInt(5000)
	}
}
