package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// passing is a passage of one frame out of a source that comes in pieces.
type passing struct {
	out   bytes.Buffer
	moved int
	p     *Passage
	rest  *FrameReader
}

// newPassing reads the length of the first frame of src. With move, records may
// go past the reader.
func newPassing(t *testing.T, src []byte, piece int, move bool) *passing {
	t.Helper()
	s := &passing{}
	source := &pieces{src, piece}
	s.rest = NewFrameReader(source, FrameConfig{Buffers: new(Buffers)})
	size, err := s.rest.Size(t.Context(), Limit{"max", 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	s.p = &Passage{Context: t.Context(), In: s.rest, Size: size, Left: size,
		Write: func(pieces net.Buffers, size int, _ bool) error {
			before := s.out.Len()
			for _, b := range pieces {
				s.out.Write(b)
			}
			if s.out.Len()-before != size {
				t.Errorf("%d bytes in pieces, %d announced", s.out.Len()-before, size)
			}
			return nil
		}}
	if move {
		s.p.Move = func(n int) (int, bool, error) {
			if s.rest.Buffered() > 0 {
				t.Error("moves past what is buffered")
			}
			got, err := io.CopyN(&s.out, source, int64(min(n, 40_000)))
			s.moved += int(got)
			if got == 0 {
				err = io.ErrUnexpectedEOF
			}
			return int(got), false, err
		}
	}
	return s
}

// largeFetch has records of which some are worth moving.
func largeFetch(r *rand.Rand, version int16) *kmsg.FetchResponse {
	resp := randomFetch(r, version)
	if version < 13 {
		for len(resp.Topics) == 0 {
			resp = randomFetch(r, version)
		}
		resp.Topics = resp.Topics[:1]
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if r.IntN(2) == 0 {
				resp.Topics[i].Partitions[j].RecordBatches = bytes.Repeat(someBytes(r, 1000), 1+r.IntN(150))
			}
		}
	}
	return resp
}

// smallFetch has one topic.
func smallFetch(r *rand.Rand, version int16) *kmsg.FetchResponse {
	for {
		if resp := randomFetch(r, version); len(resp.Topics) > 0 {
			resp.Topics = resp.Topics[:1]
			return resp
		}
	}
}

func TestFetchResponsesArePassedAsTheyArePatched(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	moved := 0
	for version := int16(4); version <= 18; version++ {
		for range 20 {
			resp := largeFetch(r, version)
			body := resp.AppendTo(nil)
			for i := range resp.Topics {
				if resp.Topics[i].TopicID[0]++; version < 13 {
					resp.Topics[i].Topic = "renamed"
				}
			}
			want := append([]byte("head"), resp.AppendTo(nil)...)
			size := len(want) - 4
			s := newPassing(t, append(framed(body), framed([]byte("next"))...), []int{7, 1000, 100_000}[r.IntN(3)], r.IntN(2) == 0)
			var seen []int32
			err := PassFetchResponse(s.p, version, FetchView{
				Head: func(head FetchHead, topics int) bool {
					return head.SessionID == resp.SessionID && topics == len(resp.Topics)
				},
				Topic: func(name []byte, id [16]byte) ([]byte, error) {
					if version < 13 {
						return AppendName(nil, "renamed", version >= 12), nil
					}
					id[0]++
					return id[:], nil
				},
				Partition: func(index int32, _ int16) error { seen = append(seen, index); return nil },
			}, func(n int) []byte {
				if n != size {
					t.Errorf("version %d: %d bytes announced, want %d", version, n, size)
				}
				return []byte("head")
			})
			if errors.Is(err, ErrNotPassed) && s.out.Len() == 0 {
				// The head was not there yet, or there is no topic: still all of it is.
				if got, err := s.rest.View(t.Context(), len(body)); err != nil || !bytes.Equal(got, body) {
					t.Fatalf("version %d: not passed, and gone: %v", version, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(s.out.Bytes(), want) {
				t.Fatalf("version %d: %v, %d bytes of %d, or others", version, err, s.out.Len(), len(want))
			}
			i := 0
			for _, topic := range resp.Topics {
				for _, p := range topic.Partitions {
					if i >= len(seen) || seen[i] != p.Partition {
						t.Fatalf("version %d: saw partitions %v", version, seen)
					}
					i++
				}
			}
			if next, err := s.rest.Next(t.Context(), limit); err != nil || string(next.Bytes()) != "next" {
				t.Fatalf("version %d: the frame behind: %v", version, err)
			}
			moved += s.moved
		}
	}
	if moved == 0 {
		t.Error("nothing was moved")
	}
}

func TestNodeEndpointsBecomeNobodys(t *testing.T) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 16
	topic, p := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	p.RecordBatches = make([]byte, 100_000)
	topic.Partitions = append(topic.Partitions, p)
	resp.Topics = append(resp.Topics, topic)
	resp.Brokers = []kmsg.FetchResponseBroker{{NodeID: 7, Host: "physical-host", Port: 9092}}
	s := newPassing(t, framed(resp.AppendTo(nil)), 1000, false)
	err := PassFetchResponse(s.p, 16, anyFetch, func(int) []byte { return nil })
	if err != nil || bytes.Contains(s.out.Bytes(), []byte("physical")) {
		t.Fatalf("%v, or the host is in it", err)
	}
	again := kmsg.NewPtrFetchResponse()
	again.Version = 16
	if err := again.ReadFrom(s.out.Bytes()); err != nil || len(again.Brokers) != 0 || len(again.Topics[0].Partitions[0].RecordBatches) != 100_000 {
		t.Errorf("%v: %d brokers", err, len(again.Brokers))
	}
}

var anyFetch = FetchView{
	Head:      func(FetchHead, int) bool { return true },
	Topic:     func(_ []byte, id [16]byte) ([]byte, error) { return id[:], nil },
	Partition: func(int32, int16) error { return nil },
}

func TestRefusalsBeforeAnythingWentOutHaveAWayBack(t *testing.T) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 16
	for range 2 {
		topic, p := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		p.RecordBatches = make([]byte, 100_000)
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
	}
	refused := errors.New("refused")
	for at, want := range []error{ErrNotPassed, refused} {
		n := 0
		view := anyFetch
		view.Topic = func(_ []byte, id [16]byte) ([]byte, error) {
			if n++; n > at {
				return nil, refused
			}
			return id[:], nil
		}
		body := resp.AppendTo(nil)
		s := newPassing(t, framed(body), 1000, false)
		if err := PassFetchResponse(s.p, 16, view, func(int) []byte { return nil }); !errors.Is(err, want) {
			t.Errorf("topic %d refused: %v", at, err)
		}
		if got, err := s.rest.View(t.Context(), len(body)); at == 0 && (err != nil || !bytes.Equal(got, body)) {
			t.Errorf("nothing went out, and the frame is gone: %v", err)
		}
	}
}

// What is read as a whole after all has still the ids of the broker, also where
// a later topic was refused.
func TestNothingIsExchangedInWhatIsNotPassed(t *testing.T) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 16
	for i := range byte(2) {
		topic, p := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		topic.TopicID[0], p.RecordBatches = 1+i, make([]byte, 500)
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
	}
	body := resp.AppendTo(nil)
	s := newPassing(t, framed(body), len(body)+4, false)
	view := anyFetch
	view.Topic = func(_ []byte, id [16]byte) ([]byte, error) {
		if id[0] == 2 {
			return nil, errors.New("refused")
		}
		return bytes.Repeat([]byte{9}, 16), nil
	}
	if err := PassFetchResponse(s.p, 16, view, func(int) []byte { return []byte("head") }); !errors.Is(err, ErrNotPassed) {
		t.Fatalf("got %v", err)
	}
	if got, err := s.rest.View(t.Context(), len(body)); err != nil || !bytes.Equal(got, body) {
		t.Errorf("the frame is another one: %v", err)
	}
}

func randomBatch(r *rand.Rand) []byte {
	b := make([]byte, BatchHeaderBytes+r.IntN(80_000))
	b[batchMagicOffset], b[22] = 2, byte(r.IntN(8))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	return b
}

func TestProduceRequestsArePassedAsTheyArePatched(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	for version := int16(3); version <= 13; version++ {
		for range 20 {
			req := kmsg.NewPtrProduceRequest()
			req.Version, req.Acks, req.TimeoutMillis = version, -1, 1000
			if r.IntN(2) == 0 {
				req.TransactionID = kmsg.StringPtr("tx")
			}
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic, topic.TopicID = "asked", [16]byte{1}
			var batches [][]byte
			for range 1 + r.IntN(4) {
				p := kmsg.NewProduceRequestTopicPartition()
				p.Partition = r.Int32()
				for range r.IntN(4) {
					b := randomBatch(r)
					batches, p.Records = append(batches, b[:BatchHeaderBytes]), append(p.Records, b...)
				}
				if r.IntN(4) == 0 { // what is no batch is for the broker to refuse
					p.Records = append(p.Records, someBytes(r, 60)...)
				}
				topic.Partitions = append(topic.Partitions, p)
			}
			req.Topics = append(req.Topics, topic)
			body := req.AppendTo(nil)
			s := newPassing(t, append(framed(body), framed([]byte("next"))...), []int{300, 10_000}[r.IntN(2)], r.IntN(2) == 0)
			prefix, ok := PeekProduceRequest(version, s.rest.Window(), s.p.Left)
			if !ok || prefix.Acks != -1 || (prefix.TransactionalID != nil) != (req.TransactionID != nil) {
				t.Fatalf("version %d: prefix %+v, %v", version, prefix, ok)
			}
			var patches []Patch
			if req.TransactionID != nil {
				req.TransactionID = kmsg.StringPtr("prefixed.tx")
				patches = append(patches, Patch{0, prefix.TransactionalIDLen, AppendName(nil, "prefixed.tx", version >= 9)})
			}
			req.Topics[0].Topic, req.Topics[0].TopicID = "backing", [16]byte{2}
			with := req.Topics[0].TopicID[:]
			if version < 13 {
				with = AppendName(nil, "backing", version >= 9)
			}
			patches = append(patches, Patch{prefix.Topic.At, prefix.Topic.Len, with})
			var seen [][]byte
			err := PassProduceRequest(s.p, version, prefix, patches, []byte("head"), func(header []byte) error {
				seen = append(seen, bytes.Clone(header))
				return nil
			})
			if want := append([]byte("head"), req.AppendTo(nil)...); err != nil || !bytes.Equal(s.out.Bytes(), want) {
				t.Fatalf("version %d: %v, %d bytes of %d, or others", version, err, s.out.Len(), len(want))
			}
			if !bytes.Equal(bytes.Join(seen, nil), bytes.Join(batches, nil)) {
				t.Fatalf("version %d: saw %d batches of %d", version, len(seen), len(batches))
			}
			if next, err := s.rest.Next(t.Context(), limit); err != nil || string(next.Bytes()) != "next" {
				t.Fatalf("version %d: the frame behind: %v", version, err)
			}
		}
	}
}

// The pace of a frame holds for all of it, whether its records are read here or
// go by, and however many parts they have.
func TestPassagesKeepThePaceOfTheFrame(t *testing.T) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 9, -1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "asked"
	for range 3 {
		p := kmsg.NewProduceRequestTopicPartition()
		for range 4 {
			b := make([]byte, 50_000)
			b[batchMagicOffset] = 2
			binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
			p.Records = append(p.Records, b...)
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	frame := framed(req.AppendTo(nil))
	for name, speed := range map[string]struct {
		at, n  int
		every  time.Duration
		passes bool
	}{
		"one byte in two seconds, from the beginning":   {100, 1, 2 * time.Second, false},
		"one byte in two seconds, in the middle":        {320_000, 1, 2 * time.Second, false},
		"100 bytes in four seconds, from the beginning": {100, 100, 4 * time.Second, false},
		"100 bytes in four seconds, in the middle":      {320_000, 100, 4 * time.Second, false},
		"20,000 bytes in ten seconds":                   {100, 20_000, 10 * time.Second, true},
		"50,000 bytes in 29 seconds":                    {100, 50_000, 29 * time.Second, true},
	} {
		for _, move := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				var sender sync.WaitGroup
				defer sender.Wait()
				defer server.Close()
				sender.Go(func() {
					if _, err := client.Write(frame[:speed.at]); err != nil {
						return
					}
					for rest := frame[speed.at:]; len(rest) > 0; {
						n := min(len(rest), speed.n)
						if _, err := client.Write(rest[:n]); err != nil {
							return
						}
						rest = rest[n:]
						time.Sleep(speed.every)
					}
				})
				in := NewFrameReader(server, FrameConfig{Buffers: new(Buffers), Pace: DefaultPace(), SetReadDeadline: server.SetReadDeadline})
				size, err := in.Size(t.Context(), Limit{"max", 1 << 30})
				if err != nil {
					t.Fatal(err)
				}
				if err := in.Need(t.Context(), 50, 0, 0, size); err != nil {
					t.Fatal(err)
				}
				prefix, ok := PeekProduceRequest(9, in.Window(), size)
				if !ok {
					t.Fatal("not to be passed")
				}
				p := &Passage{Context: t.Context(), In: in, Size: size, Left: size, Write: func(net.Buffers, int, bool) error { return nil }}
				if move {
					p.Move = func(n int) (int, bool, error) {
						got, err := io.CopyN(io.Discard, server, int64(n))
						return int(got), errors.Is(err, os.ErrDeadlineExceeded), err
					}
				}
				began := time.Now()
				err = PassProduceRequest(p, 9, prefix, nil, nil, func([]byte) error { return nil })
				took := time.Since(began)
				if speed.passes && err != nil {
					t.Errorf("%s, move %v: %v after %v", name, move, err, took)
				}
				if !speed.passes && (!errors.Is(err, ErrSlowFrame) || took > time.Minute) {
					t.Errorf("%s, move %v: %v after %v", name, move, err, took)
				}
			})
		}
	}
}

// Whatever comes, not a byte beyond the frame is taken and nothing that is
// announced is believed.
func FuzzPassage(f *testing.F) {
	r := rand.New(rand.NewPCG(25, 26))
	for _, v := range []int16{4, 12, 13, 18} {
		f.Add(true, v, smallFetch(r, v).AppendTo(nil), 100)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 9, -1
	topic, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	topic.Topic, p.Records = "asked", make([]byte, 2*BatchHeaderBytes)
	p.Records[batchMagicOffset], p.Records[11] = 2, BatchHeaderBytes-12
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	f.Add(false, int16(9), req.AppendTo(nil), 100)
	f.Fuzz(func(t *testing.T, fetch bool, version int16, body []byte, piece int) {
		if len(body) == 0 || len(body) > 1<<17 {
			return
		}
		s := newPassing(t, append(framed(body), framed([]byte("next"))...), max(piece, 50), version%2 == 0)
		var err error
		grown := 0
		if fetch {
			err = PassFetchResponse(s.p, version, FetchView{Head: anyFetch.Head, Partition: anyFetch.Partition, Topic: func(name []byte, id [16]byte) ([]byte, error) {
				if version < 13 {
					return AppendName(nil, string(name), version >= 12), nil
				}
				return id[:], nil
			}}, func(n int) []byte { grown = n - len(body); return nil })
		} else if prefix, ok := PeekProduceRequest(version, s.rest.Window(), s.p.Left); ok {
			err = PassProduceRequest(s.p, version, prefix, nil, nil, func([]byte) error { return nil })
		} else {
			return
		}
		if err != nil {
			return
		}
		if s.out.Len() != len(body)+grown {
			t.Fatalf("%d bytes passed, want %d", s.out.Len(), len(body)+grown)
		}
		if next, err := s.rest.Next(t.Context(), limit); err != nil || string(next.Bytes()) != "next" {
			t.Fatalf("the frame behind: %v", err)
		}
	})
}
